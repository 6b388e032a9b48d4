//! The own identity and the keys below it; the identities of others, and how two people compare them.

use endtoend_protocol::{AccountTag, DeviceKeys, EnvelopeKey, KemPreKey, OneTimePreKey, SignedPreKey};
use libsignal_protocol::{
    Fingerprint, GenericSignedPreKey as _, IdentityKey, IdentityKeyPair, KeyPair, KyberPreKeyRecord, PreKeyRecord,
    PublicKey, SignalProtocolError, SignedPreKeyRecord, Timestamp, kem,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::envelope;
use crate::random::Rand09;
use crate::records::{Changes, LAST_RESORT, ONE_TIME, RecordKey, Records, RecordsError};

const VERSION: u8 = 1;
const ENVELOPE_KEY_DOMAIN: &[u8] = b"endtoend 2026-11 envelope key signature v1";
/// libsignal's registration ids have 14 bits and are not 0.
const REGISTRATION_ID_MAX: u32 = 16_380;
/// Of Signal's numeric fingerprint, version 2.
const FINGERPRINT_VERSION: u32 = 2;
const FINGERPRINT_ITERATIONS: u32 = 5200;

/// Why keys were not made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no identity: make one first.
    #[error("there is no identity yet")]
    NoIdentity,
    /// The bytes are no identity key.
    #[error("not an identity key")]
    NotAnIdentity,
    /// libsignal could not make a key.
    #[error("cannot make keys")]
    Make,
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl From<SignalProtocolError> for KeysError {
    fn from(_: SignalProtocolError) -> Self {
        Self::Make
    }
}

/// How many keys to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewKeys {
    /// One-time pre-keys.
    pub one_time: usize,
    /// One-time ML-KEM pre-keys.
    pub one_time_kem: usize,
    /// A signed pre-key, a last-resort ML-KEM pre-key and an envelope key.
    pub signed: bool,
}

/// The record [`RecordKey::Own`]: `version(1) || registration id(4) || next ids(4 * 4) || identity key pair`, numbers LE.
pub(crate) struct Own {
    pub(crate) registration_id: u32,
    next: NextIds,
    identity: Zeroizing<Vec<u8>>,
}

/// Ids that were not used yet. They only grow, so that an id never means two keys.
#[derive(Clone, Copy)]
struct NextIds {
    one_time: u32,
    signed: u32,
    kem: u32,
    envelope: u32,
}

impl Own {
    pub(crate) fn read(records: &dyn Records) -> Result<Self, RecordsError> {
        let damaged = || RecordsError::damaged(&RecordKey::Own);
        let bytes = records.get(&RecordKey::Own)?.ok_or_else(damaged)?;
        Self::decode(&bytes).ok_or_else(damaged)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let mut number = || {
            let (head, tail) = rest.split_first_chunk()?;
            rest = tail;
            Some(u32::from_le_bytes(*head))
        };
        let registration_id = number()?;
        let next = NextIds { one_time: number()?, signed: number()?, kem: number()?, envelope: number()? };
        Some(Self { registration_id, next, identity: Zeroizing::new(rest.to_vec()) })
    }

    fn encode(&self) -> Vec<u8> {
        let NextIds { one_time, signed, kem, envelope } = self.next;
        let numbers = [self.registration_id, one_time, signed, kem, envelope];
        let numbers: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
        [&[VERSION][..], &numbers, &self.identity].concat()
    }

    pub(crate) fn identity_key_pair(&self) -> Result<IdentityKeyPair, SignalProtocolError> {
        IdentityKeyPair::try_from(self.identity.as_slice())
    }
}

fn take(next: &mut u32) -> u32 {
    let id = *next;
    // 2^24 is libsignal's bound of an id on the wire elsewhere; starting again is 16 million keys away.
    *next = if id >= 0x00ff_ffff { 1 } else { id + 1 };
    id
}

