//! Keys are replaced while messages are on their way.

use std::time::Duration;

use endtoend_crypto_e2e::{PEER_KEYS_AGE_MAX, RecordKey, Records as _};
use endtoend_protocol::{DeviceKeys, Envelope, KeyCounts};

use super::messages::Device;
use crate::database::{KeySet, OwnKeys};
use crate::engine::account::more_keys;
use crate::engine::receive::{Arrival, Learned};
use crate::engine::rotation::{RETIRED_KEPT, SEALED_AGE_MAX, care, note_held};
use crate::engine::seal::{Opened, Sealed};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The device looks after its keys, and the server hears of new ones. Says whether there were any.
fn rotate(device: &mut Device) -> bool {
    let now = device.now();
    let Some((set, keys)) = device.database.write(|store| care(store, now)).unwrap() else { return false };
    device.database.write(|store| store.key_set_published(set, now)).unwrap();
    device.publish(keys);
    true
}

fn sets(device: &Device) -> Vec<KeySet> {
    device.database.read().key_sets().unwrap()
}

/// The id of the key that an envelope is for.
fn key_of(envelope: &Envelope) -> u32 {
    u32::from_le_bytes(envelope.body[1..5].try_into().unwrap())
}

fn has(device: &Device, key: RecordKey) -> bool {
    device.database.read().get(&key).unwrap().is_some()
}

#[test]
fn a_message_for_the_old_keys_opens_after_they_were_replaced() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    assert_eq!(alice.meet(&bob), Opened::Ready);
    bob.introduce(&alice);
    let queued = alice.envelope(bob.own.account, "written on Monday");
    assert!(!rotate(&mut bob), "too early");
    bob.ahead = 7 * DAY;
    assert!(rotate(&mut bob));
    assert!(!rotate(&mut bob), "once");
    assert!(matches!(bob.take(&queued), Arrival::Message { new_session: true, .. }));

    bob.introduce(&alice);
    let answer = bob.envelope(alice.own.account, "read on Wednesday");
    assert!(matches!(alice.take(&answer), Arrival::Message { .. }));

    // Alice learns of the new key before she seals for the old one too late.
    alice.ahead = PEER_KEYS_AGE_MAX;
    let seq = alice.queue(bob.own.account, "written on Sunday");
    assert!(matches!(alice.seal(seq, bob.own.account), Sealed::StaleKeys));
    alice.introduce(&bob);
    let Sealed::Ready { envelope, .. } = alice.seal(seq, bob.own.account) else { panic!("not sealed") };
    assert_eq!(key_of(&envelope), sets(&bob)[1].envelope);
    assert!(matches!(bob.take(&envelope), Arrival::Message { .. }));
}

#[test]
fn old_keys_are_destroyed_when_nothing_can_be_under_way_any_more() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let (early, late) = (alice.envelope(bob.own.account, "early"), alice.envelope(bob.own.account, "late"));
    let old = sets(&bob)[0];
    let keys =
        [RecordKey::SignedPreKey(old.signed), RecordKey::KemPreKey(old.kem), RecordKey::EnvelopeKey(old.envelope)];
    bob.ahead = 7 * DAY;
    assert!(rotate(&mut bob));
    bob.ahead += RETIRED_KEPT - DAY;
    rotate(&mut bob);
    assert!(keys.iter().all(|key| has(&bob, *key)));
    assert!(matches!(bob.take(&early), Arrival::Message { .. }));
    bob.ahead += DAY;
    rotate(&mut bob);
    assert!(keys.iter().all(|key| !has(&bob, *key)));
    assert!(!sets(&bob).contains(&old));
    assert!(matches!(bob.take(&late), Arrival::Unreadable { reason: "unknown_key", .. }));
}

#[test]
fn a_lost_answer_leaves_both_sets_usable() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    bob.introduce(&alice);
    bob.ahead = 7 * DAY;
    let now = bob.now();
    let (_, unheard) = bob.database.write(|store| care(store, now)).unwrap().unwrap();
    // The server has it, the device does not know; an hour later it makes another.
    bob.publish(unheard);
    alice.meet(&bob);
    let letter = alice.envelope(bob.own.account, "hello");
    bob.ahead += Duration::from_secs(3600);
    assert!(rotate(&mut bob));
    assert!(matches!(bob.take(&letter), Arrival::Message { .. }));
    assert_eq!(sets(&bob).iter().filter(|set| set.retired_at.is_none()).count(), 1);
}

