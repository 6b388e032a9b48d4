//! Programs of a person that are killed with SIGKILL at any moment of what they do: nothing is lost or doubled, the profile opens, and
//! nothing half is taken for a whole.
//!
//! `ENDTOEND_KILLS` is how often each is killed, 5 by default. The moments come from a seed that is printed; `ENDTOEND_KILL_SEED` takes one.
#![expect(clippy::indexing_slicing, clippy::expect_used, reason = "test code: what is missing fails the test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use endtoend_testkit::{Cli, Outcome, PATIENCE, Running, Scene, eventually, monotonic};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

/// Kills what runs, at some moment of the time that it takes when it is not killed.
struct Killer {
    rng: StdRng,
    takes: Duration,
    rounds: usize,
}

impl Killer {
    /// Runs something once to its end, to know how long that takes.
    fn after(what: &str, run: impl FnOnce()) -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let seed = number("ENDTOEND_KILL_SEED").unwrap_or_else(rand::random);
        let begun = monotonic();
        run();
        let takes = monotonic().duration_since(begun);
        println!("{what}: takes {takes:?}, seed {seed}");
        let rounds = number("ENDTOEND_KILLS").and_then(|rounds| usize::try_from(rounds).ok()).unwrap_or(5);
        Self { rng: StdRng::seed_from_u64(seed), takes, rounds }
    }

    #[expect(clippy::disallowed_methods, reason = "the moment of the kill is all that is wanted")]
    fn kill(&mut self, running: Running) {
        std::thread::sleep(self.takes.mul_f64(self.rng.random_range(0.0..1.0)));
        drop(running);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Two who have met, so that nothing waits for one of them to accept the other.
fn scene() -> Scene {
    let scene = Scene::start();
    scene.alice_says("how do you do");
    assert_eq!(scene.bob.listen(1), ["how do you do"]);
    scene.bob.run(&["contacts", "--accept", scene.handles()[0]]).done();
    scene
}

/// What stands in a conversation: who has said it, and what.
fn history(cli: &Cli, with: &str) -> Vec<Value> {
    cli.run(&["history", "--with", with, "--limit", "100000"]).done().lines
}

fn texts(lines: &[Value]) -> Vec<String> {
    lines.iter().filter_map(|line| line["text"].as_str()).map(str::to_owned).collect()
}

/// Says many things one after the other, in one program.
fn chat(cli: &Cli, with: &str, said: &[String]) {
    let lines: String = said.iter().map(|text| format!("{text}\n")).collect();
    cli.run_with_input(&["chat", "--with", with], &lines).done();
}

/// Hears what comes until nothing is missing of so many messages.
fn hears_all(cli: &Cli, from: &str, count: usize) -> Vec<Value> {
    let mut gaps = Vec::new();
    eventually(PATIENCE, "all messages", || {
        let heard = cli.run(&["--timeout", "2s", "listen"]).done();
        gaps.extend(heard.lines.into_iter().filter(|line| line["event"] == "gap"));
        texts(&history(cli, from)).len() >= count
    });
    gaps
}

#[test]
fn whoever_is_killed_while_he_sends_sends_each_message_once_and_in_order() {
    let scene = scene();
    let [alice, bob] = scene.handles();
    let mut killer = Killer::after("send", || scene.alice_says("the first"));
    for n in 0..killer.rounds {
        let sending = scene.alice.start(&["send", "--to", bob, "--text", &format!("number {n}")]);
        killer.kill(sending);
        // Several at a time are killed, too.
        let said: Vec<String> = (0..20).map(|line| format!("number {n}, line {line}")).collect();
        let mut chatting = scene.alice.start(&["chat", "--with", bob]);
        said.iter().for_each(|line| chatting.say(line));
        killer.kill(chatting);
    }
    scene.alice_says("the last");
    let said = texts(&history(&scene.alice, bob));
    assert_eq!(scene.alice.run(&["outbox"]).done().lines, Vec::<Value>::new(), "nothing waits");
    let gaps = hears_all(&scene.bob, alice, said.len());
    assert_eq!(texts(&history(&scene.bob, alice)), said, "each once, in the order in which they were written");
    assert_eq!(gaps, Vec::<Value>::new(), "nothing is missing");
    assert_eq!(said.last().map(String::as_str), Some("the last"));
}

#[test]
fn whoever_is_killed_while_he_receives_has_each_message_once() {
    let scene = scene();
    let [alice, bob] = scene.handles();
    scene.alice_says("the first");
    let mut killer = Killer::after("listen", || drop(scene.bob.listen(1)));
    let mut said = vec!["how do you do".to_owned(), "the first".to_owned()];
    for n in 0..killer.rounds {
        let more: Vec<String> = (0..40).map(|line| format!("number {n}, line {line}")).collect();
        chat(&scene.alice, bob, &more);
        said.extend(more);
        let listening = scene.bob.spawn_listen();
        killer.kill(listening);
    }
    let mut gaps = Vec::new();
    eventually(PATIENCE, "all messages", || {
        let heard = scene.bob.run(&["--timeout", "2s", "listen"]).done();
        gaps.extend(heard.lines.into_iter().filter(|line| line["event"] == "gap"));
        texts(&history(&scene.bob, alice)).len() >= said.len()
    });
    let heard = history(&scene.bob, alice);
    assert_eq!(texts(&heard), said, "each once, in order");
    assert_eq!(gaps, Vec::<Value>::new(), "nothing is missing");
    assert!(heard.iter().all(|line| line["shown"] == true), "and nothing waits to be shown");
    assert_eq!(scene.bob.run(&["status"]).done().field("unreadable"), &Value::Array(Vec::new()));
}

/// A file of its own for each round.
fn file(folder: &Path, n: usize, bytes: usize) -> (PathBuf, Vec<u8>) {
    let content: Vec<u8> = (0..bytes).map(|at| (at % 251 + n) as u8).collect();
    let file = folder.join(format!("file-{n}.bin"));
    std::fs::write(&file, &content).expect("written");
    (file, content)
}

fn files(cli: &Cli, with: &str) -> Vec<Value> {
    let mut files: Vec<Value> = history(cli, with)
        .into_iter()
        .filter(|line| !line["file"].is_null())
        .map(|line| serde_json::json!({ "id": line["message_id"], "name": line["file"]["name"] }))
        .collect();
    files.sort_by_key(|file| file["id"].to_string());
    files
}

/// Whatever waits to get to the server gets there.
fn sends_all(cli: &Cli, with: &str) {
    // A command for each that waits, each with a profile to open.
    eventually(3 * PATIENCE, "an empty outbox", || {
        let pending = cli.run(&["outbox"]).done().lines;
        println!("waits: {pending:?}");
        for line in &pending {
            let id = line["message_id"].as_str().expect("an id");
            let again: Outcome = cli.run(&["outbox", "--retry", id, "--with", with]);
            // It may have left while this was asked.
            assert!(matches!(again.code, Some(0 | 1)), "{again:?}");
        }
        pending.is_empty()
    });
}

#[test]
fn whoever_is_killed_while_a_file_goes_or_comes_has_it_once_and_whole() {
    const BYTES: usize = 3 * 1024 * 1024 + 7;
    let scene = scene();
    let [alice, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a folder");
    let (first, _) = file(folder.path(), 0, BYTES);
    let mut killer = Killer::after("attach", || {
        scene.alice.run(&["attach", "--to", bob, "--file", path(&first)]).done();
    });
    for n in 1..=killer.rounds {
        let (file, _) = file(folder.path(), n, BYTES);
        let sending = scene.alice.start(&["attach", "--to", bob, "--file", path(&file)]);
        killer.kill(sending);
    }
    sends_all(&scene.alice, bob);
    scene.alice_says("that is all");
    eventually(PATIENCE, "the last message", || {
        scene.bob.run(&["--timeout", "2s", "listen"]).done();
        texts(&history(&scene.bob, alice)).iter().any(|text| text == "that is all")
    });
    let sent = files(&scene.alice, bob);
    assert_eq!(files(&scene.bob, alice), sent, "each once");
    let sealed = std::fs::read_dir(scene.alice.home().join("files")).expect("a folder").count();
    assert_eq!(sealed, sent.len(), "nothing lies there that nobody knows of");

    // The other way: one file, killed again and again while it is fetched and saved.
    let fetch = |id: &Value, to: &Path| {
        let id = id.as_str().expect("an id").to_owned();
        ["fetch", "--with", alice, "--message", &id, "--to", path(to)].map(str::to_owned)
    };
    let words = |command: &[String; 7]| command.each_ref().map(|word| (*word).clone());
    let run = |command: &[String; 7]| {
        let command = words(command);
        scene.bob.run(&command.each_ref().map(String::as_str)).done();
    };
    let target = folder.path().join("first");
    let mut killer = Killer::after("fetch", || run(&fetch(&sent[0]["id"], &target)));
    for (n, file) in sent.iter().enumerate().skip(1) {
        let target = folder.path().join(format!("saved-{n}"));
        let command = fetch(&file["id"], &target);
        for _ in 0..2 {
            killer.kill(scene.bob.start(&command.each_ref().map(String::as_str)));
            if target.exists() {
                break;
            }
        }
        if target.exists() {
            // It was done in the last moment; then it is whole.
            assert_eq!(std::fs::metadata(&target).expect("its length").len(), BYTES as u64);
        } else {
            run(&command);
        }
        let name = file["name"].as_str().expect("a name");
        let original = std::fs::read(folder.path().join(name)).expect("the file");
        assert!(std::fs::read(&target).expect("what was saved") == original, "{name}");
    }
}

/// What a backup has, read into a profile that is made for that.
fn restored(scene: &Scene, backup: &Path, passphrase: &Path, home: &Path) -> (Cli, Outcome) {
    let cli = Cli::new(home, scene.node.address()).with_password(scene.alice.password());
    let command = ["restore", "--from", path(backup), "--passphrase-file", path(passphrase), "--history-only"];
    let outcome = cli.run(&command);
    (cli, outcome)
}

#[test]
fn a_backup_that_is_killed_is_whole_or_not_there_and_a_restore_that_is_killed_is_said_once_more() {
    let scene = scene();
    let [_, bob] = scene.handles();
    let lines: Vec<String> = (0..300).map(|n| format!("line {n}")).collect();
    chat(&scene.alice, bob, &lines);
    let said = texts(&history(&scene.alice, bob));
    assert_eq!(said.len(), 301);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let passphrase = at("passphrase");
    std::fs::write(&passphrase, "of the backup\n").expect("written");
    let command = |to: &Path| ["backup", "--to", path(to), "--passphrase-file", path(&passphrase)].map(str::to_owned);
    let whole = at("whole");
    let mut killer = Killer::after("backup", || {
        scene.alice.run(&command(&whole).each_ref().map(String::as_str)).done();
    });
    for n in 0..killer.rounds {
        let (backup, unfinished) = (at(&format!("backup-{n}")), at(&format!("backup-{n}.unfinished")));
        killer.kill(scene.alice.start(&command(&backup).each_ref().map(String::as_str)));
        if backup.exists() {
            let (cli, outcome) = restored(&scene, &backup, &passphrase, &at(&format!("of-backup-{n}")));
            outcome.done();
            assert_eq!(texts(&history(&cli, bob)), said, "it was done in the last moment, and is whole");
        }
        if unfinished.exists() && !backup.exists() {
            let (cli, outcome) = restored(&scene, &unfinished, &passphrase, &at(&format!("of-half-{n}")));
            assert_eq!(outcome.code, Some(1), "half a backup is none: {outcome:?}");
            assert!(!cli.home().exists(), "and leaves no profile");
        }
    }
    // The profile opens, and has everything.
    assert_eq!(texts(&history(&scene.alice, bob)), said);

    let words = ["restore", "--from", path(&whole), "--passphrase-file", path(&passphrase), "--history-only"];
    let mut killer = Killer::after("restore", || {
        restored(&scene, &whole, &passphrase, &at("first")).1.done();
    });
    for n in 0..killer.rounds {
        let cli = Cli::new(at(&format!("home-{n}")), scene.node.address()).with_password(scene.alice.password());
        killer.kill(cli.start(&words));
        killer.kill(cli.start(&words));
        // What was done in the last moment is not done again.
        let again = cli.run(&words);
        assert!(matches!(again.code, Some(0 | 1)), "{again:?}");
        assert_eq!(texts(&history(&cli, bob)), said, "all of it, and once");
    }
}