/// A new identity: for the first run of a client.
///
/// # Errors
/// `Make`.
pub fn create_identity<R: CryptoRng + ?Sized>(rng: &mut R) -> Result<Changes, KeysError> {
    let mut changes = Changes::default();
    let identity = Zeroizing::new(IdentityKeyPair::generate(&mut Rand09(rng)).serialize().to_vec());
    let registration_id = rng.next_u32() % REGISTRATION_ID_MAX + 1;
    let next = NextIds { one_time: 1, signed: 1, kem: 1, envelope: 1 };
    changes.put(RecordKey::Own, Own { registration_id, next, identity }.encode());
    Ok(changes)
}

/// The own identity's key pair, for another device of the same person and nobody else: 69 bytes or so.
///
/// # Errors
/// When there is none.
pub fn export_identity(records: &dyn Records) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    Ok(Own::read(records)?.identity)
}

/// The identity that another device of the same person has given, with a registration id and ids of its own.
///
/// # Errors
/// `NotAnIdentity`.
pub fn import_identity<R: CryptoRng + ?Sized>(rng: &mut R, identity: &[u8]) -> Result<Changes, KeysError> {
    let pair = IdentityKeyPair::try_from(identity).map_err(|_| KeysError::NotAnIdentity)?;
    let identity = Zeroizing::new(pair.serialize().to_vec());
    let mut changes = Changes::default();
    let registration_id = rng.next_u32() % REGISTRATION_ID_MAX + 1;
    let next = NextIds { one_time: 1, signed: 1, kem: 1, envelope: 1 };
    changes.put(RecordKey::Own, Own { registration_id, next, identity }.encode());
    Ok(changes)
}

/// The own identity's public key, as libsignal writes it.
///
/// # Errors
/// When there is none.
pub fn identity_public(records: &dyn Records) -> Result<[u8; 33], KeysError> {
    let pair = Own::read(records)?.identity_key_pair()?;
    pair.identity_key().serialize().as_ref().try_into().map_err(|_| KeysError::NotAnIdentity)
}

/// The own registration id.
///
/// # Errors
/// When there is no identity.
pub fn registration_id(records: &dyn Records) -> Result<u32, KeysError> {
    Ok(Own::read(records)?.registration_id)
}

/// Makes keys to publish. Their secret halves are in the changes: write those before anyone hears of the keys.
///
/// # Errors
/// See [`KeysError`].
pub fn new_device_keys<R: CryptoRng + ?Sized>(
    records: &dyn Records,
    rng: &mut R,
    counts: NewKeys,
) -> Result<(DeviceKeys, Changes), KeysError> {
    let mut own = Own::read(records)?;
    let pair = own.identity_key_pair()?;
    let mut changes = Changes::default();
    let mut keys = DeviceKeys::default();
    for _ in 0..counts.one_time {
        let (id, key) = (take(&mut own.next.one_time), KeyPair::generate(&mut Rand09(rng)));
        changes.put(RecordKey::OneTimePreKey(id), PreKeyRecord::new(id.into(), &key).serialize()?);
        keys.one_time_pre_keys.push(OneTimePreKey { id, public: key_bytes(&key.public_key)? });
    }
    for _ in 0..counts.one_time_kem {
        let id = take(&mut own.next.kem);
        keys.one_time_kem_pre_keys.push(new_kem_key(&pair, rng, id, ONE_TIME, &mut changes)?);
    }
    if counts.signed {
        let (id, key) = (take(&mut own.next.signed), KeyPair::generate(&mut Rand09(rng)));
        let public = key_bytes(&key.public_key)?;
        let signature = sign(&pair, rng, &[&public])?;
        let record = SignedPreKeyRecord::new(id.into(), NO_TIME, &key, &signature);
        changes.put(RecordKey::SignedPreKey(id), record.serialize()?);
        keys.signed_pre_key = Some(SignedPreKey { id, public, signature });
        let id = take(&mut own.next.kem);
        keys.last_resort_kem_pre_key = Some(new_kem_key(&pair, rng, id, LAST_RESORT, &mut changes)?);
        let id = take(&mut own.next.envelope);
        let (secret, bytes) = envelope::Secret::generate(rng);
        changes.put(RecordKey::EnvelopeKey(id), *bytes);
        keys.envelope_key = Some(signed_envelope_key(&pair, rng, id, &secret)?);
    }
    changes.put(RecordKey::Own, own.encode());
    Ok((keys, changes))
}

