//! The database on real files.

use bytes::Bytes;
use endtoend_crypto_e2e::{RecordKey, Records as _};
use endtoend_protocol::{
    AccountTag, Address, ChainHead, ChainId, DeviceId, Envelope, EnvelopeId, MessageId, Place, RejectReason, Text,
    UnixMillis,
};
use rusqlite::params;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;

pub(super) const PEER: AccountTag = AccountTag::new([2; 32]);

pub(super) fn key() -> DatabaseKey {
    DatabaseKey::of(&[7; 32])
}

pub(super) fn new() -> (TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endtoend.db");
    std::fs::write(&path, b"").unwrap();
    let database = Database::create(&path, &key()).unwrap();
    (folder, database)
}

pub(super) fn write<T>(database: &mut Database, change: impl FnOnce(&Store<'_>) -> Result<T, DatabaseError>) -> T {
    database.write(change).unwrap()
}

pub(super) fn at(ms: u64) -> UnixMillis {
    UnixMillis::new(ms)
}

pub(super) fn message_id(n: u8) -> MessageId {
    MessageId::new(at(1), [n; 10])
}

fn envelope(n: u8, device: u32) -> Envelope {
    let to = Address { account: PEER, device: DeviceId::new(device).unwrap() };
    Envelope { id: EnvelopeId::new(at(1), [n; 10]), to, body: Bytes::from(vec![n; 50]), devices_version: 0 }
}

pub(super) fn message(n: u8, direction: Direction) -> StoredMessage {
    StoredMessage {
        seq: 0,
        peer: PEER,
        handle: None,
        direction,
        id: message_id(n),
        state: match direction {
            Direction::In => MessageState::Received,
            Direction::Out => MessageState::Queued,
        },
        body: Body::Text(Text::new(format!("text {n}")).unwrap()),
        sent_at: at(u64::from(n)),
        accepted_at: None,
        received_at: None,
        wire_bytes: None,
        shown: direction == Direction::Out,
        marks: crate::database::Marks::default(),
    }
}

#[test]
fn a_message_comes_back_as_it_was_put() {
    let (_folder, mut database) = new();
    let handle: crate::handle::Handle = "bob".parse().unwrap();
    write(&mut database, |store| store.put_contact(PEER, Some(&handle)));
    assert!(write(&mut database, |store| store.put_message(&message(1, Direction::In))));
    assert!(!write(&mut database, |store| store.put_message(&message(1, Direction::In))), "a repeat");
    let stored = database.read().history(PEER, 9).unwrap();
    assert_eq!(stored, [StoredMessage { seq: 1, handle: Some(handle), ..message(1, Direction::In) }]);
}

#[test]
fn history_is_the_last_messages_oldest_first() {
    let (_folder, mut database) = new();
    for n in 1..=5 {
        write(&mut database, |store| store.put_message(&message(n, Direction::In)));
    }
    let ids: Vec<_> = database.read().history(PEER, 2).unwrap().into_iter().map(|message| message.id).collect();
    assert_eq!(ids, [message_id(4), message_id(5)]);
}

#[test]
fn a_message_is_unread_until_it_was_shown() {
    let (_folder, mut database) = new();
    for n in 1..=3 {
        write(&mut database, |store| store.put_message(&message(n, Direction::In)));
    }
    write(&mut database, |store| store.mark_shown(&[1, 3]));
    let unread = database.read().unread(None, 9).unwrap();
    assert_eq!(unread.iter().map(|message| message.seq).collect::<Vec<_>>(), [2]);
    assert_eq!(database.read().unread_count().unwrap(), 1);
    assert_eq!(database.read().unread(Some(AccountTag::new([9; 32])), 9).unwrap(), []);
}

#[test]
fn a_changed_or_moved_body_is_noticed() {
    let (_folder, mut database) = new();
    for n in 1..=2 {
        write(&mut database, |store| store.put_message(&message(n, Direction::In)));
    }
    let run = |database: &Database, sql: &str| database.connection.execute(sql, []).unwrap();
    let body: Vec<u8> =
        database.connection.query_row("SELECT body FROM messages WHERE seq = 1", [], |r| r.get(0)).unwrap();
    run(&database, "UPDATE messages SET body = (SELECT body FROM messages WHERE seq = 2) WHERE seq = 1");
    assert!(matches!(database.read().history(PEER, 9), Err(DatabaseError::Sealed { kind: "message" })), "swapped");
    for at in [0, 40, body.len() - 1] {
        let mut bad = body.clone();
        bad[at] ^= 1;
        database.connection.execute("UPDATE messages SET body = ? WHERE seq = 1", [&bad]).unwrap();
        assert!(
            matches!(database.read().history(PEER, 9), Err(DatabaseError::Sealed { kind: "message" })),
            "byte {at}"
        );
    }
    database.connection.execute("UPDATE messages SET body = ? WHERE seq = 1", [&body]).unwrap();
    assert_eq!(database.read().history(PEER, 9).unwrap().len(), 2);
    run(&database, "UPDATE messages SET direction = 'out' WHERE seq = 1");
    assert!(matches!(database.read().history(PEER, 9), Err(DatabaseError::Sealed { kind: "message" })), "who wrote");
}

#[test]
fn the_database_keeps_records_as_memory_does() {
    let (_folder, mut database) = new();
    endtoend_crypto_e2e::records_conformance(
        &mut database,
        |database, changes| write(database, |store| store.apply(changes)),
        |database, key| database.read().get(key),
    );
}

#[test]
fn a_record_moved_to_another_place_does_not_open() {
    let (_folder, mut database) = new();
    let seal = |store: &Store<'_>, id: u32, value: &[u8]| {
        let key = RecordKey::OneTimePreKey(id);
        let sealed = store.sealer.seal(key.kind(), &key.id(), value);
        store
            .connection
            .execute("INSERT INTO records (kind, id, value) VALUES (?, ?, ?)", params![key.kind(), key.id(), sealed])
            .unwrap();
    };
    write(&mut database, |store| {
        seal(store, 1, b"one");
        seal(store, 2, b"two");
        Ok(())
    });
    assert_eq!(**database.read().get(&RecordKey::OneTimePreKey(1)).unwrap().unwrap(), *b"one");
    database
        .connection
        .execute(
            "UPDATE records SET value = (SELECT value FROM records WHERE id = ?) WHERE id = ?",
            params![RecordKey::OneTimePreKey(2).id(), RecordKey::OneTimePreKey(1).id()],
        )
        .unwrap();
    assert!(database.read().get(&RecordKey::OneTimePreKey(1)).is_err());
    assert!(database.read().get(&RecordKey::OneTimePreKey(3)).unwrap().is_none());
}

