//! What happens in the demo, and what is expected of it.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use endtoend_protocol::limits;

use super::DemoError;
use super::client::{Person, Printed};
use super::process::{NodeProcess, beside};
use super::search::{Searched, find_in_trees};
use crate::clock;

/// A line of the transcript: a message as its sender and its reader saw it.
pub(super) struct Line {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) text: String,
    /// By the node's clock and by the reader's, in milliseconds since the demo began.
    pub(super) accepted_ms: u64,
    /// `None` when it did not arrive.
    pub(super) delivered_ms: Option<u64>,
    pub(super) wire_bytes: u64,
}

/// Something that is in the transcript between two messages.
pub(super) enum Scene {
    Said(Line),
    Happened { at_ms: u64, what: String },
}

/// Something that was promised.
pub(super) struct Promise {
    pub(super) what: String,
    pub(super) kept: bool,
}

/// All that was seen.
pub(super) struct Seen {
    pub(super) scenes: Vec<Scene>,
    pub(super) safety_numbers: [String; 2],
    pub(super) searched: Searched,
    pub(super) promises: Vec<Promise>,
    pub(super) took_ms: u64,
    pub(super) kept: Option<Kept>,
}

/// A node that goes on running.
pub(super) struct Kept {
    pub(super) pid: u32,
    pub(super) address: String,
    pub(super) commands: [String; 2],
    pub(super) passwords: [String; 2],
}

/// What has been seen so far.
pub(super) struct Stage {
    began: u64,
    scenes: Vec<Scene>,
    promises: Vec<Promise>,
    /// Everything that was sent, in order, and by whom.
    texts: Vec<(&'static str, String)>,
}

pub(super) fn play(keep: bool) -> Result<Seen, DemoError> {
    let dir = Dir::new()?;
    let mut stage = Stage::new();
    let mut node = NodeProcess::start(dir.path(), keep)?;
    let alice = Person::register("alice", dir.path(), node.address())?;
    let bob = Person::register("bob", dir.path(), node.address())?;

    stage.happened("bob is here");
    let listening = bob.listen(3)?;
    let sent = [
        alice.send(&bob, "Hi Bob, it is me, Alice. Do you read this?")?,
        alice.send(&bob, "Nobody in between does, they say.")?,
        alice.send(&bob, "Tell me something long, s'il te plaît.")?,
    ];
    stage.exchanged(&alice, &bob, &sent, &listening.messages()?);

    stage.happened("alice is here");
    let listening = alice.listen(2)?;
    let sent = [bob.send(&alice, "Hello Alice! Here it comes.")?, bob.send(&alice, &long_text())?];
    stage.exchanged(&bob, &alice, &sent, &listening.messages()?);

    stage.happened("bob is away");
    let first = alice.send(&bob, "Sixty KiB! Thank you. I write this while you are away.")?;
    let second = alice.send(&bob, "The node has accepted this one, and now…")?;
    stage.happened("kill -9, at once after it was accepted; the node starts again");
    node.kill_and_restart()?;
    let third = alice.send(&bob, "… it was killed, and is back. Did anything get lost?")?;
    stage.happened("bob comes back");
    stage.exchanged(&alice, &bob, &[first, second, third], &bob.listen(3)?.messages()?);

    let sent = [bob.send(&alice, "Not a word, and none came twice.")?, bob.send(&alice, "See you tomorrow?")?];
    stage.happened("kill -9 again, while alice is away; the node starts again");
    node.kill_and_restart()?;
    stage.exchanged(&bob, &alice, &sent, &alice.listen(2)?.messages()?);

    // Whatever had come twice would be read before these.
    stage.happened("good night");
    let sent = [alice.send(&bob, "Tomorrow it is. Good night!")?];
    stage.exchanged(&alice, &bob, &sent, &bob.listen(1)?.messages()?);
    let sent = [bob.send(&alice, "Good night, Alice.")?];
    stage.exchanged(&bob, &alice, &sent, &alice.listen(1)?.messages()?);
    let safety_numbers = stage.compared(&alice, &bob)?;
    let searched = stage.searched(&[node.data(), node.log()], &[&alice, &bob])?;
    stage.promise("no text and no password is in the node's data or log", searched.hits.is_empty());

    let kept = match keep {
        false => None,
        true => {
            dir.keep();
            let program = beside("endtoend-cli")?;
            let chat = |me: &Person, with: &Person| {
                format!("{} --home {} chat --with {}", quoted(&program), quoted(me.home()), with.handle)
            };
            let commands = [chat(&alice, &bob), chat(&bob, &alice)];
            let passwords = [alice.password.clone(), bob.password.clone()];
            let address = node.address().to_owned();
            node.keep().map(|pid| Kept { pid, address, commands, passwords })
        }
    };
    Ok(stage.seen(safety_numbers, searched, kept))
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { began: clock::now().get(), scenes: Vec::new(), promises: Vec::new(), texts: Vec::new() }
    }

