//! Refresh tokens: what a device shows, once, to get the next access token. A server keeps a keyed hash of the present one.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const HASH_CONTEXT: &str = "endtoend 2026-11 refresh token hash v1";
const VERSION: u8 = 1;
/// Length in bytes of a token.
pub const REFRESH_TOKEN_BYTES: usize = 1 + 16 + 4 + 32;

/// The bytes are no refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token")]
pub struct NoRefreshToken;

/// A refresh token. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RefreshToken {
    /// All tokens that come from one login.
    pub family: [u8; 16],
    /// Counts them.
    pub generation: u32,
    /// 256 random bits.
    pub secret: [u8; 32],
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

impl RefreshToken {
    /// `version(1) || family(16) || le32(generation) || secret(32)`
    pub fn to_bytes(&self) -> Zeroizing<[u8; REFRESH_TOKEN_BYTES]> {
        let mut bytes = Zeroizing::new([0; REFRESH_TOKEN_BYTES]);
        let generation = self.generation.to_le_bytes();
        let fields = [&[VERSION][..], &self.family, &generation, &self.secret];
        bytes.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// # Errors
    /// Unless [`RefreshToken::to_bytes`] may have made the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoRefreshToken> {
        let (&[version], rest) = bytes.split_first_chunk().ok_or(NoRefreshToken)?;
        let (family, rest) = rest.split_first_chunk().ok_or(NoRefreshToken)?;
        let (generation, secret) = rest.split_first_chunk().ok_or(NoRefreshToken)?;
        let secret = secret.try_into().map_err(|_| NoRefreshToken)?;
        match version {
            VERSION => Ok(Self { family: *family, generation: u32::from_le_bytes(*generation), secret }),
            _ => Err(NoRefreshToken),
        }
    }
}

/// The server's key for hashes of tokens. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct RefreshKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for RefreshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshKey(..)")
    }
}

impl RefreshKey {
    /// From a secret of 32 bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Zeroizing::new(blake3::derive_key(HASH_CONTEXT, secret)))
    }

    /// `BLAKE3-keyed(token)`
    pub fn hash(&self, token: &RefreshToken) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, &*token.to_bytes()).as_bytes()
    }
}

/// Whether two hashes are the same, in constant time.
pub fn same_hash(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> RefreshToken {
        RefreshToken { family: [1; 16], generation: 7, secret: [3; 32] }
    }

    #[test]
    fn a_token_is_read_back_and_nothing_else_is_one() {
        let bytes = token().to_bytes();
        assert_eq!(RefreshToken::from_bytes(&*bytes), Ok(token()));
        for len in 0..REFRESH_TOKEN_BYTES {
            assert_eq!(RefreshToken::from_bytes(&bytes[..len]), Err(NoRefreshToken));
        }
        assert_eq!(RefreshToken::from_bytes(&[&bytes[..], &[0]].concat()), Err(NoRefreshToken));
        assert_eq!(RefreshToken::from_bytes(&[&[2][..], &bytes[1..]].concat()), Err(NoRefreshToken));
    }

    #[test]
    fn every_part_and_the_key_change_the_hash() {
        let key = RefreshKey::new(&[9; 32]);
        let hash = key.hash(&token());
        assert!(same_hash(&hash, &key.hash(&token())));
        for other in [
            RefreshToken { family: [2; 16], ..token() },
            RefreshToken { generation: 8, ..token() },
            RefreshToken { secret: [4; 32], ..token() },
        ] {
            assert!(!same_hash(&hash, &key.hash(&other)));
        }
        assert!(!same_hash(&hash, &RefreshKey::new(&[8; 32]).hash(&token())));
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", token()), "RefreshToken(..)");
        assert_eq!(format!("{:?}", RefreshKey::new(&[9; 32])), "RefreshKey(..)");
    }
}