#[test]
fn an_emptied_log_holds_nothing_of_what_was_deleted() {
    let (folder, mut database) = new();
    let log = folder.path().join("endtoend.db-wal");
    let key = RecordKey::EnvelopeKey(1);
    write(&mut database, |store| store.replace_record(&key, Some(&[9; 96])));
    write(&mut database, |store| store.replace_record(&key, None));
    assert_ne!(std::fs::metadata(&log).unwrap().len(), 0);
    database.empty_log().unwrap();
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    let overwrites: i64 = database.connection.pragma_query_value(None, "secure_delete", |row| row.get(0)).unwrap();
    assert_eq!(overwrites, 1, "in the file itself");
}

#[test]
fn a_change_that_fails_half_way_did_not_happen() {
    let (folder, mut database) = new();
    let failed: Result<(), DatabaseError> = database.write(|store| {
        store.put_message(&message(1, Direction::Out))?;
        let seq = store.enqueue(message_id(1), PEER, b"content")?;
        store.put_envelopes(seq, &[envelope(1, 1)])?;
        store.put_received(envelope(9, 1).id, at(5))?;
        Err(DatabaseError::Full)
    });
    assert!(matches!(failed, Err(DatabaseError::Full)));
    drop(database);
    let database = Database::open(&folder.path().join("endtoend.db"), &key()).unwrap();
    let store = database.read();
    assert_eq!((store.outbox().unwrap(), store.history(PEER, 9).unwrap()), (vec![], vec![]));
    assert!(!store.is_received(envelope(9, 1).id).unwrap());
}