/// A signed pre-key, a last-resort ML-KEM pre-key and an envelope key that are kept, to publish them once more. The envelope
/// key is signed anew; everything else is as it was.
///
/// # Errors
/// See [`KeysError`].
pub fn kept_device_keys<R: CryptoRng + ?Sized>(
    records: &dyn Records,
    rng: &mut R,
    signed: u32,
    kem: u32,
    envelope: u32,
) -> Result<DeviceKeys, KeysError> {
    let pair = Own::read(records)?.identity_key_pair()?;
    let kept = |key: RecordKey| records.get(&key)?.ok_or_else(|| RecordsError::damaged(&key));
    let record = SignedPreKeyRecord::deserialize(&kept(RecordKey::SignedPreKey(signed))?)?;
    let signed_pre_key = SignedPreKey {
        id: signed,
        public: key_bytes(&record.public_key()?)?,
        signature: record.signature()?.try_into().map_err(|_| KeysError::Make)?,
    };
    let bytes = kept(RecordKey::KemPreKey(kem))?;
    let record = KyberPreKeyRecord::deserialize(bytes.get(1..).unwrap_or_default())?;
    let last_resort_kem_pre_key = KemPreKey {
        id: kem,
        public: record.public_key()?.serialize().to_vec().into(),
        signature: record.signature()?.try_into().map_err(|_| KeysError::Make)?,
    };
    let bytes = kept(RecordKey::EnvelopeKey(envelope))?;
    let secret = bytes.as_slice().try_into().map(envelope::Secret::from_bytes).map_err(|_| KeysError::Make)?;
    Ok(DeviceKeys {
        signed_pre_key: Some(signed_pre_key),
        last_resort_kem_pre_key: Some(last_resort_kem_pre_key),
        envelope_key: Some(signed_envelope_key(&pair, rng, envelope, &secret)?),
        ..DeviceKeys::default()
    })
}

/// Whether an own ML-KEM pre-key is handed out again and again. `false` when there is none.
///
/// # Errors
/// When the records cannot be read.
pub fn is_last_resort(records: &dyn Records, kem: u32) -> Result<bool, RecordsError> {
    Ok(records.get(&RecordKey::KemPreKey(kem))?.is_some_and(|bytes| bytes.first() == Some(&LAST_RESORT)))
}

/// Destroys a signed pre-key, a last-resort ML-KEM pre-key and an envelope key by their ids. What was sealed for them opens
/// no more.
pub fn destroy_keys(signed: u32, kem: u32, envelope: u32) -> Changes {
    let mut changes = Changes::default();
    for key in [RecordKey::SignedPreKey(signed), RecordKey::KemPreKey(kem), RecordKey::EnvelopeKey(envelope)] {
        changes.delete(key);
    }
    changes
}

/// Records carry no time: when a key was made is kept by whoever rotates it.
const NO_TIME: Timestamp = Timestamp::from_epoch_millis(0);

fn new_kem_key<R: CryptoRng + ?Sized>(
    pair: &IdentityKeyPair,
    rng: &mut R,
    id: u32,
    kind: u8,
    changes: &mut Changes,
) -> Result<KemPreKey, KeysError> {
    let key = kem::KeyPair::generate(kem::KeyType::MLKEM1024, &mut Rand09(rng));
    let public = key.public_key.serialize();
    let signature = sign(pair, rng, &[&public])?;
    let record = KyberPreKeyRecord::new(id.into(), NO_TIME, &key, &signature);
    changes.put(RecordKey::KemPreKey(id), [&[kind][..], &record.serialize()?].concat());
    Ok(KemPreKey { id, public: public.to_vec().into(), signature })
}

