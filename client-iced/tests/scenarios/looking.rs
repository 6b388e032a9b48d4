//! Pictures, codes, backups, and what keys alone can do, against a real node.

use endtoend_client::engine::{Engine, Options};
use endtoend_client::profile::Profile;
use endtoend_client_iced::app::Message;
use endtoend_client_iced::picture;
use endtoend_client_iced::screens::home;
use endtoend_testkit::{Node, NodeOptions, PATIENCE};
use iced::keyboard::key::Named;
use iced::keyboard::{Key, Modifiers};

use super::common::{PASSWORD, Person};
use super::{Scene, acquainted};

/// A picture of this size, packed.
fn packed(width: u32, height: u32) -> Vec<u8> {
    let pixels = (0..width * height).flat_map(|at| [(at % 251) as u8, (at / width) as u8, 90, 255]).collect();
    picture::pack(width, height, pixels).unwrap().to_vec()
}

/// A picture of a code that says this.
pub(crate) fn code(text: &str) -> Vec<u8> {
    let code = qrcode::QrCode::new(text).unwrap();
    let (side, colors) = (code.width(), code.to_colors());
    let (module, margin) = (4, 4);
    let whole = (side + 2 * margin) * module;
    let dark = |at: usize| {
        let (column, row) = (at % whole / module, at / whole / module);
        let within = (margin..margin + side).contains(&column) && (margin..margin + side).contains(&row);
        within && colors.get((row - margin) * side + column - margin) == Some(&qrcode::Color::Dark)
    };
    let pixels = (0..whole * whole).flat_map(|at| if dark(at) { [0, 0, 0, 255] } else { [255; 4] }).collect();
    picture::pack(whole as u32, whole as u32, pixels).unwrap().to_vec()
}

fn key(person: &mut Person, key: Named, modifiers: Modifiers) {
    person.happens(Message::Key(Key::Named(key), modifiers));
}

#[test]
fn a_picture_is_seen_where_it_was_sent_and_alone() {
    let Scene { node: _node, mut alice, mut bob, homes } = acquainted();
    let path = homes.path().join("crane.png");
    std::fs::write(&path, packed(900, 600)).unwrap();
    alice.happens(Message::Dropped(path));
    alice.wait_for("Files for bob");
    alice.click_last("Send");
    // It is fetched by itself, because bob has accepted alice; its place says so as long as it is not here.
    bob.wait_for("Picture");
    for person in [&mut bob, &mut alice] {
        person.wait_until("the picture", |person| {
            person.looks();
            ["Picture", "Loading…", "Fetch", "Cancel"].iter().all(|words| !person.sees(words))
        });
    }
    key(&mut bob, Named::ArrowUp, Modifiers::COMMAND);
    key(&mut bob, Named::Enter, Modifiers::COMMAND);
    bob.wait_for("→");
    bob.wait_until("the picture alone", |bob| !bob.sees("Loading…"));
    assert!(!bob.sees_beginning("This is no picture"));
    bob.click_last("Save");
    key(&mut bob, Named::Escape, Modifiers::empty());
    bob.wait_until("the place where it was saved", |bob| bob.sees_beginning("Saved as "));
    assert!(!bob.sees("→"));
    alice.close();
    bob.close();
}

#[test]
fn an_address_comes_from_a_picture_of_its_code() {
    let node = Node::start(NodeOptions::without_limits());
    let homes = tempfile::tempdir().unwrap();
    let (good, none) = (homes.path().join("code.png"), homes.path().join("none.png"));
    std::fs::write(&good, code(node.address())).unwrap();
    std::fs::write(&none, packed(40, 30)).unwrap();
    let mut alice = Person::start(&homes.path().join("alice"));
    alice.click("Create account");
    alice.happens(Message::Dropped(none));
    alice.wait_for("There is no code in this picture that can be read. Is all of it there, and sharp?");
    alice.happens(Message::Dropped(good));
    alice.wait_for("Its own identity");
    alice.click("Next");
    alice.write("handle", "alice");
    alice.click("Next");
    alice.write("password", PASSWORD);
    alice.write("again", PASSWORD);
    alice.click("Create account");
    alice.wait_for("Connected");
    alice.close();
}

#[test]
fn what_was_said_comes_back_from_a_backup_file() {
    let Scene { node: _node, alice, bob, homes } = acquainted();
    alice.close();
    let file = homes.path().join("alice.backup");
    // Written while nobody has the profile open in a window.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let profile = Profile::open(&homes.path().join("alice"), PASSWORD.as_bytes()).unwrap();
        let options = Options { password: PASSWORD.to_owned().into(), online: false, connect_timeout: PATIENCE };
        let engine = Engine::start(profile, options).unwrap();
        engine.handle().backup(file.clone(), "open sesame".to_owned().into()).await.unwrap();
        engine.stop().await;
    });
    let mut again = Person::start(&homes.path().join("again"));
    again.click("Sign in");
    again.click("From a backup file");
    again.write("backup", file.to_str().unwrap());
    again.write("passphrase", "open sesam");
    again.click("Next");
    again.click("Next");
    again.write("password", PASSWORD);
    again.click("Sign in");
    again.wait_for("That is not the passphrase of this backup. Try again; nobody can open it without.");
    again.write("passphrase", "e");
    again.click("Next");
    again.click("Next");
    again.click("Sign in");
    // A device that was added by password waits, so that the others can object; what was said is here.
    again.wait_for("bob");
    again.click("bob");
    again.wait_for("hello bob");
    again.close();
    bob.close();
}

#[test]
fn keys_alone_lead_from_a_search_to_an_answer() {
    let Scene { node: _node, mut alice, mut bob, homes: _homes } = acquainted();
    alice.write_to("carol");
    let command = |person: &mut Person, letter: &str| {
        person.happens(Message::Key(Key::Character(letter.into()), Modifiers::COMMAND));
    };
    command(&mut alice, "k");
    alice.write("palette", "hello ali");
    // The list quotes it, too.
    alice.wait_until("the message", |alice| alice.sees_nth("hello alice", 1));
    alice.press("palette", Named::Enter);
    alice.wait_for("Answer");
    command(&mut alice, "r");
    alice.wait_for("Answering");
    command(&mut alice, "e");
    alice.write("picker", "rocket");
    alice.press("picker", Named::Enter);
    alice.press("composer", Named::Enter);
    bob.wait_for("🚀");
    command(&mut alice, "/");
    alice.wait_for("These keys");
    key(&mut alice, Named::Escape, Modifiers::empty());
    alice.happens(Message::Home(home::Message::Palette(false)));
    assert!(!alice.sees("These keys"));
    alice.close();
    bob.close();
}
