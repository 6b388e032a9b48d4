//! What a server keeps back, exchanges or repeats is told, and what is not its doing is told as what it is.

use std::time::Duration;

use endtoend_crypto_e2e::CONTENT_BYTES_MAX;
use endtoend_protocol::{
    Content, ContentKind, DeviceId, Envelope, EnvelopeId, Lifetime, MessageId, Reference, Said, Text, UnixMillis,
    Written, limits,
};

use super::linking::{linked, sealed};
use super::messages::{Device, arrived};
use crate::clock;
use crate::database::{Body, Database, DatabaseError, Direction, NoticeKind, Standing};
use crate::engine::chains::{REPAIR_GRACE, place};
use crate::engine::receive::{Arrival, receive};
use crate::engine::repair::send_again;
use crate::engine::rotation::SEALED_AGE_MAX;
use crate::engine::seal::open_sessions;
use crate::profile::DatabaseKey;

/// Kind, first, last, how many are missing still: of what is due and nobody has seen.
type Told = (NoticeKind, u64, u64, u64);

fn told(device: &Device) -> Vec<Told> {
    let notices = device.database.read().unseen_notices(None, device.now(), 99).unwrap();
    notices.iter().map(|notice| (notice.kind, notice.first, notice.last, notice.missing)).collect()
}

fn all_seen(device: &mut Device) {
    let now = device.now();
    device
        .database
        .write(|store| {
            let seen: Vec<i64> = store.unseen_notices(None, now, 99)?.iter().map(|notice| notice.seq).collect();
            store.mark_notices_shown(&seen)
        })
        .unwrap();
}

fn acquainted() -> (Device, Device) {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    alice.introduce(&bob);
    (alice, bob)
}

fn letters(from: &mut Device, to: &Device, count: usize) -> Vec<Envelope> {
    (0..count).map(|number| from.envelope(to.own.account, &format!("letter {number}"))).collect()
}

/// What stands in the history, with the notices in their places.
fn history(device: &Device, with: &Device) -> Vec<String> {
    let store = device.database.read();
    let tag = with.own.account;
    let mut notices = store.notices(tag, 0, device.now()).unwrap().into_iter().peekable();
    let mut lines = Vec::new();
    for message in store.history(tag, 99).unwrap() {
        while let Some(notice) = notices.next_if(|notice| notice.after < message.seq) {
            lines.push(format!("{} {}", notice.kind.as_str(), notice.missing));
        }
        let Body::Text(text) = message.body else { panic!("not a text") };
        lines.push(text.into_string());
    }
    lines.extend(notices.map(|notice| format!("{} {}", notice.kind.as_str(), notice.missing)));
    lines
}

#[test]
fn what_is_delivered_in_order_tells_nothing() {
    let (mut alice, mut bob) = acquainted();
    for round in 0..3 {
        for letter in letters(&mut alice, &bob, 5) {
            assert!(matches!(bob.take(&letter), Arrival::Message { .. }), "{round}");
        }
        for letter in letters(&mut bob, &alice, 2) {
            alice.take(&letter);
        }
    }
    assert_eq!((told(&alice), told(&bob)), (vec![], vec![]));
}

#[test]
fn what_was_dropped_is_told_with_the_next_message_and_stands_in_the_history() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 5);
    bob.take(&letters[0]);
    bob.take(&letters[3]);
    bob.take(&letters[4]);
    assert_eq!(told(&bob), [(NoticeKind::Missing, 2, 3, 2)]);
    assert_eq!(history(&bob, &alice), ["letter 0", "missing 2", "letter 3", "letter 4"]);
    // In the same transaction, and for every later start.
    let path = bob.folder.path().join("endtoend.db");
    bob.database = Database::open(&path, &DatabaseKey::of(&[7; 32])).unwrap();
    let notice = bob.database.read().unseen_notices(None, bob.now(), 9).unwrap().remove(0);
    assert_eq!((notice.from, notice.handle.as_ref(), notice.own), (alice.own, Some(&alice.handle), false));
    all_seen(&mut bob);
    assert_eq!(told(&bob), []);
    assert_eq!(history(&bob, &alice).len(), 4);
}

