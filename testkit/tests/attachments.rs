//! Files between two people, through the real programs: sent, killed in the middle, fetched, saved, in clear nowhere else.
#![expect(clippy::expect_used, reason = "test code: what is missing fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use endtoend_testkit::{Cli, NodeOptions, Outcome, PATIENCE, Scene, eventually, find_in_trees};
use serde_json::Value;
use tempfile::TempDir;

const MARKER: &[u8] = b"a marker of the test of attachments";
const NAME: &str = "the name of a file in this test.txt";

/// A file of many parts.
fn write(folder: &TempDir, mebibytes: usize) -> PathBuf {
    let bytes: Vec<u8> = MARKER.iter().copied().cycle().take(mebibytes * 1024 * 1024 + 17).collect();
    let path = folder.path().join(NAME);
    fs::write(&path, bytes).expect("a file");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test")
}

fn attach(cli: &Cli, to: &str, file: &Path) -> Outcome {
    cli.run(&["attach", "--to", to, "--file", text(file)])
}

/// The messages with a file that somebody has with somebody.
fn files(cli: &Cli, with: &str) -> Vec<Value> {
    let lines = cli.run(&["history", "--with", with]).done().lines;
    lines.into_iter().filter(|line| line["file"].is_object()).collect()
}

fn hits(places: &[&Path], text: &[u8]) -> usize {
    find_in_trees(places, &[text]).expect("searched").hits.len()
}

fn stored(scene: &Scene) -> usize {
    let folder = scene.node.data_dir().join("blobs");
    let Ok(groups) = fs::read_dir(folder) else { return 0 };
    let blobs = groups.flatten().flat_map(|group| fs::read_dir(group.path()).into_iter().flatten().flatten());
    blobs.flat_map(|blob| fs::read_dir(blob.path()).into_iter().flatten().flatten()).count()
}

#[test]
fn a_file_comes_whole_and_is_in_clear_only_where_it_was_saved() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let file = write(&here, 1);
    let sent = attach(&scene.alice, bob, &file).done();
    let id = sent.lines.last().expect("an outcome")["message_id"].as_str().expect("an id").to_owned();
    let heard = scene.bob.run(&["listen", "--count", "1", "--timeout", "45s"]).done();
    let message = heard.lines.iter().find(|line| line["event"] == "message").expect("a message");
    assert_eq!((message["message_id"].as_str(), message["text"].is_null()), (Some(id.as_str()), true));
    assert_eq!((message["file"]["name"].as_str(), message["file"]["state"].as_str()), (Some(NAME), Some("offered")));
    let fetch = ["fetch", "--with", alice, "--message", &id, "--to", text(there.path())];
    let saved = scene.bob.run(&fetch).done();
    let path = there.path().join(NAME);
    assert_eq!(saved.lines.last().expect("an outcome")["path"].as_str(), Some(text(&path)));
    assert_eq!(fs::read(&path).expect("saved"), fs::read(&file).expect("sent"));
    let again = scene.bob.run(&fetch);
    assert_eq!(again.code, Some(1), "nothing is replaced: {again:?}");
    scene.bob.run(&[&fetch[..], &["--overwrite"]].concat()).done();
    let found = scene.bob.run(&["search", "--has-file"]).done();
    assert_eq!(found.lines.len(), 1);
    // Neither the bytes nor the name are anywhere in clear, but for what was saved.
    let places = [scene.node.data_dir(), scene.alice.home(), scene.bob.home()];
    for secret in [MARKER, NAME.as_bytes()] {
        assert_eq!(hits(&places, secret), 0);
    }
    assert_eq!(hits(&[there.path()], MARKER), 1);
    // Whoever wipes a profile has none of it any more.
    scene.bob.run(&["wipe", "--yes"]).done();
    assert!(!scene.bob.home().exists());
}

