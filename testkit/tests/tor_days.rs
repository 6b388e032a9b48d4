//! Days of Tor in minutes: lists of relays that run out, and circuits that are too old for anything new.
#![expect(clippy::indexing_slicing, reason = "test code: what is missing fails the test")]

use std::fs;
use std::net::Ipv4Addr;

use endtoend_testkit::{Cli, Node, NodeOptions, PATIENCE, Running, eventually};
use endtoend_testkit_tor::Network;
use rusqlite::{Connection, OpenFlags};

/// Known to the exits alone.
const NAME: &str = "chat.test";
const ALICE: &str = "alice.behind.tor";
const BOB: &str = "bob.behind.tor";
/// Where debug builds of clients find the network that is not the public one.
const NETWORK: &str = "ENDTOEND_PRIVATE_TOR_NETWORK";
/// A client that does not renew what it knows is lost after a minute, and not after days; circuits are old after ten seconds, and not
/// after ten minutes.
const SHORT_LIVES: &str = "\n[directory_tolerance]\npre_valid_tolerance = \"1 minute\"\npost_valid_tolerance = \"20 seconds\"\n\
                           \n[circuit_timing]\nmax_dirtiness = \"10 seconds\"\n";
/// How often what a client knows is new.
const RENEWALS: usize = 4;

/// When the newest list of relays that a client keeps was made, as Tor's library writes it; `None` before there is one.
fn newest(cli: &Cli) -> Option<String> {
    let cache = cli.home().join("tor/cache/dir.sqlite3");
    let cache = Connection::open_with_flags(cache, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    cache.query_row("SELECT MAX(valid_after) FROM Consensuses", [], |row| row.get(0)).ok()
}

/// The next text; between this and the one before, a connection that is `steady` has not ended, nor Tor begun anew.
fn heard(listening: &Running, steady: bool) -> String {
    loop {
        let object = listening.next_object();
        if let Some(text) = object["text"].as_str() {
            return text.to_owned();
        }
        assert!(!steady || object["event"] != "network", "{object}");
    }
}

#[test]
fn who_stays_for_long_goes_on_while_relays_are_listed_anew_and_circuits_grow_old() {
    let network = Network::start_restless();
    network.name(NAME, Ipv4Addr::LOCALHOST);
    let mut options = NodeOptions::without_limits();
    options.environment.push(("ENDTOEND_GATEWAY__NAMES", format!("[\"{NAME}\"]")));
    let node = Node::start(options);
    let (_, pin) = node.address().split_once("/#").expect("an address has a pin");
    let address = format!("endtoend://{NAME}:{}/#{pin}", node.listen().port());
    let folder = tempfile::tempdir().expect("a folder");
    let arti = folder.path().join("arti.toml");
    fs::write(&arti, fs::read_to_string(network.arti_toml()).expect("a configuration") + SHORT_LIVES).expect("a file");
    let person =
        |name: &str| Cli::new(folder.path().join(name), &address).with_variable(NETWORK, arti.display().to_string());
    let (alice, bob) = (person("alice"), person("bob"));
    alice.register(ALICE).done();
    bob.register(BOB).done();

    // One connection of Bob's stays through all of it; Alice's is on other circuits each time.
    let listening = bob.spawn_listen();
    let mut talking = alice.start(&["chat", "--with", BOB]);
    talking.event("online");
    for renewal in 0..RENEWALS {
        let before = [&alice, &bob].map(newest);
        eventually(3 * PATIENCE, "both have listed the relays anew", || {
            let now = [&alice, &bob].map(newest);
            now.iter().zip(&before).all(|(now, before)| now > before)
        });
        talking.say(&format!("in the {renewal}th life"));
        talking.event("accepted");
        assert_eq!(heard(&listening, renewal > 0), format!("in the {renewal}th life"));
        talking.say("/circuit");
        talking.event("online");
        talking.say("and on another circuit");
        talking.event("accepted");
        assert_eq!(heard(&listening, true), "and on another circuit");
    }
    listening.interrupt();
    assert_eq!(listening.end(), Some(0));
}
