//! Values sealed a second time, inside the encrypted file.
//!
//! The key is derived from the database key. The associated data is the value's kind and id, so that a value moved to
//! another place does not open there.

use endtoend_crypto_core::aead::{self, Key};
use zeroize::Zeroizing;

use super::DatabaseError;
use crate::profile::DatabaseKey;

const KEY_CONTEXT: &str = "endtoend 2026-11 client database sealed values v1";

/// Seals and opens values.
///
/// Its key stays where it is when the sealer moves.
pub(super) struct Sealer(Box<Key>);

impl Sealer {
    pub(super) fn new(key: &DatabaseKey) -> Self {
        Self(Box::new(Key::from(blake3::derive_key(KEY_CONTEXT, key.as_ref()))))
    }

    pub(super) fn seal(&self, kind: &'static str, id: &[u8], value: &[u8]) -> Vec<u8> {
        aead::seal_record(&self.0, &mut rand::rng(), &place(kind, id), value)
    }

    pub(super) fn open(
        &self,
        kind: &'static str,
        id: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DatabaseError> {
        aead::open_record(&self.0, &place(kind, id), sealed).map_err(|_| DatabaseError::Sealed { kind })
    }
}

/// `le32(|kind|) || kind || id`.
fn place(kind: &str, id: &[u8]) -> Vec<u8> {
    let length = u32::try_from(kind.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&length, kind.as_bytes(), id].concat()
}

/// Gives SQLCipher the raw key, so that it derives none of its own.
pub(super) fn key_pragma(key: &DatabaseKey) -> Zeroizing<String> {
    let hex = Zeroizing::new(hex::encode(key.as_ref()));
    Zeroizing::new(format!("PRAGMA key = \"x'{}'\";", *hex))
}
