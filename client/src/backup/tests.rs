//! Backups of real profiles in real files.

use std::fs;
use std::path::{Path, PathBuf};

use endtoend_crypto_core::passphrase::Params;
use endtoend_crypto_core::stream::CHUNK_BYTES;
use endtoend_crypto_e2e::{
    RecordKey, Records as _, accept_identity, create_identity, export_identity, identity_public,
};
use endtoend_protocol::{AccountTag, Arrangement, DeviceId, Emoji, Lifetime, MessageId, Muted, Text, UnixMillis};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::file::unfinished;
use super::*;
use crate::database::{
    Account, AccountState, Body, Contact, DatabaseError, Direction, Draft, Edits, Marks, MessageRef, MessageState,
    Settings, Standing, Store, StoredMessage,
};
use crate::face::{Face, Portrait};
use crate::profile::Profile;

const FAST: Params = Params { memory_kib: 8, passes: 1, lanes: 1 };
const PASSWORD: &[u8] = b"correct horse";
const PASSPHRASE: &[u8] = b"battery staple";
const OWN: AccountTag = AccountTag::new([1; 32]);
const BOB: AccountTag = AccountTag::new([2; 32]);
const MARKER: &str = "the quick brown fox";

fn at(ms: u64) -> UnixMillis {
    UnixMillis::new(ms)
}

fn id(n: u8) -> MessageId {
    MessageId::new(at(n.into()), [n; 10])
}

fn message(n: u8, direction: Direction, text: &str) -> StoredMessage {
    let state = if direction == Direction::In { MessageState::Received } else { MessageState::Read };
    StoredMessage {
        seq: 0,
        peer: BOB,
        handle: None,
        direction,
        id: id(n),
        state,
        body: Body::Text(Text::new(text.to_owned()).unwrap()),
        sent_at: at(100 + u64::from(n)),
        accepted_at: Some(at(200)),
        received_at: Some(at(300)),
        wire_bytes: Some(400),
        shown: n != 2,
        marks: Marks::default(),
    }
}