#[test]
fn a_process_that_dies_in_a_change_leaves_what_was_before() {
    let (folder, mut database) = new();
    write(&mut database, |store| store.put_message(&message(1, Direction::In)));
    let path = folder.path().join("endtoend.db");
    // What the files are in the middle of a change, as a dead process leaves them.
    let copy = tempfile::tempdir().unwrap();
    write(&mut database, |store| {
        store.put_message(&message(2, Direction::In))?;
        for name in ["endtoend.db", "endtoend.db-wal"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        Ok(())
    });
    drop(database);
    let survivor = Database::open(&copy.path().join("endtoend.db"), &key()).unwrap();
    assert_eq!(survivor.read().history(PEER, 9).unwrap().len(), 1);
    assert_eq!(Database::open(&path, &key()).unwrap().read().history(PEER, 9).unwrap().len(), 2);
}

#[test]
fn an_envelope_keeps_its_bytes_until_it_is_accepted() {
    let (folder, mut database) = new();
    let seq = write(&mut database, |store| {
        store.put_message(&message(1, Direction::Out))?;
        store.enqueue(message_id(1), PEER, b"content")
    });
    match database.read().outbox_item(seq).unwrap().unwrap() {
        SealedItem::Open { message, content } => assert_eq!((message, &**content), (message_id(1), &b"content"[..])),
        SealedItem::Sealed { .. } => panic!("nobody sealed it"),
    }
    write(&mut database, |store| store.put_envelopes(seq, &[envelope(1, 1)]));
    // A second sealing must not replace the first: its bytes may be under way already.
    write(&mut database, |store| store.put_envelopes(seq, &[envelope(2, 1)]));
    drop(database);
    let mut database = Database::open(&folder.path().join("endtoend.db"), &key()).unwrap();
    match database.read().outbox_item(seq).unwrap().unwrap() {
        SealedItem::Sealed { message, envelope: kept } => assert_eq!((message, kept), (message_id(1), envelope(1, 1))),
        SealedItem::Open { .. } => panic!("it was sealed"),
    }
    assert_eq!(
        database.read().outbox().unwrap(),
        [OutboxItem { seq, recipient: PEER, envelope: Some(envelope(1, 1).id) }]
    );
    assert_eq!(write(&mut database, |store| store.accepted(seq, at(8), Some(99))), Some(message_id(1)));
    assert_eq!(write(&mut database, |store| store.accepted(seq, at(9), None)), None, "twice");
    let sent = database.read().sent_message(message_id(1)).unwrap().unwrap();
    assert_eq!((sent.state, sent.accepted_at, sent.wire_bytes), (MessageState::Accepted, Some(at(8)), Some(99)));
    assert_eq!(database.read().outbox().unwrap(), []);
}

#[test]
fn a_message_to_several_devices_is_accepted_with_the_last() {
    let (_folder, mut database) = new();
    let (first, others) = write(&mut database, |store| {
        store.put_message(&message(1, Direction::Out))?;
        let seq = store.enqueue(message_id(1), PEER, b"content")?;
        Ok((seq, store.put_envelopes(seq, &[envelope(1, 1), envelope(2, 2), envelope(3, 3)])?))
    });
    let state = |database: &Database| database.read().sent_message(message_id(1)).unwrap().unwrap().state;
    assert_eq!(write(&mut database, |store| store.accepted(first, at(5), None)), None);
    assert_eq!(write(&mut database, |store| store.accepted(others[0], at(6), None)), None);
    assert_eq!(state(&database), MessageState::Queued);
    // One device is gone, but the message has reached the person.
    assert_eq!(write(&mut database, |store| store.rejected(others[1], RejectReason::UnknownRecipient)), None);
    assert_eq!(state(&database), MessageState::Accepted);
}

#[test]
fn a_message_that_nobody_takes_is_rejected() {
    let (_folder, mut database) = new();
    let seq = write(&mut database, |store| {
        store.put_message(&message(1, Direction::Out))?;
        store.enqueue(message_id(1), PEER, b"content")
    });
    let settled = write(&mut database, |store| store.rejected(seq, RejectReason::UnknownRecipient));
    assert_eq!(settled, Some(message_id(1)));
    let sent = database.read().sent_message(message_id(1)).unwrap().unwrap();
    assert_eq!(sent.state, MessageState::Rejected(RejectReason::UnknownRecipient));
}

#[test]
fn the_outbox_has_a_limit() {
    let (_folder, mut database) = new();
    database
        .connection
        .execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
             INSERT INTO outbox (message_id, recipient, content) SELECT x'00', x'00', x'00' FROM n",
            [OUTBOX_MAX as i64],
        )
        .unwrap();
    let refused = database.write(|store| store.enqueue(message_id(1), PEER, b"content"));
    assert!(matches!(refused, Err(DatabaseError::Limit { max: OUTBOX_MAX, .. })));
}