#[test]
fn a_client_that_is_killed_in_the_middle_goes_on_and_nothing_is_lost_or_doubled() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(&folder, 24);
    let sending = scene.alice.start(&["attach", "--to", bob, "--file", text(&file)]);
    let id = sending.event("file")["message_id"].as_str().expect("an id").to_owned();
    eventually(PATIENCE, "parts at the node", || stored(&scene) > 2);
    drop(sending);
    // The file may go: what is sent is on this disk, sealed.
    fs::remove_file(&file).expect("removed");
    let pending = scene.alice.run(&["outbox"]).done();
    // It may have been done when it was killed.
    if let Some(line) = pending.lines.first() {
        assert_eq!((line["message_id"].as_str(), line["why"].as_str()), (Some(id.as_str()), Some("file")));
        scene.alice.run(&["outbox", "--retry", &id, "--with", bob]).done();
    }
    assert_eq!(scene.alice.run(&["outbox"]).done().lines, Vec::<Value>::new());
    scene.bob.run(&["listen", "--count", "1", "--timeout", "45s"]).done();
    let to = folder.path().join("saved");
    let fetch = ["fetch", "--with", alice, "--message", &id, "--to", text(&to)];
    let fetching = scene.bob.start(&fetch);
    fetching.event("file");
    drop(fetching);
    assert!(!to.exists(), "nothing half done is there");
    scene.bob.run(&fetch).done();
    let saved = fs::read(&to).expect("saved");
    assert!(saved.len() == 24 * 1024 * 1024 + 17 && saved.starts_with(MARKER));
    assert_eq!((files(&scene.alice, bob).len(), files(&scene.bob, alice).len()), (1, 1));
}

#[test]
fn a_node_that_takes_no_files_says_so_and_the_message_can_be_given_up() {
    let environment = vec![("ENDTOEND_BLOBS__SIZE_MIB_MAX", "0".to_owned())];
    let scene = Scene::start_with(NodeOptions { environment, ..NodeOptions::default() });
    let [_, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a folder");
    let refused = attach(&scene.alice, bob, &write(&folder, 0));
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let pending = scene.alice.run(&["outbox"]).done();
    let [line] = pending.lines.as_slice() else { panic!("one message waits: {pending:?}") };
    assert_eq!(line["why"], "not_taken");
    let id = line["message_id"].as_str().expect("an id");
    scene.alice.run(&["outbox", "--cancel", id, "--with", bob]).done();
    assert_eq!(scene.alice.run(&["outbox"]).done().lines, Vec::<Value>::new());
    assert_eq!(files(&scene.alice, bob), Vec::<Value>::new());
    scene.alice_says("a text goes all the same");
    assert_eq!(scene.bob.listen(1), ["a text goes all the same"]);
}

/// It is long, and nothing of it is on the disk but its end.
#[test]
fn whoever_is_interrupted_while_a_file_is_sealed_has_sent_nothing() {
    let scene = Scene::start();
    let [_, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("long");
    fs::File::create(&path).expect("a file").set_len(1 << 30).expect("a long file");
    let sending = scene.alice.start(&["attach", "--to", bob, "--file", text(&path)]);
    let sealed = scene.alice.home().join("files");
    let begun = || fs::read_dir(&sealed).into_iter().flatten().flatten().count() == 1;
    eventually(PATIENCE, "a sealed file that is begun", begun);
    sending.interrupt();
    assert_eq!(sending.end(), Some(1));
    assert_eq!(scene.alice.run(&["outbox"]).done().lines, Vec::<Value>::new());
    assert_eq!(fs::read_dir(&sealed).expect("a folder").count(), 0, "what was begun is gone");
}

#[test]
fn a_chat_sends_and_saves_files() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(&folder, 0);
    let mut chat = scene.alice.start(&["chat", "--with", bob]);
    chat.say(&format!("/attach {}", file.display()));
    let id = chat.event("accepted")["message_id"].as_str().expect("an id").to_owned();
    let mut other = scene.bob.start(&["chat", "--with", alice]);
    assert_eq!(other.event("message")["message_id"].as_str(), Some(id.as_str()));
    let to = folder.path().join("saved");
    other.say(&format!("/save ^ {}", to.display()));
    assert_eq!(other.event("saved")["path"].as_str(), Some(text(&to)));
    assert_eq!(fs::read(&to).expect("saved"), fs::read(&file).expect("sent"));
}
