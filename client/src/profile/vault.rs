//! The vault: the database key, sealed under a key derived from the password.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `e2evault` |
//! | 8 | version, 1 |
//! | 9..21 | Argon2id: memory in KiB, passes, lanes, each LE32 |
//! | 21..37 | salt |
//! | 37..169 | record of the PQ AEAD: nonce, database key, tag; associated data is bytes 0..37 |
//! | 169..201 | BLAKE3 of everything before, so that damage is not taken for a wrong password |
//!
//! A new password seals the same database key anew: the database is not touched.

use endtoend_crypto_core::aead::{self, Key};
use endtoend_crypto_core::passphrase::{self, Params};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::DatabaseKey;

/// How a vault begins.
pub(super) const MAGIC: &[u8; 8] = b"e2evault";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 37;
const SEALED_BYTES: usize = 36 + 32 + aead::OVERHEAD;
const VAULT_BYTES: usize = HEADER_BYTES + SEALED_BYTES + 32;

/// Limits on what a vault may demand, so that a planted one cannot take all memory: 1 GiB, 16 passes, 16 lanes.
pub(crate) const PARAMS_MAX: Params = Params { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };

/// The sealed database key. See the module's table for its bytes.
#[derive(Clone)]
pub struct Vault {
    params: Params,
    salt: [u8; 16],
    sealed: [u8; SEALED_BYTES],
}

/// Why a vault gave no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not the bytes that were written.
    #[error("the vault is damaged")]
    Damaged,
    /// Written by a later version.
    #[error("the vault was written by a newer version")]
    Newer,
    /// Ask again.
    #[error("wrong password")]
    WrongPassword,
    /// Argon2id refused, most likely for want of memory.
    #[error("the key could not be derived from the password")]
    Derive,
}

impl Vault {
    /// A vault around a new database key.
    ///
    /// # Errors
    /// `Derive`.
    pub fn create<R: CryptoRng + ?Sized>(
        rng: &mut R,
        password: &[u8],
        params: Params,
    ) -> Result<(Self, DatabaseKey), VaultError> {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut());
        let key = DatabaseKey::of(&key);
        Ok((Self::seal(rng, password, params, &key)?, key))
    }

    /// A vault around a key that exists.
    pub(super) fn seal<R: CryptoRng + ?Sized>(
        rng: &mut R,
        password: &[u8],
        params: Params,
        key: &DatabaseKey,
    ) -> Result<Self, VaultError> {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let mut vault = Self { params, salt, sealed: [0; SEALED_BYTES] };
        let sealed = aead::seal_record(&vault.sealing_key(password)?, rng, &vault.header(), key.as_ref());
        vault.sealed = sealed.try_into().map_err(|_| VaultError::Damaged)?;
        Ok(vault)
    }

    /// What a guess of its password costs.
    pub const fn params(&self) -> Params {
        self.params
    }

    /// The database key.
    ///
    /// # Errors
    /// `WrongPassword`, `Derive`.
    pub fn open(&self, password: &[u8]) -> Result<DatabaseKey, VaultError> {
        let opened = aead::open_record(&self.sealing_key(password)?, &self.header(), &self.sealed)
            .map_err(|_| VaultError::WrongPassword)?;
        opened.as_slice().try_into().map(DatabaseKey::of).map_err(|_| VaultError::Damaged)
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header().to_vec();
        bytes.extend_from_slice(&self.sealed);
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        bytes
    }

    /// # Errors
    /// `Damaged`, `Newer`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(VaultError::Damaged)?;
        match rest.first() {
            Some(&VERSION) if bytes.len() == VAULT_BYTES => {}
            Some(&version) if version > VERSION => return Err(VaultError::Newer),
            _ => return Err(VaultError::Damaged),
        }
        let (body, sum) = bytes.split_last_chunk::<32>().ok_or(VaultError::Damaged)?;
        if blake3::hash(body) != *sum {
            return Err(VaultError::Damaged);
        }
        let mut fields = Fields(body.get(MAGIC.len() + 1..).ok_or(VaultError::Damaged)?);
        let params = Params {
            memory_kib: u32::from_le_bytes(fields.take()?),
            passes: u32::from_le_bytes(fields.take()?),
            lanes: u32::from_le_bytes(fields.take()?),
        };
        let within = params.memory_kib <= PARAMS_MAX.memory_kib
            && params.passes <= PARAMS_MAX.passes
            && params.lanes <= PARAMS_MAX.lanes;
        if !within {
            return Err(VaultError::Damaged);
        }
        Ok(Self { params, salt: fields.take()?, sealed: fields.take()? })
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let fields: [&[u8]; 6] = [
            MAGIC,
            &[VERSION],
            &self.params.memory_kib.to_le_bytes(),
            &self.params.passes.to_le_bytes(),
            &self.params.lanes.to_le_bytes(),
            &self.salt,
        ];
        for (to, from) in header.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        header
    }

    fn sealing_key(&self, password: &[u8]) -> Result<Key, VaultError> {
        let derived = passphrase::derive(password, &self.salt, self.params).map_err(|_| VaultError::Derive)?;
        Ok(Key::from(*derived))
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], VaultError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(VaultError::Damaged)?;
        self.0 = rest;
        Ok(*field)
    }
}