#[test]
fn received_ids_are_forgotten_by_age_and_number() {
    let (_folder, mut database) = new();
    let id = |n: u8| envelope(n, 1).id;
    write(&mut database, |store| store.put_received(id(1), at(0)));
    assert!(database.read().is_received(id(1)).unwrap());
    let late = at(0).plus(RECEIVED_AGE_MAX).plus(std::time::Duration::from_millis(1));
    write(&mut database, |store| store.put_received(id(2), late));
    assert!(!database.read().is_received(id(1)).unwrap() && database.read().is_received(id(2)).unwrap());
    database
        .connection
        .execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'received'", [RECEIVED_MAX])
        .unwrap();
    write(&mut database, |store| store.put_received(id(3), late));
    assert!(!database.read().is_received(id(2)).unwrap() && database.read().is_received(id(3)).unwrap());
}

#[test]
fn held_envelopes_and_notes_are_bounded() {
    let (_folder, mut database) = new();
    let held = |n: u32| HeldEnvelope {
        id: EnvelopeId::new(at(u64::from(n)), [0; 10]),
        body: Bytes::from_static(b"sealed"),
        accepted_at: at(1),
        received_at: at(2),
        wire_bytes: 3,
    };
    write(&mut database, |store| {
        for n in 0..HELD_MAX_PER_CONTACT {
            assert!(store.hold(PEER, &held(n))?);
        }
        assert!(!store.hold(PEER, &held(HELD_MAX_PER_CONTACT))?);
        assert!(store.hold(AccountTag::new([3; 32]), &held(9999))?);
        for n in 0..UNREADABLE_MAX as u32 + 5 {
            let note =
                Unreadable { id: held(n).id, reason: "forged".to_owned(), accepted_at: at(1), received_at: at(2) };
            store.put_unreadable(&note)?;
        }
        Ok(())
    });
    assert_eq!(database.read().held(PEER).unwrap().len(), HELD_MAX_PER_CONTACT as usize);
    let notes = database.read().unreadable().unwrap();
    assert_eq!((notes.len() as i64, notes[0].id), (UNREADABLE_MAX, held(5).id));
}

fn missing(number: u64, at_ms: u64) -> Notice {
    Notice {
        seq: 0,
        from: Address { account: PEER, device: DeviceId::FIRST },
        handle: None,
        own: false,
        kind: NoticeKind::Missing,
        chain: ChainId([1; 8]),
        first: number,
        last: number,
        missing: 1,
        may_have_expired: false,
        after: 0,
        at: at(at_ms),
        due_at: at(at_ms),
        shown: false,
    }
}

