//! What a person calls his devices: for them alone, under a key that all of them have.
//!
//! ```text
//! key    = BLAKE3-derive-key("endtoend 2026-11 device name v1", private key of the identity(32))
//! padded = length(1) || UTF-8 || zeros, 65 bytes
//! sealed = nonce(36) || PQ AEAD(key, nonce, "endtoend 2026-11 device name v1 text" || account tag(32) || device(4, BE), padded)
//! ```

use endtoend_crypto_core::aead::{self, Key};
use endtoend_protocol::Address;
use libsignal_protocol::IdentityKeyPair;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::identity::{KeysError, export_identity};
use crate::records::Records;

const KEY_CONTEXT: &str = "endtoend 2026-11 device name v1";
const TEXT_DOMAIN: &[u8] = b"endtoend 2026-11 device name v1 text";

/// Longest name in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 64;

/// Seals the name of a device; as long as every other. One over [`NAME_BYTES_MAX`] is cut at a character.
///
/// # Errors
/// When there is no identity.
pub fn seal_device_name<R: CryptoRng + ?Sized>(
    records: &dyn Records,
    rng: &mut R,
    device: Address,
    name: &str,
) -> Result<Vec<u8>, KeysError> {
    let name = name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
    let mut padded = vec![u8::try_from(name.len()).unwrap_or_default()];
    padded.extend_from_slice(name.as_bytes());
    padded.resize(1 + NAME_BYTES_MAX, 0);
    Ok(aead::seal_record(&key(records)?, rng, &place(device), &padded))
}

/// The name of a device. `None` when it is not one that a device of this account has given it.
///
/// # Errors
/// When there is no identity.
pub fn open_device_name(records: &dyn Records, device: Address, sealed: &[u8]) -> Result<Option<String>, KeysError> {
    let Ok(padded) = aead::open_record(&key(records)?, &place(device), sealed) else { return Ok(None) };
    let name = padded.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len)));
    Ok(name.and_then(|name| String::from_utf8(name.to_vec()).ok()))
}

fn key(records: &dyn Records) -> Result<Key, KeysError> {
    let pair = IdentityKeyPair::try_from(export_identity(records)?.as_slice()).map_err(|_| KeysError::NotAnIdentity)?;
    let private = Zeroizing::new(pair.private_key().serialize());
    Ok(Key::new(blake3::derive_key(KEY_CONTEXT, &private)))
}

fn place(device: Address) -> Vec<u8> {
    [TEXT_DOMAIN, device.account.as_bytes(), &device.device.get().to_be_bytes()].concat()
}
