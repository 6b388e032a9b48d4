//! An account's backup: what a new device needs to come back with the password alone, kept by the server, which cannot
//! read it.
//!
//! ```text
//! key     = BLAKE3-derive-key("endtoend 2026-11 account backup v1", OPAQUE export key(64))
//! padded  = length of the payload(4, LE) || payload || zeros, up to the next multiple of 4096 bytes
//! sealed  = nonce(36) || PQ AEAD(key, nonce, "endtoend 2026-11 account backup v1 payload" || account tag(32), padded)
//! ```
//!
//! The export key comes out of the password and the server's OPAQUE secrets (RFC 9807): whoever has the database
//! and these secrets can try passwords, each at the price of Argon2id. A change of the password changes it.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::aead::{self, Key};
use crate::opaque::SecretKey64;

const KEY_CONTEXT: &str = "endtoend 2026-11 account backup v1";
const PAYLOAD_DOMAIN: &[u8] = b"endtoend 2026-11 account backup v1 payload";
const STEP: usize = 4096;
const LENGTH_BYTES: usize = 4;

/// Longest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 15 * STEP - LENGTH_BYTES;

/// The backup was not made for this password and account, or was changed; or the payload to seal is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a backup that this password opens")]
pub struct BackupError;

/// Seals a payload of at most [`PAYLOAD_BYTES_MAX`] bytes. Its length shows in steps of 4096 bytes.
///
/// # Errors
/// When the payload is longer.
pub fn seal<R: CryptoRng + ?Sized>(
    rng: &mut R,
    export_key: &SecretKey64,
    account: &[u8; 32],
    payload: &[u8],
) -> Result<Vec<u8>, BackupError> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_BYTES_MAX).ok_or(BackupError)?;
    let whole = (LENGTH_BYTES + payload.len()).next_multiple_of(STEP);
    let mut padded = Zeroizing::new(Vec::with_capacity(whole));
    padded.extend_from_slice(&length.to_le_bytes());
    padded.extend_from_slice(payload);
    padded.resize(whole, 0);
    Ok(aead::seal_record(&key(export_key), rng, &place(account), &padded))
}

/// The payload of a backup.
///
/// # Errors
/// See [`BackupError`].
pub fn open(export_key: &SecretKey64, account: &[u8; 32], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let padded = aead::open_record(&key(export_key), &place(account), sealed).map_err(|_| BackupError)?;
    let (length, rest) = padded.split_first_chunk().ok_or(BackupError)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| BackupError)?;
    rest.get(..length).map(|payload| Zeroizing::new(payload.to_vec())).ok_or(BackupError)
}

fn key(export_key: &SecretKey64) -> Key {
    Key::new(blake3::derive_key(KEY_CONTEXT, export_key.as_slice()))
}

fn place(account: &[u8; 32]) -> Vec<u8> {
    [PAYLOAD_DOMAIN, account].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn export_key(byte: u8) -> SecretKey64 {
        Zeroizing::new([byte; 64])
    }

    #[test]
    fn only_the_password_and_account_of_a_backup_open_it() {
        let account = [2; 32];
        for payload in [&b""[..], b"keys", &[7; PAYLOAD_BYTES_MAX]] {
            let sealed = seal(&mut rand::rng(), &export_key(1), &account, payload).unwrap();
            assert_eq!(**open(&export_key(1), &account, &sealed).unwrap(), *payload);
            assert_eq!(open(&export_key(2), &account, &sealed), Err(BackupError));
            assert_eq!(open(&export_key(1), &[3; 32], &sealed), Err(BackupError));
        }
        let sealed = seal(&mut rand::rng(), &export_key(1), &account, b"keys").unwrap();
        for at in (0..sealed.len()).step_by(97).chain([sealed.len() - 1]) {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert_eq!(open(&export_key(1), &account, &bent), Err(BackupError), "byte {at}");
        }
        assert_eq!(open(&export_key(1), &account, b""), Err(BackupError));
        let too_long = vec![0; PAYLOAD_BYTES_MAX + 1];
        assert_eq!(seal(&mut rand::rng(), &export_key(1), &account, &too_long), Err(BackupError));
    }

    #[test]
    fn a_length_says_little() {
        let len = |payload: usize| seal(&mut rand::rng(), &export_key(1), &[2; 32], &vec![7; payload]).unwrap().len();
        assert_eq!(len(0), len(STEP - LENGTH_BYTES));
        assert_eq!(len(STEP - LENGTH_BYTES) + STEP, len(STEP - LENGTH_BYTES + 1));
        assert!(len(PAYLOAD_BYTES_MAX) <= 64 * 1024);
    }

    /// What is stored today must open tomorrow.
    #[test]
    fn the_format_stays() {
        let sealed = seal(&mut StdRng::from_seed([1; 32]), &export_key(1), &[2; 32], b"keys").unwrap();
        assert_eq!(
            blake3::hash(&sealed).to_hex().as_str(),
            "fdd1eff499b01feb1aef415d5f4e94b512d9271416a72be29d611bbd254ed77d"
        );
    }
}
