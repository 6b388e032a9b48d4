//! The PQ AEAD: AES-256-GCM inside XChaCha20-Poly1305 inside a keyed BLAKE3 tag.
//!
//! Secret while either cipher stands, and committing: a sealed message opens under one key only. Byte layout:
//! docs/cryptography.md, "PQ AEAD".

use std::fmt;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit as _};
use chacha20poly1305::XChaCha20Poly1305;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

const KEYS_CONTEXT: &str = "endtoend 2026-11 pq aead v1 keys";
const CIPHER_TAG_BYTES: usize = 16;
const OUTER_TAG_BYTES: usize = 32;

/// Length in bytes of a nonce.
pub const NONCE_BYTES: usize = 36;
/// Bytes by which a sealed message is longer than its plaintext, the nonce not counted.
pub const OVERHEAD: usize = 2 * CIPHER_TAG_BYTES + OUTER_TAG_BYTES;
/// Longest plaintext in bytes. AES-GCM's own bound is 2^36 - 32 (NIST SP 800-38D).
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 30;

/// Used once for each key: 12 bytes for AES-256-GCM, 24 for XChaCha20-Poly1305.
pub type Nonce = [u8; NONCE_BYTES];

/// A 32-byte key. `Debug` shows nothing of it.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of these bytes, which must be uniformly random.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<[u8; 32]> for Key {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The message is not what was sealed under this key, nonce and associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed message does not open")]
pub struct AeadError;

/// The three keys of one message key.
struct Keys {
    gcm: Aes256Gcm,
    chacha: XChaCha20Poly1305,
    outer: Zeroizing<[u8; 32]>,
}

impl Keys {
    fn derive(key: &Key) -> Self {
        let mut keys = Zeroizing::new([[0; 32]; 3]);
        let mut hasher = blake3::Hasher::new_derive_key(KEYS_CONTEXT);
        let mut stream = hasher.update(&key.0).finalize_xof();
        stream.fill(keys.as_flattened_mut());
        stream.zeroize();
        hasher.zeroize();
        let [gcm, chacha, outer] = &*keys;
        Self {
            gcm: Aes256Gcm::new(gcm.into()),
            chacha: XChaCha20Poly1305::new(chacha.into()),
            outer: Zeroizing::new(*outer),
        }
    }

    /// `BLAKE3-keyed(k3, le64(|ad|) || ad || nonce || c2)`
    fn tag(&self, nonce: &Nonce, ad: &[u8], c2: &[u8]) -> [u8; OUTER_TAG_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.outer);
        hasher.update(&(ad.len() as u64).to_le_bytes()).update(ad).update(nonce).update(c2);
        let tag = *hasher.finalize().as_bytes();
        hasher.zeroize();
        tag
    }
}

/// The two nonces of a [`Nonce`].
fn split(nonce: &Nonce) -> ([u8; 12], [u8; 24]) {
    let (mut gcm, mut chacha) = ([0; 12], [0; 24]);
    let (head, tail) = nonce.split_at(12);
    gcm.copy_from_slice(head);
    chacha.copy_from_slice(tail);
    (gcm, chacha)
}

/// Seals `plaintext` into `ciphertext || tags`, [`OVERHEAD`] bytes longer.
///
/// A plaintext over [`PLAINTEXT_BYTES_MAX`] gives an empty result, which nothing opens; callers bound theirs far below.
pub fn seal(key: &Key, nonce: &Nonce, ad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
    seal_onto(key, nonce, ad, plaintext, &mut out);
    out
}

/// Appends `ciphertext || tags` to `out`, so that a header can stand before it without another copy.
///
/// A plaintext over [`PLAINTEXT_BYTES_MAX`] appends nothing.
pub fn seal_onto(key: &Key, nonce: &Nonce, ad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
    if plaintext.len() > PLAINTEXT_BYTES_MAX {
        return;
    }
    let keys = Keys::derive(key);
    let (gcm_nonce, chacha_nonce) = split(nonce);
    let start = out.len();
    out.reserve(plaintext.len() + OVERHEAD);
    out.extend_from_slice(plaintext);
    let sealed = (|| {
        let (_, text) = out.split_at_mut_checked(start)?;
        let tag = keys.gcm.encrypt_inout_detached(&gcm_nonce.into(), ad, text.into()).ok()?;
        out.extend_from_slice(&tag);
        let (_, c1) = out.split_at_mut_checked(start)?;
        let tag = keys.chacha.encrypt_inout_detached(&chacha_nonce.into(), ad, c1.into()).ok()?;
        out.extend_from_slice(&tag);
        let tag = keys.tag(nonce, ad, out.get(start..)?);
        out.extend_from_slice(&tag);
        Some(())
    })();
    if sealed.is_none() {
        // Longer than a cipher takes, which the bound above rules out: no plaintext may stay behind.
        if let Some(text) = out.get_mut(start..) {
            text.zeroize();
        }
        out.truncate(start);
    }
}

