//! What is removed is not in the file any more.

use endtoend_protocol::{
    AccountTag, Address, BlobId, ChainHead, ChainId, Content, ContentKind, DeviceId, Emoji, EnvelopeId, File, FileName,
    MediaType, OwnNews, Place, Said, Shown, Text, UnixMillis,
};

use super::tests::{PEER, at, message, message_id, new, write};
use super::*;
use crate::handle::Handle;

const OTHER: AccountTag = AccountTag::new([3; 32]);
const OWN: AccountTag = AccountTag::new([1; 32]);
/// What a table has beside this, it may keep of a contact that is gone: what opens and proves what he writes later.
const KEPT: [&str; 3] = ["records", "chains_in", "chains_out"];

fn bob() -> Handle {
    "bob".parse().unwrap()
}

fn content(n: u8, kind: ContentKind) -> Vec<u8> {
    Content { id: message_id(n), sent_at: at(1), sender_handle: None, kind }.encode()
}

fn edit() -> Said {
    Said::Edit { id: message_id(2), text: Text::new("other words".to_owned()).unwrap() }
}

/// A conversation with everything that may hang on one.
fn fill(store: &Store<'_>, with: AccountTag, handle: &str, first: u8) -> Result<(), DatabaseError> {
    let handle: Handle = handle.parse().unwrap();
    let id = |n: u8| message_id(first + n);
    let put = |n: u8, direction, body| {
        let message = message(first + n, direction);
        store.put_message(&StoredMessage { peer: with, body, ..message })
    };
    let words = |words: &str| Body::Text(Text::new(words.to_owned()).unwrap());
    store.put_contact(with, Some(&handle))?;
    store.decide(with, Standing::Accepted, at(1))?;
    put(1, Direction::In, words("marmalade for breakfast"))?;
    put(2, Direction::Out, words("marmalade for dinner"))?;
    let file = File {
        blob: BlobId([first; 16]),
        key: [4; 32],
        hash: [5; 32],
        bytes: 7,
        name: FileName::new("marmalade.txt"),
        media_type: MediaType::new("text/plain"),
        shown: Shown::File,
    };
    put(3, Direction::In, Body::File(Box::new(StoredFile { file, state: FileState::Here })))?;
    let emoji = Emoji::new("+1".to_owned()).unwrap();
    let to = MessageRef { direction: Direction::Out, id: id(2) };
    store.react(with, to, Direction::In, Some(&emoji), at(9))?.unwrap();
    store.set_draft(
        &handle,
        Some(&Draft { text: Text::new("marm".to_owned()).unwrap(), answers: None, edits: None }),
        at(1),
    )?;
    store.set_settings(Settings { receipts: true, typing: true })?;
    store.mark_shown(&store.unread(Some(with), 9)?.iter().map(|message| message.seq).collect::<Vec<_>>())?;
    store.put_early(with, MessageRef { direction: Direction::In, id: id(9) }, Direction::In, b"early", at(u64::MAX))?;
    // The message, an edit that waits, and the same for the own other devices; a deletion, which has no words and has still to leave.
    let copy = |said| ContentKind::Copy { to: with, handle: handle.to_string(), said };
    store.enqueue(id(2), with, &content(first + 2, ContentKind::Said(edit())))?;
    for (n, recipient, kind) in [
        (4, with, ContentKind::Said(edit())),
        (5, OWN, copy(edit())),
        (6, with, ContentKind::Said(Said::Delete(id(8)))),
        (7, OWN, ContentKind::Own(OwnNews::Nickname { about: with, name: "Bobby".to_owned() })),
    ] {
        store.enqueue(id(n), recipient, &content(first + n, kind.clone()))?;
        store.put_errand(id(n), &content(first + n, kind), at(1))?;
    }
    let address = Address { account: with, device: DeviceId::FIRST };
    let place = Place { chain: ChainId([1; 8]), number: std::num::NonZeroU64::MIN, previous: ChainHead([2; 16]) };
    store.put_sent(EnvelopeId::new(at(1), [first; 10]), id(2), address, &place, at(1))?;
    store.put_device(with, DeviceId::FIRST, at(5))?;
    store.set_face(with, &crate::face::Face { name: Some("Bob".parse().unwrap()), portrait: None }, at(1))?;
    Ok(())
}

fn filled() -> (tempfile::TempDir, Database) {
    let (folder, mut database) = new();
    write(&mut database, |store| fill(store, PEER, "bob", 0));
    write(&mut database, |store| fill(store, OTHER, "carol", 100));
    (folder, database)
}

