//! What a client sends anywhere but to Tor: nothing.
//!
//! The client is in a network namespace whose one way out is watched packet by packet; relays, bridge and server are at the other end of it,
//! and so is everything that a client might reach by mistake: the server itself, and a name server. A client that is told to go without
//! Tor is caught by the same watching, and so is one that looks up a name.
#![expect(clippy::expect_used, reason = "test code: what is missing fails the test")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use endtoend_testkit::{Cli, Enclosure, Node, NodeOptions, PATIENCE, Running, Sent, eventually, sniff_if_asked};
use endtoend_testkit_tor::{Addresses, Network};
use serde_json::Value;

/// Known to the exits alone.
const NAME: &str = "chat.test";
/// From a network for examples: nobody else is reached there.
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const LISTEN: &str = "198.51.100.7:8443";
const ALICE: &str = "alice.is.enclosed";
const BOB: &str = "bob.is.enclosed";
/// Where debug builds of clients find the network that is not the public one.
const NETWORK: &str = "ENDTOEND_PRIVATE_TOR_NETWORK";

/// Has Tor's library not mind whose the folders above its own are, as they seem to be nobody's where root is not known.
const TRUSTING: &str = "ARTI_FS_DISABLE_PERMISSION_CHECKS";

/// Not a test of its own: what listens within the enclosure.
#[test]
fn sniffer() {
    sniff_if_asked();
}

struct Scene {
    enclosure: Enclosure,
    network: Network,
    node: Node,
    alice: Cli,
    bob: Cli,
    folder: tempfile::TempDir,
}

impl Scene {
    fn start() -> Self {
        let addresses = Addresses::private();
        let mut own = addresses.all();
        own.push(SERVER);
        let enclosure = Enclosure::open(&own, "sniffer");
        let network = Network::start_on(addresses);
        network.name(NAME, SERVER);
        let mut options = NodeOptions { listen: Some(LISTEN), ..NodeOptions::without_limits() };
        options.environment.push(("ENDTOEND_GATEWAY__NAMES", format!("[\"{NAME}\"]")));
        let node = Node::start(options);
        let folder = tempfile::tempdir().expect("a folder");
        let person = |name: &str| enclosed(&enclosure, &network, &folder.path().join(name), node.address());
        let (alice, bob) = (person("alice"), person("bob"));
        Self { enclosure, network, node, alice, bob, folder }
    }

    /// Fails when anything has left for another place.
    fn check(&self, after: &str, allowed: &[SocketAddr]) {
        let leaked = self.enclosure.leaked(allowed);
        assert!(leaked.is_empty(), "{after}: {leaked:?}");
    }

    fn file(&self, bytes: usize) -> String {
        let file = self.folder.path().join(format!("{bytes} bytes"));
        fs::write(&file, vec![7; bytes]).expect("a file");
        text(&file)
    }
}

/// Somebody whose every command is started within.
fn enclosed(enclosure: &Enclosure, network: &Network, home: &Path, server: &str) -> Cli {
    let cli = Cli::new(home, server).with_variable(NETWORK, text(&network.arti_toml()));
    let cli = if Enclosure::is_a_users() { cli.with_variable(TRUSTING, "true") } else { cli };
    cli.launched_by(enclosure.launcher())
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of a test").to_owned()
}

/// How much of a file has gone, when the program says so next.
fn moved(chat: &Running) -> u64 {
    loop {
        let file = chat.event("file");
        if let Some(done) = file.get("done").and_then(Value::as_u64).filter(|done| *done > 0) {
            return done;
        }
    }
}

