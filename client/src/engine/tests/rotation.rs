//! Keys are replaced while messages are on their way.

use std::time::Duration;

use endtoend_crypto_e2e::{RecordKey, Records as _};
use endtoend_protocol::Envelope;

use super::messages::Device;
use crate::database::KeySet;
use crate::engine::receive::Arrival;
use crate::engine::rotation::{PEER_KEYS_AGE_MAX, RETIRED_KEPT, care};
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
