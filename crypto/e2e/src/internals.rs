//! Parts by themselves, for benchmarks and fuzzing. No program uses them: an envelope without the ratchet inside proves no
//! sender.

use bytes::Bytes;
use endtoend_protocol::{Address, EnvelopeId, EnvelopeKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::envelope::{self, Public, Secret};
use crate::guard;
use crate::records::{RecordKey, Records};

/// A device's envelope key and its public half.
pub struct EnvelopeKeys(Secret, Public);

impl EnvelopeKeys {
    /// New keys.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let (secret, _) = Secret::generate(rng);
        let public = secret.public(1);
        Self(secret, public)
    }

    /// Seals for these keys.
    pub fn seal<R: CryptoRng + ?Sized>(&self, rng: &mut R, to: Address, id: EnvelopeId, text: &[u8]) -> Bytes {
        envelope::seal(rng, &self.1, to, id, text)
    }

    /// Opens what was sealed for these keys, `None` when it does not open.
    pub fn open(&self, own: Address, id: EnvelopeId, body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        envelope::open(&self.0, own, id, body).ok()
    }
}

/// Whether a post-quantum part of a ratchet message would reach libsignal.
pub fn ratchet_part_is_let_through(part: &[u8]) -> bool {
    guard::spqr_part_ok(part)
}

/// An envelope around any bytes, for a published key. `None` when the key is none.
pub fn seal_for<R: CryptoRng + ?Sized>(
    rng: &mut R,
    key: &EnvelopeKey,
    to: Address,
    id: EnvelopeId,
    plaintext: &[u8],
) -> Option<Bytes> {
    let key = Public::new(key.id, &key.x25519, &key.ml_kem).ok()?;
    Some(envelope::seal(rng, &key, to, id, plaintext))
}

/// What is inside an envelope for the owner of the records.
pub fn plaintext(records: &dyn Records, own: Address, id: EnvelopeId, body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let secret = records.get(&RecordKey::EnvelopeKey(envelope::key_id(body).ok()?)).ok()??;
    let secret = Secret::from_bytes(secret.as_slice().try_into().ok()?);
    envelope::open(&secret, own, id, body).ok()
}