#[test]
fn an_envelope_that_waited_at_its_sender_is_sealed_anew() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    // Sealed, and then her computer was closed: perhaps the server has it, perhaps not.
    let seq = alice.queue(bob.own.account, "hello");
    let Sealed::Ready { envelope: first, message, .. } = alice.seal(seq, bob.own.account) else { panic!("not sealed") };
    alice.ahead = SEALED_AGE_MAX - Duration::from_secs(1);
    let Sealed::Ready { envelope: again, .. } = alice.seal(seq, bob.own.account) else { panic!("not sealed") };
    assert_eq!(first, again, "young enough to arrive in time");

    bob.ahead = 7 * DAY;
    assert!(rotate(&mut bob));
    alice.ahead = 30 * DAY;
    // What is known of Bob is old by now, and the session has never been answered.
    assert!(matches!(alice.seal(seq, bob.own.account), Sealed::StaleKeys));
    alice.introduce(&bob);
    assert!(matches!(alice.seal(seq, bob.own.account), Sealed::NoKeys));
    alice.meet(&bob);
    let Sealed::Ready { envelope: late, message: same, .. } = alice.seal(seq, bob.own.account) else {
        panic!("not sealed")
    };
    assert_eq!(message, same);
    assert_ne!(first.id, late.id);
    bob.ahead = 7 * DAY + RETIRED_KEPT;
    rotate(&mut bob);
    assert!(matches!(bob.take(&late), Arrival::Message { .. }));
    assert_eq!(bob.texts().len(), 1);
}

#[test]
fn what_was_sealed_anew_is_shown_once() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let seq = alice.queue(bob.own.account, "hello");
    let Sealed::Ready { envelope: first, .. } = alice.seal(seq, bob.own.account) else { panic!("not sealed") };
    alice.ahead = SEALED_AGE_MAX;
    let Sealed::Ready { envelope: again, .. } = alice.seal(seq, bob.own.account) else { panic!("not sealed") };
    assert_ne!(first.id, again.id);
    assert!(matches!(bob.take(&first), Arrival::Message { .. }));
    assert!(matches!(bob.take(&again), Arrival::Repeat));
    assert_eq!(bob.texts().len(), 1);
}