fn signed_envelope_key<R: CryptoRng + ?Sized>(
    pair: &IdentityKeyPair,
    rng: &mut R,
    id: u32,
    secret: &envelope::Secret,
) -> Result<EnvelopeKey, KeysError> {
    let public = secret.public(id);
    let (x25519, ml_kem) = (public.x25519(), public.ml_kem());
    let signature = sign(pair, rng, &envelope_key_parts(&id.to_le_bytes(), &x25519, &ml_kem))?;
    Ok(EnvelopeKey { id, x25519, ml_kem: ml_kem.into(), signature })
}

fn key_bytes(key: &PublicKey) -> Result<[u8; 33], KeysError> {
    key.serialize().as_ref().try_into().map_err(|_| KeysError::Make)
}

fn sign<R: CryptoRng + ?Sized>(pair: &IdentityKeyPair, rng: &mut R, message: &[&[u8]]) -> Result<[u8; 64], KeysError> {
    let signature = pair.private_key().calculate_signature_for_multipart_message(message, &mut Rand09(rng));
    signature.map_err(|_| KeysError::Make)?.as_ref().try_into().map_err(|_| KeysError::Make)
}

/// What the identity key signs of an envelope key: `domain || id(4, LE) || x25519(32) || ml_kem(1568)`.
fn envelope_key_parts<'a>(id: &'a [u8; 4], x25519: &'a [u8; 32], ml_kem: &'a [u8]) -> [&'a [u8]; 4] {
    [ENVELOPE_KEY_DOMAIN, id, x25519, ml_kem]
}

/// Whether the identity signed this envelope key.
pub(crate) fn envelope_key_is_signed(identity: &IdentityKey, key: &EnvelopeKey) -> bool {
    let id = key.id.to_le_bytes();
    let parts = envelope_key_parts(&id, &key.x25519, &key.ml_kem);
    identity.public_key().verify_signature_for_multipart_message(&parts, &key.signature)
}

/// Trusts an identity for an account from now on. Sessions with the one before are of no use any more.
///
/// When a person has compared and accepted it; a first contact is [`learn_identity`](crate::learn_identity).
///
/// # Errors
/// `NotAnIdentity`.
pub fn accept_identity(account: AccountTag, identity: &[u8; 33]) -> Result<Changes, KeysError> {
    let key = IdentityKey::decode(identity).map_err(|_| KeysError::NotAnIdentity)?;
    crate::guard::check_contributory(key.public_key()).map_err(|_| KeysError::NotAnIdentity)?;
    let mut changes = Changes::default();
    changes.put(RecordKey::PeerIdentity(account), *identity);
    Ok(changes)
}

/// Sixty digits that are the same at both ends if nobody is in between (Signal's numeric fingerprint, version 2).
///
/// # Errors
/// `NotAnIdentity`.
pub fn safety_number(
    own_account: &AccountTag,
    own_identity: &[u8; 33],
    peer_account: &AccountTag,
    peer_identity: &[u8; 33],
) -> Result<String, KeysError> {
    let decode = |bytes: &[u8; 33]| IdentityKey::decode(bytes).map_err(|_| KeysError::NotAnIdentity);
    let (own, peer) = (decode(own_identity)?, decode(peer_identity)?);
    let fingerprint = Fingerprint::new(
        FINGERPRINT_VERSION,
        FINGERPRINT_ITERATIONS,
        own_account.as_bytes(),
        &own,
        peer_account.as_bytes(),
        &peer,
    );
    fingerprint.and_then(|fingerprint| fingerprint.display_string()).map_err(|_| KeysError::NotAnIdentity)
}
