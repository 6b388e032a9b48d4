//! A node's own keys: what it is named by, and what the cluster's secrets are sealed for.

use std::fmt;

use endtoend_crypto_core::sealing::{self, SealingSecret};
use rand::CryptoRng;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use crate::NodeId;

const VERSION: u8 = 1;
/// DER of a `SubjectPublicKeyInfo` with a P-256 key, up to the point (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Uncompressed: 4, x, y.
const P256_POINT_BYTES: usize = 65;

/// A node's own keys. `Debug` shows the node's name.
pub struct NodeKeys {
    tls: KeyPair,
    sealing: SealingSecret,
    node: NodeId,
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKeys({})", self.node)
    }
}

/// Bytes that are no node's keys, or no key could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the keys of a node")]
pub struct BadKeys;

/// Not what the node has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node's signature does not verify")]
pub struct BadSignature;

impl NodeKeys {
    /// New keys: a new node.
    ///
    /// # Errors
    /// When the system's random numbers fail.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Result<Self, BadKeys> {
        Ok(Self::new(KeyPair::generate().map_err(|_| BadKeys)?, SealingSecret::generate(rng)))
    }

    fn new(tls: KeyPair, sealing: SealingSecret) -> Self {
        let node = NodeId::of_key(&tls.subject_public_key_info());
        Self { tls, sealing, node }
    }

    /// `version(1, = 1) || sealing(96) || PKCS #8 of the TLS key`: to be kept where nobody else reads.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let tls = Zeroizing::new(self.tls.serialize_der());
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + sealing::SECRET_BYTES + tls.len()));
        bytes.push(VERSION);
        bytes.extend_from_slice(self.sealing.to_bytes().as_slice());
        bytes.extend_from_slice(&tls);
        bytes
    }

    /// Reads what [`NodeKeys::to_bytes`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadKeys> {
        let Some((&[VERSION], rest)) = bytes.split_first_chunk() else { return Err(BadKeys) };
        let (sealing, tls) = rest.split_first_chunk().ok_or(BadKeys)?;
        let tls = KeyPair::try_from(&PrivatePkcs8KeyDer::from(tls)).map_err(|_| BadKeys)?;
        if point_of(&tls.subject_public_key_info()).is_none() {
            return Err(BadKeys);
        }
        Ok(Self::new(tls, SealingSecret::from_bytes(sealing)))
    }

    /// The node's name.
    pub const fn node(&self) -> NodeId {
        self.node
    }
    /// Its TLS key, a DER-encoded `SubjectPublicKeyInfo`.
    pub fn key(&self) -> Vec<u8> {
        self.tls.subject_public_key_info()
    }
    /// Its private TLS key, PKCS #8.
    pub fn tls_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.tls.serialize_der())
    }
    /// What the cluster's secrets are sealed for.
    pub const fn sealing(&self) -> &SealingSecret {
        &self.sealing
    }

    /// ECDSA with P-256 and SHA-256, by the TLS key.
    ///
    /// # Errors
    /// When the system's random numbers fail.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BadKeys> {
        self.tls.sign(message).map_err(|_| BadKeys)
    }
}

/// The point of a DER-encoded `SubjectPublicKeyInfo` with a P-256 key; whether it is on the curve, who uses it finds out.
pub(crate) fn point_of(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&P256_PREFIX).filter(|point| point.len() == P256_POINT_BYTES && point.starts_with(&[4]))
}

/// Checks what [`NodeKeys::sign`] made.
///
/// # Errors
/// When it was made by another key or for another message, or `key` is no P-256 key.
pub fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let point = point_of(key).ok_or(BadSignature)?;
    webpki::aws_lc_rs::ECDSA_P256_SHA256.verify_signature(point, message, signature).map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_name_and_signs_what_others_verify() {
        let keys = NodeKeys::generate(&mut rand::rng()).unwrap();
        let kept = NodeKeys::from_bytes(&keys.to_bytes()).unwrap();
        assert_eq!((kept.node(), kept.key()), (keys.node(), keys.key()));
        assert_eq!(kept.sealing().public(), keys.sealing().public());
        assert_eq!(format!("{keys:?}"), format!("NodeKeys({})", keys.node()));
        let signature = keys.sign(b"message").unwrap();
        assert_eq!(verify(&kept.key(), b"message", &signature), Ok(()));
        assert_eq!(verify(&kept.key(), b"another", &signature), Err(BadSignature));
        let other = NodeKeys::generate(&mut rand::rng()).unwrap();
        assert_eq!(verify(&other.key(), b"message", &signature), Err(BadSignature));
        assert_eq!(verify(b"no key", b"message", &signature), Err(BadSignature));
        for bad in [&[][..], &[1], &keys.to_bytes()[1..], &keys.to_bytes()[..120]] {
            assert!(NodeKeys::from_bytes(bad).is_err());
        }
    }
}