#[test]
fn after_three_weeks_away_everything_that_was_queued_opens() {
    let (mut alice, mut carol, mut bob) = (Device::new("alice"), Device::new("carol"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    bob.spend_one_time_keys();
    let letter = alice.envelope(bob.own.account, "before");
    bob.take(&letter);
    let answer = bob.envelope(alice.own.account, "and an answer");
    alice.introduce(&bob);
    alice.take(&answer);
    // Every three days one from an old session, and one in the middle from somebody new.
    let mut queued = Vec::new();
    for day in (0..21).step_by(3) {
        alice.ahead = day * DAY;
        alice.introduce(&bob);
        queued.push(alice.envelope(bob.own.account, "from Alice"));
        if day == 9 {
            carol.ahead = alice.ahead;
            carol.meet(&bob);
            queued.push(carol.envelope(bob.own.account, "from Carol"));
        }
    }
    bob.ahead = 21 * DAY;
    assert!(rotate(&mut bob), "before anything is read");
    for envelope in &queued {
        match bob.take(envelope) {
            Arrival::Message { .. } => {}
            Arrival::Held { .. } => {
                let Learned::Known(arrivals) = bob.introduce(&carol) else { panic!("not known") };
                assert!(matches!(arrivals[..], [(_, Arrival::Message { .. })]));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bob.texts().len(), queued.len() + 1);
    assert!(bob.database.read().unreadable().unwrap().is_empty());
}

#[test]
fn a_set_without_an_answer_is_published_again_and_not_made_again() {
    let mut bob = Device::new("bob");
    bob.ahead = 7 * DAY;
    let (mut now, mut uploads) = (bob.now(), Vec::new());
    // The server takes it each time and never says so.
    for _ in 0..100 {
        uploads.extend(bob.database.write(|store| care(store, now)).unwrap());
        now = now.plus(Duration::from_secs(3600));
    }
    assert_eq!((uploads.len(), sets(&bob).len()), (100, 2));
    let ids = |keys: &DeviceKeys| {
        let (signed, kem) = (keys.signed_pre_key.as_ref().unwrap(), keys.last_resort_kem_pre_key.as_ref().unwrap());
        let envelope = keys.envelope_key.as_ref().unwrap();
        (signed.clone(), kem.clone(), envelope.id, envelope.x25519, envelope.ml_kem.clone())
    };
    assert!(uploads.iter().all(|(seq, keys)| *seq == uploads[0].0 && ids(keys) == ids(&uploads[0].1)));
    // And what is published again verifies.
    let mut alice = Device::new("alice");
    bob.publish(uploads.pop().unwrap().1);
    assert_eq!(alice.meet(&bob), Opened::Ready);
}

#[test]
fn a_profile_of_the_first_version_goes_on_and_its_keys_grow_old_like_others() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    let old = sets(&bob)[0];
    alice.meet(&bob);
    let letter = alice.envelope(bob.own.account, "for the first keys");
    bob.go_back_to_the_first_version();
    assert!(sets(&bob).is_empty());
    assert!(rotate(&mut bob), "nobody knows how old they are");
    assert_eq!(sets(&bob).len(), 2);
    let has_old = |bob: &Device| {
        let keys =
            [RecordKey::SignedPreKey(old.signed), RecordKey::KemPreKey(old.kem), RecordKey::EnvelopeKey(old.envelope)];
        keys.map(|key| has(bob, key))
    };
    assert_eq!(has_old(&bob), [true; 3]);
    bob.introduce(&alice);
    assert!(matches!(bob.take(&letter), Arrival::Message { .. }));
    bob.ahead = RETIRED_KEPT;
    rotate(&mut bob);
    assert_eq!(has_old(&bob), [false; 3]);
    assert!(!rotate(&mut bob));
}

#[test]
fn one_time_keys_that_were_handed_out_and_not_used_are_destroyed() {
    let mut bob = Device::new("bob");
    let (now, kept) = (bob.now(), |bob: &Device| {
        let store = bob.database.read();
        (store.own_keys(OwnKeys::OneTimePreKeys).unwrap(), store.own_keys(OwnKeys::KemPreKeys).unwrap())
    });
    let (first, first_kem) = kept(&bob);
    let last_resort = sets(&bob)[0].kem;
    let (ids, keys) = more_keys(&mut bob.database, KeyCounts { one_time: 90, one_time_kem: 40 }).unwrap().unwrap();
    bob.database.write(|store| ids.published(store)).unwrap();
    // An upload without an answer: perhaps the server has these too.
    let (_, unheard) = more_keys(&mut bob.database, KeyCounts { one_time: 98, one_time_kem: 49 }).unwrap().unwrap();
    rotate(&mut bob);
    bob.database.write(|store| note_held(store, KeyCounts { one_time: 4, one_time_kem: 10 }, now)).unwrap();
    assert_eq!(kept(&bob).0.len(), first.len() + 12);

    bob.ahead = RETIRED_KEPT - DAY;
    rotate(&mut bob);
    assert_eq!(kept(&bob).0.len(), first.len() + 12, "somebody may be about to use one");
    bob.ahead = RETIRED_KEPT;
    rotate(&mut bob);
    let (left, left_kem) = kept(&bob);
    let ids: Vec<u32> =
        keys.one_time_pre_keys[6..].iter().chain(&unheard.one_time_pre_keys).map(|key| key.id).collect();
    assert_eq!(left, ids, "the latest that the server holds, and those it may hold");
    // The server holds all ten ML-KEM keys that are known to have reached it: what came before is not known to be gone.
    assert_eq!(left_kem.len(), first_kem.len() + 10 + 1 + sets(&bob).len() - 1);
    assert!(left_kem.contains(&last_resort));
    bob.database.write(|store| note_held(store, KeyCounts::default(), now)).unwrap();
    rotate(&mut bob);
    let (left, left_kem) = kept(&bob);
    let unheard_kem = unheard.one_time_kem_pre_keys[0].id;
    assert_eq!(left, [unheard.one_time_pre_keys[0].id, unheard.one_time_pre_keys[1].id]);
    let mut expected: Vec<u32> = sets(&bob).iter().map(|set| set.kem).chain([unheard_kem]).collect();
    expected.sort_unstable();
    assert_eq!(left_kem, expected, "a last resort is no one-time key");
}