fn fill(store: &Store<'_>) -> Result<(), DatabaseError> {
    store.apply(&create_identity(&mut rand::rng()).unwrap())?;
    store.put_account(&Account {
        server: format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64)).parse().unwrap(),
        handle: "alice".parse().unwrap(),
        tag: Some(OWN),
        oprf_key: Some([9; 32]),
        server_password: None,
        device: DeviceId::FIRST,
        state: AccountState::Registered,
        seed: Box::new(Zeroizing::new([3; 64])),
    })?;
    store.set_settings(Settings { receipts: true, typing: false })?;
    store.put_contact(BOB, Some(&"bob".parse().unwrap()))?;
    store.decide(BOB, Standing::Accepted, at(5))?;
    let bob = identity_public(store).unwrap();
    store.apply(&accept_identity(BOB, &bob).unwrap())?;
    store.set_verified(BOB, Some(&bob))?;
    store.set_nickname(BOB, Some(&"Bobby".parse().unwrap()))?;
    store.set_arrangement(BOB, Arrangement { pinned: true, muted: Muted::Until(at(99)) })?;
    let text = |words: &str| Text::new(words.to_owned()).unwrap();
    let edits = Edits { of: id(2), before: Some(text("a whole one")) };
    let draft = Draft { text: text("half a thought"), answers: Some(id(1)), edits: Some(edits) };
    store.set_draft(&"bob".parse().unwrap(), Some(&draft), at(6))?;
    let mut jpeg = Vec::new();
    let image = image::DynamicImage::ImageRgb8(image::RgbImage::from_pixel(8, 8, image::Rgb([9; 3])));
    image.write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
    let face = Face { name: Some("Bob B.".parse().unwrap()), portrait: Portrait::from_bytes(jpeg) };
    store.set_face(BOB, &face, at(7))?;
    store.set_face(OWN, &Face { name: Some("Alice A.".parse().unwrap()), ..face }, at(8))?;
    store.put_contact(AccountTag::new([4; 32]), None)?;
    store.set_arrangement(AccountTag::new([4; 32]), Arrangement { pinned: false, muted: Muted::ForGood })?;
    store.put_unaddressed(AccountTag::new([5; 32]), &"carol".parse().unwrap())?;
    let reply_to = Some(MessageRef { direction: Direction::In, id: id(1) });
    let marks = Marks { reply_to, edited_at: Some(at(7)), read_at: Some(at(8)), ..Marks::default() };
    store.put_message(&message(1, Direction::In, MARKER))?;
    store.put_message(&message(2, Direction::In, "\u{1}\"\\\n"))?;
    store.put_message(&StoredMessage { marks, ..message(3, Direction::Out, "an answer") })?;
    let emoji = Emoji::new("👍".to_owned());
    let named = |n, direction| MessageRef { direction, id: id(n) };
    store.react(BOB, named(1, Direction::In), Direction::Out, emoji.as_ref(), at(9))?.unwrap();
    store.put_message(&StoredMessage { body: Body::Unknown, ..message(4, Direction::In, "x") })?;
    store.keep_raw(BOB, named(4, Direction::In), b"of a newer version")?;
    store.put_message(&message(5, Direction::In, "deleted for everyone"))?;
    store.delete_for_everyone(BOB, id(5), Direction::In)?.unwrap();
    // In no backup.
    store.put_message(&message(6, Direction::In, "deleted here"))?;
    store.delete_for_me(BOB, named(6, Direction::In))?.unwrap();
    let marks = Marks { lives_for: Lifetime::from_secs(60), ..Marks::default() };
    store.put_message(&StoredMessage { marks, ..message(7, Direction::In, "to disappear") })?;
    for n in 8..12 {
        store.put_message(&message(n, Direction::Out, &char::from(n + 60).to_string().repeat(60_000)))?;
    }
    Ok(())
}

struct Scene {
    folder: TempDir,
    profile: Profile,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut profile = Profile::create_with(&folder.path().join("old"), PASSWORD, FAST).unwrap();
        profile.database().write(fill).unwrap();
        Self { folder, profile }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&mut self, path: &Path) -> Result<Summary, BackupError> {
        let mut second = self.profile.database().second().unwrap();
        write(&mut second, path, PASSPHRASE, FAST, at(77), &|| false)
    }

    fn restore(&self, from: &Path) -> Result<(Profile, Restored), RestoreError> {
        let opened = OpenedBackup::open(from, PASSPHRASE)?;
        Profile::create_filled_with(&self.path("new"), PASSWORD, FAST, |database| opened.fill(database))
    }
}

fn everything(profile: &mut Profile) -> (Vec<Contact>, Vec<StoredMessage>, Settings) {
    let store = profile.database().read();
    let others = store.contacts().unwrap().into_iter().filter(|contact| contact.tag != OWN).collect();
    let messages = store.lasting_after(0, 99).unwrap();
    let messages = messages.into_iter().map(|message| StoredMessage { seq: 0, ..message }).collect();
    (others, messages, store.settings().unwrap())
}

