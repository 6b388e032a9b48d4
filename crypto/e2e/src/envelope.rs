//! The PQ envelope: X25519 and ML-KEM-1024 around what the ratchet made. See docs/cryptography.md, "PQ envelope".

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use endtoend_crypto_core::aead::{self, Key, NONCE_BYTES};
use endtoend_protocol::{Address, EnvelopeId};
use ml_kem::array::Array;
use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{B32, DecapsulationKey1024, EncapsulationKey1024, Seed};
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

const KEY_CONTEXT: &str = "endtoend 2026-11 pq envelope v1 key";
const HEADER_DOMAIN: &[u8] = b"endtoend 2026-11 pq envelope v1 header";
const VERSION: u8 = 1;
const ML_KEM_CIPHERTEXT_BYTES: usize = 1568;

/// Bytes of an own envelope key as it is kept: X25519 scalar, ML-KEM seed.
pub(crate) const SECRET_BYTES: usize = 32 + 64;
/// Bytes by which an envelope is longer than what is in it.
pub const ENVELOPE_OVERHEAD: usize = 1 + 4 + 32 + ML_KEM_CIPHERTEXT_BYTES + aead::OVERHEAD;

/// The bytes are no envelope for this key, device and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEnvelope;

/// An own envelope key, ready to use: expanded from what is kept of it.
pub(crate) struct Secret {
    x25519: StaticSecret,
    x25519_public: PublicKey,
    ml_kem: DecapsulationKey1024,
}

/// The own envelope key that was used last, ready to use again: expanding one costs a fifth of opening a message.
///
/// Whoever keeps records may keep this beside them, see [`Records::ready_keys`](crate::Records::ready_keys). A key whose
/// record is gone is not used, whatever is in here.
#[derive(Default)]
pub struct ReadyKeys(RefCell<Option<(Zeroizing<[u8; SECRET_BYTES]>, Secret)>>);

impl ReadyKeys {
    /// Does something with the key that is kept as `bytes`.
    pub(crate) fn with<T>(&self, bytes: &[u8; SECRET_BYTES], work: impl FnOnce(&Secret) -> T) -> T {
        // Taken out meanwhile, so that nothing can meet it half way.
        let ready = self.0.take().filter(|(kept, _)| **kept == *bytes);
        let (kept, secret) = ready.unwrap_or_else(|| (Zeroizing::new(*bytes), Secret::from_bytes(bytes)));
        let done = work(&secret);
        self.0.replace(Some((kept, secret)));
        done
    }
}

impl fmt::Debug for ReadyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadyKeys(..)")
    }
}

impl Secret {
    pub(crate) fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> (Self, Zeroizing<[u8; SECRET_BYTES]>) {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rng.fill_bytes(bytes.as_mut());
        (Self::from_bytes(&bytes), bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8; SECRET_BYTES]) -> Self {
        let (first, second) = bytes.split_at(32);
        let (mut scalar, mut seed) = (Zeroizing::new([0; 32]), Seed::default());
        scalar.copy_from_slice(first);
        seed.copy_from_slice(second);
        let ml_kem = DecapsulationKey1024::from_seed(seed);
        seed.zeroize();
        let x25519 = StaticSecret::from(*scalar);
        Self { x25519_public: PublicKey::from(&x25519), x25519, ml_kem }
    }

    pub(crate) fn public(&self, id: u32) -> Public {
        Public { id, x25519: self.x25519_public, ml_kem: self.ml_kem.encapsulation_key().clone() }
    }
}

/// An envelope key that somebody published.
pub(crate) struct Public {
    id: u32,
    x25519: PublicKey,
    ml_kem: EncapsulationKey1024,
}

impl Public {
    /// # Errors
    /// When the ML-KEM key fails the check of FIPS 203, section 7.2, or the X25519 key is of low order.
    pub(crate) fn new(id: u32, x25519: &[u8; 32], ml_kem: &[u8]) -> Result<Self, BadEnvelope> {
        if !StaticSecret::from([0x42; 32]).diffie_hellman(&PublicKey::from(*x25519)).was_contributory() {
            return Err(BadEnvelope);
        }
        Self::decode(id, x25519, ml_kem)
    }

    fn decode(id: u32, x25519: &[u8; 32], ml_kem: &[u8]) -> Result<Self, BadEnvelope> {
        let ml_kem = Array::try_from(ml_kem).map_err(|_| BadEnvelope)?;
        let ml_kem = EncapsulationKey1024::new(&ml_kem).map_err(|_| BadEnvelope)?;
        Ok(Self { id, x25519: PublicKey::from(*x25519), ml_kem })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&self.id.to_le_bytes()[..], self.x25519.as_bytes(), &self.ml_kem.to_bytes()].concat()
    }

    /// Reads what [`Public::to_bytes`] wrote of a key that [`Public::new`] has let pass.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, BadEnvelope> {
        let (id, rest) = bytes.split_first_chunk().ok_or(BadEnvelope)?;
        let (x25519, ml_kem) = rest.split_first_chunk().ok_or(BadEnvelope)?;
        Self::decode(u32::from_le_bytes(*id), x25519, ml_kem)
    }

    pub(crate) fn x25519(&self) -> [u8; 32] {
        self.x25519.to_bytes()
    }
    pub(crate) fn ml_kem(&self) -> Vec<u8> {
        self.ml_kem.to_bytes().to_vec()
    }
}

