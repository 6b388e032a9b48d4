//! Two people who reach their server through Tor: a private network of real relays, `endtoend-cli` as it is, a real node.
//!
//! One network is for all tests of the file, as a start takes some 15 s. That a client came through an exit shows by a name that
//! nobody but the exits knows; that it came through an onion service, by the service.
#![expect(clippy::expect_used, reason = "test code: what is missing fails the test")]

#[path = "tor/circuits.rs"]
mod circuits;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::LazyLock;
use std::thread;

use endtoend_testkit::{Behind, Cli, Edge, Node, NodeOptions, Outcome, PATIENCE, eventually, find_in_trees, operate};
use endtoend_testkit_tor::{Client, Network, Onion};
use serde_json::Value;
use tempfile::TempDir;

/// Known to the exits alone.
const NAME: &str = "chat.test";
const ALICE: &str = "alice.behind.tor";
const BOB: &str = "bob.behind.tor";
/// What a command ends with that may go better later.
const UNREACHABLE: i32 = 4;
/// Where debug builds of clients find the network that is not the public one.
const NETWORK: &str = "ENDTOEND_PRIVATE_TOR_NETWORK";

static TOR: LazyLock<Network> = LazyLock::new(|| {
    let network = Network::start();
    network.name(NAME, Ipv4Addr::LOCALHOST);
    network
});

/// A node and two people, who know it by one address.
struct Place {
    node: Node,
    alice: Cli,
    bob: Cli,
    folder: TempDir,
}

