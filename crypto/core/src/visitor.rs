//! Keys of those who may find an onion service that is not for everybody: tor(1), "CLIENT AUTHORIZATION". The service knows the public
//! one of each, and each keeps the secret one. Both are written as `tor` writes them: `descriptor:x25519:` and 52 letters.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::base32;

const PREFIX: &str = "descriptor:x25519:";

/// What the service is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisitorKey([u8; 32]);

/// What no [`VisitorKey`] and no [`VisitorSecret`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key of an onion service's client: it is \"descriptor:x25519:\" and 52 letters")]
pub struct NoVisitorKey;

impl FromStr for VisitorKey {
    type Err = NoVisitorKey;

    fn from_str(text: &str) -> Result<Self, NoVisitorKey> {
        text.strip_prefix(PREFIX).and_then(base32::decode).map(Self).ok_or(NoVisitorKey)
    }
}

impl fmt::Display for VisitorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", base32::encode(&self.0).to_uppercase())
    }
}

/// What the client keeps. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct VisitorSecret(Zeroizing<[u8; 32]>);

impl VisitorSecret {
    /// A new one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// For the service.
    pub fn public(&self) -> VisitorKey {
        VisitorKey(PublicKey::from(&StaticSecret::from(*self.0)).to_bytes())
    }

    /// As it was made: not clamped.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As `tor` writes it.
    pub fn to_text(&self) -> Zeroizing<String> {
        let letters = Zeroizing::new(base32::encode(self.0.as_slice()).to_uppercase());
        Zeroizing::new(format!("{PREFIX}{}", *letters))
    }
}

impl FromStr for VisitorSecret {
    type Err = NoVisitorKey;

    fn from_str(text: &str) -> Result<Self, NoVisitorKey> {
        text.strip_prefix(PREFIX).and_then(base32::decode).map(|bytes| Self(Zeroizing::new(bytes))).ok_or(NoVisitorKey)
    }
}

impl fmt::Debug for VisitorSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VisitorSecret(..)")
    }
}

/// In constant time.
impl PartialEq for VisitorSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for VisitorSecret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_tor_writes_them() {
        let secret = VisitorSecret::generate(&mut rand::rng());
        let public = secret.public().to_string();
        assert_eq!((public.len(), public.parse()), (70, Ok(secret.public())));
        assert_eq!(secret.to_text().parse(), Ok(secret.clone()));
        assert_ne!(secret, VisitorSecret::generate(&mut rand::rng()));
        for wrong in ["", "descriptor:x25519:", &public[1..], &public[..69], &public.replace("x25519", "ed25519")] {
            assert_eq!(wrong.parse::<VisitorKey>(), Err(NoVisitorKey), "{wrong}");
            assert_eq!(wrong.parse::<VisitorSecret>(), Err(NoVisitorKey), "{wrong}");
        }
    }

    #[test]
    fn nothing_of_a_secret_is_in_its_debug() {
        assert_eq!(format!("{:?}", VisitorSecret::generate(&mut rand::rng())), "VisitorSecret(..)");
    }
}
