//! What an operator does with a node: asks how it is, backs it up while it is used, and restores it.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use endtoend_protocol::AccountTag;
use endtoend_testkit::{Node, NodeOptions, Outcome, Scene, Wire, find_in_trees, operate};

/// A command on the node with this data directory.
fn on(data: &Path, command: &str, arguments: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let arguments: Vec<_> = [command, "--data", data.to_str().unwrap()].iter().chain(arguments).copied().collect();
    operate(folder.path(), &arguments, &[])
}

fn last<'a>(outcome: &'a Outcome, name: &str) -> &'a serde_json::Value {
    &outcome.lines.last().unwrap()[name]
}

fn assert_refused(outcome: &Outcome, words: &str) {
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let text = last(outcome, "text").as_str().unwrap();
    assert!(text.contains(words), "{words:?} is not in {text:?}");
}

#[tokio::test]
async fn the_status_of_a_running_and_of_a_stopped_node() {
    let mut node = Node::start(NodeOptions::default());
    let (_wire, device) = Wire::register(node.listen(), AccountTag::new([1; 32])).await;
    let running = on(node.data_dir(), "status", &[]).done();
    assert_eq!(running.field("running"), true);
    assert_eq!(running.field("listen"), &node.listen().to_string());
    assert_eq!(running.field("address"), node.address());
    assert_eq!(running.field("pid"), node.pid());
    assert!(running.field("schema").as_i64() > Some(0));
    assert_eq!((running.field("accounts"), running.field("devices")), (&1.into(), &1.into()));
    assert_eq!(
        (running.field("queued_envelopes"), running.field("oldest_queued_seconds")),
        (&0.into(), &serde_json::Value::Null)
    );
    let mode = fs::metadata(node.data_dir().join("admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(device);
    node.kill_9();
    let stopped = on(node.data_dir(), "status", &[]).done();
    assert_eq!(stopped.field("running"), false);
    assert_eq!((stopped.field("accounts"), stopped.field("listen")), (&1.into(), &serde_json::Value::Null));
    node.restart();
    assert_eq!(on(node.data_dir(), "status", &[]).done().field("running"), true);
    assert!(node.terminate().success());
    assert!(!node.data_dir().join("admin.sock").exists(), "a socket goes with its node");
}

#[test]
fn a_place_without_a_node_is_told_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["status"][..], &["backup", "--to", "backup"]] {
        assert_refused(&operate(folder.path(), command, &[]), "there is no node");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(operate(folder.path(), &["backup"], &[]).code, Some(2));
}

#[test]
fn a_conversation_goes_on_after_a_restore() {
    let mut scene = Scene::start();
    let folder = tempfile::tempdir().unwrap();
    let (backup, restored) = (folder.path().join("backup"), folder.path().join("restored"));
    scene.alice_says("before");
    assert_eq!(scene.bob.listen(1), ["before"]);
    scene.alice_says("waiting while the backup is made");

    // Both talk while it is made.
    let (done, mut said) = (AtomicBool::new(false), 0);
    let made = thread::scope(|scope| {
        let making = scope.spawn(|| {
            let made = on(scene.node.data_dir(), "backup", &["--to", backup.to_str().unwrap()]);
            done.store(true, Ordering::Release);
            made
        });
        while !done.load(Ordering::Acquire) || said == 0 {
            scene.alice_says("during");
            scene.bob_says("as well");
            said += 1;
        }
        making.join().unwrap()
    });
    let made = made.done();
    assert_eq!(last(&made, "event"), "backup");
    assert_eq!(last(&made, "path"), backup.to_str().unwrap());
    assert_eq!(scene.bob.listen(1 + said).len(), 1 + said);
    assert_eq!(scene.alice.listen(said).len(), said);

    // The machine burns down.
    let (port, address) = (scene.node.listen().port(), scene.node.address().to_owned());
    scene.node.kill_9();
    fs::remove_dir_all(scene.node.data_dir()).unwrap();
    let done = on(&restored, "restore", &["--from", backup.to_str().unwrap()]).done();
    assert_eq!(last(&done, "event"), "restored");
    assert!(last(&done, "moved_aside").is_null());
    assert_eq!(fs::metadata(&restored).unwrap().permissions().mode() & 0o777, 0o700);

    scene.node = Node::start(NodeOptions { data: Some(restored), port, ..NodeOptions::default() });
    assert_eq!(scene.node.address(), address, "the same pin");
    scene.alice_says("after");
    scene.bob_says("after all");
    // Envelopes that were in the backup come once more and are not shown twice.
    assert_eq!(scene.bob.listen(1), ["after"]);
    assert_eq!(scene.alice.listen(1), ["after all"]);
    scene.alice_says("and on");
    assert_eq!(scene.bob.listen(1), ["and on"]);
}

#[test]
fn a_backup_holds_what_waits_and_nothing_that_the_node_does_not_know() {
    let mut scene = Scene::start();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    scene.alice_says("it waits in the backup");
    // Of a stopped node, too.
    assert!(scene.node.terminate().success());
    on(scene.node.data_dir(), "backup", &["--to", backup.to_str().unwrap()]).done();
    let texts = ["it waits in the backup", scene.alice.password(), scene.bob.password()].map(str::as_bytes);
    assert_eq!(find_in_trees(&[&backup], &texts).unwrap().hits, []);
    let port = scene.node.listen().port();
    fs::remove_dir_all(scene.node.data_dir()).unwrap();
    let data = folder.path().join("data");
    on(&data, "restore", &["--from", backup.to_str().unwrap()]).done();
    scene.node = Node::start(NodeOptions { data: Some(data), port, ..NodeOptions::default() });
    assert_eq!(scene.bob.listen(1), ["it waits in the backup"]);
}

#[test]
fn a_backup_goes_into_no_place_that_is_taken() {
    let node = Node::start(NodeOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let inside = on(node.data_dir(), "backup", &["--to", folder.path().to_str().unwrap()]).done();
    let made = Path::new(last(&inside, "path").as_str().unwrap());
    assert_eq!(made.parent(), Some(folder.path()));
    assert_refused(
        &on(node.data_dir(), "backup", &["--to", made.join("ca.key").to_str().unwrap()]),
        "is there already",
    );
    assert_refused(&on(node.data_dir(), "backup", &["--to", "/nonexistent/backup"]), "cannot write");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_is_made_of_it() {
    let node = Node::start(NodeOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let (backup, data) = (folder.path().join("backup"), folder.path().join("data"));
    on(node.data_dir(), "backup", &["--to", backup.to_str().unwrap()]).done();
    for name in ["endtoend.db", "opaque.key"] {
        let intact = fs::read(backup.join(name)).unwrap();
        let mut damaged = intact.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(backup.join(name), damaged).unwrap();
        let refused = on(&data, "restore", &["--from", backup.to_str().unwrap()]);
        assert_refused(&refused, "is damaged, use another backup");
        assert!(!data.join("endtoend.db").exists() && !data.join("ca.key").exists());
        fs::write(backup.join(name), intact).unwrap();
    }
    assert_refused(&on(&data, "restore", &["--from", "/nonexistent"]), "is not a backup");
    on(&data, "restore", &["--from", backup.to_str().unwrap()]).done();
}

#[test]
fn a_restore_onto_existing_data_is_refused_or_moves_it_aside() {
    let mut node = Node::start(NodeOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    on(node.data_dir(), "backup", &["--to", backup.to_str().unwrap()]).done();
    let from = ["--from", backup.to_str().unwrap()];
    let forced = [&from[..], &["--force"]].concat();
    assert_refused(&on(node.data_dir(), "restore", &forced), "another endtoend process");
    node.terminate();
    assert_refused(&on(node.data_dir(), "restore", &from), "is not empty");
    fs::write(node.data_dir().join("notes"), b"mine").unwrap();
    let done = on(node.data_dir(), "restore", &forced).done();
    let aside = Path::new(last(&done, "moved_aside").as_str().unwrap()).to_owned();
    assert_eq!(fs::read(aside.join("notes")).unwrap(), b"mine");
    assert!(aside.join("endtoend.db").exists());
    node.restart(); // compares the addresses
}
