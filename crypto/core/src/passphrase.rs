//! Keys from passwords: Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Version};
use zeroize::Zeroizing;

/// What a guess costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Params {
    /// The least that is used: 64 MiB, 3 passes, 1 lane (RFC 9106, section 4, second choice, with one lane).
    pub const FLOOR: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
}

impl Default for Params {
    fn default() -> Self {
        Self::FLOOR
    }
}

/// The parameters are outside what Argon2 allows, or there is not enough memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Argon2id cannot run with these parameters")]
pub struct DeriveError;

/// A 32-byte key from a password.
///
/// Runs with the parameters it is given, also below [`Params::FLOOR`]: a caller that makes a new salt takes at least
/// that, and one that reads parameters from a file bounds them first.
///
/// # Errors
/// See [`DeriveError`].
pub fn derive(password: &[u8], salt: &[u8; 16], params: Params) -> Result<Zeroizing<[u8; 32]>, DeriveError> {
    let mut key = Zeroizing::new([0; 32]);
    derive_into(password, salt, params, key.as_mut())?;
    Ok(key)
}

pub(crate) fn derive_into(password: &[u8], salt: &[u8], params: Params, out: &mut [u8]) -> Result<(), DeriveError> {
    let Params { memory_kib, passes, lanes } = params;
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(out.len())).map_err(|_| DeriveError)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, out)
        .map_err(|_| DeriveError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Params = Params { memory_kib: 64, passes: 1, lanes: 1 };

    #[test]
    fn password_salt_and_parameters_each_change_the_key() {
        let key = derive(b"password", &[1; 16], CHEAP).unwrap();
        assert_eq!(key, derive(b"password", &[1; 16], CHEAP).unwrap());
        assert_ne!(key, derive(b"passwore", &[1; 16], CHEAP).unwrap());
        assert_ne!(key, derive(b"password", &[2; 16], CHEAP).unwrap());
        assert_ne!(key, derive(b"password", &[1; 16], Params { passes: 2, ..CHEAP }).unwrap());
    }

    #[test]
    fn the_least_is_64_mib_and_three_passes() {
        assert_eq!(Params::default(), Params { memory_kib: 65_536, passes: 3, lanes: 1 });
    }

    #[test]
    fn parameters_that_argon2_does_not_allow_are_refused() {
        assert_eq!(derive(b"", &[0; 16], Params { memory_kib: 1, ..CHEAP }), Err(DeriveError));
        assert_eq!(derive(b"", &[0; 16], Params { passes: 0, ..CHEAP }), Err(DeriveError));
    }
}