#[test]
fn a_transaction_that_fails_tells_nothing_and_hears_nothing() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 2);
    let own = bob.own;
    let failed: Result<(), DatabaseError> = bob.database.write(|store| {
        receive(store, own, &arrived(&letters[1]), clock::now())?;
        Err(DatabaseError::Full)
    });
    assert!(failed.is_err());
    assert_eq!(told(&bob), []);
    bob.take(&letters[0]);
    bob.take(&letters[1]);
    assert_eq!(told(&bob), []);
}

#[test]
fn what_was_exchanged_is_told_once() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 4);
    bob.take(&letters[0]);
    bob.take(&letters[2]);
    bob.take(&letters[1]);
    assert_eq!(told(&bob), [(NoticeKind::Late, 2, 2, 0)]);
    // Told as missing before it came.
    all_seen(&mut bob);
    let more = self::letters(&mut alice, &bob, 1);
    bob.take(&more[0]);
    assert_eq!(told(&bob), [(NoticeKind::Missing, 4, 4, 1)]);
    all_seen(&mut bob);
    bob.take(&letters[3]);
    assert_eq!(told(&bob), [(NoticeKind::Late, 4, 4, 0)]);
}

#[test]
fn an_old_envelope_that_comes_again_is_counted_and_no_alarm() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 3);
    for letter in [0, 1, 1, 2, 0, 0].map(|number| &letters[number]) {
        bob.take(letter);
    }
    assert_eq!((told(&bob), bob.database.read().repeats().unwrap()), (vec![], 3));
    assert_eq!(bob.texts().len(), 3);
}

#[test]
fn a_first_message_that_never_came_is_missing_too() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 3);
    bob.take(&letters[2]);
    assert_eq!(told(&bob), [(NoticeKind::Missing, 1, 2, 2)]);
}

#[test]
fn what_was_held_is_judged_when_it_is_opened() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    let letters = letters(&mut alice, &bob, 4);
    for letter in [&letters[0], &letters[2], &letters[3]] {
        assert!(matches!(bob.take(letter), Arrival::Held { .. }));
    }
    assert_eq!(told(&bob), []);
    bob.introduce(&alice);
    assert_eq!(told(&bob), [(NoticeKind::Missing, 2, 2, 1)]);
}

#[test]
fn what_was_written_while_blocked_is_told_as_that() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 6);
    let tag = alice.own.account;
    bob.take(&letters[0]);
    let decide = |bob: &mut Device, standing, at| bob.database.write(|store| store.decide(tag, standing, at)).unwrap();
    decide(&mut bob, Standing::Blocked, clock::now());
    decide(&mut bob, Standing::Accepted, clock::now());
    bob.take(&letters[3]);
    assert_eq!(told(&bob), [(NoticeKind::Blocked, 2, 3, 2)]);
    // From the next message on it is no excuse.
    bob.ahead = Duration::from_secs(60);
    bob.take(&letters[4]);
    all_seen(&mut bob);
    let more = self::letters(&mut alice, &bob, 1);
    bob.take(&more[0]);
    assert_eq!(told(&bob), [(NoticeKind::Missing, 6, 6, 1)]);
}

#[test]
fn after_a_month_away_it_is_said_that_it_may_have_expired() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 3);
    bob.take(&letters[0]);
    bob.ahead = limits::QUEUE_AGE_MAX + Duration::from_secs(3600);
    bob.take(&letters[2]);
    let notice = bob.database.read().unseen_notices(None, bob.now(), 9).unwrap().remove(0);
    assert!(notice.may_have_expired);
}

/// The session of one is lost: what is under way does not open, and is asked for.
fn lose_session(device: &mut Device, with: &Device) {
    let session = endtoend_crypto_e2e::RecordKey::Session(with.own);
    device.database.write(|store| store.replace_record(&session, None)).unwrap();
}