#[test]
fn notices_are_bounded_and_wait_until_they_are_due() {
    let (_folder, mut database) = new();
    write(&mut database, |store| (0..NOTICES_MAX as u64 + 5).try_for_each(|n| store.put_notice(&missing(n, n))));
    let unseen = |database: &Database, now| database.read().unseen_notices(None, at(now), 9_999).unwrap();
    assert_eq!(unseen(&database, u64::MAX >> 1).len() as i64, NOTICES_MAX);
    assert_eq!(unseen(&database, 5).iter().map(|notice| notice.first).collect::<Vec<_>>(), [5], "the oldest went");
    let (since, last) = database.read().notices_since(0, at(6)).unwrap();
    assert_eq!((since.len(), last), (2, NOTICES_MAX + 5));
    assert_eq!(database.read().notices_since(last, at(6)).unwrap(), (vec![], last));
    let from = missing(0, 0).from;
    let other = Address { device: DeviceId::new(2).unwrap(), ..from };
    let came = |database: &mut Database, from, number| {
        write(database, |store| store.came_after_all(from, ChainId([1; 8]), number, false, at(9)))
    };
    assert!(!came(&mut database, other, 5), "another device's");
    assert!(came(&mut database, from, 5) && !came(&mut database, from, 5));
    assert_eq!(unseen(&database, 5), [], "nobody has seen it, and nothing is missing");
}

#[test]
fn a_message_keeps_its_place_as_long_as_it_waits() {
    let (_folder, mut database) = new();
    let to = Address { account: PEER, device: DeviceId::FIRST };
    let place = Place { chain: ChainId([1; 8]), number: std::num::NonZeroU64::MIN, previous: ChainHead([2; 16]) };
    let late = at(0).plus(SENT_AGE_MAX).plus(std::time::Duration::from_secs(1));
    let seq = write(&mut database, |store| {
        let seq = store.enqueue(message_id(1), PEER, b"content")?;
        for n in [1, 2] {
            store.put_sent(envelope(n, 1).id, message_id(n), to, &place, at(0))?;
            store.put_errand(message_id(n), b"an errand", at(0))?;
        }
        store.set_next_place(to, &place)?;
        store.put_sent(envelope(3, 1).id, message_id(3), to, &place, late)?;
        store.put_errand(message_id(3), b"another", late)?;
        Ok(seq)
    });
    let kept = |database: &Database, n| {
        let store = database.read();
        let place = store.place_of(message_id(n), to).unwrap();
        assert_eq!(place.is_some(), store.errand(message_id(n)).unwrap().is_some(), "both or none");
        place
    };
    assert_eq!([1, 2, 3].map(|n| kept(&database, n)), [Some(place), None, Some(place)]);
    assert_eq!(database.read().next_place(to).unwrap(), Some(place));
    assert_eq!(database.read().next_place(Address { account: AccountTag::new([9; 32]), ..to }).unwrap(), None);
    write(&mut database, |store| store.accepted(seq, late, None));
    write(&mut database, |store| {
        store.put_sent(envelope(4, 1).id, message_id(4), to, &place, late)?;
        store.put_errand(message_id(4), b"the next", late)
    });
    assert_eq!(kept(&database, 1), None);
}

#[test]
fn a_block_that_another_device_took_back_counts_from_then() {
    let (_folder, mut database) = new();
    write(&mut database, |store| store.put_contact(PEER, None));
    let blocked = |database: &Database, since| database.read().was_blocked_since(PEER, at(since)).unwrap();
    assert!(!blocked(&database, 0));
    write(&mut database, |store| store.was_decided(PEER, Standing::Blocked, at(5)));
    assert!(blocked(&database, 9), "it is now");
    write(&mut database, |store| store.was_decided(PEER, Standing::Accepted, at(7)));
    assert!(blocked(&database, 6) && !blocked(&database, 8));
}

