//! Sealing for one reader: what a member of a cluster gets of the secrets that all members share.
//!
//! ```text
//! dh        = X25519(ephemeral, reader.x25519)            refused when zero
//! (ct, ss)  = ML-KEM-1024.Encaps(reader.ml_kem)
//! place     = "endtoend 2026-11 sealed for one v1" || context
//! key(32) || nonce(36) = BLAKE3-derive-key("endtoend 2026-11 sealed for one v1 key",
//!                          ss || dh || reader.ml_kem || reader.x25519 || ct || ephemeral || place)
//! sealed    = version(1, = 1) || ephemeral(32) || ct(1568) || PQ AEAD(key, nonce, place, plaintext)
//! ```
//!
//! It is the PQ envelope's agreement, X25519 and ML-KEM-1024 with both results and everything public in one key, so it
//! stands while either does. The sender is not proved: whoever knows the public keys can seal for them.

use std::fmt;

use ml_kem::array::Array;
use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{B32, DecapsulationKey1024, EncapsulationKey1024, Seed};
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use crate::aead::{self, Key, NONCE_BYTES};

const KEY_CONTEXT: &str = "endtoend 2026-11 sealed for one v1 key";
const PLACE_DOMAIN: &[u8] = b"endtoend 2026-11 sealed for one v1";
const VERSION: u8 = 1;
const X25519_BYTES: usize = 32;
const ML_KEM_BYTES: usize = 1568;

/// Length in bytes of what is kept of the reader's key: X25519 scalar, ML-KEM seed.
pub const SECRET_BYTES: usize = 32 + 64;
/// Length in bytes of the reader's public keys: `x25519(32) || ml_kem(1568)`.
pub const PUBLIC_BYTES: usize = X25519_BYTES + ML_KEM_BYTES;
/// Bytes by which what is sealed is longer than the plaintext.
pub const OVERHEAD: usize = 1 + X25519_BYTES + ML_KEM_BYTES + aead::OVERHEAD;
/// Longest plaintext, in bytes.
pub const PLAINTEXT_BYTES_MAX: usize = 64 * 1024;

/// Why nothing was sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// A public key that no honest reader has: of another length, of low order, not in its only encoding, or out of
    /// ML-KEM's range.
    #[error("a public key to seal for is not valid")]
    BadKey,
    /// The plaintext is longer than [`PLAINTEXT_BYTES_MAX`].
    #[error("at most {PLAINTEXT_BYTES_MAX} bytes are sealed for one reader, not {len}")]
    TooLong {
        /// Of the plaintext.
        len: usize,
    },
    /// Sealed for another reader or context, or changed.
    #[error("what was sealed does not open")]
    Forged,
}

/// A reader's key pair. `Debug` shows nothing of it.
pub struct SealingSecret {
    bytes: Zeroizing<[u8; SECRET_BYTES]>,
    x25519: StaticSecret,
    ml_kem: DecapsulationKey1024,
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingSecret(..)")
    }
}

impl SealingSecret {
    /// New keys.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rng.fill_bytes(bytes.as_mut());
        Self::from_bytes(&bytes)
    }

    /// The keys of what [`SealingSecret::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8; SECRET_BYTES]) -> Self {
        let (first, second) = bytes.split_at(32);
        let (mut scalar, mut seed) = (Zeroizing::new([0; 32]), Seed::default());
        scalar.copy_from_slice(first);
        seed.copy_from_slice(second);
        let ml_kem = DecapsulationKey1024::from_seed(seed);
        seed.zeroize();
        Self { bytes: Zeroizing::new(*bytes), x25519: StaticSecret::from(*scalar), ml_kem }
    }

    /// What is to be kept of it.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SECRET_BYTES]> {
        self.bytes.clone()
    }

    /// The public keys, [`PUBLIC_BYTES`] long.
    pub fn public(&self) -> Vec<u8> {
        [&PublicKey::from(&self.x25519).to_bytes()[..], &self.ml_kem.encapsulation_key().to_bytes()].concat()
    }

    /// Opens what [`seal`] made for these keys and this context.
    ///
    /// # Errors
    /// `Forged` when anything differs.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let Some((&[VERSION], rest)) = sealed.split_first_chunk() else { return Err(SealingError::Forged) };
        let (ephemeral, rest) = rest.split_first_chunk::<X25519_BYTES>().ok_or(SealingError::Forged)?;
        let (ciphertext, body) = rest.split_first_chunk::<ML_KEM_BYTES>().ok_or(SealingError::Forged)?;
        let agreed = agree(&self.x25519, ephemeral).map_err(|_| SealingError::Forged)?;
        let kem = Array::try_from(&ciphertext[..]).map_err(|_| SealingError::Forged)?;
        let mut shared = self.ml_kem.decapsulate(&kem);
        let place = place(context);
        let (key, nonce) = derive(&shared, &agreed, &self.public(), ciphertext, ephemeral, &place);
        shared.zeroize();
        aead::open(&key, &nonce, &place, body).map_err(|_| SealingError::Forged)
    }
}

/// Whether somebody could have these public keys.
///
/// # Errors
/// `BadKey`.
pub fn check_public(public: &[u8]) -> Result<(), SealingError> {
    parts(public).map(drop)
}