#[test]
fn what_did_not_open_and_is_sent_again_raises_no_alarm() {
    let (mut alice, mut bob) = acquainted();
    let first = letters(&mut alice, &bob, 1);
    bob.take(&first[0]);
    let answer = letters(&mut bob, &alice, 1);
    alice.take(&answer[0]);
    let lost = letters(&mut alice, &bob, 2);
    lose_session(&mut bob, &alice);
    let mut questions = Vec::new();
    for letter in &lost {
        let Arrival::Unreadable { asked: Some(row), .. } = bob.take(letter) else { panic!("it opened") };
        questions.push(row);
    }
    // In a new session what comes next opens.
    alice.spend_one_time_keys();
    bob.meet(&alice);
    let mut repairs = Vec::new();
    for (seq, to) in questions {
        let question = sealed(&mut bob, seq, to);
        let Arrival::Unseen { queued: Some(row), .. } = alice.take(&question) else { panic!("no answer") };
        repairs.push(row);
    }
    let next = alice.envelope(bob.own.account, "next");
    bob.take(&next);
    assert_eq!(told(&bob), [], "two are missing, and were asked for");
    let reader = bob.own;
    let number = |alice: &Device, message| alice.database.read().place_of(message, reader).unwrap().unwrap().number;
    let ids: Vec<MessageId> = alice
        .database
        .read()
        .history(bob.own.account, 9)
        .unwrap()
        .iter()
        .filter(|m| m.direction == Direction::Out)
        .map(|m| m.id)
        .collect();
    let before: Vec<_> = ids.iter().map(|id| number(&alice, *id)).collect();
    for (seq, to) in repairs {
        let again = sealed(&mut alice, seq, to);
        assert!(matches!(bob.take(&again), Arrival::Message { .. }));
    }
    assert_eq!(ids.iter().map(|id| number(&alice, *id)).collect::<Vec<_>>(), before, "sealed anew under its number");
    bob.ahead = REPAIR_GRACE + Duration::from_secs(1);
    assert_eq!(told(&bob), [], "they have come");
}

/// One begins new sessions with the other.
fn begin_anew(device: &mut Device, with: &mut Device) {
    with.spend_one_time_keys();
    let (own, keys) = (device.own, with.bundles());
    device.database.write(|store| open_sessions(store, own, with.own.account, &keys, clock::now())).unwrap();
}

#[test]
fn what_did_not_open_and_never_comes_is_told_after_a_day() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 2);
    bob.take(&letters[0]);
    lose_session(&mut bob, &alice);
    assert!(matches!(bob.take(&letters[1]), Arrival::Unreadable { asked: Some(_), .. }));
    begin_anew(&mut alice, &mut bob);
    let next = alice.envelope(bob.own.account, "in a new session");
    assert!(matches!(bob.take(&next), Arrival::Message { .. }));
    assert_eq!(told(&bob), []);
    bob.ahead = REPAIR_GRACE + Duration::from_secs(1);
    assert_eq!(told(&bob), [(NoticeKind::Missing, 2, 2, 1)]);
}

#[test]
fn a_question_for_one_message_does_not_excuse_two() {
    let (mut alice, mut bob) = acquainted();
    let letters = letters(&mut alice, &bob, 3);
    bob.take(&letters[0]);
    lose_session(&mut bob, &alice);
    assert!(matches!(bob.take(&letters[2]), Arrival::Unreadable { asked: Some(_), .. }));
    begin_anew(&mut alice, &mut bob);
    let next = alice.envelope(bob.own.account, "in a new session");
    assert!(matches!(bob.take(&next), Arrival::Message { .. }));
    assert_eq!(told(&bob), [(NoticeKind::Missing, 2, 3, 2)]);
}

#[test]
fn a_message_that_waited_too_long_is_sealed_anew_under_its_number() {
    let (mut alice, mut bob) = acquainted();
    let seq = alice.queue(bob.own.account, "waits");
    let first = sealed(&mut alice, seq, bob.own.account);
    let next = alice.envelope(bob.own.account, "next");
    alice.ahead = SEALED_AGE_MAX + Duration::from_secs(60);
    let again = sealed(&mut alice, seq, bob.own.account);
    assert_ne!(first.id, again.id);
    bob.take(&next);
    bob.take(&again);
    assert_eq!(told(&bob), [], "its sender was late, not the server");
    bob.take(&first);
    assert_eq!((told(&bob), bob.texts().len()), (vec![], 2), "and the first came too");
}

