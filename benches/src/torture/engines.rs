//! Two people with real clients, `endtoend-cli`, beside the rest: what counts is what stands in Bob's history at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use endtoend_testkit::{Cli, Running};
use serde_json::Value;
use tempfile::TempDir;

const ALICE: &str = "alice.the.sender";
const BOB: &str = "bob.the.listener";
/// What Alice writes at the very end.
const LAST: &str = "the end";
/// Bob listens this often for it, 10 s each.
const TRIES: usize = 6;

/// What they found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Texts that Alice's client took.
    pub(crate) written: usize,
    /// Times that Bob's client was killed while it listened.
    pub(crate) listeners_killed: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) disordered: usize,
    /// Commands that ended otherwise than they should.
    pub(crate) failed: usize,
}

impl Found {
    pub(crate) const fn violations(&self) -> usize {
        self.lost + self.doubled + self.disordered + self.failed
    }
}

/// Alice writes until [`Pair::end`].
pub(crate) struct Pair {
    bob: Cli,
    alice: Cli,
    stop: Arc<AtomicBool>,
    writing: JoinHandle<(Vec<String>, usize)>,
    listening: Option<Running>,
    listeners_killed: usize,
    _homes: TempDir,
}

impl Pair {
    /// Registers both, each at an address; Alice begins to write, and Bob to listen.
    pub(crate) fn start([at_alice, at_bob]: [String; 2]) -> Self {
        let homes = tempfile::tempdir().expect("a temporary directory");
        let alice = Cli::new(homes.path().join("alice"), at_alice);
        let bob = Cli::new(homes.path().join("bob"), at_bob);
        alice.register(ALICE).done();
        bob.register(BOB).done();
        // So that nothing is held back as a request.
        bob.send(ALICE, "write to me").done();
        let stop = Arc::new(AtomicBool::new(false));
        let (writer, stopped) = (alice.clone(), Arc::clone(&stop));
        let writing = std::thread::spawn(move || write(&writer, &stopped));
        let listening = Some(bob.spawn_listen());
        Self { bob, alice, stop, writing, listening, listeners_killed: 0, _homes: homes }
    }

    /// Bob's client is killed, and listens again.
    pub(crate) fn kill_listener(&mut self) {
        drop(self.listening.take());
        self.listening = Some(self.bob.spawn_listen());
        self.listeners_killed += 1;
    }

    /// Waits until the last text has arrived, and compares. Both may have something left to hear.
    pub(crate) fn end(self) -> (Found, Gone) {
        let Self { bob, alice, stop, writing, listening, listeners_killed, _homes } = self;
        stop.store(true, Ordering::SeqCst);
        let (mut written, mut failed) = writing.join().expect("the writer ends");
        let last = alice.send(BOB, LAST);
        failed += usize::from(last.code != Some(0));
        written.push(LAST.to_owned());
        drop(listening);
        // The listener that was there until now has mostly heard it: then another one would wait for nothing.
        let mut heard = history(&bob);
        for _ in 0..TRIES {
            if heard.last().is_some_and(|text| text == LAST) {
                break;
            }
            let listened = bob.run(&["--timeout", "10s", "listen", "--count", "1"]);
            failed += usize::from(!matches!(listened.code, Some(0 | 5)));
            heard = history(&bob);
        }
        let mut found = compare(&written, &heard);
        found.failed = failed;
        found.listeners_killed = listeners_killed;
        (found, Gone { people: [alice, bob], _homes })
    }
}

/// Both, when they talk no more.
pub(crate) struct Gone {
    people: [Cli; 2],
    _homes: TempDir,
}

impl Gone {
    /// Both come once more for what waits for them: a listener that was killed has not said what it has heard, and has perhaps
    /// asked for something again.
    pub(crate) fn come(&self) {
        for who in &self.people {
            let _nothing_new = who.run(&["--timeout", "3s", "listen", "--count", "1"]);
        }
    }
}

/// What Bob has from Alice, in the order of his history.
fn history(bob: &Cli) -> Vec<String> {
    let history = bob.run(&["history", "--with", ALICE, "--limit", "100000"]);
    let text = |line: &Value| {
        let incoming = line.get("direction").and_then(Value::as_str) == Some("in");
        incoming.then(|| line.get("text").and_then(Value::as_str).map(str::to_owned)).flatten()
    };
    history.lines.iter().filter_map(text).collect()
}

/// One text after the other; those that the client took, and how many it did not.
fn write(alice: &Cli, stop: &AtomicBool) -> (Vec<String>, usize) {
    let (mut written, mut failed) = (Vec::new(), 0);
    for number in 0_usize.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let text = format!("text {number}");
        let sent = alice.run(&["--timeout", "5s", "send", "--to", BOB, "--text", &text]);
        // Then it is in the outbox or with the server, whatever the command made of it.
        if sent.lines.first().is_some_and(|line| line.get("message_id").is_some()) {
            written.push(text);
        } else {
            eprintln!("torture: {sent:?}");
            failed += 1;
        }
    }
    (written, failed)
}

fn compare(written: &[String], heard: &[String]) -> Found {
    let mut found = Found { written: written.len(), ..Found::default() };
    let mut latest = None;
    for text in written {
        let mut there = heard.iter().enumerate().filter(|(_, heard)| *heard == text).map(|(place, _)| place);
        match there.next() {
            None => found.lost += 1,
            Some(place) => {
                found.disordered += usize::from(latest.is_some_and(|latest| latest > place));
                latest = latest.max(Some(place));
                found.doubled += there.count();
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(heard: &[&str]) -> [usize; 3] {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let Found { lost, doubled, disordered, .. } = compare(&texts(&["a", "b", "c"]), &texts(heard));
        [lost, doubled, disordered]
    }

    #[test]
    fn a_history_is_compared_with_what_was_written() {
        assert_eq!(found(&["a", "b", "c"]), [0, 0, 0]);
        assert_eq!(found(&["a", "c"]), [1, 0, 0]);
        assert_eq!(found(&["a", "b", "b", "c"]), [0, 1, 0]);
        assert_eq!(found(&["b", "a", "c"]), [0, 0, 1]);
    }
}
