//! A profile that is lost and comes back from a file, through the real programs.
#![expect(clippy::indexing_slicing, clippy::expect_used, reason = "test code: what is missing fails the test")]

use std::path::Path;

use endtoend_testkit::{Cli, NodeOptions, PATIENCE, Scene, eventually};
use serde_json::Value;

/// A node where devices that were added by password do not wait.
fn scene() -> Scene {
    let environment = vec![("ENDTOEND_ACCOUNTS__PASSWORD_DEVICE_DELAY_HOURS", "0".to_owned())];
    Scene::start_with(NodeOptions { environment, ..NodeOptions::default() })
}

fn history(cli: &Cli, with: &str) -> Vec<(Value, Value, Value)> {
    let lines = cli.run(&["history", "--with", with]).done().lines;
    lines.into_iter().map(|line| (line["direction"].clone(), line["text"].clone(), line["state"].clone())).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test")
}

#[test]
fn who_has_lost_everything_comes_back_as_a_new_device() {
    let scene = scene();
    let [alice, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (backup, passphrase) = (folder.path().join("backup"), folder.path().join("passphrase"));
    std::fs::write(&passphrase, "of the backup\n").expect("a file");
    scene.alice_says("before");
    assert_eq!(scene.bob.listen(1), ["before"]);
    scene.bob_says("and after");
    assert_eq!(scene.alice.listen(1), ["and after"]);
    scene.alice.run(&["contacts", "--nickname", bob, "Bobby"]).done();
    scene.alice.run(&["verify", "--with", bob, "--mark"]).done();
    scene.alice.send(alice, "a note").done();
    // Written, and not sent before the machine was lost.
    let nobody = format!("endtoend://127.0.0.1:1/#{}", scene.node.address().split_once('#').expect("a pin").1);
    let offline = scene.alice.with_server(&nobody);
    let unsent = offline.run(&["--timeout", "1s", "send", "--to", bob, "--text", "not sent yet"]);
    assert_eq!(unsent.code, Some(4), "{unsent:?}");
    let made = scene.alice.run(&["backup", "--to", text(&backup), "--passphrase-file", text(&passphrase)]).done();
    assert_eq!((made.field("contacts"), made.field("messages")), (&1.into(), &4.into()));
    let again = scene.alice.run(&["backup", "--to", text(&backup), "--passphrase-file", text(&passphrase)]);
    assert_eq!(again.code, Some(1), "no file is replaced: {again:?}");
    let before = history(&scene.alice, bob);
    scene.alice.run(&["wipe", "--yes"]).done();

    // Its own password is the account's: it proves it.
    let laptop = Cli::new(folder.path().join("laptop"), scene.node.address()).with_password(scene.alice.password());
    let restore = ["restore", "--from", text(&backup), "--passphrase-file", text(&passphrase)];
    let wrong = laptop.with_password("not the account's").run(&restore);
    assert_eq!(wrong.code, Some(3), "{wrong:?}");
    assert!(!laptop.home().exists(), "until the server says yes there is nothing");
    let restored = laptop.run(&restore).done();
    assert_eq!((restored.field("device"), restored.field("messages")), (&2.into(), &4.into()));
    assert_eq!(history(&laptop, bob), before);
    assert_eq!(history(&laptop, alice).len(), 1);
    let contact = laptop.run(&["contacts"]).done();
    assert_eq!((contact.field("nickname"), contact.field("verified")), (&"Bobby".into(), &true.into()));

    // What had not left leaves now, once, and both go on without a person doing anything.
    eventually(PATIENCE, "the outbox of before", || {
        laptop.run(&["--timeout", "2s", "listen"]);
        laptop.run(&["outbox"]).done().lines.is_empty()
    });
    assert_eq!(scene.bob.listen(1), ["not sent yet"]);
    scene.bob_says("welcome back");
    assert_eq!(laptop.listen(1), ["welcome back"]);
    laptop.send(bob, "glad to be").done();
    assert_eq!(scene.bob.listen(1), ["glad to be"]);
    let verified = scene.bob.run(&["verify", "--with", alice]).done();
    assert_eq!(*verified.field("changed"), false, "it is the same person");
    let twice = laptop.run(&restore);
    assert_eq!(twice.code, Some(1), "{twice:?}");
}

#[test]
fn history_alone_comes_back_without_a_server_and_is_linked_later() {
    let scene = scene();
    let [_, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (backup, passphrase) = (folder.path().join("backup"), folder.path().join("passphrase"));
    std::fs::write(&passphrase, "of the backup\n").expect("a file");
    scene.alice_says("before");
    assert_eq!(scene.bob.listen(1), ["before"]);
    scene.alice.run(&["backup", "--to", text(&backup), "--passphrase-file", text(&passphrase)]).done();
    let laptop = Cli::new(folder.path().join("laptop"), scene.node.address()).with_password(scene.alice.password());
    let restore = ["restore", "--from", text(&backup), "--passphrase-file", text(&passphrase)];
    let alone = laptop.run(&[&restore[..], &["--history-only"]].concat()).done();
    assert_eq!((alone.field("device"), alone.field("messages")), (&Value::Null, &1.into()));
    assert_eq!(history(&laptop, bob).len(), 1);
    // Bob's account is not the one whose history this is.
    let stranger = laptop.run(&["recover", "--handle", bob]);
    assert_ne!(stranger.code, Some(0), "{stranger:?}");
    let anew = laptop.run(&["register", "--handle", "somebody.else"]);
    assert_eq!(anew.code, Some(1), "{anew:?}");
    let whole = laptop.run(&restore).done();
    assert_eq!(*whole.field("device"), 2);
    assert_eq!(history(&laptop, bob).len(), 1, "nothing is there twice");
    laptop.send(bob, "from the laptop").done();
    assert_eq!(scene.bob.listen(1), ["from the laptop"]);

    let export = folder.path().join("export.jsonl");
    let refused = scene.alice.run(&["export", "--to", text(&export)]);
    assert_eq!(refused.code, Some(2), "a person is asked: {refused:?}");
    let exported = scene.alice.run(&["export", "--to", text(&export), "--yes"]).done();
    assert_eq!(*exported.field("messages"), 1);
    assert!(std::fs::read_to_string(&export).expect("the export").contains("before"));
}

#[test]
fn what_is_killed_in_the_middle_leaves_nothing_half() {
    let scene = scene();
    let [_, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (backup, passphrase) = (folder.path().join("backup"), folder.path().join("passphrase"));
    let unfinished = folder.path().join("backup.unfinished");
    std::fs::write(&passphrase, "of the backup\n").expect("a file");
    scene.alice_says("before");
    assert_eq!(scene.bob.listen(1), ["before"]);
    let make = ["backup", "--to", text(&backup), "--passphrase-file", text(&passphrase)];
    let running = scene.alice.start(&make);
    eventually(PATIENCE, "the file is begun", || unfinished.exists() || backup.exists());
    drop(running);
    // It may have been done in the last moment; then it is whole.
    if !backup.exists() {
        scene.alice.run(&make).done();
    }
    assert!(!unfinished.exists(), "what was left is gone with the next one");

    let laptop = Cli::new(folder.path().join("laptop"), scene.node.address()).with_password(scene.alice.password());
    let restore = ["restore", "--from", text(&backup), "--passphrase-file", text(&passphrase)];
    let running = laptop.start(&[&restore[..], &["--history-only"]].concat());
    eventually(PATIENCE, "the database is begun", || laptop.home().join("endtoend.db").exists());
    drop(running);
    let restored = laptop.run(&restore).done();
    assert_eq!(restored.field("device"), &Value::from(2));
    assert_eq!(history(&laptop, bob).len(), 1, "all of it, and once");
}
