//! `endtoend db`, and backups of a node whose store is a PostgreSQL database.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use endtoend_testkit::{Node, NodeOptions, Outcome, Scene, find_in_trees, operate};
use endtoend_testkit_postgres::{Server, Settings};
use serde_json::Value;

/// With fsync: a node takes no other.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(Settings { durable: true }))
}

/// A new database, reached by TCP with a password.
async fn database() -> String {
    let url = server().database().await;
    server().tcp_url(url.rsplit('/').next().unwrap(), Server::PASSWORD)
}

/// A command on the node with this data directory, and with this URL in the environment.
fn on(data: &Path, url: Option<&str>, command: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [command, &["--data", data.to_str().unwrap()]].concat();
    let environment: Vec<_> = url.map(|url| ("ENDTOEND_STORAGE__URL", url)).into_iter().collect();
    let outcome = operate(folder.path(), &arguments, &environment);
    let said = format!("{outcome:?}");
    assert!(!said.contains(Server::PASSWORD) && !said.contains("%70%61%73%73"), "{said}");
    outcome
}

const THERE: [&str; 6] = ["db", "copy", "--from", "sqlite", "--to", "postgres"];
const BACK: [&str; 6] = ["db", "copy", "--from", "postgres", "--to", "sqlite"];

fn last<'a>(outcome: &'a Outcome, name: &str) -> &'a Value {
    &outcome.lines.last().unwrap()[name]
}

fn assert_refused(outcome: &Outcome, words: &str) {
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let text = format!("{} {}", last(outcome, "text"), last(outcome, "causes"));
    assert!(text.contains(words), "{words:?} is not in {text:?}");
}

/// Ends the node, whose data are not in its own folder, and starts it again on the same port with another database.
fn restart(scene: &mut Scene, url: Option<&str>) {
    let (port, data) = (scene.node.listen().port(), scene.node.data_dir().to_owned());
    scene.node.kill_9();
    let options = NodeOptions { data: Some(data), port, ..NodeOptions::default() };
    let next = Node::start(url.map_or(options.clone(), |url| options.on_postgres(url)));
    assert_eq!(next.address(), scene.node.address(), "the same pin");
    scene.node = next;
}

#[tokio::test]
async fn a_conversation_moves_to_postgresql_and_back() {
    let url = database().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut scene = Scene::start_with(NodeOptions { data: Some(data.clone()), ..NodeOptions::default() });
    let [alice, bob] = scene.handles();
    scene.alice_says("first");
    assert_eq!(scene.bob.listen(1), ["first"]);
    scene.alice_says("it waits in the file");

    assert_refused(&on(&data, Some(&url), &THERE), "another endtoend process");
    assert!(scene.node.terminate().success());
    assert_refused(&on(&data, None, &THERE), "no PostgreSQL database is named");
    assert_refused(&on(folder.path(), Some(&url), &THERE), "there is no node");
    let file = folder.path().join("url");
    fs::write(&file, &url).unwrap();
    let there = on(&data, None, &[&THERE[..], &["--url-file", file.to_str().unwrap()]].concat()).done();
    assert_eq!((last(&there, "event"), last(&there, "audit")), (&"copied".into(), &"intact".into()));
    let next = last(&there, "next").as_str().unwrap();
    assert!(next.contains("[storage]\nurl_file = \"/") && next.contains("start the node"), "{next}");
    let rows = |outcome: &Outcome, table: &str| {
        let tables = last(outcome, "tables").as_array().unwrap();
        tables.iter().find(|each| each["table"] == table).unwrap()["rows"].as_u64().unwrap()
    };
    assert_eq!((rows(&there, "accounts"), rows(&there, "queue")), (2, 1));
    let aside = Path::new(last(&there, "moved_aside").as_str().unwrap());
    assert!(aside.exists() && !data.join("endtoend.db").exists());

    restart(&mut scene, Some(&url));
    assert_eq!(scene.bob.listen(1), ["it waits in the file"]);
    scene.bob_says("I am still here");
    assert_eq!(scene.alice.listen(1), ["I am still here"]);
    scene.alice_says("it waits in the database");
    assert_refused(&on(&data, Some(&url), &BACK), "another endtoend process");
    assert!(scene.node.terminate().success());

    let looked = on(&data, Some(&url), &["db", "status"]).done();
    assert_eq!((looked.field("kind"), looked.field("queued_envelopes")), (&"postgres".into(), &1.into()));
    assert!(looked.field("oldest_queued_seconds").is_u64(), "{looked:?}");
    let back = on(&data, Some(&url), &BACK).done();
    assert_eq!((rows(&back, "accounts"), rows(&back, "queue")), (2, 1));
    assert_eq!(last(&back, "audit"), "intact");
    assert!(last(&back, "next").as_str().unwrap().contains("take url"), "{back:?}");
    let looked = on(&data, None, &["db", "status"]).done();
    assert_eq!((looked.field("kind"), looked.field("queued_envelopes")), (&"sqlite".into(), &1.into()));
    assert!(looked.field("oldest_queued_seconds").is_u64(), "{looked:?}");
    restart(&mut scene, None);
    assert_eq!(scene.bob.listen(1), ["it waits in the database"]);
    scene.alice_says("home again");
    assert_eq!(scene.bob.listen(1), ["home again"]);

    // Who has talked to whom is shown to both as if nothing had happened.
    let said = |cli: &endtoend_testkit::Cli, with| cli.run(&["history", "--with", with]).done().texts().len();
    assert_eq!((said(&scene.alice, bob), said(&scene.bob, alice)), (5, 5));
}

