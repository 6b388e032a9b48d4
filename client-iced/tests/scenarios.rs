//! What people do with the window, against a real node: from the first run to a message that was delivered, and what follows.
#![expect(clippy::unwrap_used, reason = "test code: a failed step fails the test")]

mod common;
#[expect(dead_code, reason = "tests beside the code use the rest of it")]
#[path = "../src/testing_glass.rs"]
mod glass;
#[path = "scenarios/keys.rs"]
mod keys;
#[path = "scenarios/looking.rs"]
mod looking;
#[path = "scenarios/network.rs"]
mod network;
#[path = "scenarios/removing.rs"]
mod removing;
#[path = "scenarios/showing.rs"]
mod showing;
#[path = "scenarios/typist.rs"]
mod typist;

use std::time::Duration;

use common::{PASSWORD, Person};
use endtoend_client_iced::app::{Message, Screen};
use endtoend_client_iced::bridge::{Bridge, Places};
use endtoend_client_iced::order::{Entry, Order};
use endtoend_client_iced::screens::home;
use endtoend_testkit::{Node, NodeOptions};
use tempfile::TempDir;

/// A node, and two people who have written to each other.
struct Scene {
    node: Node,
    alice: Person,
    bob: Person,
    homes: TempDir,
}

/// With nothing said yet.
fn strangers() -> Scene {
    let node = Node::start(NodeOptions::without_limits());
    let homes = tempfile::tempdir().unwrap();
    let alice = Person::register(&homes.path().join("alice"), node.address(), "alice");
    let bob = Person::register(&homes.path().join("bob"), node.address(), "bob");
    Scene { node, alice, bob, homes }
}

fn acquainted() -> Scene {
    let mut scene = strangers();
    scene.alice.write_to("bob");
    scene.alice.say("hello bob");
    scene.bob.wait_for("Requests");
    scene.bob.click("alice");
    scene.bob.click("Accept");
    scene.bob.say("hello alice");
    scene.alice.wait_for("hello alice");
    scene
}

#[test]
fn from_the_first_run_to_a_message_that_was_delivered() {
    let mut scene = strangers();
    scene.alice.write_to("bob");
    scene.alice.say("are you there?");
    scene.alice.wait_for("✓");
    scene.bob.wait_for("Requests");
    scene.bob.click("alice");
    scene.bob.wait_for("are you there?");
    scene.bob.click("Accept");
    scene.bob.say("I am");
    scene.alice.wait_for("I am");

    // The same safety number on both sides.
    let number = |person: &mut Person| {
        person.click("Details");
        person.wait_for("Disappearing messages");
        let Screen::Home(_) = &person.app.screen else { panic!("not at home") };
        let mut number = None;
        person.wait_until("a safety number", |person| {
            number = person.safety_number();
            number.is_some()
        });
        number
    };
    let (alices, bobs) = (number(&mut scene.alice), number(&mut scene.bob));
    assert_eq!(alices, bobs);
    scene.alice.click("Both see the same digits");
    scene.alice.wait_for("✓ You have compared this number.");

    // Later: the password, and everything is there.
    scene.bob.close();
    let mut bob = Person::start(&scene.homes.path().join("bob"));
    bob.wait_for("Welcome back");
    bob.write("password", "something else");
    bob.click("Open");
    bob.wait_for("That is not the password. Try again; nobody can open this profile without it.");
    bob.write("password", PASSWORD);
    bob.click("Open");
    bob.wait_for("Connected");
    bob.click("alice");
    bob.wait_for("are you there?");
    bob.wait_for("I am");
    bob.close();
    scene.alice.close();
}

