//! Two people who reach their server through Tor: a private network of real relays, `endtoend-cli` as it is, a real node.
//!
//! One network is for all tests of the file, as a start takes some 15 s. That a client came through an exit shows by a name that
//! nobody but the exits knows; that it came through an onion service, by the service.
#![expect(clippy::expect_used, reason = "test code: what is missing fails the test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;

use endtoend_testkit::{Cli, Node, NodeOptions, Outcome, PATIENCE, eventually, operate};
use endtoend_testkit_tor::{Client, Network, Onion};
use serde_json::Value;
use tempfile::TempDir;

/// Known to the exits alone.
const NAME: &str = "chat.test";
const ALICE: &str = "alice.behind.tor";
const BOB: &str = "bob.behind.tor";
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
        let mut options = NodeOptions::without_limits();
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
            scope.spawn(|| self.alice.register(ALICE).done());
            scope.spawn(|| self.bob.register(BOB).done());
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
    let data = text(place.node.data_dir());
    let made = operate(place.node.data_dir(), &["backup", "--data", data, "--to", text(&backup)], &[]).done();
    let files = made.lines.last().expect("an outcome")["files"].as_array().expect("names").clone();
    assert!(files.contains(&Value::from("onion.key")), "{files:?}");
    assert!(place.node.terminate().success());
    fs::remove_file(place.node.data_dir().join("onion.key")).expect("it was there");
    let refused = place.node.try_restart().expect_err("it has no address any more");
    assert!(refused.stderr.contains("onion.key is missing"), "{refused:?}");
}

#[test]
fn people_talk_through_an_onion_service_that_a_tor_beside_the_node_hosts() {
    let mut onion = None;
    let settings = [("ENDTOEND_ONION__ENABLED", "true"), ("ENDTOEND_ONION__HOST", "tor")];
    let place = Place::start(&TOR, &settings, |node| {
        let status = &status(node)["onion"];
        assert_eq!((status["host"].as_str(), status["state"].as_str()), (Some("tor"), Some("elsewhere")));
        let address = status["address"].as_str().expect("an address").to_owned();
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
    place.register();
    place.converse();
}

#[test]
fn people_talk_through_a_bridge_that_hides_what_it_is() {
    let place = Place::start(&TOR, &[], by_name);
    let bridges = place.folder.path().join("bridges");
    fs::write(&bridges, TOR.obfs4_bridge() + "\n").expect("a file");
    for (person, handle) in [(&place.alice, ALICE), (&place.bob, BOB)] {
        person.run(&["register", "--handle", handle, "--bridges", text(&bridges)]).done();
    }
    place.converse();
    let listening = place.bob.spawn_listen();
    place.alice.send(BOB, "now").done();
    assert_eq!(listening.next_text(), "now");
    assert_eq!(TOR.guards_of(listening.pid()), [0_usize; 0], "relays see nobody but the bridge");
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

/// A bridge as Tor Browser has it, but for its address and its places, which are nobody's.
const SNOWFLAKE: &str = "snowflake 192.0.2.3:80 2B280B23E1107BB62ABFC40DDCC8824814F80A72 \
                         fingerprint=2B280B23E1107BB62ABFC40DDCC8824814F80A72 url=https://broker.invalid/ \
                         fronts=front.invalid,other.invalid ice=stun:stun.invalid:3478 utls-imitate=hellorandomizedalpn";

/// The address of a server that is not there.
fn nobody() -> String {
    format!("endtoend://{NAME}:8443/#pin={}", "0f".repeat(64))
}

/// A program of that name which writes down how it was started, and goes on with this script of the shell.
fn stand_in(folder: &Path, script: &str) -> PathBuf {
    let (program, told) = (folder.join("snowflake-client"), folder.join("told"));
    let text = format!("#!/bin/sh\n{{ env | grep ^TOR_PT_; echo \"arguments:$*\"; }} >{}\n{script}\n", told.display());
    fs::write(&program, text).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
    told
}

/// A profile with that bridge, whose PATH has the stand-in alone and what a shell needs.
fn with_snowflake(folder: &Path, address: &str) -> (Cli, String) {
    let bridges = folder.join("bridges");
    fs::write(&bridges, format!("{SNOWFLAKE}\n")).expect("a file");
    let arti = TOR.arti_toml().display().to_string();
    let cli = Cli::new(folder.join("profile"), address).with_variable(NETWORK, arti);
    (cli.with_variable("PATH", format!("{}:/usr/bin:/bin", folder.display())), text(&bridges).to_owned())
}

#[test]
fn snowflake_is_started_as_it_has_to_be_and_told_what_the_bridge_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let at = listener.local_addr().expect("an address");
    // It speaks SOCKS in the place of the program, and hears what is meant for it: RFC 1929.
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("Tor comes");
        let mut head = [0; 2];
        stream.read_exact(&mut head).expect("methods");
        stream.read_exact(&mut vec![0; usize::from(head[1])]).expect("methods");
        stream.write_all(&[5, 2]).expect("an answer");
        let mut parts = Vec::new();
        stream.read_exact(&mut [0; 1]).expect("a version");
        for _ in 0..2 {
            let mut length = [0; 1];
            stream.read_exact(&mut length).expect("a length");
            let mut part = vec![0; usize::from(length[0])];
            stream.read_exact(&mut part).expect("a part");
            parts.extend(part);
        }
        String::from_utf8_lossy(&parts).into_owned()
    });
    let script =
        format!("echo 'VERSION 1'\necho 'CMETHOD snowflake socks5 {at}'\necho 'CMETHODS DONE'\nexec cat >/dev/null");
    let told = stand_in(folder.path(), &script);
    let (cli, bridges) = with_snowflake(folder.path(), &nobody());
    let running = cli.start(&["register", "--handle", ALICE, "--bridges", &bridges]);
    let heard = heard.join().expect("it was heard");
    for part in ["url=https://broker.invalid/", "fronts=front.invalid,other.invalid", "ice=stun:stun.invalid:3478"] {
        assert!(heard.contains(part), "{heard}");
    }
    drop(running);
    let told = fs::read_to_string(&told).expect("it was started");
    for line in ["TOR_PT_MANAGED_TRANSPORT_VER=1", "TOR_PT_CLIENT_TRANSPORTS=snowflake", "arguments:"] {
        assert!(told.lines().any(|found| found == line), "{told}");
    }
    let state = told.lines().find_map(|line| line.strip_prefix("TOR_PT_STATE_LOCATION=")).expect("a folder for it");
    assert!(Path::new(state).starts_with(folder.path()), "what it keeps is in the profile: {state}");
}