#[tokio::test]
async fn a_store_is_copied_into_nothing_that_is_taken() {
    let (url, other) = (database().await, database().await);
    let mut first = Scene::start_with(NodeOptions::default().on_postgres(&url));
    let mut second = Scene::start();
    for node in [&mut first.node, &mut second.node] {
        assert!(node.terminate().success());
    }
    assert_refused(&on(second.node.data_dir(), Some(&url), &THERE), "has accounts already: name an empty one");
    assert!(second.node.data_dir().join("endtoend.db").exists(), "nothing was changed");
    second.node.restart();
    assert!(second.node.terminate().success());
    assert_refused(&on(first.node.data_dir(), Some(&url), &THERE), "is no SQLite file");
    assert_refused(
        &on(first.node.data_dir(), Some(&url), &["db", "copy", "--from", "sqlite", "--to", "sqlite"]),
        "kind",
    );
    fs::write(first.node.data_dir().join("endtoend.db"), b"mine").unwrap();
    assert_refused(&on(first.node.data_dir(), Some(&url), &BACK), "is there already");
    assert_eq!(fs::read(first.node.data_dir().join("endtoend.db")).unwrap(), b"mine");

    // Without the key of the audit, which may lie where the operator's shell does not see it.
    fs::rename(second.node.data_dir().join("store.key"), second.node.data_dir().join("elsewhere")).unwrap();
    let copied = on(second.node.data_dir(), Some(&other), &THERE).done();
    assert_eq!(last(&copied, "audit"), "unchecked");
    let migrated = on(second.node.data_dir(), Some(&other), &["db", "migrate"]).done();
    assert_eq!(migrated.field("schema_before"), migrated.field("schema"));
}

#[tokio::test]
async fn a_backup_of_a_node_on_postgresql_is_restored_like_any_other() {
    let (url, other) = (database().await, database().await);
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, stopped] = ["data", "backup", "stopped"].map(|name| folder.path().join(name));
    let options = NodeOptions { data: Some(data.clone()), ..NodeOptions::default() }.on_postgres(&url);
    let mut scene = Scene::start_with(options);
    scene.alice_says("before");
    assert_eq!(scene.bob.listen(1), ["before"]);
    scene.alice_says("waiting while the backup is made");
    let made = on(&data, None, &["backup", "--to", backup.to_str().unwrap()]).done();
    assert_eq!(last(&made, "event"), "backup");
    scene.node.terminate();
    on(&data, Some(&url), &["backup", "--to", stopped.to_str().unwrap()]).done();
    for made in [&backup, &stopped] {
        assert!(made.join("endtoend.db").exists() && !made.join("endtoend.postgres").exists());
        let texts =
            ["waiting while the backup is made", scene.alice.password(), scene.bob.password(), Server::PASSWORD];
        assert_eq!(find_in_trees(&[made], &texts.map(str::as_bytes)).unwrap().hits, []);
    }

    // The machine burns down, and the database with it.
    fs::remove_dir_all(&data).unwrap();
    on(&data, None, &["restore", "--from", backup.to_str().unwrap()]).done();
    restart(&mut scene, None);
    assert_eq!(scene.bob.listen(1), ["waiting while the backup is made"]);
    scene.alice_says("after");
    assert!(scene.node.terminate().success());
    on(&data, Some(&other), &THERE).done();
    restart(&mut scene, Some(&other));
    assert_eq!(scene.bob.listen(1), ["after"]);
}