#[test]
fn what_is_done_to_messages_is_seen_on_both_sides() {
    let Scene { node: _node, mut alice, mut bob, homes: _homes } = acquainted();
    // The list quotes what was said last.
    alice.click_nth("hello alice", 1);
    alice.click("👍");
    bob.wait_for("👍");
    alice.click_nth("hello alice", 1);
    alice.click("Answer");
    alice.wait_for("Answering");
    alice.say("an answer");
    bob.wait_for("an answer");

    bob.press("composer", iced::keyboard::key::Named::ArrowUp);
    bob.wait_for("Changing a message");
    bob.say(", and good day");
    alice.wait_for("hello alice, and good day");
    alice.wait_for("changed");

    bob.click_nth("hello alice, and good day", 0);
    bob.click("Delete for everyone");
    alice.wait_for("Message deleted");
    bob.wait_for("Message deleted");

    alice.happens(Message::Home(home::Message::SetTimer(endtoend_protocol::Lifetime::from_secs(3_600))));
    alice.wait_for("Messages disappear after 1 hour");
    bob.wait_for("Messages disappear after 1 hour");

    bob.click("Details");
    bob.click("Block");
    bob.wait_for("You have blocked alice.");
    bob.wait_for("You cannot write here at the moment.");
    bob.click("Unblock");
    bob.wait_until("a field to write in", |bob| !bob.sees("You cannot write here at the moment."));
    alice.close();
    bob.close();
}

#[test]
fn what_was_said_is_found_and_gone_to() {
    let Scene { node: _node, mut alice, mut bob, homes: _homes } = acquainted();
    // Another conversation is open: what bob says meanwhile is not in memory.
    alice.write_to("carol");
    bob.say("the Gürtel is in the cupboard");
    // More than a page.
    for number in 1..=60 {
        bob.say(&format!("remark {number}"));
    }
    // What bob does not read meanwhile would hold up what he has still to say.
    alice.wait_until("remark 60", |alice| {
        bob.hear();
        alice.sees("remark 60")
    });
    assert!(!alice.sees("the Gürtel is in the cupboard"));
    alice.write("filter", "GÜRT");
    alice.wait_for("Messages");
    alice.click("the Gürtel is in the cupboard");
    // In the list of what was found, and in the conversation.
    alice.wait_until("the message in its place", |alice| alice.sees_nth("the Gürtel is in the cupboard", 1));
    alice.wait_for("hello alice");
    alice.click("↓ To the end");
    alice.wait_for("remark 60");

    alice.click("Details");
    alice.write("nickname", "Robert");
    alice.click("Keep");
    // In the list, and above the conversation.
    alice.wait_until("the name", |alice| alice.sees_nth("Robert", 1));
    alice.close();
    bob.close();
}

#[test]
fn a_file_is_sent_fetched_and_saved() {
    let Scene { node: _node, mut alice, mut bob, homes } = acquainted();
    let map = homes.path().join("map.bin");
    // More than one part, and no two chunks alike.
    let bytes: Vec<u8> = (0_u32..300_000).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&map, &bytes).unwrap();
    alice.happens(Message::Dropped(map));
    alice.wait_for("Files for bob");
    alice.click_last("Send");
    alice.wait_for("map.bin");
    bob.click("Fetch");
    bob.click("Save");
    let saved = homes.path().join("bob").join("downloads").join("map.bin");
    bob.wait_for(&format!("Saved as {}", saved.display()));
    assert_eq!(std::fs::read(&saved).unwrap(), bytes);
    // Nothing is replaced.
    bob.click("Close");
    bob.click("Save");
    bob.wait_for(&format!("Saved as {}", saved.with_file_name("map (2).bin").display()));

    // What is not there is not sent.
    alice.click_nth("+", 1);
    alice.write("file", "/no/such/file");
    alice.click_last("Send");
    alice.wait_until("a reason", |alice| alice.sees_beginning("The file cannot be read."));
    alice.close();
    bob.close();
}

#[test]
fn without_a_server_a_message_waits_and_says_so() {
    let Scene { mut node, mut alice, mut bob, homes: _homes } = acquainted();
    node.kill_9();
    alice.wait_until("the connection to be gone", |alice| !alice.sees("Connected"));
    alice.say("into the dark");
    alice.wait_for("into the dark");
    alice.wait_for("○");
    node.restart();
    alice.wait_for("Connected");
    bob.wait_for("into the dark");
    alice.wait_until("no message that waits", |alice| !alice.sees("○"));
    alice.close();
    bob.close();
}

