//! Two people at their windows who reach their server through Tor: a private network of real relays, a real node with its onion
//! service, which lets in only some.
//!
//! Which Tor network there is a client hears from a variable alone, and nobody changes those of a process that runs: so the test starts
//! itself again.
#![expect(clippy::unwrap_used, reason = "test code: a failed step fails the test")]

#[expect(dead_code, reason = "other tests use what this one does not")]
mod common;

use std::path::Path;
use std::process::Command;

use common::{PASSWORD, Person};
use endtoend_client_iced::app::Message;
use endtoend_testkit::{Cli, Node, NodeOptions, PATIENCE, eventually, operate};
use endtoend_testkit_tor::Network;

/// Where debug builds of clients find the network that is not the public one.
const NETWORK: &str = "ENDTOEND_PRIVATE_TOR_NETWORK";
/// What those at the windows are told: the node's address, who is let in, a bridge, and where Carol's backup is.
const TOLD: [&str; 4] = ["ENDTOEND_TEST_ADDRESS", "ENDTOEND_TEST_KEY", "ENDTOEND_TEST_BRIDGE", "ENDTOEND_TEST_BACKUP"];
const PASSPHRASE: &str = "open sesame";

const CONNECTED: &str = "Connected through Tor";
const NO_KEY: &str = "This server lets in only those who have a key from its operator. Ask for one, and put it in where the way to \
                      the network is chosen.";
const WRONG_KEY: &str = "This server does not know the key that you have for it. Ask its operator for another one.";

/// What takes a few circuits, one after the other.
fn wait_long(person: &mut Person, words: &str) {
    eventually(4 * PATIENCE, words, || {
        person.hear();
        person.sees(words)
    });
}

/// The same on the way in, which is gone once more where Tor did not find the service yet.
fn enter(person: &mut Person, words: &str) {
    eventually(4 * PATIENCE, words, || {
        person.hear();
        let there = person.sees(words);
        let again = ["Next", "Create account", "Sign in"].into_iter().find(|again| !there && person.sees(again));
        if let Some(again) = again {
            person.click(again);
        }
        there
    });
}

/// From where the way is chosen.
fn give_key(person: &mut Person, key: &str) {
    person.write("onion-key", key);
    person.click("Keep this key");
    person.wait_for("Copy the public half");
}

#[test]
fn windows_talk_through_an_onion_service_for_some_and_take_a_bridge() {
    let network = Network::start();
    let made = operate(Path::new("/"), &["onion", "client-key"], &[]).done();
    let [public, secret] = ["public", "secret"].map(|name| made.field(name).as_str().unwrap().to_owned());
    let arti = network.arti_toml().display().to_string();
    let mut options = NodeOptions::without_limits();
    options.environment.extend([
        ("ENDTOEND_ONION__ENABLED", "true".to_owned()),
        ("ENDTOEND_ONION__ARTI", arti.clone()),
        ("ENDTOEND_ONION__CLIENTS", format!("[\"{public}\"]")),
    ]);
    let node = Node::start(options);
    let data = node.data_dir().to_str().unwrap();
    let status = operate(node.data_dir(), &["status", "--data", data], &[]).done().lines.remove(0);
    let address = status.pointer("/onion/address").and_then(serde_json::Value::as_str).unwrap();

    // A descriptor takes a moment to be everywhere.
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, &secret).unwrap();
    let carol = Cli::new(folder.path().join("carol"), address).with_variable(NETWORK, arti.clone());
    let register = ["register", "--handle", "carol", "--onion-key", key.to_str().unwrap()];
    eventually(3 * PATIENCE, "the service", || carol.run(&register).code == Some(0));
    let [backup, passphrase] = ["backup", "passphrase"].map(|name| folder.path().join(name).display().to_string());
    std::fs::write(&passphrase, PASSPHRASE).unwrap();
    carol.run(&["backup", "--to", &backup, "--passphrase-file", &passphrase]).done();

    let told = TOLD.into_iter().zip([address.to_owned(), secret, network.obfs4_bridge(), backup]);
    let mut windows = Command::new(std::env::current_exe().unwrap());
    windows.args(["at_the_windows", "--exact", "--nocapture"]).env(NETWORK, arti).envs(told);
    assert!(windows.status().unwrap().success(), "what is said above");
}