/// What the key of one envelope is derived from.
struct Transcript<'a> {
    recipient: &'a Public,
    ml_kem_ciphertext: &'a [u8],
    ephemeral: &'a [u8; 32],
    header: &'a [u8],
}

impl Transcript<'_> {
    /// `BLAKE3-derive(ss || dh || recipient keys || ciphertext || ephemeral || header)`, 68 bytes: key and nonce.
    /// Every part but the last has a fixed length.
    fn key(&self, shared: &[u8], agreed: &[u8; 32]) -> (Key, [u8; NONCE_BYTES]) {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        let Public { x25519, ml_kem, .. } = self.recipient;
        hasher.update(shared).update(agreed).update(&ml_kem.to_bytes()).update(x25519.as_bytes());
        hasher.update(self.ml_kem_ciphertext).update(self.ephemeral).update(self.header);
        let mut stream = hasher.finalize_xof();
        let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; NONCE_BYTES]);
        stream.fill(key.as_mut());
        stream.fill(&mut nonce);
        (Key::new(*key), nonce)
    }
}

/// The associated data: what the server routes by, and which key was used.
fn header(key_id: u32, to: Address, id: EnvelopeId) -> Vec<u8> {
    [HEADER_DOMAIN, &[VERSION], &key_id.to_le_bytes(), to.account.as_bytes(), &[to.device.get()], id.as_bytes()]
        .concat()
}

/// `version(1) || key id(4, LE) || ephemeral(32) || ML-KEM ciphertext(1568) || sealed`
pub(crate) fn seal<R: CryptoRng + ?Sized>(
    rng: &mut R,
    recipient: &Public,
    to: Address,
    id: EnvelopeId,
    plaintext: &[u8],
) -> Bytes {
    let mut scalar = Zeroizing::new([0; 32]);
    rng.fill_bytes(scalar.as_mut());
    let ephemeral_secret = StaticSecret::from(*scalar);
    let ephemeral = PublicKey::from(&ephemeral_secret).to_bytes();
    let agreed = ephemeral_secret.diffie_hellman(&recipient.x25519);
    let mut randomness = B32::default();
    rng.fill_bytes(&mut randomness);
    let (ciphertext, mut shared) = recipient.ml_kem.encapsulate_deterministic(&randomness);
    randomness.zeroize();
    let header = header(recipient.id, to, id);
    let transcript = Transcript { recipient, ml_kem_ciphertext: &ciphertext, ephemeral: &ephemeral, header: &header };
    let (key, nonce) = transcript.key(&shared, agreed.as_bytes());
    shared.zeroize();
    let mut body = Vec::with_capacity(ENVELOPE_OVERHEAD + plaintext.len());
    body.push(VERSION);
    body.extend_from_slice(&recipient.id.to_le_bytes());
    body.extend_from_slice(&ephemeral);
    body.extend_from_slice(&ciphertext);
    aead::seal_onto(&key, &nonce, &header, plaintext, &mut body);
    body.into()
}

/// The id of the key that an envelope is sealed for.
pub(crate) fn key_id(body: &[u8]) -> Result<u32, BadEnvelope> {
    match body.split_first_chunk::<5>() {
        Some(([VERSION, id @ ..], _)) => Ok(u32::from_le_bytes(*id)),
        _ => Err(BadEnvelope),
    }
}

pub(crate) fn open(
    secret: &Secret,
    own: Address,
    id: EnvelopeId,
    body: &[u8],
) -> Result<Zeroizing<Vec<u8>>, BadEnvelope> {
    let key_id = key_id(body)?;
    let (_, rest) = body.split_first_chunk::<5>().ok_or(BadEnvelope)?;
    let (ephemeral, rest) = rest.split_first_chunk::<32>().ok_or(BadEnvelope)?;
    let (ciphertext, sealed) = rest.split_first_chunk::<ML_KEM_CIPHERTEXT_BYTES>().ok_or(BadEnvelope)?;
    let agreed = secret.x25519.diffie_hellman(&PublicKey::from(*ephemeral));
    if !agreed.was_contributory() {
        return Err(BadEnvelope);
    }
    let ciphertext_array = Array::try_from(&ciphertext[..]).map_err(|_| BadEnvelope)?;
    let mut shared = secret.ml_kem.decapsulate(&ciphertext_array);
    let header = header(key_id, own, id);
    let recipient = &secret.public(key_id);
    let transcript = Transcript { recipient, ml_kem_ciphertext: ciphertext, ephemeral, header: &header };
    let (key, nonce) = transcript.key(&shared, agreed.as_bytes());
    shared.zeroize();
    aead::open(&key, &nonce, &header, sealed).map_err(|_| BadEnvelope)
}
