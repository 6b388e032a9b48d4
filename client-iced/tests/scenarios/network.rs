//! The way to the network, chosen and looked at, against a real node.

use endtoend_client_iced::app::Message;
use endtoend_client_iced::screens::network::Kind;
use endtoend_client_iced::screens::{first_run, home, network};
use endtoend_testkit::{Node, NodeOptions};

use super::common::{PASSWORD, Person};
use super::looking::code;
use super::{Scene, acquainted};

const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

/// Nobody listens there: the port is that of a protocol that nobody speaks.
const NOWHERE: &str = "127.0.0.1:1";

fn choose(person: &mut Person, kind: Kind) {
    let message = home::settings::network::Message::Form(network::Message::Choose(kind));
    person.happens(Message::Home(home::Message::Setting(home::settings::Message::Network(message))));
}

#[test]
fn another_way_counts_at_once_and_back_again() {
    let Scene { node: _node, mut alice, bob, homes: _homes } = acquainted();
    alice.click("Settings");
    alice.click("Network");
    alice.wait_for("Directly, within this machine.");
    alice.click("Ask the server");
    alice.wait_until("an answer", |alice| alice.sees_beginning("The server has answered after "));
    alice.wait_for("Bridges");
    choose(&mut alice, Kind::Proxy);
    alice.write("proxy", NOWHERE);
    alice.click("Take this way");
    alice.wait_for(&format!("Through the proxy at {NOWHERE}."));
    alice.wait_until("a reason", |alice| alice.sees_beginning("The server cannot be reached."));
    alice.click("Ask the server");
    alice.wait_until("another reason", |alice| !alice.sees_beginning("The server has answered after "));
    choose(&mut alice, Kind::Automatic);
    alice.click("Take this way");
    alice.wait_for("Connected");
    alice.close();
    bob.close();
}

#[test]
fn bridges_come_from_a_file_or_a_code_and_what_speaks_to_them_is_looked_for() {
    let Scene { node: _node, mut alice, bob, homes } = acquainted();
    let (file, picture) = (homes.path().join("bridges.txt"), homes.path().join("bridges.png"));
    std::fs::write(&file, format!("# from a friend\nnovel 192.0.2.3:443 {FINGERPRINT} key=value\n")).unwrap();
    std::fs::write(&picture, code(&format!("['192.0.2.4:443 {FINGERPRINT}']"))).unwrap();
    alice.click("Settings");
    alice.click("Network");
    alice.wait_for("Bridges");
    alice.happens(Message::Dropped(file));
    let unknown = "Nothing known here speaks to this kind of bridge. Say where its program lies, or take other bridges. \
                   (novel)";
    alice.wait_for(unknown);
    alice.write("program", "/bin/sh");
    alice.wait_for("novel is spoken by /bin/sh");
    alice.happens(Message::Dropped(picture));
    alice.wait_until("no program any more", |alice| !alice.sees("novel is spoken by /bin/sh"));
    alice.click("Take this way");
    alice.wait_until("the choice to be kept", |alice| !alice.sees("Take this way"));
    // A server on this machine is reached without them all the same.
    alice.wait_for("Connected");
    alice.close();
    bob.close();
}

#[test]
fn the_way_is_chosen_before_anything_is_reached_by_another() {
    let node = Node::start(NodeOptions::without_limits());
    let homes = tempfile::tempdir().unwrap();
    let mut alice = Person::start(&homes.path().join("alice"));
    alice.click("Create account");
    alice.write("address", node.address());
    alice.click("Way to the network: Automatic…");
    alice.wait_for("Bridges");
    let way = |message| Message::FirstRun(first_run::Message::Network(message));
    alice.happens(way(network::Message::Choose(Kind::Proxy)));
    alice.write("proxy", NOWHERE);
    alice.click("Next");
    alice.click("Way to the network: Through a proxy…");
    alice.click("Next");
    alice.click("Next");
    alice.write("handle", "alice");
    alice.click("Next");
    alice.write("password", PASSWORD);
    alice.write("again", PASSWORD);
    alice.click("Create account");
    alice.wait_until("a reason", |alice| alice.sees_beginning("The server cannot be reached."));
    // Back to where the way is chosen: the server can be reached without a proxy.
    alice.click("Way to the network: Through a proxy…");
    alice.happens(way(network::Message::Choose(Kind::Automatic)));
    alice.click("Next");
    alice.click("Next");
    alice.click("Next");
    alice.click("Create account");
    alice.wait_for("Connected");
    alice.close();
}