#[test]
fn a_changed_identity_is_kept_until_it_is_accepted() {
    let (_folder, mut database) = new();
    write(&mut database, |store| store.set_changed_identity(PEER, Some(&[5; 33])));
    assert_eq!(database.read().contact(PEER).unwrap().unwrap().changed_identity, Some([5; 33]));
    assert_eq!(database.read().blocked_contacts().unwrap(), [PEER]);
    write(&mut database, |store| store.set_changed_identity(PEER, None));
    assert_eq!(database.read().blocked_contacts().unwrap(), []);
}

#[test]
fn account_and_token_come_back_and_moving_forgets_the_token() {
    let (_folder, mut database) = new();
    let pin = "00".repeat(64);
    let server = |port: u16| format!("endtoend://127.0.0.1:{port}/#pin={pin}").parse().unwrap();
    let account = Account {
        server: server(1),
        handle: "alice".parse().unwrap(),
        device: DeviceId::FIRST,
        state: AccountState::Submitted,
        tag: Some(PEER),
        oprf_key: Some([4; 32]),
        server_password: Some(Zeroizing::new(b"let me in".to_vec())),
        seed: Box::new(Zeroizing::new([9; 64])),
    };
    write(&mut database, |store| store.put_account(&account));
    write(&mut database, |store| store.set_account_state(AccountState::Registered));
    write(&mut database, |store| store.set_token(Some((b"token", at(77)))));
    let stored = database.read().account().unwrap().unwrap();
    assert_eq!((stored.handle, stored.state, **stored.seed), (account.handle, AccountState::Registered, [9; 64]));
    write(&mut database, |store| store.move_to(&server(1)));
    let token = database.read().token().unwrap().unwrap();
    assert_eq!((&**token.bytes, token.expires), (&b"token"[..], at(77)));
    write(&mut database, |store| store.move_to(&server(2)));
    assert!(database.read().token().unwrap().is_none());
    assert_eq!(database.read().account().unwrap().unwrap().server, server(2));
}

#[test]
fn a_newer_schema_is_left_alone() {
    let (folder, database) = new();
    let path = folder.path().join("endtoend.db");
    database.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Database::open(&path, &key()), Err(DatabaseError::Newer)));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn another_draft_than_there_is_room_for_is_refused_and_none_is_lost() {
    let (_folder, mut database) = new();
    let draft = Draft { text: Text::new("x".to_owned()).unwrap(), answers: None, edits: None };
    let handle = |n: u32| format!("person{n}").parse().unwrap();
    write(&mut database, |store| (0..DRAFTS_MAX).try_for_each(|n| store.set_draft(&handle(n), Some(&draft), at(1))));
    let refused = database.write(|store| store.set_draft(&handle(DRAFTS_MAX), Some(&draft), at(2)));
    assert!(matches!(refused, Err(DatabaseError::Limit { .. })), "{refused:?}");
    write(&mut database, |store| store.set_draft(&handle(7), Some(&draft), at(2)));
    assert_eq!(database.read().drafts(u32::MAX).unwrap().len(), DRAFTS_MAX as usize);
}

/// Ten thousand people write who are not known.
#[test]
fn no_crowd_of_strangers_pushes_a_friend_out_of_the_list() {
    let (_folder, mut database) = new();
    let stranger = |n: u32| {
        let mut tag = [9; 32];
        tag[..4].copy_from_slice(&n.to_be_bytes());
        AccountTag::new(tag)
    };
    write(&mut database, |store| {
        store.put_contact(PEER, Some(&"friend".parse().unwrap()))?;
        store.decide(PEER, Standing::Accepted, at(1))?;
        store.put_message(&message(1, Direction::In))?;
        for n in 0..10_000 {
            store.put_contact(stranger(n), None)?;
            store.put_message(&StoredMessage { peer: stranger(n), ..message(2, Direction::In) })?;
        }
        Ok(())
    });
    let listed = database.read().conversations(u32::MAX).unwrap();
    assert_eq!(listed.len(), CONVERSATIONS_MAX as usize);
    assert_eq!((listed[0].contact.tag, listed[1].contact.tag), (PEER, stranger(9_999)));
}