#[test]
fn what_an_earlier_version_has_sealed_is_sealed_anew() {
    let (mut alice, mut bob) = acquainted();
    let seq = alice.queue(bob.own.account, "from before");
    let first = sealed(&mut alice, seq, bob.own.account);
    alice.database.forget_places();
    let again = sealed(&mut alice, seq, bob.own.account);
    assert_ne!(first.id, again.id);
    assert_eq!(sealed(&mut alice, seq, bob.own.account).id, again.id, "once");
    bob.take(&again);
    assert_eq!((bob.texts().len(), told(&bob)), (1, vec![]));
}

#[test]
fn a_sender_who_was_set_back_to_a_copy_is_told_as_that() {
    let (mut alice, mut bob) = acquainted();
    for letter in letters(&mut alice, &bob, 3) {
        bob.take(&letter);
    }
    let answer = letters(&mut bob, &alice, 1);
    alice.take(&answer[0]);
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("endtoend.db");
    alice.database.empty_log().unwrap();
    std::fs::copy(alice.folder.path().join("endtoend.db"), &path).unwrap();
    for letter in letters(&mut alice, &bob, 3) {
        bob.take(&letter);
    }
    alice.database = Database::open(&path, &DatabaseKey::of(&[7; 32])).unwrap();
    // What is sealed in a session that was set back does not open; what is sealed in a new one does.
    bob.spend_one_time_keys();
    alice.meet(&bob);
    let next = alice.envelope(bob.own.account, "after the copy");
    assert!(matches!(bob.take(&next), Arrival::Message { .. }));
    assert_eq!(told(&bob), [(NoticeKind::Forked, 4, 4, 0)]);
    for letter in letters(&mut alice, &bob, 5) {
        bob.take(&letter);
    }
    assert_eq!(told(&bob).len(), 1, "once");
}

