//! A filled database of the first version is brought up to date by a process that is killed with SIGKILL at any moment of it: it opens
//! afterwards, and nothing is lost. The process is this test program, run once more for [`the_process_that_is_killed`] alone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::tests::{PEER, at, key, message, new, write};
use super::*;
use crate::clock;
use endtoend_protocol::{MessageId, Text};

/// The database that the process is to open. Nothing else sets it.
const OPENS: &str = "ENDTOEND_TEST_OPENS";
/// So many messages that the process is busy for a good while.
const MESSAGES: u32 = 1_500;
const ROUNDS: usize = 12;

#[test]
fn the_process_that_is_killed() {
    if let Some(path) = std::env::var_os(OPENS) {
        Database::open(Path::new(&path), &key()).unwrap();
    }
}

fn opens(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "database::tests_killed::the_process_that_is_killed"])
        .env(OPENS, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the moment of the kill is all that is wanted")]
fn at_last(moment: Duration) {
    std::thread::sleep(moment);
}

fn words(n: u32) -> String {
    format!("the harbour and what is said of it, number {n}")
}

/// As the first version has left it.
fn old_profile() -> (tempfile::TempDir, PathBuf) {
    let (folder, mut database) = new();
    write(&mut database, |store| {
        store.put_contact(PEER, Some(&"bob".parse().unwrap()))?;
        for n in 0..MESSAGES {
            let direction = if n % 3 == 0 { Direction::Out } else { Direction::In };
            let id = MessageId::new(at(u64::from(n)), [1; 10]);
            let body = Body::Text(Text::new(words(n)).unwrap());
            store.put_message(&StoredMessage { id, body, sent_at: at(u64::from(n)), ..message(1, direction) })?;
        }
        Ok(())
    });
    database.downgrade();
    database.empty_log().unwrap();
    drop(database);
    let path = folder.path().join("endtoend.db");
    (folder, path)
}

/// Everything is here, can be read, and is found by its words.
fn check(database: &Database) {
    let store = database.read();
    let history = store.history(PEER, u32::MAX).unwrap();
    assert_eq!(history.len(), MESSAGES as usize);
    for (n, message) in history.iter().enumerate() {
        assert!(matches!(&message.body, Body::Text(text) if text.as_str() == words(u32::try_from(n).unwrap())), "{n}");
    }
    let found: u32 = database
        .connection
        .query_row("SELECT count(*) FROM words WHERE words MATCH 'harbour'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, MESSAGES, "each is found, and once");
    let sound: String = database.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn a_process_that_is_killed_while_it_brings_a_database_up_to_date_loses_nothing() {
    let (_old, old) = old_profile();
    let work = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let path = work.path().join(name);
        std::fs::copy(&old, &path).unwrap();
        path
    };
    let whole = copy("whole");
    let begun = clock::monotonic();
    assert!(opens(&whole).wait().unwrap().success());
    let takes = clock::monotonic().duration_since(begun);
    check(&Database::open(&whole, &key()).unwrap());

    let seed = rand::random();
    println!("takes {takes:?}, seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut left = std::collections::BTreeMap::<&str, usize>::new();
    for round in 0..ROUNDS {
        let path = copy(&format!("round {round}"));
        let mut process = opens(&path);
        let moment = takes.mul_f64(rng.random_range(0.0..1.0));
        at_last(moment);
        process.kill().unwrap();
        process.wait().unwrap();
        // All migrations or none: nothing in between is ever seen.
        let found = Database::connect(&path, &key()).unwrap();
        let messages: u32 = found.connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
        assert_eq!(messages, MESSAGES, "killed after {moment:?}");
        let stage = match schema::version_of(&found.connection) {
            1 => "as it was",
            _ if found.read().setting("indexed").unwrap().is_none() => "up to date, without its words",
            _ => "done",
        };
        *left.entry(stage).or_default() += 1;
        drop(found);
        check(&Database::open(&path, &key()).unwrap());
    }
    println!("{left:?}");
    assert!(left.keys().any(|stage| *stage != "done"), "it was killed in time at least once: {left:?}");
    assert!(takes > Duration::from_millis(20), "there is something to be killed in");
}
