//! The envelope alone, for benchmarks. No program uses it: an envelope without the ratchet inside proves no sender.

use bytes::Bytes;
use endtoend_protocol::{Address, EnvelopeId};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::envelope::{self, Public, Secret};

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
