//! Hybrid signatures: Ed25519 (RFC 8032) and ML-DSA-87 (FIPS 204), both of which must verify.

use std::fmt;

use ed25519_dalek::Signer as _;
use ml_dsa::{KeyExport as _, MlDsa87};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

const ED25519_KEY_BYTES: usize = 32;
const ED25519_SIGNATURE_BYTES: usize = 64;

/// Length in bytes of a seed: 32 for each key.
pub const SEED_BYTES: usize = 64;
/// Length in bytes of the verifying keys.
pub const VERIFYING_KEY_BYTES: usize = ED25519_KEY_BYTES + 2592;
/// Length in bytes of a signature.
pub const SIGNATURE_BYTES: usize = ED25519_SIGNATURE_BYTES + 4627;

/// The bytes are no key, or not a signature of both keys over this message in this domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// Bytes of stack that are overwritten once keys are made: more than making them takes.
const STACK_BYTES: usize = 256 * 1024;

/// Two signing keys. Wiped when dropped; `Debug` shows nothing of them. They stay where they are in memory when this is moved, because a
/// move leaves the bytes behind.
pub struct SigningKey {
    ed25519: Box<ed25519_dalek::SigningKey>,
    ml_dsa: Box<ml_dsa::SigningKey<MlDsa87>>,
}

/// Overwrites what lies below on the stack.
#[inline(never)]
fn sweep_stack() {
    let mut below = [0_u8; STACK_BYTES];
    std::hint::black_box(&mut below);
}

