//! People in memory who write to each other: ratchet and envelope, and nothing of a client.
#![expect(clippy::expect_used, reason = "a measurement that fails should stop")]

use std::time::Duration;

use endtoend_crypto_e2e::{
    Changes, MemoryRecords, NewKeys, ReadyKeys, RecordKey, Records, RecordsError, create_identity, identity_public,
    learn_identity, new_device_keys, open, registration_id, seal, start_session,
};
use endtoend_protocol::{AccountTag, Address, Bundle, DeviceId, EnvelopeId, Identity, UnixMillis};
use zeroize::Zeroizing;

use crate::Stopwatch;

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

/// Records as a client keeps them: with a place for a key that was made ready.
#[derive(Default)]
struct Kept {
    records: MemoryRecords,
    ready: ReadyKeys,
}

impl Records for Kept {
    fn get(&self, key: &RecordKey) -> Result<Option<Zeroizing<Vec<u8>>>, RecordsError> {
        self.records.get(key)
    }
    fn ready_keys(&self) -> Option<&ReadyKeys> {
        Some(&self.ready)
    }
}

impl Kept {
    fn apply(&mut self, changes: &Changes) {
        self.records.apply(changes);
    }
}

/// A device in memory.
struct Person {
    address: Address,
    records: Kept,
    identity: Identity,
    bundle: Bundle,
}

impl Person {
    fn new(byte: u8) -> Self {
        let rng = &mut rand::rng();
        let mut records = Kept::default();
        records.apply(&create_identity(rng).expect("an identity"));
        let counts = NewKeys { one_time: 1, one_time_kem: 1, signed: true };
        let (mut keys, changes) = new_device_keys(&records, rng, counts).expect("keys");
        records.apply(&changes);
        let envelope_key = keys.envelope_key.expect("an envelope key");
        let identity_key = identity_public(&records).expect("an identity");
        let envelope_keys = vec![(DeviceId::FIRST, envelope_key.clone())];
        let bundle = Bundle {
            device: DeviceId::FIRST,
            registration_id: registration_id(&records).expect("a number"),
            signed_pre_key: keys.signed_pre_key.expect("a signed key"),
            one_time_pre_key: keys.one_time_pre_keys.pop(),
            kem_pre_key: keys.one_time_kem_pre_keys.pop().expect("a key"),
            envelope_key,
        };
        let address = Address { account: AccountTag::new([byte; 32]), device: DeviceId::FIRST };
        Self { address, records, identity: Identity { devices_version: 1, identity_key, envelope_keys }, bundle }
    }
}

/// Two who know each other.
pub struct Couple {
    people: [Person; 2],
    number: u64,
}

impl Couple {
    /// One has begun a session with the other, and nothing was said yet.
    ///
    /// # Panics
    /// When keys cannot be made.
    pub fn new() -> Self {
        let (mut alice, mut bob) = (Person::new(1), Person::new(2));
        let (from, to) = (alice.address, bob.address);
        let theirs = &bob.identity.identity_key;
        let started = start_session(&alice.records, &mut rand::rng(), from, to, theirs, &bob.bundle, NOW);
        alice.records.apply(&started.expect("a session"));
        bob.records.apply(&learn_identity(&bob.records, from.account, &alice.identity).expect("known"));
        Self { people: [alice, bob], number: 0 }
    }

    /// Who speaks now says this; `swap`: then the other one has the word. How long it took to seal and to open.
    ///
    /// # Panics
    /// When it does not arrive.
    pub fn say(&mut self, content: &[u8], swap: bool) -> (Duration, Duration) {
        self.number += 1;
        let id = EnvelopeId::new(UnixMillis::new(self.number), [1; 10]);
        let [writer, reader] = &mut self.people;
        let rng = &mut rand::rng();
        let watch = Stopwatch::start();
        let sealed = seal(&writer.records, rng, writer.address, reader.address, id, content, NOW);
        let (body, changes) = sealed.expect("sealed");
        let sealing = watch.elapsed();
        writer.records.apply(&changes);
        let watch = Stopwatch::start();
        let (_, changes) = open(&reader.records, rng, reader.address, id, &body, NOW).expect("opened");
        let opening = watch.elapsed();
        reader.records.apply(&changes);
        if swap {
            self.people.reverse();
        }
        (sealing, opening)
    }
}

impl Default for Couple {
    fn default() -> Self {
        Self::new()
    }
}
