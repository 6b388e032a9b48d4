//! A server whose queue was tampered with, and people who must be told of it.
#![expect(clippy::expect_used, reason = "test code: what fails here fails the test")]

use std::fs;
use std::path::Path;

use endtoend_testkit::{Cli, Outcome, Scene};
use serde_json::{Value, json};

/// The queue behind the node's back, while it runs.
fn queue(scene: &Scene) -> rusqlite::Connection {
    let database = rusqlite::Connection::open(scene.node.data_dir().join("endtoend.db")).expect("the database");
    database.busy_timeout(endtoend_testkit::PATIENCE).expect("a pragma");
    database
}

fn change(scene: &Scene, sql: &str) {
    let changed = queue(scene).execute(sql, []).expect("tampered with");
    assert_eq!(changed, 1, "{sql}");
}

/// What was told about messages that did not come as they were sent: kind, first and last number, how many are missing.
fn gaps(outcome: &Outcome) -> Vec<Value> {
    let gaps = outcome.lines.iter().filter(|line| line["event"] == "gap");
    gaps.map(|gap| json!([gap["kind"], gap["first"], gap["last"], gap["missing"]])).collect()
}

fn listen(cli: &Cli, count: usize) -> Outcome {
    cli.run(&["listen", "--count", &count.to_string(), "--timeout", "45s"]).done()
}

#[test]
fn what_vanished_from_the_queue_is_told_at_the_next_message() {
    let scene = Scene::start();
    let [alice, _] = scene.handles();
    scene.alice_says("number one");
    assert_eq!(gaps(&listen(&scene.bob, 1)), [] as [Value; 0]);
    for text in ["number two", "number three", "number four"] {
        scene.alice_says(text);
    }
    change(&scene, "DELETE FROM queue WHERE seq = (SELECT min(seq) FROM queue)");
    let heard = listen(&scene.bob, 2);
    assert_eq!(heard.texts(), ["number three", "number four"]);
    assert_eq!(gaps(&heard), [json!(["missing", 2, 2, 1])]);
    let gap = heard.lines.iter().find(|line| line["event"] == "gap").unwrap();
    assert_eq!((&gap["event"], &gap["from"], &gap["device"]), (&json!("gap"), &json!(alice), &json!(1)), "{gap}");
    assert_eq!((&gap["own"], &gap["may_have_expired"]), (&json!(false), &json!(false)));

    // It stays in its place, and is told once.
    scene.alice_says("number five");
    assert_eq!(gaps(&listen(&scene.bob, 1)), [] as [Value; 0]);
    let history = scene.bob.run(&["history", "--with", alice]).done();
    let events: Vec<&str> = history.lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["history", "gap", "history", "history", "history"]);
    // Alice is told nothing by any of that.
    scene.bob_says("what was number two?");
    assert_eq!(gaps(&listen(&scene.alice, 1)), [] as [Value; 0]);
}

#[test]
fn what_changed_its_place_in_the_queue_is_told() {
    let scene = Scene::start();
    for text in ["number one", "number two", "number three"] {
        scene.alice_says(text);
    }
    change(&scene, "UPDATE queue SET seq = 1000 + seq WHERE seq = (SELECT min(seq) FROM queue)");
    let heard = listen(&scene.bob, 3);
    assert_eq!(heard.texts(), ["number two", "number three", "number one"]);
    assert_eq!(gaps(&heard), [json!(["late", 1, 1, 0])]);
}

#[test]
fn what_is_put_into_the_queue_again_is_counted() {
    let scene = Scene::start();
    scene.alice_says("number one");
    let kept: (i64, Vec<u8>, i64, i64, Vec<u8>) = queue(&scene)
        .query_row("SELECT device_row, envelope_id, accepted_at, expires_at, body FROM queue", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .expect("a copy");
    assert_eq!(scene.bob.listen(1), ["number one"]);
    let repeats = || scene.bob.run(&["status"]).done().field("repeats").clone();
    assert_eq!(repeats(), 0);
    queue(&scene)
        .execute(
            "INSERT INTO queue (device_row, envelope_id, accepted_at, expires_at, body) VALUES (?, ?, ?, ?, ?)",
            rusqlite::params![kept.0, kept.1, kept.2, kept.3, kept.4],
        )
        .expect("put back");
    scene.alice_says("number two");
    let heard = listen(&scene.bob, 1);
    assert_eq!((heard.texts(), gaps(&heard)), (vec!["number two"], vec![]));
    // Whichever of the two came first, the next connection has seen both.
    scene.alice_says("number three");
    assert_eq!(scene.bob.listen(1), ["number three"]);
    assert_eq!(repeats(), 1);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a profile") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn a_sender_whose_profile_was_set_back_is_told_of() {
    let scene = Scene::start();
    scene.alice_says("number one");
    assert_eq!(scene.bob.listen(1), ["number one"]);
    scene.bob_says("heard");
    assert_eq!(scene.alice.listen(1), ["heard"]);
    let backup = tempfile::tempdir().expect("a temporary directory");
    copy(scene.alice.home(), backup.path());
    for text in ["number two", "number three"] {
        scene.alice_says(text);
    }
    assert_eq!(scene.bob.listen(2), ["number two", "number three"]);
    fs::remove_dir_all(scene.alice.home()).expect("removed");
    copy(backup.path(), scene.alice.home());

    // The ratchet has gone back too: what she says does not open, is asked for, and comes again.
    scene.alice_says("number two once more");
    let listening = scene.bob.spawn_listen();
    listening.event("unreadable");
    let answering = scene.alice.spawn_listen();
    let gap = listening.event("gap");
    assert_eq!((&gap["kind"], &gap["first"]), (&json!("forked"), &json!(2)), "{gap}");
    assert_eq!(listening.next_text(), "number two once more");
    drop(answering);
}
