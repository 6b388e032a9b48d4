//! Files between engines, over a small node that is unkind to them.

use std::fs;
use std::path::{Path, PathBuf};

use endtoend_protocol::limits::BLOB_PART_BYTES_MAX;
use endtoend_protocol::{MessageId, RefusalCode};
use tempfile::TempDir;
use tokio::time::timeout;

use super::blobs::BlobLie;
use super::node::Node;
use super::wiring::{PATIENCE, Person};
use crate::database::{Body, FileFault, FileState, MessageState, Question, StoredFile, StoredMessage, Why};
use crate::engine::{Attaching, Deed, FileError, Way};
use crate::files::{Manner, SaveError, Source};

const MARKER: &[u8] = b"a marker that is in no file but those of people";

/// Of several parts, and of no even number of them.
fn bytes() -> Vec<u8> {
    MARKER.iter().copied().cycle().take(3 * BLOB_PART_BYTES_MAX + 12_345).collect()
}

struct Scene {
    node: Node,
    alice: Person,
    bob: Person,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let node = Node::start().await;
        let [alice, bob] = [Person::registered(&node, "alice").await, Person::registered(&node, "bob").await];
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("report.txt"), bytes()).unwrap();
        Self { node, alice, bob, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Alice sends the file to somebody.
    async fn attach_to(&self, to: &str) -> MessageId {
        let source = Source::File(self.path("report.txt"));
        let attaching = Attaching { to: to.parse().unwrap(), source, manner: Manner::Usual, reply_to: None };
        self.alice.engine.handle().attach(attaching).await.unwrap()
    }

    async fn attach(&self) -> MessageId {
        self.attach_to("bob").await
    }

    /// What somebody has of a message with somebody.
    async fn message(person: &Person, with: &str, id: MessageId) -> Option<StoredMessage> {
        person.engine.handle().message(with.parse().unwrap(), id).await.unwrap()
    }

    async fn file(person: &Person, with: &str, id: MessageId) -> Option<StoredFile> {
        match Self::message(person, with, id).await?.body {
            Body::File(stored) => Some(*stored),
            _ => None,
        }
    }

    /// Waits until a file stands so.
    async fn until(person: &Person, with: &str, id: MessageId, state: FileState) {
        let mut events = person.engine.events();
        loop {
            let found = Self::file(person, with, id).await.map(|stored| stored.state);
            if found == Some(state) {
                return;
            }
            let next = timeout(PATIENCE, events.recv()).await;
            assert!(next.is_ok(), "a file is {found:?} and not {state:?}");
        }
    }

    /// Waits until Bob has the message.
    async fn received(&self, id: MessageId) {
        let mut events = self.bob.engine.events();
        while Self::message(&self.bob, "alice", id).await.is_none() {
            timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        }
    }

    async fn fetch(&self, id: MessageId) {
        self.bob.engine.handle().fetch_file("alice".parse().unwrap(), id).await.unwrap();
    }

    async fn save(&self, id: MessageId, name: &str) -> Result<(), FileError> {
        self.bob.engine.handle().save_file("alice".parse().unwrap(), id, self.path(name), false).await
    }
}

/// Whether any file below a folder has the text.
fn found_below(folder: &Path, text: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found_below(&path, text),
            false => fs::read(path).unwrap().windows(text.len()).any(|window| window == text),
        }
    })
}

fn sealed_files(person: &Person) -> usize {
    fs::read_dir(person.home().join("files")).map_or(0, Iterator::count)
}

