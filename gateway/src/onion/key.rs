//! Who an onion service is: rend-spec-v3, "Encoding onion addresses".

use std::fmt;

use ed25519_dalek::SigningKey;
use endtoend_crypto_core::base32;
use sha2::{Digest as _, Sha512};
use sha3::Sha3_256;
use zeroize::Zeroizing;

/// Length of a seed.
pub(crate) const KEY_BYTES: usize = 32;
const VERSION: u8 = 3;
const CHECKSUM_BYTES: usize = 2;

/// The key of a service, by its Ed25519 seed.
pub(crate) struct OnionKey(SigningKey);

impl fmt::Debug for OnionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnionKey(..)")
    }
}

impl OnionKey {
    /// Of a seed of [`KEY_BYTES`]; `None` for another length.
    pub(crate) fn from_seed(seed: &[u8]) -> Option<Self> {
        seed.try_into().ok().map(|seed| Self(SigningKey::from_bytes(seed)))
    }

    /// The seed of a new one.
    pub(crate) fn new_seed() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(rand::random::<[u8; KEY_BYTES]>().to_vec())
    }

    /// `….onion`, 62 letters.
    pub(crate) fn host(&self) -> String {
        let public = self.public();
        let checksum =
            Sha3_256::new().chain_update(b".onion checksum").chain_update(public).chain_update([VERSION]).finalize();
        let mut bytes = public.to_vec();
        bytes.extend(checksum.iter().take(CHECKSUM_BYTES));
        bytes.push(VERSION);
        base32::encode(&bytes) + ".onion"
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The seed again, for those who make the key of it themselves.
    #[cfg(feature = "onion")]
    pub(crate) fn seed(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// RFC 8032, section 5.1.5, steps 1 and 2: how C tor keeps a key.
    pub(crate) fn expanded(&self) -> Zeroizing<[u8; 64]> {
        let seed = Zeroizing::new(self.0.to_bytes());
        let mut expanded: Zeroizing<[u8; 64]> = Zeroizing::new(Sha512::digest(seed.as_slice()).into());
        if let Some([first, .., last]) = expanded.first_chunk_mut::<32>() {
            *first &= 0b1111_1000;
            *last = *last & 0b0011_1111 | 0b0100_0000;
        }
        expanded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1; the name and the expanded key are those that Debian's tor 0.4.9 makes of it.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

    #[test]
    fn a_key_has_the_name_that_tor_gives_it() {
        let key = OnionKey::from_seed(&hex::decode(SEED).unwrap()).unwrap();
        assert_eq!(hex::encode(key.public()), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(key.host(), "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion");
        assert_eq!(key.expanded()[..4], [0x30, 0x7c, 0x83, 0x86], "clamped");
        assert_eq!(key.expanded()[31], 0x4f);
        assert_eq!(format!("{key:?}"), "OnionKey(..)");
        assert!(OnionKey::from_seed(&[1; 31]).is_none());
    }
}