/// Opens what [`seal`] made. The outer tag is checked first, in constant time.
///
/// # Errors
/// When anything differs. Nothing of the plaintext is given out then.
pub fn open(key: &Key, nonce: &Nonce, ad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    let keys = Keys::derive(key);
    let (c2, tag) = sealed.split_last_chunk::<OUTER_TAG_BYTES>().ok_or(AeadError)?;
    if !bool::from(keys.tag(nonce, ad, c2).ct_eq(tag)) {
        return Err(AeadError);
    }
    let (c2_body, chacha_tag) = c2.split_last_chunk::<CIPHER_TAG_BYTES>().ok_or(AeadError)?;
    let (gcm_nonce, chacha_nonce) = split(nonce);
    let mut text = Zeroizing::new(c2_body.to_vec());
    keys.chacha
        .decrypt_inout_detached(&chacha_nonce.into(), ad, text.as_mut_slice().into(), chacha_tag.into())
        .map_err(|_| AeadError)?;
    let (_, gcm_tag) = text.split_last_chunk::<CIPHER_TAG_BYTES>().ok_or(AeadError)?;
    let gcm_tag = *gcm_tag;
    let len = text.len().saturating_sub(CIPHER_TAG_BYTES);
    text.truncate(len);
    keys.gcm
        .decrypt_inout_detached(&gcm_nonce.into(), ad, text.as_mut_slice().into(), (&gcm_tag).into())
        .map_err(|_| AeadError)?;
    Ok(text)
}

/// Seals a record under a long-lived key: `nonce || ciphertext || tags` with a random nonce.
///
/// With 96 random bits for AES-GCM, one key may seal 2^32 records; beyond that XChaCha20 still stands alone.
pub fn seal_record<R: CryptoRng + ?Sized>(key: &Key, rng: &mut R, ad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let mut out = Vec::with_capacity(NONCE_BYTES + plaintext.len() + OVERHEAD);
    out.extend_from_slice(&nonce);
    seal_onto(key, &nonce, ad, plaintext, &mut out);
    out
}

/// Opens what [`seal_record`] made.
///
/// # Errors
/// When anything differs.
pub fn open_record(key: &Key, ad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(AeadError)?;
    open(key, nonce, ad, sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: Nonce = [7; NONCE_BYTES];

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", Key::new([7; 32])), "Key(..)");
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let sealed = seal(&key(1), &NONCE, b"ad", b"a short message");
        for bit in 0..sealed.len() * 8 {
            let mut bent = sealed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key(1), &NONCE, b"ad", &bent), Err(AeadError), "bit {bit}");
        }
    }

    #[test]
    fn another_key_nonce_or_associated_data_is_refused() {
        let sealed = seal(&key(1), &NONCE, b"ad", b"text");
        assert_eq!(open(&key(2), &NONCE, b"ad", &sealed), Err(AeadError));
        assert_eq!(open(&key(1), &NONCE, b"da", &sealed), Err(AeadError));
        for at in 0..NONCE_BYTES {
            let mut nonce = NONCE;
            nonce[at] ^= 1;
            assert_eq!(open(&key(1), &nonce, b"ad", &sealed), Err(AeadError), "nonce byte {at}");
        }
    }

    #[test]
    fn whatever_is_cut_off_is_refused() {
        let sealed = seal(&key(1), &NONCE, b"", b"text");
        for len in 0..sealed.len() {
            assert_eq!(open(&key(1), &NONCE, b"", &sealed[..len]), Err(AeadError));
            assert_eq!(open(&key(1), &NONCE, b"", &sealed[sealed.len() - len..]), Err(AeadError));
        }
        assert_eq!(open(&key(1), &NONCE, b"", &[&sealed[..], &[0]].concat()), Err(AeadError), "one byte more");
    }

    #[test]
    fn the_boundary_between_associated_data_and_message_cannot_be_moved() {
        // Without the length in the tag, "ab" || "c" and "a" || "bc" would look alike to it.
        let keys = Keys::derive(&key(1));
        assert_ne!(keys.tag(&NONCE, b"ab", b"c"), keys.tag(&NONCE, b"a", b"bc"));
    }

    #[test]
    fn each_layer_is_there() {
        // The same bytes without the outer tag and without the outer cipher do not contain the plaintext.
        let keys = Keys::derive(&key(1));
        let sealed = seal(&key(1), &NONCE, b"", &[0; 64]);
        let (_, chacha_nonce) = split(&NONCE);
        let mut c1 = sealed[..64 + CIPHER_TAG_BYTES].to_vec();
        let tag: [u8; 16] = sealed[64 + CIPHER_TAG_BYTES..64 + 2 * CIPHER_TAG_BYTES].try_into().unwrap();
        keys.chacha.decrypt_inout_detached(&chacha_nonce.into(), b"", c1.as_mut_slice().into(), (&tag).into()).unwrap();
        assert_ne!(c1[..64], [0; 64]);
    }

    #[test]
    fn what_stands_before_a_sealed_message_is_left_alone() {
        let mut out = b"header".to_vec();
        seal_onto(&key(1), &NONCE, b"ad", b"text", &mut out);
        assert_eq!(out, [b"header", &seal(&key(1), &NONCE, b"ad", b"text")[..]].concat());
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(text in prop::collection::vec(any::<u8>(), 0..3_000), ad in prop::collection::vec(any::<u8>(), 0..100), k in any::<[u8; 32]>()) {
            let key = Key::new(k);
            let sealed = seal(&key, &NONCE, &ad, &text);
            prop_assert_eq!(sealed.len(), text.len() + OVERHEAD);
            prop_assert_eq!(&*open(&key, &NONCE, &ad, &sealed).unwrap(), &text);
            let record = seal_record(&key, &mut rand::rng(), &ad, &text);
            prop_assert_eq!(&*open_record(&key, &ad, &record).unwrap(), &text);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(open(&key(1), &NONCE, b"", &bytes), Err(AeadError));
            prop_assert_eq!(open_record(&key(1), b"", &bytes), Err(AeadError));
        }
    }
}
