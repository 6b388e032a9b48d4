//! A further device of the same person, as two terminals link it.
#![expect(clippy::indexing_slicing, reason = "test code: what is missing fails the test")]

use endtoend_testkit::{Cli, Running, Scene};
use serde_json::Value;

/// A person with a new device, and whoever she writes to.
struct Linking {
    scene: Scene,
    laptop: Cli,
    _home: tempfile::TempDir,
}

impl Linking {
    fn start() -> Self {
        let scene = Scene::start();
        let home = tempfile::tempdir().expect("a temporary directory");
        let laptop = Cli::new(home.path().join("laptop"), scene.node.address());
        Self { scene, laptop, _home: home }
    }

    /// Both commands as far as the digits: the new device's, which shows them, and the existing one's, which waits for them.
    fn meet(&self) -> (Running, Running, String) {
        let new = self.laptop.start(&["link"]);
        let code = text(&new.event("link_code"), "code");
        let existing = self.scene.alice.start(&["devices", "--link", &code]);
        existing.event("type_digits");
        let digits = text(&new.event("link_digits"), "digits");
        (new, existing, digits)
    }

    fn link(&self) {
        let (new, mut existing, digits) = self.meet();
        existing.say(&digits);
        existing.event("let_in");
        assert_eq!(existing.end(), Some(0));
        let linked = new.event("linked");
        assert_eq!(linked["handle"], self.scene.handles()[0]);
        assert_eq!(linked["device"], 2);
        assert_eq!(new.end(), Some(0));
    }
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("no {field} in {object}")).to_owned()
}

/// What was said to somebody, and by whom, as one device knows it.
fn history(cli: &Cli, with: &str) -> Vec<(String, String)> {
    let lines = cli.run(&["history", "--with", with]).done().lines;
    lines.iter().map(|line| (text(line, "direction"), text(line, "text"))).collect()
}

fn said(direction: &str, text: &str) -> (String, String) {
    (direction.to_owned(), text.to_owned())
}

#[test]
fn two_devices_of_one_person_know_the_same_conversation() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    let [_, bob] = scene.handles();
    scene.alice_says("before");
    assert_eq!(scene.bob.listen(1), ["before"]);
    linking.link();

    let number = |cli: &Cli| cli.run(&["verify", "--with", bob]).done().field("safety_number").clone();
    assert_eq!(number(laptop), number(&scene.alice), "the new device was told whom it may trust");
    let contacts = laptop.run(&["contacts"]).done();
    assert_eq!((contacts.field("with"), contacts.field("standing")), (&bob.into(), &"accepted".into()));
    for device in [laptop, &scene.alice] {
        assert_eq!(device.run(&["devices"]).done().lines.len(), 2);
    }

    scene.bob_says("to both");
    assert_eq!(scene.alice.listen(1), ["to both"]);
    assert_eq!(laptop.listen(1), ["to both"]);
    laptop.send(bob, "from the laptop").done();
    assert_eq!(scene.bob.listen(1), ["from the laptop"]);
    scene.bob_says("heard it");
    assert_eq!(scene.alice.listen(1), ["heard it"]);
    assert_eq!(laptop.listen(1), ["heard it"]);
    scene.alice_says("from the phone");
    assert_eq!(scene.bob.listen(1), ["from the phone"]);
    scene.bob_says("heard it too");
    assert_eq!(laptop.listen(1), ["heard it too"]);
    assert_eq!(scene.alice.listen(1), ["heard it too"]);

    let later = [
        said("in", "to both"),
        said("out", "from the laptop"),
        said("in", "heard it"),
        said("out", "from the phone"),
        said("in", "heard it too"),
    ];
    assert_eq!(history(laptop, bob), later);
    assert_eq!(history(&scene.alice, bob)[1..], later);
}

#[test]
fn a_first_message_from_one_device_is_known_to_the_other() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    let [alice, bob] = scene.handles();
    linking.link();
    laptop.send(bob, "a new acquaintance").done();
    assert_eq!(scene.bob.listen(1), ["a new acquaintance"]);
    scene.bob.run(&["contacts", "--accept", alice]).done();
    scene.bob_says("pleased to meet you");
    assert_eq!(scene.alice.listen(1), ["pleased to meet you"]);
    assert_eq!(history(&scene.alice, bob), [said("out", "a new acquaintance"), said("in", "pleased to meet you")]);
}

#[test]
fn a_removed_device_hears_nothing_more_and_the_other_goes_on() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    linking.link();
    scene.bob_says("to both");
    assert_eq!(laptop.listen(1), ["to both"]);
    let listening = laptop.spawn_listen();
    scene.alice.run(&["devices", "--remove", "2", "--yes"]).done();
    assert_ne!(listening.end(), Some(0), "its connection ends, and it is told why");
    scene.bob_says("to one");
    assert_eq!(scene.alice.listen(2), ["to both", "to one"]);
    scene.alice_says("from the only one");
    scene.alice_says("and again");
    assert_eq!(scene.bob.listen(2), ["from the only one", "and again"]);
    let refused = laptop.run(&["listen", "--count", "1"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
}

#[test]
fn other_digits_give_nothing_away() {
    let linking = Linking::start();
    let (new, mut existing, digits) = linking.meet();
    let other: String = digits.chars().map(|c| if c == '0' { '1' } else { '0' }).collect();
    existing.say(&other);
    assert_eq!(existing.end(), Some(1));
    drop(new);
    assert_eq!(linking.scene.alice.run(&["devices"]).done().lines.len(), 1);
    // Nor does silence.
    let (_new, existing, _) = linking.meet();
    drop(existing);
    assert_eq!(linking.scene.alice.run(&["devices"]).done().lines.len(), 1);
}

#[test]
fn a_code_that_nobody_shows_is_refused() {
    let linking = Linking::start();
    for code in ["", "12 34", "no code", &"0".repeat(96)] {
        let refused = linking.scene.alice.run(&["devices", "--link", code]);
        assert_ne!(refused.code, Some(0), "{refused:?}");
        assert!(refused.stderr.contains("link"), "what to do next: {refused:?}");
    }
}

#[test]
fn a_profile_with_an_account_is_not_linked() {
    let linking = Linking::start();
    let refused = linking.scene.bob.run(&["link"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--home"), "{refused:?}");
}