#[test]
fn what_was_backed_up_is_there_again_and_no_device_with_it() {
    let mut scene = Scene::new();
    let path = scene.path("backup");
    let summary = scene.write(&path).unwrap();
    assert_eq!(summary, Summary { contacts: 3, messages: 9 });
    let (contacts, messages, settings) = everything(&mut scene.profile);
    let identity = export_identity(&scene.profile.database().read()).unwrap();

    let opened = OpenedBackup::open(&path, PASSPHRASE).unwrap();
    assert_eq!((opened.handle().as_str(), opened.account()), ("alice", OWN));
    let given = opened.provision().unwrap();
    assert_eq!((given.identity, given.oprf_key), (identity.to_vec(), [9; 32]));
    let (mut restored, summary_again) = scene.restore(&path).unwrap();
    assert_eq!(summary_again, summary);
    let (contacts_again, messages_again, settings_again) = everything(&mut restored);
    // What was decided is told by the account's other devices: the server has heard it.
    let told = |contacts: Vec<Contact>| -> Vec<_> {
        contacts.into_iter().map(|contact| Contact { told: true, ..contact }).collect()
    };
    assert_eq!(contacts_again, told(contacts));
    assert_eq!((messages_again, settings_again), (messages, settings));
    let store = restored.database().read();
    assert_eq!(*store.next_raw(0).unwrap().unwrap().1, *b"of a newer version");
    assert_eq!(store.unaddressed(9).unwrap().len(), 1);
    let draft = store.draft(&"bob".parse().unwrap()).unwrap().unwrap();
    assert_eq!((draft.text.as_str(), draft.answers), ("half a thought", Some(id(1))));
    let edits = draft.edits.unwrap();
    assert_eq!((edits.of, edits.before.unwrap().as_str()), (id(2), "a whole one"));
    let own = store.own_face(OWN).unwrap().unwrap();
    assert_eq!((own.face.name.unwrap().as_str(), own.face.portrait.is_some(), own.at), ("Alice A.", true, at(8)));
    assert_eq!(store.face(BOB).unwrap().portrait, own.face.portrait);
    assert_eq!((store.account().unwrap().is_none(), store.restored().unwrap()), (true, Some(OWN)));
    assert!(store.get(&RecordKey::Own).unwrap().is_none(), "no key of a device");
    drop(restored);
    drop(Profile::open_with(&scene.path("new"), PASSWORD, FAST).unwrap());
}

