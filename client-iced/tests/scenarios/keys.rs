//! Everything with keys, and no click, against a real node.

use endtoend_client_iced::app::{Message, Screen};
use endtoend_client_iced::picture;
use endtoend_testkit::{Node, NodeOptions};
use iced::keyboard::{Key, Modifiers, key::Named};

use super::common::{PASSWORD, Person};
use super::showing::magenta;
use super::typist::Typist;

/// Stands in the group of ways.
const WAYS: &str = "For a Tor that runs on this machine already, or another SOCKS5 proxy.";

/// A picture whose left edge is magenta; its middle is white.
fn packed() -> Vec<u8> {
    let pixel = |at: u32| if at % 400 < 90 { [230, 0, 230, 255] } else { [255; 4] };
    picture::pack(400, 200, (0..400 * 200).flat_map(pixel).collect()).unwrap().to_vec()
}

#[test]
fn from_the_first_run_to_a_delivered_message_and_through_the_settings_with_keys_alone() {
    let node = Node::start(NodeOptions::without_limits());
    let homes = tempfile::tempdir().unwrap();
    let mut bob = Person::register(&homes.path().join("bob"), node.address(), "bob");
    let mut alice = Typist::new(Person::start(&homes.path().join("alice")));

    // An account, by a way that is looked at first.
    alice.choose("Create account");
    alice.go_to("address");
    alice.write(node.address());
    alice.choose("Way to the network: Automatic…");
    alice.wait_for("Bridges");
    alice.go_to_words(WAYS);
    alice.press(Named::ArrowDown);
    alice.press(Named::ArrowUp);
    alice.choose("Next");
    alice.choose("Next");
    alice.go_to("handle");
    alice.write("alice");
    alice.press(Named::Enter);
    alice.go_to("password");
    alice.write(PASSWORD);
    alice.go_to("again");
    alice.write(PASSWORD);
    alice.choose("Create account");
    alice.wait_for("Connected");

    // A message, from one field to the next.
    alice.choose("+");
    alice.write("bob");
    alice.choose("Write");
    alice.write("no mouse here");
    alice.press(Named::Enter);
    alice.wait_for("✓");
    bob.wait_for("Requests");
    bob.click("alice");
    bob.wait_for("no mouse here");
    bob.click("Accept");
    bob.say("none needed");
    alice.wait_for("none needed");

    // Another way to the network, and the first one again.
    alice.choose("Settings");
    alice.wait_for("How others see you");
    alice.go_to_words("Network");
    (0..3).for_each(|_| alice.press(Named::ArrowDown));
    alice.wait_for("Directly, within this machine.");
    alice.wait_for("Bridges");
    alice.go_to_words(WAYS);
    alice.press(Named::ArrowDown);
    alice.press(Named::ArrowDown);
    alice.go_to("proxy");
    alice.write("127.0.0.1:1");
    alice.choose("Take this way");
    alice.wait_for("Through the proxy at 127.0.0.1:1.");
    alice.go_to_words(WAYS);
    alice.press(Named::ArrowUp);
    alice.press(Named::ArrowUp);
    alice.choose("Take this way");
    alice.wait_for("Connected");

    // The own picture, and the square of it. The system's window in which it is chosen is not the program's.
    alice.go_to_words("Network");
    (0..3).for_each(|_| alice.press(Named::ArrowUp));
    alice.wait_for("How others see you");
    let file = homes.path().join("face.png");
    std::fs::write(&file, packed()).unwrap();
    alice.person.happens(Message::Dropped(file));
    alice.wait_for("How much of it");
    assert_eq!(magenta(&mut alice.person), 0, "its middle");
    alice.go_to_words("Remove the picture");
    alice.press(Named::Tab);
    (0..3).for_each(|_| alice.press(Named::ArrowLeft));
    alice.press(Named::Tab);
    alice.press(Named::Home);
    assert!(magenta(&mut alice.person) > 500, "another square");
    alice.choose("Show to others");
    alice.wait_until("it to be told", |alice| !alice.person.sees("Show to others"));
    bob.wait_until("that square of the picture", |bob| magenta(bob) > 200);

    // And back to where one writes.
    alice.press(Named::Escape);
    alice.write("that was all");
    alice.press(Named::Enter);
    bob.wait_for("that was all");
    alice.key(Key::Character("/".into()), Modifiers::CTRL);
    alice.wait_for("Keyboard");
    alice.press(Named::Enter);
    let Screen::Home(_) = &alice.person.app.screen else { panic!("not at home") };
    assert!(!alice.person.sees("Keyboard"), "the sheet is closed by what has the keyboard in it");
    alice.person.close();
    bob.close();
}