fn rows(database: &Database, table: &str, condition: &str) -> u32 {
    let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
    database.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// In which tables, and in how many rows, an account or a message of its conversation stands.
fn traces(database: &Database, of: AccountTag, first: u8) -> Vec<(String, u32)> {
    let ids: Vec<String> = (0..100).map(|n| format!("x'{}'", hex::encode(message_id(first + n).as_bytes()))).collect();
    let mut query = database
        .connection
        .prepare(
            "SELECT s.name, c.name FROM sqlite_schema s JOIN pragma_table_info(s.name) c
             WHERE s.type = 'table' AND s.name NOT LIKE 'words%' AND s.name NOT LIKE 'sqlite_%' ORDER BY 1, 2",
        )
        .unwrap();
    let columns = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let columns: Vec<(String, String)> = columns.collect::<Result<_, _>>().unwrap();
    let tag = hex::encode(of.as_bytes());
    let mut found = Vec::new();
    for (table, column) in columns {
        let condition = match column.as_str() {
            "tag" | "peer" | "sender" | "recipient" => format!("{column} = x'{tag}'"),
            "message_id" => format!("message_id IN ({})", ids.join(",")),
            _ => continue,
        };
        let count = rows(database, &table, &condition);
        if count > 0 && !KEPT.contains(&table.as_str()) {
            found.push((format!("{table}.{column}"), count));
        }
    }
    found
}

#[test]
fn a_removed_conversation_leaves_its_contact_and_nothing_of_what_was_said() {
    let (_folder, mut database) = filled();
    let others = traces(&database, OTHER, 100);
    let before = traces(&database, PEER, 0);
    assert!(before.len() > 12, "there is something to be found: {before:?}");
    let gone = write(&mut database, |store| store.remove_conversation(PEER, Extent::Everything));
    assert_eq!(gone, 3);
    // The deletion and the nickname have no words of the conversation.
    let expected = [
        ("contacts.tag", 1),
        ("devices.tag", 1),
        ("devices_seen.tag", 1),
        ("errands.message_id", 2),
        ("faces.tag", 1),
        ("outbox.message_id", 2),
        ("outbox.recipient", 1),
    ];
    let left = traces(&database, PEER, 0);
    assert_eq!(left, expected.map(|(column, count)| (column.to_owned(), count)));
    assert_eq!(traces(&database, OTHER, 100), others, "nobody else's");
    let question = Question { words: "marmalade".to_owned(), ..Question::default() };
    assert_eq!(database.read().search(&question, 9).unwrap().len(), 3, "the other conversation's alone");
    assert_eq!(rows(&database, "words", "words MATCH 'marmalade'"), 3);
    assert_eq!(database.read().draft(&bob()).unwrap(), None);
    let gone = database.read().gone_file(false).unwrap().unwrap();
    assert!(gone.local.is_some() && gone.remote.is_none(), "from this disk; whoever else has it may still fetch it");
}

#[test]
fn a_removed_contact_leaves_what_opens_his_messages_and_an_empty_row_until_the_server_knows() {
    let (_folder, mut database) = filled();
    let others = traces(&database, OTHER, 100);
    write(&mut database, |store| {
        store.put_errand(
            message_id(8),
            &content(8, ContentKind::Own(OwnNews::Nickname { about: PEER, name: "B".to_owned() })),
            at(1),
        )
    });
    write(&mut database, |store| store.remove_conversation(PEER, Extent::Everything));
    write(&mut database, |store| store.remove_contact(PEER, true, at(7)));
    let left: Vec<_> = traces(&database, PEER, 0);
    assert_eq!(
        left,
        [("contacts.tag".to_owned(), 1), ("outbox.message_id".to_owned(), 1)],
        "what says how he is called waits"
    );
    assert_eq!(rows(&database, "contacts", "gone = 1 AND handle IS NULL AND nickname IS NULL"), 1);
    let store = database.read();
    assert_eq!((store.contact(PEER).unwrap(), store.contacts().unwrap().len()), (None, 1));
    assert_eq!(store.conversations(9).unwrap().len(), 1);
    assert_eq!(store.untold(9).unwrap(), [(PEER, Standing::Request), (OTHER, Standing::Accepted)]);
    write(&mut database, |store| store.told(PEER, Standing::Request));
    assert_eq!(rows(&database, "contacts", "gone = 1"), 0);
    assert_eq!(traces(&database, OTHER, 100), others);
    // He is somebody new when he comes again.
    write(&mut database, |store| store.put_contact(PEER, Some(&bob())));
    let again = database.read().contact(PEER).unwrap().unwrap();
    assert_eq!((again.standing, again.nickname, again.face_name), (Standing::Request, None, None));
}

#[test]
fn another_device_takes_away_what_was_said_before_and_keeps_what_waits() {
    let (_folder, mut database) = filled();
    write(&mut database, |store| {
        let later = StoredMessage { sent_at: at(80), received_at: Some(at(81)), ..message(10, Direction::In) };
        store.put_message(&later)?;
        // Written by a clock that is years ahead, and here since long ago.
        let ahead =
            StoredMessage { sent_at: at(u64::from(u32::MAX)), received_at: Some(at(40)), ..message(11, Direction::In) };
        store.put_message(&ahead)
    });
    assert_eq!(database.read().last_said(PEER).unwrap(), Some(at(80)));
    assert!(!write(&mut database, |store| store.was_removed(PEER, false, at(50))));
    let left: Vec<_> = database.read().history(PEER, 9).unwrap().into_iter().map(|message| message.id).collect();
    assert_eq!(left, [message_id(2), message_id(10)], "ours is on its way");
    // Once more it finds nothing more.
    write(&mut database, |store| store.was_removed(PEER, false, at(50)));
    assert_eq!(database.read().history(PEER, 9).unwrap().len(), 2);
}

#[test]
fn a_contact_stays_on_another_device_that_has_decided_since_or_that_blocks_him() {
    let (_folder, mut database) = filled();
    write(&mut database, |store| store.decide(PEER, Standing::Ignored, at(60)));
    assert!(!write(&mut database, |store| store.was_removed(PEER, true, at(50))));
    assert_eq!(database.read().contact(PEER).unwrap().unwrap().standing, Standing::Ignored);
    write(&mut database, |store| store.decide(PEER, Standing::Blocked, at(61)));
    assert!(!write(&mut database, |store| store.was_removed(PEER, true, at(90))));
    write(&mut database, |store| store.decide(PEER, Standing::Accepted, at(91)));
    assert!(write(&mut database, |store| store.was_removed(PEER, true, at(91))));
    assert_eq!(database.read().contact(PEER).unwrap(), None);
    assert_eq!(database.read().untold(9).unwrap(), [(OTHER, Standing::Accepted)], "the other device tells the server");
}

#[test]
fn a_device_that_comes_after_the_comparison_is_not_one_of_those_compared() {
    let (_folder, mut database) = new();
    let device = |number| DeviceId::new(number).unwrap();
    let key = [9; 33];
    let list = |database: &mut Database, numbers: &[u32], now: u64| {
        write(database, |store| {
            store.forget_devices(PEER)?;
            numbers.iter().try_for_each(|number| store.put_device(PEER, device(*number), at(now)))?;
            store.set_keys_at(PEER, u32::try_from(now).unwrap(), at(now))
        });
    };
    let seen = |database: &Database| {
        let devices = database.read().peer_devices(PEER).unwrap();
        devices
            .into_iter()
            .map(|it| (it.device.get(), it.seen_at.map(UnixMillis::get), it.compared))
            .collect::<Vec<_>>()
    };
    let trust =
        |store: &Store<'_>| store.replace_record(&endtoend_crypto_e2e::RecordKey::PeerIdentity(PEER), Some(&key));
    write(&mut database, |store| store.put_contact(PEER, None));
    write(&mut database, trust);
    list(&mut database, &[1, 2], 10);
    assert_eq!(seen(&database), [(1, Some(10), false), (2, Some(10), false)]);
    write(&mut database, |store| store.set_verified(PEER, Some(&key)));
    list(&mut database, &[1, 2, 3], 20);
    assert_eq!(seen(&database), [(1, Some(10), true), (2, Some(10), true), (3, Some(20), false)]);
    // Another one under the number of one that has gone, and then of all of them.
    list(&mut database, &[1, 3], 30);
    list(&mut database, &[1, 2, 3], 40);
    assert_eq!(seen(&database), [(1, Some(10), true), (2, Some(40), false), (3, Some(20), false)]);
    list(&mut database, &[4], 50);
    assert_eq!(seen(&database), [(4, Some(50), false)]);
    // Compared when no device was known: those of the first list count.
    write(&mut database, |store| {
        store.forget_devices(PEER)?;
        store.set_keys_at(PEER, 51, at(51))?;
        store.set_verified(PEER, Some(&key))
    });
    list(&mut database, &[4, 5], 60);
    list(&mut database, &[4, 5, 6], 61);
    assert_eq!(seen(&database), [(4, Some(60), true), (5, Some(60), true), (6, Some(61), false)]);
    write(&mut database, |store| store.set_verified(PEER, None));
    assert!(seen(&database).iter().all(|(.., compared)| !compared));
}
