//! The symmetric parts of Noise (revision 34, section 5): CipherState and SymmetricState with AESGCM and SHA512.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit as _};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize as _, Zeroizing};

use super::ChannelError;

pub(super) const TAG_BYTES: usize = 16;
const HASH_BYTES: usize = 64;

/// A key and how many messages it has sealed or opened.
pub(super) struct Cipher {
    key: Aes256Gcm,
    counter: u64,
}

impl Cipher {
    fn new(key: &[u8; 32]) -> Self {
        Self { key: Aes256Gcm::new(key.into()), counter: 0 }
    }

    /// The nonce of section 12.4, once. The last one is kept for [`Cipher::rekey`].
    fn nonce(&mut self) -> Result<[u8; 12], ChannelError> {
        let nonce = nonce(self.counter);
        self.counter = self.counter.checked_add(1).filter(|next| *next < u64::MAX).ok_or(ChannelError::NotRekeyed)?;
        Ok(nonce)
    }

    /// Seals what stands in `out` from `start` on, and appends the tag.
    pub(super) fn seal(&mut self, ad: &[u8], out: &mut Vec<u8>, start: usize) -> Result<(), ChannelError> {
        let nonce = self.nonce()?;
        let text = out.get_mut(start..).ok_or(ChannelError::TooLarge)?;
        let sealed = self.key.encrypt_inout_detached(&nonce.into(), ad, text.into());
        let tag = sealed.map_err(|_| ChannelError::TooLarge)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    pub(super) fn open(&mut self, ad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let nonce = self.nonce()?;
        let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(ChannelError::Malformed)?;
        let mut text = Zeroizing::new(body.to_vec());
        let opened = self.key.decrypt_inout_detached(&nonce.into(), ad, text.as_mut_slice().into(), tag.into());
        opened.map(|()| text).map_err(|_| ChannelError::Forged)
    }

    /// Section 4.2: the next key is what this one makes of 32 zeros under the last nonce. Counting goes on.
    pub(super) fn rekey(&mut self) -> Result<(), ChannelError> {
        let mut next = Zeroizing::new([0; 32]);
        let sealed = self.key.encrypt_inout_detached(&nonce(u64::MAX).into(), &[], next.as_mut_slice().into());
        sealed.map_err(|_| ChannelError::NotRekeyed)?;
        self.key = Aes256Gcm::new((&*next).into());
        Ok(())
    }
}

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (_, tail) = nonce.split_at_mut(4);
    tail.copy_from_slice(&counter.to_be_bytes());
    nonce
}

/// Chaining key and transcript hash.
pub(super) struct Symmetric {
    chaining_key: Zeroizing<[u8; HASH_BYTES]>,
    hash: [u8; HASH_BYTES],
    cipher: Option<Cipher>,
}

impl Symmetric {
    /// InitializeSymmetric, and the prologue.
    pub(super) fn new(protocol: &str, prologue: &[&[u8]]) -> Self {
        let mut hash = [0; HASH_BYTES];
        if let Some(head) = hash.get_mut(..protocol.len()) {
            head.copy_from_slice(protocol.as_bytes());
        } else {
            hash = Sha512::digest(protocol).into();
        }
        let mut symmetric = Self { chaining_key: Zeroizing::new(hash), hash, cipher: None };
        symmetric.mix_hash_of(prologue);
        symmetric
    }

    pub(super) fn mix_hash(&mut self, data: &[u8]) {
        self.mix_hash_of(&[data]);
    }

    /// MixHash of parts that stand one after the other.
    fn mix_hash_of(&mut self, parts: &[&[u8]]) {
        let mut hasher = Sha512::new_with_prefix(self.hash);
        parts.iter().for_each(|part| hasher.update(part));
        self.hash = hasher.finalize().into();
    }

    /// `HKDF(chaining key, input, N)`, which is RFC 5869 without info.
    fn derive<const N: usize>(&self, input: &[u8]) -> Zeroizing<[[u8; HASH_BYTES]; N]> {
        let mut out = Zeroizing::new([[0; HASH_BYTES]; N]);
        // Two or three hashes are far below the 255 that HKDF can make, so this does not fail.
        if Hkdf::<Sha512>::new(Some(&*self.chaining_key), input).expand(&[], out.as_flattened_mut()).is_err() {
            out.zeroize();
        }
        out
    }

    pub(super) fn mix_key(&mut self, input: &[u8]) {
        let [chaining_key, key] = &*self.derive::<2>(input);
        *self.chaining_key = *chaining_key;
        self.cipher = Some(Cipher::new(&half(key)));
    }

    pub(super) fn mix_key_and_hash(&mut self, input: &[u8]) {
        let [chaining_key, hash, key] = &*self.derive::<3>(input);
        *self.chaining_key = *chaining_key;
        self.mix_hash(hash);
        self.cipher = Some(Cipher::new(&half(key)));
    }

    /// EncryptAndHash, appended to `out`. Only called with a key.
    pub(super) fn seal_onto(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), ChannelError> {
        let start = out.len();
        out.extend_from_slice(plaintext);
        let cipher = self.cipher.as_mut().ok_or(ChannelError::Malformed)?;
        cipher.seal(&self.hash, out, start)?;
        self.mix_hash(out.get(start..).unwrap_or_default());
        Ok(())
    }

    /// DecryptAndHash. Only called with a key.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
        let cipher = self.cipher.as_mut().ok_or(ChannelError::Malformed)?;
        let text = cipher.open(&self.hash, sealed)?;
        self.mix_hash(sealed);
        Ok(text)
    }

    /// Split: the initiator's way out, the responder's way out, and the hash of everything that was said.
    pub(super) fn split(self) -> (Cipher, Cipher, [u8; HASH_BYTES]) {
        let [first, second] = &*self.derive::<2>(&[]);
        (Cipher::new(&half(first)), Cipher::new(&half(second)), self.hash)
    }
}

/// The first half: a key of AESGCM where a hash has twice its length.
fn half(hash: &[u8; HASH_BYTES]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let (head, _) = hash.split_at(32);
    key.copy_from_slice(head);
    key
}