/// Not a test of its own: what the other one starts.
#[test]
fn at_the_windows() {
    let [Ok(address), Ok(key), Ok(bridge), Ok(backup)] = TOLD.map(std::env::var) else { return };
    let homes = tempfile::tempdir().unwrap();
    let mut alice = Person::start(&homes.path().join("alice"));
    alice.click("Create account");
    alice.write("address", &address);
    alice.click("Way to the network: Automatic…");
    alice.wait_for("Bridges");
    give_key(&mut alice, &key);
    alice.click("Next");
    alice.click("Next");
    alice.write("handle", "alice");
    alice.click("Next");
    alice.write("password", PASSWORD);
    alice.write("again", PASSWORD);
    alice.click("Create account");
    enter(&mut alice, CONNECTED);

    // Whoever has no key hears it where one can be given.
    let mut bob = Person::start(&homes.path().join("bob"));
    bob.click("Create account");
    bob.give_account(&address, "bob");
    enter(&mut bob, NO_KEY);
    give_key(&mut bob, &key);
    bob.click("Next");
    bob.click("Create account");
    enter(&mut bob, CONNECTED);

    talk(&mut alice, &mut bob);
    looks_at_tor_and_takes_a_bridge(&mut alice, &homes.path().join("bridges"), &bridge);
    loses_its_key(&mut alice);
    alice.close();
    bob.close();
    a_restore_that_fails_leaves_nothing_of_tor(&homes.path().join("carol"), &backup);
}

fn a_restore_that_fails_leaves_nothing_of_tor(home: &Path, backup: &str) {
    let mut carol = Person::start(home);
    carol.click("Sign in");
    carol.click("From a backup file");
    carol.write("backup", backup);
    carol.write("passphrase", PASSPHRASE);
    carol.click("Next");
    carol.click("Next");
    carol.write("password", PASSWORD);
    carol.click("Sign in");
    let tor = home.join("tor");
    eventually(PATIENCE, "Tor starts", || tor.is_dir());
    // Backups have no keys.
    enter(&mut carol, NO_KEY);
    assert!(!tor.exists(), "there is no profile whose folder it could be");
    carol.close();
}

fn talk(alice: &mut Person, bob: &mut Person) {
    alice.write_to("bob");
    alice.say("hello through all of it");
    wait_long(bob, "Requests");
    bob.click("alice");
    bob.click("Accept");
    bob.wait_for("hello through all of it");
    bob.say("and back");
    wait_long(alice, "and back");
}

fn looks_at_tor_and_takes_a_bridge(person: &mut Person, file: &Path, bridge: &str) {
    person.click("Settings");
    person.click("Network");
    person.wait_for("Through Tor, and your server has proved its keys through it.");
    person.wait_until("what Tor begins at", |person| person.sees_beginning("Tor begins at public relays"));
    person.wait_for("Bridges");
    std::fs::write(file, format!("{bridge}\n")).unwrap();
    person.happens(Message::Dropped(file.to_owned()));
    person.wait_until("a program that speaks to it", |person| person.sees_beginning("obfs4 is spoken by "));
    person.click("Take this way");
    wait_long(person, "Tor begins at bridges (obfs4).");
    wait_long(person, "Through Tor, and your server has proved its keys through it.");
    wait_long(person, CONNECTED);
}

fn loses_its_key(person: &mut Person) {
    person.click("Remove the key…");
    person.click("Cancel");
    person.wait_for("Copy the public half");
    person.click("Remove the key…");
    person.click("Remove it");
    person.click("Take this way");
    wait_long(person, NO_KEY);
    // One that its operator does not know yet.
    person.click("Make a key");
    person.wait_for("Copy the public half");
    person.click("Take this way");
    wait_long(person, WRONG_KEY);
}
