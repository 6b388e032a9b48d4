//! Ratchet and envelope alone, in memory: the limit of what a message costs an engine.

use endtoend_benches::Stopwatch;
use endtoend_crypto_e2e::{
    Changes, MemoryRecords, NewKeys, ReadyKeys, RecordKey, Records, RecordsError, create_identity, identity_public,
    learn_identity, new_device_keys, open, registration_id, seal, start_session,
};
use endtoend_protocol::{AccountTag, Address, Bundle, DeviceId, EnvelopeId, Identity, UnixMillis};
use zeroize::Zeroizing;

use crate::median;

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
const MESSAGES: u64 = 1_000;

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

/// Microseconds to seal and to open a message of so many bytes, one after the other from one person to another, who says nothing.
pub(crate) fn message(bytes: usize) -> (f64, f64) {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    let rng = &mut rand::rng();
    let (from, to) = (alice.address, bob.address);
    let started = start_session(&alice.records, rng, from, to, &bob.identity.identity_key, &bob.bundle, NOW);
    alice.records.apply(&started.expect("a session"));
    bob.records.apply(&learn_identity(&bob.records, from.account, &alice.identity).expect("known"));
    let content = vec![b'x'; bytes];
    let mut turn = |number: u64, writer: &mut Person, reader: &mut Person| {
        let id = EnvelopeId::new(UnixMillis::new(number), [1; 10]);
        let watch = Stopwatch::start();
        let sealed = seal(&writer.records, rng, writer.address, reader.address, id, &content, NOW);
        let (body, changes) = sealed.expect("sealed");
        let sealing = watch.elapsed();
        writer.records.apply(&changes);
        let watch = Stopwatch::start();
        let (_, changes) = open(&reader.records, rng, reader.address, id, &body, NOW).expect("opened");
        let opening = watch.elapsed();
        reader.records.apply(&changes);
        (sealing.as_secs_f64() * 1e6, opening.as_secs_f64() * 1e6)
    };
    turn(1, &mut alice, &mut bob);
    turn(2, &mut bob, &mut alice);
    let (seals, opens) = (3..MESSAGES).map(|number| turn(number, &mut alice, &mut bob)).unzip();
    (median(seals), median(opens))
}