    pub(super) fn seen(self, safety_numbers: [String; 2], searched: Searched, kept: Option<Kept>) -> Seen {
        let Self { began, scenes, promises, .. } = self;
        let took_ms = clock::now().get().saturating_sub(began);
        Seen { scenes, safety_numbers, searched, promises, took_ms, kept }
    }

    pub(super) fn happened(&mut self, what: impl Into<String>) {
        let at_ms = clock::now().get().saturating_sub(self.began);
        self.scenes.push(Scene::Happened { at_ms, what: what.into() });
    }

    /// What both have at the end; their safety numbers.
    pub(super) fn compared(&mut self, alice: &Person, bob: &Person) -> Result<[String; 2], DemoError> {
        for (me, with) in [(alice, bob), (bob, alice)] {
            let all = self.as_seen_by(me);
            let what = format!("{}'s history has all {} messages, each once and in order", me.handle, all.len());
            self.promise(what, me.history(with)? == all);
        }
        let safety_numbers = [alice.safety_number(bob)?, bob.safety_number(alice)?];
        let [of_alice, of_bob] = &safety_numbers;
        self.promise("both have the same safety number", of_alice == of_bob && !of_alice.is_empty());
        Ok(safety_numbers)
    }

    /// Looks for everything that was said, and for the passwords, below these roots.
    pub(super) fn searched(&mut self, roots: &[&Path], people: &[&Person]) -> Result<Searched, DemoError> {
        // Of a long text any part would be too much: the beginning stands for it.
        let needles: Vec<&[u8]> = self
            .texts
            .iter()
            .map(|(_, text)| text.as_bytes())
            .map(|bytes| bytes.get(..60).unwrap_or(bytes))
            .chain(people.iter().map(|person| person.password.as_bytes()))
            .collect();
        let searched = find_in_trees(roots, &needles).map_err(DemoError::io("search what the servers kept"))?;
        self.promise("there was data to look through", searched.files >= 3 && searched.bytes > 10_000);
        Ok(searched)
    }

    pub(super) fn promise(&mut self, what: impl Into<String>, kept: bool) {
        self.promises.push(Promise { what: what.into(), kept });
    }

    /// What one sent must be what the other got: each text once, in order, under the same name.
    pub(super) fn exchanged(&mut self, from: &Person, to: &Person, sent: &[Printed], got: &[Printed]) {
        let same = |s: &Printed, g: &Printed| s.text == g.text && s.message_id == g.message_id && g.from == from.handle;
        let all = sent.len() == got.len() && sent.iter().zip(got).all(|(s, g)| same(s, g));
        let what = format!("{} got what {} sent, each text once and in order: {}", to.handle, from.handle, sent.len());
        self.promise(what, all);
        for sent in sent {
            let got = got.iter().find(|got| got.message_id == sent.message_id);
            self.texts.push((from.handle, sent.text.clone()));
            self.scenes.push(Scene::Said(Line {
                from: from.handle,
                to: to.handle,
                text: sent.text.clone(),
                accepted_ms: sent.accepted_ms.saturating_sub(self.began),
                delivered_ms: got.map(|got| got.received_ms.saturating_sub(self.began)),
                wire_bytes: sent.wire_bytes,
            }));
        }
    }

    /// The history that this person should have.
    fn as_seen_by(&self, person: &Person) -> Vec<(bool, String)> {
        self.texts.iter().map(|(from, text)| (*from == person.handle, text.clone())).collect()
    }
}

/// 60 KiB, the longest text there is.
fn long_text() -> String {
    let mut text: String = (1..).map(|n| format!("Sheep number {n} jumps over the fence. ")).take(2_000).collect();
    text.truncate(limits::TEXT_BYTES_MAX);
    text
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// A directory of the demo's own, removed in the end unless it is kept.
pub(super) struct Dir(Option<PathBuf>);

impl Dir {
    pub(super) fn new() -> Result<Self, DemoError> {
        Self::with_mode(0o700)
    }

    /// Others may pass through it, as PostgreSQL does when root starts this: it runs as somebody else.
    pub(super) fn for_others() -> Result<Self, DemoError> {
        Self::with_mode(0o711)
    }

    fn with_mode(mode: u32) -> Result<Self, DemoError> {
        let path = std::env::temp_dir().join(format!("endtoend-demo-{:016x}", rand::random::<u64>()));
        std::fs::DirBuilder::new().mode(mode).create(&path).map_err(DemoError::io("make a temporary directory"))?;
        Ok(Self(Some(path)))
    }
    pub(super) fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new("."))
    }
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What is left lies in the system's temporary directory.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