impl SigningKey {
    /// New keys.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The keys of a seed: 32 bytes for Ed25519, 32 for ML-DSA-87 (the seed of FIPS 204, algorithm 6).
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        let made = Self::make(seed);
        sweep_stack();
        made
    }

    /// Apart, so that all that making the keys leaves on the stack lies below whoever sweeps it.
    #[inline(never)]
    fn make(seed: &[u8; SEED_BYTES]) -> Self {
        let (mut ed25519, mut ml_dsa) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        let (first, second) = seed.split_at(32);
        ed25519.copy_from_slice(first);
        ml_dsa.copy_from_slice(second);
        Self {
            ed25519: Box::new(ed25519_dalek::SigningKey::from_bytes(&ed25519)),
            ml_dsa: Box::new(ml_dsa::SigningKey::from_seed((&*ml_dsa).into())),
        }
    }

    /// What [`SigningKey::from_seed`] takes: all there is to keep.
    pub fn seed(&self) -> Zeroizing<[u8; SEED_BYTES]> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        let (first, second) = seed.split_at_mut(32);
        first.copy_from_slice(self.ed25519.as_bytes());
        second.copy_from_slice(self.ml_dsa.as_seed());
        seed
    }

    /// The keys that verify.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { ed25519: self.ed25519.verifying_key(), ml_dsa: ml_dsa::Keypair::verifying_key(&*self.ml_dsa) }
    }

    /// Signs with both keys: Ed25519 over `le64(|domain|) || domain || message`, ML-DSA-87 (deterministic) over
    /// `message` with `domain` as FIPS 204 context. Gives `ed25519 || ml_dsa`, [`SIGNATURE_BYTES`] long.
    ///
    /// A domain longer than 255 bytes, or a rejection loop that never ends, gives an empty result, which nothing
    /// verifies; domains are constants and the loop ends.
    pub fn sign(&self, domain: &'static str, message: &[u8]) -> Vec<u8> {
        let Ok(ml_dsa) = self.ml_dsa.expanded_key().sign_deterministic(message, domain.as_bytes()) else {
            return Vec::new();
        };
        let mut signature = Vec::with_capacity(SIGNATURE_BYTES);
        signature.extend_from_slice(&self.ed25519.sign(&framed(domain, message)).to_bytes());
        signature.extend_from_slice(&ml_dsa.encode());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Two verifying keys.
#[derive(Clone, PartialEq)]
pub struct VerifyingKey {
    ed25519: ed25519_dalek::VerifyingKey,
    ml_dsa: ml_dsa::VerifyingKey<MlDsa87>,
}

impl VerifyingKey {
    /// # Errors
    /// Unless the bytes are `ed25519 || ml_dsa`, [`VERIFYING_KEY_BYTES`] long, and the first is a point of large order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadSignature> {
        let (ed25519, ml_dsa) = bytes.split_first_chunk::<ED25519_KEY_BYTES>().ok_or(BadSignature)?;
        let ed25519 = ed25519_dalek::VerifyingKey::from_bytes(ed25519).map_err(|_| BadSignature)?;
        if ed25519.is_weak() {
            return Err(BadSignature);
        }
        let ml_dsa = ml_dsa.try_into().map_err(|_| BadSignature)?;
        Ok(Self { ed25519, ml_dsa: ml_dsa::VerifyingKey::decode(ml_dsa) })
    }

    /// `ed25519 || ml_dsa`, [`VERIFYING_KEY_BYTES`] long.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(VERIFYING_KEY_BYTES);
        bytes.extend_from_slice(self.ed25519.as_bytes());
        bytes.extend_from_slice(&self.ml_dsa.to_bytes());
        bytes
    }

    /// # Errors
    /// Unless both signatures are by these keys over this message in this domain. Ed25519 is checked strictly: no
    /// small-order points, no encodings that are not canonical.
    pub fn verify(&self, domain: &'static str, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let (ed25519, ml_dsa) = signature.split_first_chunk::<ED25519_SIGNATURE_BYTES>().ok_or(BadSignature)?;
        let ml_dsa = ml_dsa::Signature::<MlDsa87>::try_from(ml_dsa).map_err(|_| BadSignature)?;
        let ed25519 = ed25519_dalek::Signature::from_bytes(ed25519);
        self.ed25519.verify_strict(&framed(domain, message), &ed25519).map_err(|_| BadSignature)?;
        match self.ml_dsa.verify_with_context(message, domain.as_bytes(), &ml_dsa) {
            true => Ok(()),
            false => Err(BadSignature),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.ed25519.to_bytes();
        write!(f, "VerifyingKey({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

fn framed(domain: &str, message: &[u8]) -> Vec<u8> {
    [&(domain.len() as u64).to_le_bytes(), domain.as_bytes(), message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "endtoend test";

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&[byte; SEED_BYTES])
    }

    #[test]
    fn a_signature_verifies_for_its_message_domain_and_key_only() {
        let (key, other) = (key(1), key(2));
        let signature = key.sign(DOMAIN, b"message");
        assert_eq!(signature.len(), SIGNATURE_BYTES);
        let verifier = VerifyingKey::from_bytes(&key.verifying_key().to_bytes()).unwrap();
        assert_eq!(verifier.to_bytes().len(), VERIFYING_KEY_BYTES);
        assert_eq!(verifier.verify(DOMAIN, b"message", &signature), Ok(()));
        assert_eq!(verifier.verify(DOMAIN, b"massage", &signature), Err(BadSignature));
        assert_eq!(verifier.verify("another domain", b"message", &signature), Err(BadSignature));
        assert_eq!(other.verifying_key().verify(DOMAIN, b"message", &signature), Err(BadSignature));
    }

    #[test]
    fn both_halves_must_verify() {
        let (key, other) = (key(1), key(2));
        let (mine, theirs) = (key.sign(DOMAIN, b"message"), other.sign(DOMAIN, b"message"));
        let verifier = key.verifying_key();
        let mixed = |a: &[u8], b: &[u8]| [&a[..ED25519_SIGNATURE_BYTES], &b[ED25519_SIGNATURE_BYTES..]].concat();
        assert_eq!(verifier.verify(DOMAIN, b"message", &mixed(&mine, &theirs)), Err(BadSignature));
        assert_eq!(verifier.verify(DOMAIN, b"message", &mixed(&theirs, &mine)), Err(BadSignature));
        assert_eq!(verifier.verify(DOMAIN, b"message", &mixed(&mine, &mine)), Ok(()));
    }

    #[test]
    fn flipped_bits_and_other_lengths_are_refused() {
        let key = key(1);
        let (signature, verifier) = (key.sign(DOMAIN, b"message"), key.verifying_key());
        // Every bit of the classical half; of the other a sample, unless the build is fast.
        let step = if cfg!(debug_assertions) { 97 } else { 1 };
        for bit in
            (0..ED25519_SIGNATURE_BYTES * 8).chain((ED25519_SIGNATURE_BYTES * 8..SIGNATURE_BYTES * 8).step_by(step))
        {
            let mut bent = signature.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verifier.verify(DOMAIN, b"message", &bent), Err(BadSignature), "bit {bit}");
        }
        for len in [0, 1, 63, 64, 65, SIGNATURE_BYTES - 1] {
            assert_eq!(verifier.verify(DOMAIN, b"message", &signature[..len]), Err(BadSignature));
        }
        assert_eq!(verifier.verify(DOMAIN, b"message", &[&signature[..], &[0]].concat()), Err(BadSignature));
        for len in [0, 31, 32, VERIFYING_KEY_BYTES - 1] {
            assert!(VerifyingKey::from_bytes(&verifier.to_bytes()[..len]).is_err());
        }
    }

    #[test]
    fn a_small_order_key_is_refused() {
        let mut bytes = key(1).verifying_key().to_bytes();
        bytes[..32].fill(0);
        bytes[0] = 1; // the neutral element
        assert!(VerifyingKey::from_bytes(&bytes).is_err());
    }

    #[test]
    fn a_seed_is_all_there_is_to_keep_and_is_not_shown() {
        let key = SigningKey::generate(&mut rand::rng());
        let again = SigningKey::from_seed(&key.seed());
        assert_eq!(key.sign(DOMAIN, b"m"), again.sign(DOMAIN, b"m"));
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
        assert_eq!(
            format!("{:?}", SigningKey::from_seed(&[0; SEED_BYTES]).verifying_key()),
            "VerifyingKey(3b6a27bc…)",
            "public: its head"
        );
    }
}