#[test]
fn nobody_reads_a_backup_without_its_passphrase() {
    let mut scene = Scene::new();
    let path = scene.path("backup");
    scene.write(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let shows = |marker: &[u8]| bytes.windows(marker.len()).any(|window| window == marker);
    assert!(!shows(MARKER.as_bytes()) && !shows(b"alice") && !shows(b"record") && !shows(PASSPHRASE));
    let wrong = OpenedBackup::open(&path, b"battery stapler");
    assert!(matches!(wrong, Err(RestoreError::WrongPassphrase)), "{wrong:?}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_backup_makes_no_profile() {
    let mut scene = Scene::new();
    let path = scene.path("backup");
    scene.write(&path).unwrap();
    let good = fs::read(&path).unwrap();
    assert!(good.len() > 3 * CHUNK_BYTES, "several chunks");
    let bent = |at: usize| {
        let mut bent = good.clone();
        bent[at] ^= 1;
        bent
    };
    let ends = |bytes: &[u8]| {
        let bad = scene.path("bad");
        fs::write(&bad, bytes).unwrap();
        let error = scene.restore(&bad).map(|(_, summary)| summary).unwrap_err();
        assert!(!Profile::exists(&scene.path("new")) && !scene.path("new/endtoend.db").exists(), "{error:?}");
        error
    };
    assert!(matches!(ends(&bent(0)), RestoreError::NotABackup));
    assert!(matches!(ends(&bent(9)), RestoreError::WrongPassphrase | RestoreError::Derive));
    assert!(matches!(ends(&bent(30)), RestoreError::WrongPassphrase));
    assert!(matches!(ends(&bent(100)), RestoreError::WrongPassphrase));
    for at in [37 + CHUNK_BYTES, good.len() / 2, good.len() - 1] {
        assert!(matches!(ends(&bent(at)), RestoreError::Damaged), "byte {at}");
    }
    let mut newer = good.clone();
    newer[8] = 2;
    assert!(matches!(ends(&newer), RestoreError::Newer));
    for len in [0, 20, 37, 38, 37 + CHUNK_BYTES, 37 + 2 * CHUNK_BYTES, good.len() - 1] {
        ends(&good[..len]);
    }
    ends(&[&good[..], b"more"].concat());
    let without_second = [&good[..37 + CHUNK_BYTES], &good[37 + 2 * CHUNK_BYTES..]].concat();
    assert!(matches!(ends(&without_second), RestoreError::Damaged));
    scene.restore(&path).unwrap();
}

#[test]
fn a_backup_cannot_demand_all_memory() {
    let mut scene = Scene::new();
    let path = scene.path("backup");
    scene.write(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert!(matches!(OpenedBackup::open(&path, PASSPHRASE), Err(RestoreError::NotABackup)));
}

#[test]
fn a_file_is_whole_or_not_there() {
    let mut scene = Scene::new();
    let path = scene.path("backup");
    // What a crash leaves.
    fs::write(unfinished(&path), b"half a backup").unwrap();
    let mut second = scene.profile.database().second().unwrap();
    let given_up = write(&mut second, &path, PASSPHRASE, FAST, at(77), &|| true);
    assert!(matches!(given_up, Err(BackupError::GivenUp)), "{given_up:?}");
    assert!(!path.exists() && !unfinished(&path).exists());
    fs::write(unfinished(&path), b"half a backup").unwrap();
    scene.write(&path).unwrap();
    assert!(!unfinished(&path).exists());
    let before = fs::read(&path).unwrap();
    assert!(matches!(scene.write(&path), Err(BackupError::Exists(_))));
    assert_eq!(fs::read(&path).unwrap(), before, "none is replaced");
    let nowhere = scene.path("no/such/folder");
    assert!(matches!(scene.write(&nowhere), Err(BackupError::Unusable { .. })));
}

#[test]
fn a_backup_is_of_one_moment() {
    let mut scene = Scene::new();
    let path = scene.path("backup");
    let mut second = scene.profile.database().second().unwrap();
    let profile = std::cell::RefCell::new(&mut scene.profile);
    let meanwhile = || {
        let mut profile = profile.borrow_mut();
        profile.database().write(|store| store.put_message(&message(20, Direction::In, "too late"))).unwrap();
        false
    };
    let summary = write(&mut second, &path, PASSPHRASE, FAST, at(77), &meanwhile).unwrap();
    assert_eq!(summary.messages, 9);
}

#[test]
fn an_export_has_words_and_no_keys() {
    let mut scene = Scene::new();
    let path = scene.path("export");
    let mut second = scene.profile.database().second().unwrap();
    let summary = export(&mut second, &path, at(77), &|| false).unwrap();
    assert_eq!(summary, Summary { contacts: 3, messages: 9 });
    let text = fs::read_to_string(&path).unwrap();
    let identity = hex::encode(&*export_identity(&scene.profile.database().read()).unwrap());
    assert!(text.contains(MARKER) && !text.contains("secrets") && !text.contains(&identity));
    assert!(!text.contains("to disappear") && !text.contains("deleted here"));
    let records: Vec<record::Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(matches!(records.last(), Some(record::Record::End(end)) if *end == summary));
    let opened = OpenedBackup::open(&path, PASSPHRASE);
    assert!(matches!(opened, Err(RestoreError::NotABackup)), "{opened:?}");
}

#[test]
fn no_longer_line_is_made_than_is_read() {
    let text = "\u{1}".repeat(endtoend_protocol::limits::TEXT_BYTES_MAX);
    let folder = tempfile::tempdir().unwrap();
    let mut profile = Profile::create_with(folder.path(), PASSWORD, FAST).unwrap();
    profile.database().write(fill).unwrap();
    profile.database().write(|store| store.put_message(&message(30, Direction::In, &text))).unwrap();
    let path = folder.path().join("export");
    export(&mut profile.database().second().unwrap(), &path, at(77), &|| false).unwrap();
    let longest = fs::read_to_string(&path).unwrap().lines().map(str::len).max().unwrap();
    assert!(longest > text.len() * 6 && longest < record::LINE_BYTES_MAX, "{longest}");
}