#[test]
fn a_transports_program_that_is_missing_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cli, bridges) = with_snowflake(folder.path(), &nobody());
    let missing = cli.with_variable("PATH", folder.path().display().to_string());
    let register = ["register", "--handle", ALICE, "--bridges", &bridges];
    let refused = missing.run(&register);
    assert!(refused.code != Some(0) && format!("{refused:?}").contains("no program speaks snowflake"), "{refused:?}");
}

#[test]
fn only_who_has_a_key_finds_a_service_that_is_for_some() {
    let made = operate(Path::new("/"), &["onion", "client-key"], &[]).done();
    let [public, secret] = ["public", "secret"].map(|name| made.field(name).as_str().expect("a key").to_owned());
    let (arti, clients) = (TOR.arti_toml().display().to_string(), format!("[\"{public}\"]"));
    let settings =
        [("ENDTOEND_ONION__ENABLED", "true"), ("ENDTOEND_ONION__ARTI", &*arti), ("ENDTOEND_ONION__CLIENTS", &*clients)];
    let place = Place::start(&TOR, &settings, |node| node.address().to_owned());
    let address = status(&place.node)["onion"]["address"].as_str().expect("an address").to_owned();
    let host = address.trim_start_matches("endtoend://").split(':').next().expect("a host").to_owned();
    let known = Client::start_with(&TOR, &[(&*host, &*secret)]);
    let by = |client: &Client, person: &Cli| {
        person.with_server(&address).run(&[
            "register",
            "--handle",
            ALICE,
            "--network",
            &format!("socks5://{}", client.socks()),
        ])
    };
    until_done("the service", || by(&known, &place.alice));
    let stranger = Client::start(&TOR);
    let refused = by(&stranger, &place.bob);
    assert!(refused.code != Some(0), "{refused:?}");
}