/// Waits until something is so that nobody tells of.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = crate::clock::monotonic() + PATIENCE;
    while !holds() {
        assert!(crate::clock::monotonic() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_file_comes_to_who_was_away_and_is_in_clear_nowhere_but_where_it_was_saved() {
    let mut scene = Scene::new().await;
    scene.bob = scene.bob.restarted(false).await;
    let id = scene.attach().await;
    // The same bytes are sent whatever becomes of the file.
    fs::write(scene.path("report.txt"), b"something else").unwrap();
    assert_eq!(scene.alice.settled(id).await, MessageState::Accepted);
    assert!(scene.node.ledger().blobs.count() == 1 && !scene.node.ledger().blobs.contains(MARKER));
    scene.bob = scene.bob.restarted(true).await;
    scene.received(id).await;
    let stored = Scene::file(&scene.bob, "alice", id).await.unwrap();
    assert_eq!((stored.file.name.as_str(), stored.file.media_type.as_str()), ("report.txt", "text/plain"));
    assert_eq!((stored.file.bytes, stored.state), (bytes().len() as u64, FileState::Offered));
    assert!(matches!(scene.save(id, "saved").await, Err(FileError::NotHere)));
    scene.fetch(id).await;
    Scene::until(&scene.bob, "alice", id, FileState::Here).await;
    scene.save(id, "saved").await.unwrap();
    assert_eq!(fs::read(scene.path("saved")).unwrap(), bytes());
    let exists = scene.save(id, "saved").await;
    assert!(matches!(exists, Err(FileError::Save(SaveError::Exists(_)))), "{exists:?}");
    let read = scene.bob.engine.handle().read_file("alice".parse().unwrap(), id).await.unwrap();
    assert_eq!(**read, bytes());
    let question = Question { words: "report".to_owned(), has_file: true, ..Question::default() };
    let named = scene.bob.engine.handle().search(question, None, 10).await.unwrap();
    assert_eq!(named.iter().map(|message| message.id).collect::<Vec<_>>(), [id]);
    for person in [&scene.alice, &scene.bob] {
        assert_eq!(sealed_files(person), 1);
        assert!(!found_below(person.home(), MARKER));
    }
}

#[tokio::test]
async fn whatever_a_server_gives_instead_of_a_file_is_not_taken_for_it() {
    let scene = Scene::new().await;
    let id = scene.attach().await;
    scene.alice.settled(id).await;
    scene.received(id).await;
    let lies = [
        BlobLie::CutOff,
        BlobLie::Short,
        BlobLie::Longer,
        BlobLie::Other,
        BlobLie::Exchanged,
        BlobLie::Repeated,
        BlobLie::Bent,
    ];
    for lie in lies {
        scene.node.ledger().blobs.lie = Some(lie);
        scene.fetch(id).await;
        Scene::until(&scene.bob, "alice", id, FileState::Failed(FileFault::Forged)).await;
        assert!(matches!(scene.save(id, "saved").await, Err(FileError::NotHere)), "{lie:?}");
    }
    // What had opened of it was of the file: an honest server goes on from there.
    scene.node.ledger().blobs.lie = None;
    scene.node.ledger().blobs.fetched.clear();
    scene.fetch(id).await;
    Scene::until(&scene.bob, "alice", id, FileState::Here).await;
    scene.save(id, "saved").await.unwrap();
    assert_eq!(fs::read(scene.path("saved")).unwrap(), bytes());
    assert!(scene.node.ledger().blobs.fetched.first().is_some_and(|offset| *offset > 0));
    // One that has expired is gone, and the message says so.
    let other = scene.attach().await;
    scene.alice.settled(other).await;
    scene.received(other).await;
    scene.node.ledger().blobs.expire();
    scene.fetch(other).await;
    Scene::until(&scene.bob, "alice", other, FileState::Failed(FileFault::Gone)).await;
}

#[tokio::test]
async fn both_ways_go_on_where_they_were_cut_off() {
    let mut scene = Scene::new().await;
    // A connection that brings less than a chunk brings nothing that could be kept.
    scene.node.ledger().blobs.cut_after = Some(2);
    let id = scene.attach().await;
    // With another engine in the middle, which has nothing but the disk.
    scene.alice = scene.alice.restarted(true).await;
    assert_eq!(scene.alice.settled(id).await, MessageState::Accepted);
    let put = scene.node.ledger().blobs.put.clone();
    assert_eq!(put.iter().filter(|offset| **offset == 0).count(), 1, "{put:?}");
    scene.received(id).await;
    scene.fetch(id).await;
    scene.bob = scene.bob.restarted(true).await;
    Scene::until(&scene.bob, "alice", id, FileState::Here).await;
    let fetched = scene.node.ledger().blobs.fetched.clone();
    assert!(fetched.iter().filter(|offset| **offset == 0).count() <= 2, "{fetched:?}");
    scene.save(id, "saved").await.unwrap();
    assert_eq!(fs::read(scene.path("saved")).unwrap(), bytes());
    let history = scene.bob.engine.handle().history("alice".parse().unwrap(), 10).await.unwrap();
    assert_eq!(history.len(), 1);
}

#[tokio::test]
async fn what_is_written_meanwhile_does_not_wait_for_a_file_and_a_refused_one_waits_for_a_person() {
    let scene = Scene::new().await;
    scene.node.ledger().blobs.refuse = Some(RefusalCode::Unavailable);
    let id = scene.attach().await;
    let text = scene.alice.send("bob", "a text").await;
    assert_eq!(scene.alice.settled(text).await, MessageState::Accepted);
    assert_eq!(Scene::message(&scene.alice, "bob", id).await.unwrap().state, MessageState::Queued);
    scene.node.ledger().blobs.refuse = Some(RefusalCode::BlobBudget);
    let alice = scene.alice.engine.handle();
    alice.fetch_file("bob".parse().unwrap(), id).await.unwrap();
    Scene::until(&scene.alice, "bob", id, FileState::Failed(FileFault::NotTaken)).await;
    let pending = alice.pending(10).await.unwrap();
    assert_eq!(pending.iter().map(|it| it.why).collect::<Vec<_>>(), [Why::FileFailed(FileFault::NotTaken)]);
    scene.node.ledger().blobs.refuse = None;
    alice.retry("bob".parse().unwrap(), id).await.unwrap();
    assert_eq!(scene.alice.settled(id).await, MessageState::Accepted);
    scene.received(id).await;
    let history = scene.bob.engine.handle().history("alice".parse().unwrap(), 10).await.unwrap();
    assert_eq!(history.len(), 2);
}

#[tokio::test]
async fn what_is_cancelled_leaves_nothing_and_reaches_nobody() {
    let scene = Scene::new().await;
    // It has begun, and does not end.
    scene.node.ledger().blobs.cut_after = Some(0);
    let id = scene.attach().await;
    let node = &scene.node;
    eventually("nothing was begun", || node.ledger().blobs.count() == 1).await;
    let alice = scene.alice.engine.handle();
    // Whoever wants to fetch something no further does not lose a message for it.
    let other = alice.cancel_file("bob".parse().unwrap(), id, Way::Down).await;
    assert!(matches!(other, Err(FileError::OtherWay(Way::Up))), "{other:?}");
    assert!(Scene::message(&scene.alice, "bob", id).await.is_some());
    alice.cancel_file("bob".parse().unwrap(), id, Way::Up).await.unwrap();
    assert!(matches!(alice.cancel_file("bob".parse().unwrap(), id, Way::Up).await, Err(FileError::NoFile)));
    assert_eq!((sealed_files(&scene.alice), Scene::message(&scene.alice, "bob", id).await), (0, None));
    node.ledger().blobs.cut_after = None;
    eventually("the server keeps it", || node.ledger().blobs.count() == 0).await;

    let id = scene.attach().await;
    scene.alice.settled(id).await;
    assert!(matches!(alice.cancel_file("bob".parse().unwrap(), id, Way::Up).await, Err(FileError::NotMoving)));
    scene.received(id).await;
    scene.node.ledger().blobs.cut_after = Some(1);
    scene.fetch(id).await;
    eventually("nothing has come", || sealed_files(&scene.bob) == 1).await;
    let bob = scene.bob.engine.handle();
    let other = bob.cancel_file("alice".parse().unwrap(), id, Way::Up).await;
    assert!(matches!(other, Err(FileError::OtherWay(Way::Down))), "{other:?}");
    assert_eq!(Scene::file(&scene.bob, "alice", id).await.unwrap().state, FileState::Fetching);
    bob.cancel_file("alice".parse().unwrap(), id, Way::Down).await.unwrap();
    assert_eq!(sealed_files(&scene.bob), 0);
    assert_eq!(Scene::file(&scene.bob, "alice", id).await.unwrap().state, FileState::Offered);
    let history = scene.bob.engine.handle().history("alice".parse().unwrap(), 10).await.unwrap();
    assert_eq!(history.len(), 1);
}

#[tokio::test]
async fn a_deleted_message_takes_its_file_with_it_from_both_disks_and_from_the_server() {
    let scene = Scene::new().await;
    let [id, kept] = [scene.attach().await, scene.attach().await];
    for id in [id, kept] {
        scene.alice.settled(id).await;
        scene.received(id).await;
        scene.fetch(id).await;
        Scene::until(&scene.bob, "alice", id, FileState::Here).await;
    }
    assert_eq!([sealed_files(&scene.alice), sealed_files(&scene.bob)], [2, 2]);
    scene.alice.engine.handle().act("bob".parse().unwrap(), Deed::DeleteForEveryone(id)).await.unwrap();
    eventually("a file stays", || [&scene.alice, &scene.bob].map(sealed_files) == [1, 1]).await;
    eventually("the server keeps it", || scene.node.ledger().blobs.removed == 1).await;
    assert_eq!(Scene::message(&scene.bob, "alice", id).await.unwrap().body, Body::Deleted);
    // Whoever deletes it for himself leaves it to the other.
    scene.alice.engine.handle().act("bob".parse().unwrap(), Deed::DeleteForMe(kept)).await.unwrap();
    assert_eq!(sealed_files(&scene.alice), 0);
    assert_eq!(Scene::file(&scene.bob, "alice", kept).await.unwrap().state, FileState::Here);
    let question = Question { has_file: true, ..Question::default() };
    assert_eq!(scene.bob.engine.handle().search(question, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_not_saved_and_fetched_again() {
    let scene = Scene::new().await;
    let id = scene.attach().await;
    scene.alice.settled(id).await;
    scene.received(id).await;
    scene.fetch(id).await;
    Scene::until(&scene.bob, "alice", id, FileState::Here).await;
    let sealed = fs::read_dir(scene.bob.home().join("files")).unwrap().next().unwrap().unwrap().path();
    // What this disk does not give at the moment is as it was, and stays.
    let aside = scene.path("aside");
    fs::rename(&sealed, &aside).unwrap();
    fs::create_dir(&sealed).unwrap();
    let unreadable = scene.save(id, "saved").await;
    assert!(matches!(unreadable, Err(FileError::Save(SaveError::Unreadable(_)))), "{unreadable:?}");
    assert_eq!(Scene::file(&scene.bob, "alice", id).await.unwrap().state, FileState::Here);
    fs::remove_dir(&sealed).unwrap();
    fs::rename(&aside, &sealed).unwrap();
    let mut bent = fs::read(&sealed).unwrap();
    bent[100] ^= 1;
    fs::write(&sealed, bent).unwrap();
    let damaged = scene.save(id, "saved").await;
    assert!(matches!(damaged, Err(FileError::Save(SaveError::Damaged))), "{damaged:?}");
    assert!(!scene.path("saved").exists());
    Scene::until(&scene.bob, "alice", id, FileState::Offered).await;
    scene.fetch(id).await;
    Scene::until(&scene.bob, "alice", id, FileState::Here).await;
    scene.save(id, "saved").await.unwrap();
}

#[tokio::test]
async fn a_message_never_leaves_without_its_file() {
    let mut scene = Scene::new().await;
    scene.node.ledger().blobs.refuse = Some(RefusalCode::Unavailable);
    let id = scene.attach().await;
    let sealed = fs::read_dir(scene.alice.home().join("files")).unwrap().next().unwrap().unwrap().path();
    let mut bent = fs::read(&sealed).unwrap();
    bent[100] ^= 1;
    fs::write(&sealed, bent).unwrap();
    let alice = scene.alice.engine.handle();
    let saved = alice.save_file("bob".parse().unwrap(), id, scene.path("saved"), false).await;
    assert!(matches!(saved, Err(FileError::Save(SaveError::Damaged))), "{saved:?}");
    Scene::until(&scene.alice, "bob", id, FileState::Failed(FileFault::Disk)).await;
    assert!(sealed.exists(), "nobody else has what is left of it");
    scene.node.ledger().blobs.refuse = None;
    // Whatever waits is queued at the start, and what is written later comes after it.
    scene.alice = scene.alice.restarted(true).await;
    let later = scene.alice.send("bob", "later").await;
    assert_eq!(scene.alice.settled(later).await, MessageState::Accepted);
    assert_eq!(Scene::message(&scene.alice, "bob", id).await.unwrap().state, MessageState::Queued);
    assert_eq!(scene.bob.unread(1).await, ["later"]);
    assert_eq!(scene.node.ledger().blobs.count(), 0);
}

#[tokio::test]
async fn what_comes_from_a_backup_without_its_file_can_be_given_up_and_is_never_sent() {
    let mut scene = Scene::new().await;
    let id = scene.attach().await;
    scene.alice.settled(id).await;
    let written = Scene::message(&scene.alice, "bob", id).await.unwrap();
    let Body::File(stored) = written.body.clone() else { panic!("no file") };
    // As a backup brings it back: what is said of it, and neither its bytes nor its secret.
    let lost = MessageId::new(endtoend_protocol::UnixMillis::new(1), [7; 10]);
    let state = FileState::Failed(FileFault::Gone);
    let body = Body::File(Box::new(StoredFile { state, ..*stored }));
    let message = StoredMessage { id: lost, state: MessageState::Queued, body, accepted_at: None, ..written };
    scene.alice = scene.alice.changed(true, |store| store.put_message(&message).map(drop)).await;
    let (alice, bob) = (scene.alice.engine.handle(), || "bob".parse().unwrap());
    alice.fetch_file(bob(), lost).await.unwrap();
    alice.retry(bob(), lost).await.unwrap();
    assert_eq!(Scene::file(&scene.alice, "bob", lost).await.unwrap().state, state);
    let saved = alice.save_file(bob(), lost, scene.path("saved"), false).await;
    assert!(matches!(saved, Err(FileError::NotHere)), "{saved:?}");
    scene.alice = scene.alice.restarted(true).await;
    let later = scene.alice.send("bob", "later").await;
    assert_eq!(scene.alice.settled(later).await, MessageState::Accepted);
    assert_eq!(Scene::message(&scene.alice, "bob", lost).await.unwrap().state, MessageState::Queued);
    assert!(Scene::message(&scene.bob, "alice", lost).await.is_none());
    let alice = scene.alice.engine.handle();
    alice.cancel_file(bob(), lost, Way::Up).await.unwrap();
    assert_eq!(Scene::message(&scene.alice, "bob", lost).await, None);
    assert_eq!(alice.pending(10).await.unwrap(), []);
    assert_eq!(Scene::file(&scene.alice, "bob", id).await.unwrap().state, FileState::Here, "the other is as it was");
}

#[tokio::test]
async fn what_was_begun_when_the_program_died_is_removed_and_what_is_known_stays() {
    let mut scene = Scene::new().await;
    let id = scene.attach().await;
    scene.alice.settled(id).await;
    fs::write(scene.alice.home().join("files").join("0123456789abcdef0123456789abcdef"), b"begun").unwrap();
    scene.alice = scene.alice.restarted(true).await;
    assert_eq!(sealed_files(&scene.alice), 1);
    // A note to oneself has nobody else to fetch it, as far as is known of the own devices.
    scene.alice.until_online().await;
    let own = scene.alice.handle.to_string();
    let note = scene.attach_to(&own).await;
    assert_eq!(scene.alice.settled(note).await, MessageState::Accepted);
    assert_eq!(scene.node.ledger().blobs.count(), 1);
    let saved =
        scene.alice.engine.handle().save_file(scene.alice.handle.clone(), note, scene.path("note"), false).await;
    assert!(saved.is_ok() && fs::read(scene.path("note")).unwrap() == bytes());
}

/// Room is made, nothing is lost, and what this account has sent stays.
#[tokio::test]
async fn what_was_fetched_goes_from_the_disk_and_comes_again() {
    let scene = Scene::new().await;
    let id = scene.attach().await;
    Scene::until(&scene.bob, "alice", id, FileState::Offered).await;
    let bob = scene.bob.engine.handle();
    assert_eq!(bob.clear_files().await.unwrap(), 0, "nothing was fetched yet");
    bob.fetch_file("alice".parse().unwrap(), id).await.unwrap();
    Scene::until(&scene.bob, "alice", id, FileState::Here).await;
    let freed = bob.clear_files().await.unwrap();
    assert!(freed >= bytes().len() as u64, "{freed}");
    Scene::until(&scene.bob, "alice", id, FileState::Offered).await;
    let place = scene.path("copy.txt");
    let gone = bob.save_file("alice".parse().unwrap(), id, place.clone(), false).await;
    assert!(matches!(gone, Err(FileError::NotHere)));
    bob.fetch_file("alice".parse().unwrap(), id).await.unwrap();
    Scene::until(&scene.bob, "alice", id, FileState::Here).await;
    bob.save_file("alice".parse().unwrap(), id, place.clone(), false).await.unwrap();
    assert_eq!(fs::read(place).unwrap(), bytes());
    assert_eq!(scene.alice.engine.handle().clear_files().await.unwrap(), 0);
    Scene::until(&scene.alice, "bob", id, FileState::Here).await;
}