#[test]
fn a_wait_can_be_cancelled_and_errors_lead_back_to_where_they_can_be_mended() {
    let node = Node::start(NodeOptions::without_limits());
    let homes = tempfile::tempdir().unwrap();
    let alice = Person::register(&homes.path().join("alice"), node.address(), "alice");
    // Somebody has the name: back to the name, and the next one is good.
    let mut second = Person::start(&homes.path().join("second"));
    second.click("Create account");
    second.give_account(node.address(), "alice");
    second.wait_for("Somebody has this handle already. Choose another.");
    second.write("handle", "2");
    second.click("Next");
    second
        .wait_for("This device has its password already, from the attempt before. To choose another one, start over.");
    second.click("Create account");
    second.wait_for("Connected");

    // Nobody answers: the wait is ended, and the way goes on from there.
    node.pause();
    let mut third = Person::start(&homes.path().join("third"));
    third.click("Create account");
    third.give_account(node.address(), "third");
    third.wait_for("Asking the server…");
    third.click("Cancel");
    third.wait_for("Start over");
    node.resume();
    third.click("Create account");
    third.wait_for("Connected");
    for person in [alice, second, third] {
        person.close();
    }
}

#[test]
fn a_further_device_is_let_in() {
    let Scene { node, mut alice, bob, homes } = acquainted();
    let mut tablet = Person::start(&homes.path().join("tablet"));
    tablet.click("Sign in");
    tablet.click("With another device");
    tablet.write("address", node.address());
    tablet.click("Next");
    tablet.click("Next");
    tablet.write("password", PASSWORD);
    tablet.click("Sign in");
    let mut code = None;
    tablet.wait_until("a code", |tablet| {
        code = tablet.link_code();
        code.is_some()
    });
    alice.click("Settings");
    alice.click("Devices");
    alice.wait_for("Add a device");
    let setting = |message| Message::Home(home::Message::Setting(message));
    alice.happens(setting(home::settings::Message::LinkCodeEdited(code.unwrap())));
    alice.happens(setting(home::settings::Message::Meet));
    alice.wait_for("Does the new device show these digits too?");
    tablet.wait_for("Your other device has to show the same digits. If it does, say so there; if not, cancel here.");
    alice.click("Yes, let it in");
    tablet.wait_for("Connected");
    alice.wait_for("The new device is in your account.");
    // It knows whom the account knows.
    tablet.wait_for("bob");
    for person in [alice, bob, tablet] {
        person.close();
    }
}

#[test]
fn what_was_chosen_counts_at_once_and_the_next_time() {
    let Scene { node: _node, mut alice, bob, homes } = strangers();
    alice.click("Settings");
    alice.click("Privacy");
    alice.wait_for("Tell that messages came and were read");
    let german = endtoend_client_iced::preferences::Preferences {
        language: endtoend_client_iced::strings::Language::German,
        appearance: endtoend_client_iced::preferences::Appearance::Dark,
        ..alice.app.preferences
    };
    alice.happens(Message::Home(home::Message::Prefer(german)));
    assert!(alice.sees("Einstellungen"));
    let file = homes.path().join("alice").join("desktop.toml");
    alice.wait_until("the file of preferences", |_| {
        endtoend_client_iced::preferences::Preferences::load(&file, Default::default()) == german
    });
    alice.close();
    bob.close();
}

/// The profile's disk does not answer: the window goes on, says so, and nothing grows without a bound.
#[test]
fn a_disk_that_hangs_does_not_hang_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("profile");
    std::fs::create_dir(&home).unwrap();
    let pipe = home.join("vault");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let (bridge, _told) = Bridge::start(Places {
        downloads: home.join("downloads"),
        played: home.join("played"),
        home,
        preferences: None,
    })
    .unwrap();
    // To read a pipe that nobody writes takes for ever.
    bridge.tell(Order::Enter(Box::new(Entry::Unlock(PASSWORD.to_owned().into())))).unwrap();
    let refused = (0..10_000).find_map(|_| bridge.tell(Order::Conversations).err()).unwrap();
    assert_eq!(refused.key, "profile-silent");
    assert!(!bridge.stop(Duration::from_millis(1)), "it is not closed, and the program ends all the same");
    // Lets the reader go.
    drop(std::fs::File::options().write(true).open(&pipe).unwrap());
}