#[test]
fn each_device_hears_a_chain_of_its_own() {
    let (mut phone, mut bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    let mut laptop = linked(&phone);
    // Bob writes to both devices of Alice, in chains of their own.
    let (own, both) = (bob.own, {
        let (mut keys, other) = (phone.bundles(), laptop.bundles());
        keys.devices.extend(other.devices);
        keys
    });
    bob.knows(&phone);
    let now = clock::now();
    bob.database.write(|store| open_sessions(store, own, phone.own.account, &both, now)).unwrap();
    phone.introduce(&bob);
    laptop.introduce(&bob);
    let mut deliver = |only: Option<u32>| {
        let seq = bob.queue(phone.own.account, "to both");
        let first = sealed(&mut bob, seq, phone.own.account);
        let others: Vec<i64> =
            bob.database.read().outbox().unwrap().iter().map(|row| row.seq).filter(|row| *row > seq).collect();
        let mut all = vec![first];
        all.extend(others.into_iter().map(|row| sealed(&mut bob, row, phone.own.account)));
        assert_eq!(all.len(), 2);
        for letter in all {
            let device = letter.to.device;
            if only.is_none_or(|only| DeviceId::new(only).unwrap() == device) {
                if device == DeviceId::FIRST {
                    phone.take(&letter)
                } else {
                    laptop.take(&letter)
                };
            }
        }
        let rows = bob.database.read().outbox().unwrap();
        bob.database
            .write(|store| rows.iter().try_for_each(|row| store.accepted(row.seq, now, None).map(|_| ())))
            .unwrap();
    };
    deliver(None);
    deliver(Some(1));
    deliver(Some(2));
    deliver(None);
    assert_eq!(told(&phone), [(NoticeKind::Missing, 3, 3, 1)]);
    assert_eq!(told(&laptop), [(NoticeKind::Missing, 2, 2, 1)]);
    // And what the one device says to the other is numbered too.
    begin_anew(&mut phone, &mut laptop);
    laptop.introduce(&phone);
    let copies: Vec<Envelope> = (0..3)
        .map(|_| {
            phone.queue(bob.own.account, "said on the phone");
            let said = phone.database.read().history(bob.own.account, 1).unwrap().remove(0);
            let (row, to) = phone
                .database
                .write(|store| crate::engine::repair::copy_for_own_devices(store, said.id))
                .unwrap()
                .unwrap();
            sealed(&mut phone, row, to)
        })
        .collect();
    all_seen(&mut laptop);
    laptop.take(&copies[0]);
    laptop.take(&copies[2]);
    let notice = laptop.database.read().unseen_notices(None, laptop.now(), 9).unwrap().remove(0);
    assert_eq!((notice.kind, notice.from, notice.own), (NoticeKind::Missing, phone.own, true));
    assert_eq!(notice.handle.as_ref(), Some(&phone.handle));
}

#[test]
fn what_stands_in_no_history_can_be_said_again() {
    let (mut alice, mut bob) = acquainted();
    let first = letters(&mut alice, &bob, 2);
    lose_session(&mut bob, &alice);
    bob.take(&first[0]);
    let lost = alice.envelope(bob.own.account, "does not open");
    lose_session(&mut bob, &alice);
    let Arrival::Unreadable { asked: Some((seq, to)), .. } = bob.take(&lost) else { panic!("it opened") };
    alice.spend_one_time_keys();
    bob.meet(&alice);
    let question = sealed(&mut bob, seq, to);
    let alice_tag = alice.own.account;
    let content = |bob: &Device, seq: i64| match bob.database.read().outbox_item(seq).unwrap().unwrap() {
        crate::database::SealedItem::Open { content, .. } => content,
        crate::database::SealedItem::Sealed { .. } => panic!("sealed"),
    };
    let (row, _) = bob.database.write(|store| send_again(store, alice_tag, question.id)).unwrap().unwrap();
    let (other, _) = bob.database.write(|store| send_again(store, alice_tag, question.id)).unwrap().unwrap();
    assert_eq!(content(&bob, row), content(&bob, other), "byte for byte");
}

#[test]
fn the_longest_text_fits_whatever_is_said_beside_it() {
    let (mut alice, bob) = acquainted();
    let now = alice.now();
    let (id, longest) = (MessageId::new(now, [0; 10]), "a".repeat(limits::HANDLE_BYTES_MAX));
    let text = Text::new("x".repeat(limits::TEXT_BYTES_MAX)).unwrap();
    let marked = Text::new("x".repeat(limits::TEXT_BYTES_MARKED_MAX)).unwrap();
    let reply_to = Some(Reference { id, of_reader: true });
    let lives_for = Lifetime::new(limits::LIFETIME_MAX);
    let said = [
        Said::from(text),
        Said::Text(Written { text: marked.clone(), reply_to, lives_for }),
        Said::Edit { id, text: marked },
    ];
    let far = UnixMillis::new(u64::MAX);
    let kinds = said.into_iter().flat_map(|said| {
        let copy = ContentKind::Copy { to: bob.own.account, handle: longest.clone(), said: said.clone() };
        [(ContentKind::Said(said), Some(longest.clone())), (copy, None)]
    });
    for (kind, sender_handle) in kinds {
        let content = Content { id, sent_at: far, sender_handle, kind }.encode();
        alice
            .database
            .write(|store| {
                for number in 1..9 {
                    let placed = place(store, alice.own, bob.own, id, &content)?;
                    assert!(placed.parcel.len() <= CONTENT_BYTES_MAX, "{} B", placed.parcel.len());
                    store.put_sent(EnvelopeId::new(now, [number; 10]), id, bob.own, &placed.place, now)?;
                }
                Err::<(), _>(DatabaseError::Full)
            })
            .unwrap_err();
    }
}

#[test]
fn an_accepted_identity_begins_chains_anew_and_is_told_as_nothing_else() {
    let (mut alice, mut bob) = acquainted();
    for letter in letters(&mut alice, &bob, 3) {
        bob.take(&letter);
    }
    let mut again = Device::new("alice");
    bob.spend_one_time_keys();
    again.meet(&bob);
    let letter = again.envelope(bob.own.account, "new me");
    bob.take(&letter);
    bob.introduce(&again);
    crate::engine::account::accept_identity(&mut bob.database, bob.own, alice.own.account, &alice.handle).unwrap();
    assert_eq!((bob.texts().len(), told(&bob)), (4, vec![]));
    bob.meet(&again);
    again.introduce(&bob);
    let answer = bob.envelope(again.own.account, "hello");
    again.take(&answer);
    assert_eq!(told(&again), [], "from its first number");
}