#[test]
fn a_client_sends_nothing_but_to_tor_whatever_it_does_and_whatever_is_done_to_it() {
    if !Enclosure::is_world("a_client_sends_nothing_but_to_tor_whatever_it_does_and_whatever_is_done_to_it") {
        return;
    }
    let scene = Scene::start();
    let Scene { enclosure, network, node, alice, bob, .. } = &scene;
    let relays = network.relay_addresses();
    let (_, pin) = node.address().split_once("/#").expect("a pin");

    // Begin, talk, and hand over a file.
    alice.register(ALICE).done();
    bob.register(BOB).done();
    alice.send(BOB, "see https://leak.example/picture.png and <img src=http://leak.example/x>").done();
    assert_eq!(bob.listen(1).len(), 1);
    let sent = alice.run(&["attach", "--to", BOB, "--file", &scene.file(300_000)]).done();
    let id = sent.lines.last().expect("an outcome")["message_id"].as_str().expect("an id").to_owned();
    bob.run(&["listen", "--count", "1", "--timeout", "45s"]).done();
    let saved = text(&scene.folder.path().join("saved"));
    bob.run(&["fetch", "--with", ALICE, "--message", &id, "--to", &saved]).done();
    scene.check("a conversation", &relays);
    assert!(!enclosure.sent().is_empty(), "Tor was reached, and that was seen");

    // Servers that are not: another key, a name that nobody knows, a service that is not there.
    for server in [
        format!("endtoend://{NAME}:8443/#{}", pin.replace(|digit: char| digit.is_ascii_digit(), "a")),
        format!("endtoend://nowhere.test:8443/#{pin}"),
        format!("endtoend://25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion:8443/#{pin}"),
    ] {
        let stranger = enclosed(enclosure, network, &scene.folder.path().join("stranger"), &server);
        let refused = stranger.register("stranger.at.the.door");
        assert!(refused.code != Some(0), "{refused:?}");
        scene.check(&server, &relays);
    }

    // Tor goes away in the middle of a file, which goes on from where it was cut when Tor is back.
    let mut chat = alice.start(&["chat", "--with", BOB]);
    chat.event("online");
    chat.say(&format!("/attach {}", scene.file(3_000_000)));
    let before = moved(&chat);
    network.stop();
    eventually(PATIENCE, "no guard is left", || network.guards_of(chat.pid()).is_empty());
    scene.check("Tor was away", &relays);
    network.resume();
    chat.event_within(3 * PATIENCE, "online");
    let after = moved(&chat);
    assert!(after >= before, "it begins anew: {after} after {before}");
    let id = chat.event("accepted")["message_id"].as_str().expect("an id").to_owned();
    bob.run(&["listen", "--count", "1", "--timeout", "45s"]).done();
    let saved = text(&scene.folder.path().join("saved after all"));
    bob.run(&["fetch", "--with", ALICE, "--message", &id, "--to", &saved]).done();
    assert_eq!(fs::read(&saved).expect("it is saved"), vec![7; 3_000_000]);
    scene.check("Tor came back", &relays);

    // Another bridge in a client that runs: what was connected is closed, and no relay is spoken with any more.
    let bridges = scene.folder.path().join("bridges");
    fs::write(&bridges, network.obfs4_bridge()).expect("a file");
    assert!(!network.guards_of(chat.pid()).is_empty(), "it is at a guard until then");
    chat.say(&format!("/bridges {}", text(&bridges)));
    eventually(PATIENCE, "its guards are left", || network.guards_of(chat.pid()).is_empty());
    enclosure.forget();
    chat.say("by a bridge, in the same program");
    chat.event("accepted");
    assert!(network.guards_of(chat.pid()).is_empty(), "and none is come back to");
    scene.check("a bridge was taken in the middle", &network.bridge_addresses());
    chat.interrupt();
    assert_eq!(chat.end(), Some(0));
    assert_eq!(bob.listen(1), ["by a bridge, in the same program"]);

    // A bridge from the start: Bob takes one too, and now no relay is spoken with at all.
    for person in [alice, bob] {
        person.run(&["tor", "bridges", "--add", &network.obfs4_bridge()]).done();
    }
    enclosure.forget();
    alice.send(BOB, "by the bridge").done();
    let listening = bob.spawn_listen();
    alice.send(BOB, "once more").done();
    while listening.next_text() != "once more" {}
    listening.interrupt();
    assert_eq!(listening.end(), Some(0));
    scene.check("a bridge was taken", &network.bridge_addresses());
}

#[test]
fn the_watching_sees_who_goes_without_tor_and_who_looks_up_a_name() {
    if !Enclosure::is_world("the_watching_sees_who_goes_without_tor_and_who_looks_up_a_name") {
        return;
    }
    let scene = Scene::start();
    let Scene { enclosure, network, node, alice, bob, .. } = &scene;
    let relays = network.relay_addresses();
    let exposed = ["--network", "direct", "--expose-address", "--timeout", "10s"];
    let by_number = alice.with_server(&node.address().replace(NAME, &SERVER.to_string()));
    by_number.run(&[&["register", "--handle", ALICE][..], &exposed].concat()).done();
    assert_eq!(enclosure.leaked(&relays), [Sent::Tcp((SERVER, 8443).into())].into());
    enclosure.forget();
    // There is no name server where it looks for one.
    let unknown = bob.run(&[&["register", "--handle", BOB][..], &exposed].concat());
    assert!(unknown.code != Some(0), "{unknown:?}");
    assert_eq!(enclosure.leaked(&relays), [Sent::Udp(([198, 18, 0, 1], 53).into())].into());
}