/// Seals `plaintext` for the holder of `public`. It opens with the same `context` only, which is not part of the result.
///
/// # Errors
/// `BadKey`, `TooLong`.
pub fn seal<R: CryptoRng + ?Sized>(
    rng: &mut R,
    public: &[u8],
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealingError> {
    if plaintext.len() > PLAINTEXT_BYTES_MAX {
        return Err(SealingError::TooLong { len: plaintext.len() });
    }
    let (x25519, ml_kem) = parts(public)?;
    let mut scalar = Zeroizing::new([0; 32]);
    rng.fill_bytes(scalar.as_mut());
    let secret = StaticSecret::from(*scalar);
    let ephemeral = PublicKey::from(&secret).to_bytes();
    let agreed = agree(&secret, &x25519)?;
    let mut randomness = B32::default();
    rng.fill_bytes(&mut randomness);
    let (ciphertext, mut shared) = ml_kem.encapsulate_deterministic(&randomness);
    randomness.zeroize();
    let place = place(context);
    let (key, nonce) = derive(&shared, &agreed, public, &ciphertext, &ephemeral, &place);
    shared.zeroize();
    let mut sealed = Vec::with_capacity(OVERHEAD + plaintext.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&ephemeral);
    sealed.extend_from_slice(&ciphertext);
    aead::seal_onto(&key, &nonce, &place, plaintext, &mut sealed);
    Ok(sealed)
}

fn place(context: &[u8]) -> Vec<u8> {
    [PLACE_DOMAIN, context].concat()
}

fn parts(public: &[u8]) -> Result<([u8; X25519_BYTES], EncapsulationKey1024), SealingError> {
    let (x25519, ml_kem) = public.split_first_chunk().ok_or(SealingError::BadKey)?;
    // Any scalar will do: clamped ones are multiples of the cofactor, and the order of the rest is prime.
    agree(&StaticSecret::from([0x42; 32]), x25519)?;
    let ml_kem = Array::try_from(ml_kem).map_err(|_| SealingError::BadKey)?;
    Ok((*x25519, EncapsulationKey1024::new(&ml_kem).map_err(|_| SealingError::BadKey)?))
}

/// Every part but the last has a fixed length.
fn derive(
    shared: &[u8],
    agreed: &[u8; 32],
    public: &[u8],
    ciphertext: &[u8],
    ephemeral: &[u8; X25519_BYTES],
    place: &[u8],
) -> (Key, [u8; NONCE_BYTES]) {
    let (x25519, ml_kem) = public.split_at_checked(X25519_BYTES).unwrap_or_default();
    let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
    hasher.update(shared).update(agreed).update(ml_kem).update(x25519).update(ciphertext).update(ephemeral);
    let mut stream = hasher.update(place).finalize_xof();
    let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; NONCE_BYTES]);
    stream.fill(key.as_mut());
    stream.fill(&mut nonce);
    stream.zeroize();
    hasher.zeroize();
    (Key::new(*key), nonce)
}

/// X25519 with keys in their only encoding (below 2^255 - 19), and never a result of zero (RFC 7748, 6.1).
fn agree(secret: &StaticSecret, public: &[u8; X25519_BYTES]) -> Result<Zeroizing<[u8; 32]>, SealingError> {
    let [low, middle @ .., high] = public;
    let above = *high == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *low >= 0xed;
    let shared = secret.diffie_hellman(&PublicKey::from(*public));
    if *high >= 0x80 || above || !shared.was_contributory() {
        return Err(SealingError::BadKey);
    }
    Ok(Zeroizing::new(shared.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reader_opens_it_and_in_its_context_only() {
        let (reader, other) = (SealingSecret::generate(&mut rand::rng()), SealingSecret::generate(&mut rand::rng()));
        for text in [&b""[..], b"key", &[7; 3000]] {
            let sealed = seal(&mut rand::rng(), &reader.public(), b"here", text).unwrap();
            assert_eq!(sealed.len(), text.len() + OVERHEAD);
            assert_eq!(**reader.open(b"here", &sealed).unwrap(), *text);
            assert_eq!(other.open(b"here", &sealed), Err(SealingError::Forged));
            assert_eq!(reader.open(b"there", &sealed), Err(SealingError::Forged));
            let kept = SealingSecret::from_bytes(&reader.to_bytes());
            assert_eq!(**kept.open(b"here", &sealed).unwrap(), *text);
        }
        assert_eq!(format!("{reader:?}"), "SealingSecret(..)");
    }

    #[test]
    fn whatever_is_changed_or_cut_is_refused() {
        let reader = SealingSecret::generate(&mut rand::rng());
        let sealed = seal(&mut rand::rng(), &reader.public(), b"", b"a key").unwrap();
        for at in (0..sealed.len()).step_by(41).chain(sealed.len() - 70..sealed.len()) {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert_eq!(reader.open(b"", &bent), Err(SealingError::Forged), "byte {at}");
            assert_eq!(reader.open(b"", &sealed[..at]), Err(SealingError::Forged), "{at} bytes");
        }
    }

    #[test]
    fn keys_that_nobody_can_have_are_refused() {
        let good = SealingSecret::generate(&mut rand::rng()).public();
        assert_eq!(check_public(&good), Ok(()));
        let low_order = [&[0; 32], &good[32..]].concat();
        let second_encoding = [&good[..31], &[good[31] | 0x80], &good[32..]].concat();
        let out_of_range = [&good[..32], &[0xff; 1536], &good[32 + 1536..]].concat();
        for bad in [&[][..], &good[1..], &low_order, &second_encoding, &out_of_range] {
            assert_eq!(check_public(bad), Err(SealingError::BadKey));
            assert_eq!(seal(&mut rand::rng(), bad, b"", b""), Err(SealingError::BadKey));
        }
        let long = vec![0; PLAINTEXT_BYTES_MAX + 1];
        assert_eq!(seal(&mut rand::rng(), &good, b"", &long), Err(SealingError::TooLong { len: long.len() }));
    }
}
