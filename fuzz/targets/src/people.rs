//! Devices with keys that are the same in every run.

use endtoend_crypto_e2e::internals::seal_for;
use endtoend_crypto_e2e::{
    MemoryRecords, NewKeys, create_identity, identity_public, learn_identity, new_device_keys, open, registration_id,
    seal, start_session,
};
use endtoend_protocol::{AccountTag, Address, Bundle, DeviceId, DeviceKeys, EnvelopeId, Identity, UnixMillis};
use rand::CryptoRng;

use crate::rng;

pub(crate) const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) address: Address,
    pub(crate) records: MemoryRecords,
    pub(crate) published: DeviceKeys,
    seed: u8,
}

impl Person {
    pub(crate) fn new(seed: u8) -> Self {
        let rng = &mut rng(seed);
        let mut records = MemoryRecords::default();
        records.apply(&create_identity(rng).unwrap());
        let counts = NewKeys { one_time: 1, one_time_kem: 1, signed: true };
        let (published, changes) = new_device_keys(&records, rng, counts).unwrap();
        records.apply(&changes);
        let address = Address { account: AccountTag::new([seed; 32]), device: DeviceId::FIRST };
        Self { address, records, published, seed }
    }

    pub(crate) fn identity(&self) -> [u8; 33] {
        identity_public(&self.records).unwrap()
    }

    pub(crate) fn bundle(&self) -> Bundle {
        let keys = &self.published;
        Bundle {
            device: self.address.device,
            registration_id: registration_id(&self.records).unwrap(),
            signed_pre_key: keys.signed_pre_key.clone().unwrap(),
            one_time_pre_key: keys.one_time_pre_keys.first().cloned(),
            kem_pre_key: keys.one_time_kem_pre_keys[0].clone(),
            envelope_key: keys.envelope_key.clone().unwrap(),
        }
    }

    pub(crate) fn public(&self) -> Identity {
        let envelope_key = self.published.envelope_key.clone().unwrap();
        Identity {
            devices_version: 1,
            identity_key: self.identity(),
            envelope_keys: vec![(self.address.device, envelope_key)],
        }
    }

    pub(crate) fn seal_to_me<R: CryptoRng>(&self, rng: &mut R, id: EnvelopeId, plaintext: &[u8]) -> Vec<u8> {
        let key = self.published.envelope_key.as_ref().unwrap();
        seal_for(rng, key, self.address, id, plaintext).unwrap().to_vec()
    }

    pub(crate) fn meet(&mut self, peer: &Self) {
        let changes = start_session(
            &self.records,
            &mut rng(self.seed + 100),
            self.address,
            peer.address,
            &peer.identity(),
            &peer.bundle(),
            NOW,
        );
        self.records.apply(&changes.unwrap());
    }

    pub(crate) fn trust(&mut self, peer: &Self) {
        self.records.apply(&learn_identity(&self.records, peer.address.account, &peer.public()).unwrap());
    }

    pub(crate) fn write(&mut self, to: &Self, number: u8) -> (EnvelopeId, Vec<u8>) {
        let id = EnvelopeId::new(NOW, [number; 10]);
        let sealed = seal(&self.records, &mut rng(number), self.address, to.address, id, b"hello", NOW);
        let (body, changes) = sealed.unwrap();
        self.records.apply(&changes);
        (id, body.to_vec())
    }

    pub(crate) fn read(&mut self, (id, body): &(EnvelopeId, Vec<u8>)) {
        let (_, changes) = open(&self.records, &mut rng(200), self.address, *id, body, NOW).unwrap();
        self.records.apply(&changes);
    }
}
