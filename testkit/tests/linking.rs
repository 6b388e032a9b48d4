//! A further device of the same person, as two terminals link it.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: what is missing fails the test"
)]

use endtoend_testkit::{Cli, NodeOptions, PATIENCE, Running, Scene, eventually};
use serde_json::Value;

/// A person with a new device, and whoever she writes to.
struct Linking {
    scene: Scene,
    laptop: Cli,
    _home: tempfile::TempDir,
}

impl Linking {
    fn start() -> Self {
        Self::with(Scene::start())
    }

    /// A node where devices that were added by password do not wait.
    fn without_delay() -> Self {
        let environment = vec![("ENDTOEND_ACCOUNTS__PASSWORD_DEVICE_DELAY_HOURS", "0".to_owned())];
        Self::with(Scene::start_with(NodeOptions { environment, ..NodeOptions::default() }))
    }

    fn with(scene: Scene) -> Self {
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

/// What one device knows of somebody, but for what each decides alone.
fn contact(cli: &Cli, with: &str) -> Value {
    let lines = cli.run(&["contacts"]).done().lines;
    lines.into_iter().find(|line| line["with"] == with).unwrap_or(Value::Null)
}

/// Numbers of what a device was told to be missing.
fn missing(cli: &Cli, count: usize) -> (Vec<String>, Vec<(Value, Value)>) {
    let heard = cli.run(&["listen", "--count", &count.to_string(), "--timeout", "45s"]).done();
    let gaps = heard.lines.iter().filter(|line| line["event"] == "gap");
    let gaps = gaps.map(|gap| (gap["kind"].clone(), gap["first"].clone())).collect();
    (heard.texts().into_iter().map(str::to_owned).collect(), gaps)
}

#[test]
fn what_is_kept_from_one_device_is_told_on_that_one() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    scene.bob_says("to the phone alone");
    assert_eq!(scene.alice.listen(1), ["to the phone alone"]);
    linking.link();
    scene.bob_says("one");
    scene.bob_says("two");
    let database = rusqlite::Connection::open(scene.node.data_dir().join("endtoend.db")).expect("the database");
    database.busy_timeout(PATIENCE).expect("a pragma");
    let of_laptop = "SELECT id FROM devices WHERE device = 2";
    let dropped = database
        .execute(
            &format!("DELETE FROM queue WHERE seq = (SELECT min(seq) FROM queue WHERE device_row = ({of_laptop}))"),
            [],
        )
        .expect("tampered with");
    assert_eq!(dropped, 1);
    assert_eq!(missing(&scene.alice, 2), (vec!["one".to_owned(), "two".to_owned()], vec![]));
    let first = (Value::from("missing"), Value::from(1));
    assert_eq!(missing(laptop, 1), (vec!["two".to_owned()], vec![first]), "numbered for the laptop from its first");
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

#[test]
fn a_device_is_called_what_its_owner_calls_it() {
    let linking = Linking::start();
    linking.link();
    let Linking { scene, laptop, .. } = &linking;
    scene.alice.run(&["devices", "--name", "2", "grüner Laptop"]).done();
    for device in [laptop, &scene.alice] {
        let lines = device.run(&["devices"]).done().lines;
        let names: Vec<&Value> = lines.iter().map(|line| &line["name"]).collect();
        assert_eq!(names, [&Value::Null, &Value::from("grüner Laptop")]);
    }
    let found = std::fs::read(scene.node.data_dir().join("endtoend.db")).expect("the database");
    assert!(!found.windows(6).any(|bytes| bytes == b"Laptop"), "the server does not see the name");
    for wrong in [["9", "none"], ["x", "none"], ["2", &"x".repeat(65)]] {
        let refused = laptop.run(&["devices", "--name", wrong[0], wrong[1]]);
        assert_ne!(refused.code, Some(0), "{refused:?}");
    }
}

#[test]
fn the_password_alone_brings_an_account_back_where_its_owner_said_so() {
    let linking = Linking::without_delay();
    let Linking { scene, laptop, .. } = &linking;
    let [alice, bob] = scene.handles();
    scene.alice_says("before");
    assert_eq!(scene.bob.listen(1), ["before"]);
    let recover = ["recover", "--handle", alice];
    let returning = laptop.with_password(scene.alice.password());
    let refused = returning.run(&recover);
    assert_eq!(refused.code, Some(1), "nothing was left: {refused:?}");
    assert!(refused.stderr.contains("recovery"), "{refused:?}");

    scene.alice.run(&["recovery", "--on"]).done();
    let refused = laptop.run(&recover);
    assert_eq!(refused.code, Some(3), "another password: {refused:?}");
    assert!(!laptop.home().exists(), "no profile that only the wrong password opens");
    std::fs::remove_dir_all(scene.alice.home()).expect("the only device is lost");
    let back = returning.run(&recover).done();
    assert_eq!((back.field("handle"), back.field("device")), (&alice.into(), &2.into()));
    assert_eq!(back.field("waits_ms"), 0);
    let known = returning.run(&["contacts"]).done();
    assert_eq!((known.field("with"), known.field("standing")), (&bob.into(), &"accepted".into()));
    returning.send(bob, "back again").done();
    assert_eq!(scene.bob.listen(1), ["back again"]);
    let verified = scene.bob.run(&["verify", "--with", alice]).done();
    assert_eq!(verified.field("changed"), false, "it is the same identity");
    scene.bob_says("welcome");
    assert_eq!(returning.listen(1), ["welcome"]);
}

#[test]
fn what_was_left_for_the_password_goes_when_it_is_taken_away_or_changed() {
    let linking = Linking::without_delay();
    let Linking { scene, laptop, .. } = &linking;
    let recover = ["recover", "--handle", scene.handles()[0]];
    scene.alice.run(&["recovery", "--on"]).done();
    scene.alice.run(&["recovery", "--off"]).done();
    let refused = laptop.with_password(scene.alice.password()).run(&recover);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    scene.alice.run(&["recovery", "--on"]).done();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("new");
    std::fs::write(&file, "another password").expect("written");
    scene.alice.run(&["password", "--new-password-file", file.to_str().expect("a path")]).done();
    let refused = laptop.with_password("another password").run(&recover);
    assert_eq!(refused.code, Some(1), "what the old password opened is gone: {refused:?}");
}

#[test]
fn a_device_that_came_by_password_waits_and_the_others_are_told() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    let [alice, _] = scene.handles();
    scene.alice.run(&["recovery", "--on"]).done();
    let listening = scene.alice.spawn_listen();
    let thief = laptop.with_password(scene.alice.password());
    let back = thief.run(&["recover", "--handle", alice]).done();
    assert_eq!(back.field("waits_ms"), 24 * 3_600_000);
    listening.event("devices_changed");
    drop(listening);
    let refused = thief.run(&["send", "--to", "bob.the.listener", "--text", "it is me", "--timeout", "3s"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let devices = scene.alice.run(&["devices"]).done().lines;
    assert_eq!(devices.iter().map(|device| device["waits"].as_bool()).collect::<Vec<_>>(), [Some(false), Some(true)]);
    scene.alice.run(&["devices", "--remove", "2", "--yes"]).done();
    let refused = thief.run(&["login"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
}

#[test]
fn whom_one_device_blocks_the_other_blocks() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    let [_, bob] = scene.handles();
    scene.alice_says("before");
    linking.link();
    scene.alice.run(&["block", "--with", bob]).done();
    eventually(PATIENCE, "the block on the other device", || {
        // Each is online for a moment.
        scene.alice.run(&["devices"]).done();
        laptop.run(&["devices"]).done();
        laptop.run(&["contacts"]).done().field("standing") == "blocked"
    });
}

#[test]
fn a_note_to_oneself_is_on_all_devices() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    let [alice, _] = scene.handles();
    scene.alice.send(alice, "before there was another").done();
    linking.link();
    scene.alice.send(alice, "buy milk").done();
    let come = |cli: &Cli, notes: &[(String, String)]| {
        eventually(PATIENCE, "the notes", || {
            cli.run(&["--timeout", "2s", "listen"]);
            history(cli, alice) == notes
        });
    };
    come(laptop, &[said("out", "buy milk")]);
    laptop.send(alice, "bought").done();
    come(&scene.alice, &["before there was another", "buy milk", "bought"].map(|text| said("out", text)));
    for device in [laptop, &scene.alice] {
        let known = device.run(&["contacts"]).done();
        assert!(known.lines.iter().all(|contact| contact["with"] != alice), "{known:?}");
    }
}

/// Everything that one device can settle before another is linked, and the engine that lets it in is killed before it has told.
#[test]
fn a_new_device_hears_what_was_settled_before_it_came_though_the_old_one_was_killed() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    let [alice, bob] = scene.handles();
    scene.alice_says("before");
    assert_eq!(scene.bob.listen(1), ["before"]);
    scene.bob.run(&["face", "--name", "Bob B."]).done();
    scene.bob_says("pleased to meet you");
    let come = || contact(&scene.alice, bob)["face_name"] == "Bob B.";
    eventually(PATIENCE, "Bob's face", || {
        scene.bob.run(&["--timeout", "1s", "listen"]);
        scene.alice.run(&["--timeout", "1s", "listen"]);
        come()
    });
    scene.alice.run(&["face", "--name", "Alice A."]).done();
    scene.alice.run(&["contacts", "--nickname", bob, "Bobby"]).done();
    scene.alice.run(&["conversations", "--with", bob, "--pin", "on", "--mute", "on"]).done();
    scene.alice.run(&["verify", "--with", bob, "--mark"]).done();
    scene.alice.run(&["settings", "--receipts", "on", "--typing", "off"]).done();
    scene.alice.run(&["timer", "--with", bob, "--after", "7d"]).done();

    let (new, mut existing, digits) = linking.meet();
    existing.say(&digits);
    existing.event("let_in");
    drop(existing);
    assert_eq!(new.end(), Some(0));
    // Killed once more as soon as it is connected.
    let listening = scene.alice.spawn_listen();
    drop(listening);
    assert_eq!(contact(laptop, bob)["nickname"], Value::Null, "nobody has told it yet");
    eventually(PATIENCE, "what was settled", || {
        // Each is online for a moment.
        scene.alice.run(&["devices"]).done();
        laptop.run(&["devices"]).done();
        contact(laptop, bob) == contact(&scene.alice, bob)
            && laptop.run(&["face"]).done().field("name") == "Alice A."
            && laptop.run(&["settings"]).done().field("receipts") == true
    });
    let known = contact(laptop, bob);
    assert_eq!((&known["nickname"], &known["verified"]), (&"Bobby".into(), &true.into()));
    assert_eq!((&known["face_name"], &known["standing"]), (&"Bob B.".into(), &"accepted".into()));
    let kept = laptop.run(&["conversations", "--with", bob]).done();
    assert_eq!((kept.field("pinned"), kept.field("muted")), (&true.into(), &true.into()));
    assert_eq!(laptop.run(&["settings"]).done().field("typing"), false);
    assert_eq!(laptop.run(&["timer", "--with", bob]).done().field("lives_for_s"), 7 * 24 * 3600);
    // What is settled there comes back.
    laptop.run(&["contacts", "--nickname", bob, "Robert"]).done();
    eventually(PATIENCE, "the new name", || {
        laptop.run(&["devices"]).done();
        scene.alice.run(&["devices"]).done();
        contact(&scene.alice, bob)["nickname"] == "Robert"
    });
    assert_eq!(contact(&scene.bob, alice)["standing"], "accepted");
}

#[test]
fn a_conversation_that_is_removed_on_one_device_goes_from_the_other_and_its_contact_too_if_that_is_said() {
    let linking = Linking::start();
    let Linking { scene, laptop, .. } = &linking;
    let [_, bob] = scene.handles();
    linking.link();
    scene.bob_says("to both");
    scene.alice.run(&["contacts", "--accept", bob]).done();
    for device in [laptop, &scene.alice] {
        assert_eq!(device.listen(1), ["to both"]);
        assert_eq!(history(device, bob).len(), 1);
    }
    let both = |wanted: &dyn Fn(&Cli) -> bool| {
        eventually(PATIENCE, "both devices to know", || {
            scene.alice.run(&["devices"]).done();
            laptop.run(&["devices"]).done();
            wanted(laptop) && wanted(&scene.alice)
        });
    };
    let remove = ["conversations", "--with", bob, "--remove"];
    let asked = scene.alice.run(&remove);
    assert_eq!(asked.code, Some(2), "nobody was asked: {asked:?}");
    assert_eq!(history(&scene.alice, bob).len(), 1);
    let removed = scene.alice.run(&[&remove[..], &["--yes"]].concat()).done();
    assert_eq!((removed.field("messages"), removed.field("contact")), (&1.into(), &false.into()));
    both(&|device| history(device, bob).is_empty() && contact(device, bob)["standing"] == "accepted");
    scene.bob_says("again");
    for device in [laptop, &scene.alice] {
        assert_eq!(device.listen(1), ["again"]);
    }
    let devices = laptop.run(&["contacts", "--devices", bob]).done();
    assert_eq!((devices.field("device"), devices.field("compared")), (&1.into(), &false.into()));
    laptop.run(&[&remove[..], &["--contact", "--yes"]].concat()).done();
    both(&|device| contact(device, bob).is_null());
    // He is a stranger now, whose words are read.
    scene.bob_says("who am I to you?");
    for device in [laptop, &scene.alice] {
        assert_eq!(device.listen(1), ["who am I to you?"]);
        assert_eq!(contact(device, bob)["standing"], "request");
    }
}
