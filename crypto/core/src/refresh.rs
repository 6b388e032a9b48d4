//! Refresh tokens: what a device gets a new access token with, once each.
//!
//! A login begins a *family*; each use replaces the token by one of the next *generation*. A server keeps of a family the
//! current generation and a hash, so that an older token that comes back shows a theft, and so that whoever reads its
//! tables can use none: the secret has 32 random bytes, and the hash takes a key. A token alone authenticates nobody, as it
//! comes with a device proof over family and generation ([`Purpose::Refresh`](crate::proof::Purpose::Refresh)).

use std::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const HASH_DOMAIN: &[u8] = b"endtoend 2026-11 refresh token hash v1";
const VERSION: u8 = 1;

/// Length in bytes of a token: `version(1, = 1) || family(16) || generation(4, LE) || secret(32)`.
pub const REFRESH_TOKEN_BYTES: usize = 1 + 16 + 4 + 32;

/// The bytes are no refresh token of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token")]
pub struct BadRefreshToken;

/// A refresh token. Wiped when dropped; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct RefreshToken {
    /// The login that it goes back to.
    pub family: [u8; 16],
    /// 0 for the token of the login, one more for each that followed.
    pub generation: u32,
    secret: Zeroizing<[u8; 32]>,
}

impl RefreshToken {
    /// The first token of a new family.
    pub fn first<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut family = [0; 16];
        rng.fill_bytes(&mut family);
        Self::of(rng, family, 0)
    }

    /// The token that takes the place of this one; none after 2^32 - 1 of them.
    pub fn next<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Option<Self> {
        Some(Self::of(rng, self.family, self.generation.checked_add(1)?))
    }

    fn of<R: CryptoRng + ?Sized>(rng: &mut R, family: [u8; 16], generation: u32) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut());
        Self { family, generation, secret }
    }

    /// For the wire and for the device that keeps it.
    pub fn to_bytes(&self) -> Zeroizing<[u8; REFRESH_TOKEN_BYTES]> {
        let mut bytes = Zeroizing::new([0; REFRESH_TOKEN_BYTES]);
        let generation = self.generation.to_le_bytes();
        let fields = [&[VERSION][..], &self.family, &generation, &*self.secret];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// # Errors
    /// Unless [`RefreshToken::to_bytes`] can make the bytes: [`REFRESH_TOKEN_BYTES`] of them, version 1.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadRefreshToken> {
        let Some((&[VERSION], rest)) = bytes.split_first_chunk() else { return Err(BadRefreshToken) };
        let (family, rest) = rest.split_first_chunk().ok_or(BadRefreshToken)?;
        let (generation, secret) = rest.split_first_chunk().ok_or(BadRefreshToken)?;
        let secret: &[u8; 32] = secret.try_into().map_err(|_| BadRefreshToken)?;
        let generation = u32::from_le_bytes(*generation);
        Ok(Self { family: *family, generation, secret: Zeroizing::new(*secret) })
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

/// The server's key for what it keeps of tokens. Wiped when dropped; `Debug` shows nothing of it.
pub struct RefreshKey(Zeroizing<[u8; 32]>);

impl RefreshKey {
    /// A new key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut());
        Self(key)
    }

    /// The key of these bytes, which must be uniformly random.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// All there is to keep.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// What a server keeps of a token: `BLAKE3-keyed(key, domain || token(53))`.
    pub fn hash(&self, token: &RefreshToken) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        let hash = *hasher.update(HASH_DOMAIN).update(token.to_bytes().as_ref()).finalize().as_bytes();
        zeroize::Zeroize::zeroize(&mut hasher);
        hash
    }

    /// Whether this is the token that `kept` is the hash of; in constant time.
    pub fn matches(&self, token: &RefreshToken, kept: &[u8; 32]) -> bool {
        self.hash(token).ct_eq(kept).into()
    }
}

impl fmt::Debug for RefreshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> RefreshKey {
        RefreshKey::from_bytes(&[5; 32])
    }

    #[test]
    fn a_token_matches_its_hash_under_its_key_only() {
        let rng = &mut rand::rng();
        let key = RefreshKey::generate(rng);
        let token = RefreshToken::first(rng);
        let kept = key.hash(&token);
        let again = RefreshKey::from_bytes(&key.to_bytes());
        assert!(again.matches(&RefreshToken::from_bytes(token.to_bytes().as_ref()).unwrap(), &kept));
        assert!(!RefreshKey::generate(rng).matches(&token, &kept));
        assert!(!key.matches(&RefreshToken::first(rng), &kept));
        assert!(!key.matches(&token.next(rng).unwrap(), &kept));
    }

    #[test]
    fn generations_follow_each_other_in_one_family_until_there_are_none() {
        let rng = &mut rand::rng();
        let first = RefreshToken::first(rng);
        let next = first.next(rng).unwrap();
        assert_eq!((first.generation, next.generation, next.family), (0, 1, first.family));
        assert_ne!(first.secret, next.secret);
        assert_ne!(first.family, RefreshToken::first(rng).family);
        let last = RefreshToken { generation: u32::MAX, ..first };
        assert!(last.next(rng).is_none());
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let token = RefreshToken::first(&mut rand::rng());
        let (bytes, kept) = (token.to_bytes(), key().hash(&token));
        for bit in 0..REFRESH_TOKEN_BYTES * 8 {
            let mut bent = *bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            let read = RefreshToken::from_bytes(&bent);
            assert!(read.is_err() == (bit < 8), "the version, bit {bit}");
            assert!(read.is_err() || !key().matches(&read.unwrap(), &kept), "bit {bit}");
        }
        for bit in 0..256 {
            let mut bent = kept;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(!key().matches(&token, &bent), "bit {bit} of the hash");
        }
    }

    #[test]
    fn the_layout_has_no_gap() {
        let token = RefreshToken { family: [2; 16], generation: 0x0403_0201, secret: Zeroizing::new([9; 32]) };
        assert_eq!(token.to_bytes()[..], [&[1][..], &[2; 16], &[1, 2, 3, 4], &[9; 32]].concat());
        let bytes = token.to_bytes();
        for len in 0..bytes.len() {
            assert_eq!(RefreshToken::from_bytes(&bytes[..len]).unwrap_err(), BadRefreshToken);
        }
        assert!(RefreshToken::from_bytes(&[&bytes[..], &[0]].concat()).is_err(), "one byte more");
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", RefreshToken::first(&mut rand::rng())), "RefreshToken(..)");
        assert_eq!(format!("{:?}", key()), "RefreshKey(..)");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 53), first in 0..3_u8) {
            let mut bytes = bytes;
            bytes[0] = first;
            match RefreshToken::from_bytes(&bytes) {
                Ok(token) => prop_assert_eq!(&token.to_bytes()[..], &bytes[..]),
                Err(BadRefreshToken) => prop_assert_ne!(first, 1),
            }
        }
    }
}