impl Place {
    /// With these settings of the node; `address` makes of the node's the one that people have.
    fn start(network: &Network, settings: &[(&'static str, &str)], address: impl FnOnce(&Node) -> String) -> Self {
        Self::start_with(network, NodeOptions::without_limits(), settings, address)
    }

    fn start_with(
        network: &Network,
        mut options: NodeOptions,
        settings: &[(&'static str, &str)],
        address: impl FnOnce(&Node) -> String,
    ) -> Self {
        options.environment.push(("ENDTOEND_GATEWAY__NAMES", format!("[\"{NAME}\"]")));
        options.environment.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let node = Node::start(options);
        let folder = tempfile::tempdir().expect("a folder");
        let address = address(&node);
        let person = |name: &str| {
            let arti = network.arti_toml().display().to_string();
            Cli::new(folder.path().join(name), &address).with_variable(NETWORK, arti)
        };
        let (alice, bob) = (person("alice"), person("bob"));
        Self { node, alice, bob, folder }
    }

    fn register(&self) {
        thread::scope(|scope| {
            scope.spawn(|| until_done("Alice's account", || self.alice.register(ALICE)));
            scope.spawn(|| until_done("Bob's account", || self.bob.register(BOB)));
        });
    }

    /// Alice writes, Bob reads, and the other way round; and a file each way.
    fn converse(&self) {
        self.alice.send(BOB, "hello through all of it").done();
        assert_eq!(self.bob.listen(1), ["hello through all of it"]);
        self.bob.send(ALICE, "and back").done();
        assert_eq!(self.alice.listen(1), ["and back"]);
        self.hand_over(&self.alice, ALICE, &self.bob, BOB);
        self.hand_over(&self.bob, BOB, &self.alice, ALICE);
    }

    fn hand_over(&self, from: &Cli, giver: &str, to: &Cli, taker: &str) {
        let file = self.folder.path().join(format!("of {giver}"));
        let bytes: Vec<u8> = giver.bytes().cycle().take(300_000).collect();
        fs::write(&file, &bytes).expect("a file");
        let sent = from.run(&["attach", "--to", taker, "--file", text(&file)]).done();
        let id = sent.lines.last().expect("an outcome")["message_id"].as_str().expect("an id").to_owned();
        to.run(&["listen", "--count", "1", "--timeout", "45s"]).done();
        let saved = self.folder.path().join(format!("from {giver}"));
        to.run(&["fetch", "--with", giver, "--message", &id, "--to", text(&saved)]).done();
        assert_eq!(fs::read(&saved).expect("saved"), bytes);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test")
}

/// The node's address, with another host and port.
fn at(node: &Node, place: &str) -> String {
    let (_, pin) = node.address().split_once("/#").expect("an address has a pin");
    format!("endtoend://{place}/#{pin}")
}

fn by_name(node: &Node) -> String {
    at(node, &format!("{NAME}:{}", node.listen().port()))
}

fn status(node: &Node) -> Value {
    operate(node.data_dir(), &["status", "--data", text(node.data_dir())], &[]).done().lines.remove(0)
}

/// Tries until it is reached: a descriptor takes a moment to be everywhere.
fn until_done(what: &str, mut command: impl FnMut() -> Outcome) {
    let mut last = None;
    eventually(3 * PATIENCE, what, || {
        let outcome = command();
        let done = outcome.code == Some(0);
        last = Some(outcome);
        done
    });
}

/// Tries until Tor has found what the service has told its directories, which a young client may not know all of: what it says then.
fn once_found(mut command: impl FnMut() -> Outcome) -> Outcome {
    let mut last = None;
    eventually(3 * PATIENCE, "what the service has told", || {
        let outcome = command();
        let found = outcome.code != Some(UNREACHABLE);
        last = Some(outcome);
        found
    });
    last.expect("it was tried")
}

#[test]
fn people_talk_through_an_exit_and_through_a_network_that_loses_parts_and_comes_back() {
    // Of its own, as it is struck.
    let network = Network::start();
    network.name(NAME, Ipv4Addr::LOCALHOST);
    let place = Place::start(&network, &[], by_name);
    place.register();
    place.converse();

    let listening = place.bob.spawn_listen();
    place.alice.send(BOB, "before").done();
    assert_eq!(listening.next_text(), "before");
    let guards = network.guards_of(listening.pid());
    assert!(!guards.is_empty(), "it is connected with a guard, and not with the server");
    // Those that are left are enough for circuits.
    guards.iter().take(2).for_each(|guard| network.kill(*guard));
    place.alice.send(BOB, "without these guards").done();
    assert_eq!(listening.next_text(), "without these guards");

    network.stop();
    network.resume();
    place.alice.send(BOB, "after all of it").done();
    assert_eq!(listening.next_text(), "after all of it");
}

#[test]
fn people_talk_through_the_nodes_own_onion_service() {
    let arti = TOR.arti_toml().display().to_string();
    let settings = [("ENDTOEND_ONION__ENABLED", "true"), ("ENDTOEND_ONION__ARTI", &*arti)];
    let mut place = Place::start(&TOR, &settings, |node| {
        let onion = &status(node)["onion"];
        assert_eq!(onion["host"], "node", "{onion}");
        onion["address"].as_str().expect("an address").to_owned()
    });
    until_done("the service", || place.alice.register(ALICE));
    place.bob.register(BOB).done();
    place.converse();
    // Its key stays, and with it the address.
    let before = status(&place.node)["onion"]["address"].clone();
    assert!(place.node.terminate().success());
    place.node.restart();
    assert_eq!(status(&place.node)["onion"]["address"], before);
    until_done("the service again", || place.alice.send(BOB, "still there"));
    assert_eq!(place.bob.listen(1), ["still there"]);
    // A copy of it is as good, and one without the key is no node.
    let backup = place.folder.path().join("backup");
    let data = text(place.node.data_dir()).to_owned();
    let made = operate(place.node.data_dir(), &["backup", "--data", &data, "--to", text(&backup)], &[]).done();
    let files = made.lines.last().expect("an outcome")["files"].as_array().expect("names").clone();
    assert!(files.contains(&Value::from("onion.key")), "{files:?}");
    assert!(place.node.terminate().success());
    fs::remove_file(place.node.data_dir().join("onion.key")).expect("it was there");
    let refused = place.node.try_restart().expect_err("it has no address any more");
    assert!(refused.stderr.contains("onion.key is missing"), "{refused:?}");
    // What the copy makes on another disk is the same service.
    fs::remove_dir_all(place.node.data_dir()).expect("it was there");
    operate(place.folder.path(), &["restore", "--data", &data, "--from", text(&backup)], &[]).done();
    place.node.restart();
    assert_eq!(status(&place.node)["onion"]["address"], before);
    until_done("the service of the copy", || place.bob.send(ALICE, "and from the copy"));
    assert_eq!(place.alice.listen(1), ["and from the copy"]);
}

#[test]
fn people_talk_through_an_onion_service_that_leads_to_the_edge() {
    let mut edge = Edge::start("[limits]\nconnections_max = 300\n");
    let (arti, target) = (TOR.arti_toml().display().to_string(), edge.listen().to_string());
    let settings =
        [("ENDTOEND_ONION__ENABLED", "true"), ("ENDTOEND_ONION__ARTI", &*arti), ("ENDTOEND_ONION__TARGET", &*target)];
    let options = NodeOptions::without_limits().behind_an_edge();
    let place = Place::start_with(&TOR, options, &settings, |node| {
        status(node)["onion"]["address"].as_str().expect("an address").to_owned()
    });
    edge.apply(&[Behind::node("a", &place.node)]);
    until_done("the service", || place.alice.register(ALICE));
    place.bob.register(BOB).done();
    place.converse();
    let came = edge.server("a")["sessions_total"].as_u64();
    assert!(came.is_some_and(|came| came >= 4), "everybody came through the edge: {came:?}");
}

/// A node, and the `tor` beside it that hosts its onion service with what the node has exported.
fn hosted_by_a_tor() -> (Place, Onion) {
    let mut onion = None;
    let settings = [("ENDTOEND_ONION__ENABLED", "true"), ("ENDTOEND_ONION__HOST", "tor")];
    let place = Place::start(&TOR, &settings, |node| {
        let status = status(node);
        let onion_field = |name| status.pointer(&format!("/onion/{name}")).and_then(Value::as_str);
        assert_eq!((onion_field("host"), onion_field("state")), (Some("tor"), Some("elsewhere")));
        let address = onion_field("address").expect("an address").to_owned();
        let service = Onion::start_with(&TOR, &[(8443, node.listen())], |folder| {
            fs::remove_dir(folder).expect("it is empty");
            let target = node.listen().to_string();
            let variables = [
                ("ENDTOEND_ONION__ENABLED", "true"),
                ("ENDTOEND_ONION__HOST", "tor"),
                ("ENDTOEND_ONION__TARGET", &*target),
            ];
            let data = text(node.data_dir());
            let export = ["onion", "export", "--data", data, "--to", text(folder)];
            let exported = operate(node.data_dir(), &export, &variables).done();
            assert!(exported.field("torrc").as_str().is_some_and(|lines| lines.contains(&target)), "{exported:?}");
        });
        assert!(address.starts_with(&format!("endtoend://{}:8443/#pin=", service.host())), "{address}");
        onion = Some(service);
        address
    });
    (place, onion.expect("it was started"))
}

#[test]
fn people_talk_through_an_onion_service_that_a_tor_beside_the_node_hosts() {
    let (place, _onion) = hosted_by_a_tor();
    place.register();
    place.converse();
}

#[test]
fn people_talk_through_a_bridge_that_hides_what_it_is_and_through_one_that_does_not() {
    let place = Place::start(&TOR, &[], by_name);
    let people = [(&place.alice, ALICE, TOR.obfs4_bridge()), (&place.bob, BOB, TOR.vanilla_bridge())];
    for (person, handle, bridge) in people {
        let bridges = place.folder.path().join(format!("bridge of {handle}"));
        fs::write(&bridges, bridge + "\n").expect("a file");
        person.run(&["register", "--handle", handle, "--bridges", text(&bridges)]).done();
    }
    place.converse();
    let listening = place.bob.spawn_listen();
    let mut talking = place.alice.start(&["chat", "--with", BOB]);
    talking.event("online");
    talking.say("now");
    assert_eq!(listening.next_text(), "now");
    for person in [listening.pid(), talking.pid()] {
        assert_eq!(TOR.guards_of(person), [0_usize; 0], "relays see nobody but the bridge");
    }
}

#[test]
fn another_server_is_refused_however_it_is_reached() {
    let place = Place::start(&TOR, &[], by_name);
    let other = Node::start(NodeOptions::default());
    let (_, pin) = other.address().split_once("/#").expect("a pin");
    let wrong = format!("endtoend://{NAME}:{}/#{pin}", place.node.listen().port());
    let refused = place.alice.with_server(&wrong).register(ALICE);
    assert!(refused.code != Some(0), "{refused:?}");
    let said = format!("{:?}", refused.lines);
    assert!(said.contains("not the one this address names"), "{said}");
    // An onion service with another key is another address, which nobody answers to.
    let nobody = at(&place.node, "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion:8443");
    let refused = place.bob.with_server(&nobody).register(BOB);
    assert!(refused.code != Some(0), "{refused:?}");
}

#[test]
fn a_restore_that_is_refused_leaves_nothing_of_tor() {
    let place = Place::start(&TOR, &[], by_name);
    place.alice.register(ALICE).done();
    let [backup, passphrase] = ["backup", "passphrase"].map(|name| place.folder.path().join(name));
    fs::write(&passphrase, "of the backup\n").expect("a file");
    let made = ["backup", "--to", text(&backup), "--passphrase-file", text(&passphrase)];
    place.alice.run(&made).done();
    let restore = ["restore", "--from", text(&backup), "--passphrase-file", text(&passphrase)];
    let tor = place.bob.home().join("tor");

    let restoring = place.bob.with_password("not the account's").start(&restore);
    eventually(PATIENCE, "Tor starts", || tor.is_dir());
    assert_eq!(restoring.event("error")["exit_code"], 3);
    assert_eq!(restoring.end(), Some(3));
    assert!(!place.bob.home().exists(), "Tor's folder is gone, and so is what it was in");

    place.bob.with_password(place.alice.password()).run(&restore).done();
    assert!(tor.is_dir(), "of a profile it stays");
}

/// A service for some: its node, and the secret of the one that is let in.
fn for_some(host: &str) -> (Place, String, String) {
    let made = operate(Path::new("/"), &["onion", "client-key"], &[]).done();
    let [public, secret] = ["public", "secret"].map(|name| made.field(name).as_str().expect("a key").to_owned());
    let (arti, clients) = (TOR.arti_toml().display().to_string(), format!("[\"{public}\"]"));
    let mut settings = vec![
        ("ENDTOEND_ONION__ENABLED", "true"),
        ("ENDTOEND_ONION__HOST", host),
        ("ENDTOEND_ONION__CLIENTS", &*clients),
    ];
    if host == "node" {
        settings.push(("ENDTOEND_ONION__ARTI", &*arti));
    }
    let place = Place::start(&TOR, &settings, |node| {
        let status = status(node);
        status.pointer("/onion/address").and_then(Value::as_str).expect("an address").to_owned()
    });
    (place, public, secret)
}

/// The one with the key gets in; whoever has none, or another one, is told that.
fn only_the_key_opens(place: &Place, secret: &str) {
    let key = place.folder.path().join("key");
    fs::write(&key, format!("{secret}\n")).expect("a file");
    until_done("the service", || place.alice.run(&["register", "--handle", ALICE, "--onion-key", text(&key)]));

    let refused = once_found(|| place.bob.register(BOB));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(format!("{refused:?}").contains("this onion service is not for everybody"), "{refused:?}");
    let other = operate(Path::new("/"), &["onion", "client-key"], &[]).done();
    fs::write(&key, other.field("secret").as_str().expect("a key")).expect("a file");
    let refused = once_found(|| place.bob.run(&["register", "--handle", BOB, "--onion-key", text(&key)]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(format!("{refused:?}").contains("does not know the key"), "{refused:?}");

    let letters = secret.rsplit(':').next().expect("letters");
    let words = [letters.as_bytes(), &*letters.to_lowercase().into_bytes()];
    let found = find_in_trees(&[place.alice.home(), &place.alice.log_path()], &words).expect("what it keeps and says");
    assert!(found.files > 2 && found.hits.is_empty(), "the key lies in the encrypted database alone: {found:?}");
}

#[test]
fn only_who_has_a_key_finds_a_service_of_the_node_that_is_for_some() {
    let (place, public, secret) = for_some("node");
    only_the_key_opens(&place, &secret);

    // By the proxy of a Tor that has it, too.
    let host = place.alice.run(&["tor", "key", "list"]).done();
    let kept = &host.field("keys")[0];
    assert_eq!(kept["public"], public.as_str());
    let known = Client::start_with(&TOR, &[(kept["onion"].as_str().expect("a name"), &*secret)]);
    let by = |client: &Client, handle: &str| {
        place.bob.run(&["register", "--handle", handle, "--network", &format!("socks5://{}", client.socks())])
    };
    until_done("the service", || by(&known, BOB));

    // What is taken away opens nothing any more, and one that the operator does not know yet opens nothing yet.
    place.alice.run(&["tor", "key", "remove"]).done();
    let refused = once_found(|| place.alice.run(&["tor", "check"]));
    assert!(format!("{refused:?}").contains("this onion service is not for everybody"), "{refused:?}");
    let made = place.alice.run(&["tor", "key", "new"]).done();
    assert_ne!(made.field("keys")[0]["public"], public.as_str());
    let refused = once_found(|| place.alice.run(&["tor", "check"]));
    assert!(format!("{refused:?}").contains("does not know the key"), "{refused:?}");
    let key = place.folder.path().join("key");
    fs::write(&key, &secret).expect("a file");
    place.alice.run(&["tor", "key", "add", "--file", text(&key)]).done();
    once_found(|| place.alice.run(&["tor", "check"])).done();
}

#[test]
fn only_who_has_a_key_finds_a_service_of_a_tor_that_is_for_some() {
    let (place, public, secret) = for_some("tor");
    let _service = Onion::start_with(&TOR, &[(8443, place.node.listen())], |folder| {
        fs::remove_dir(folder).expect("it is empty");
        let (target, clients) = (place.node.listen().to_string(), format!("[\"{public}\"]"));
        let variables = [
            ("ENDTOEND_ONION__ENABLED", "true"),
            ("ENDTOEND_ONION__HOST", "tor"),
            ("ENDTOEND_ONION__TARGET", &*target),
            ("ENDTOEND_ONION__CLIENTS", &*clients),
        ];
        let data = text(place.node.data_dir());
        operate(place.node.data_dir(), &["onion", "export", "--data", data, "--to", text(folder)], &variables).done();
    });
    only_the_key_opens(&place, &secret);
}
