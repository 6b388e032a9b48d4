//! What a node says first: who it is, and for how long which static keys speak for it.

use subtle::ConstantTimeEq as _;

use super::ChannelError;
use super::handshake::{PUBLIC_BYTES, StaticPublic};
use crate::signature::{SIGNATURE_BYTES, SigningKey, VERIFYING_KEY_BYTES, VerifyingKey};

const DOMAIN: &str = "endtoend 2026-11 channel introduction v1";
const FINGERPRINT_CONTEXT: &str = "endtoend 2026-11 server identity fingerprint v1";
const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 1 + VERIFYING_KEY_BYTES + 8 + 8 + PUBLIC_BYTES;

/// Length in bytes of an introduction.
pub const INTRODUCTION_BYTES: usize = SIGNED_BYTES + SIGNATURE_BYTES;

/// What clients pin of a server's identity: 32 bytes that no other key has.
pub fn fingerprint(identity: &VerifyingKey) -> [u8; 32] {
    blake3::derive_key(FINGERPRINT_CONTEXT, &identity.to_bytes())
}

/// A server's static keys, vouched for by its identity.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Of the identity that signed; see [`fingerprint`].
    pub fingerprint: [u8; 32],
    /// Who can answer an `Initiate`.
    pub keys: StaticPublic,
    /// From when on, in milliseconds since 1970.
    pub issued_ms: u64,
    /// Until when.
    pub expires_ms: u64,
    signed: Box<[u8; INTRODUCTION_BYTES]>,
}

impl Introduction {
    /// Signs static keys, as bytes for the wire:
    /// `version(1) || identity(2624) || issued(8) || expires(8) || x25519(32) || ml_kem(1568) || signature(4691)`.
    pub fn sign(identity: &SigningKey, keys: &StaticPublic, issued_ms: u64, expires_ms: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(INTRODUCTION_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&identity.verifying_key().to_bytes());
        bytes.extend_from_slice(&issued_ms.to_le_bytes());
        bytes.extend_from_slice(&expires_ms.to_le_bytes());
        bytes.extend_from_slice(&keys.to_bytes());
        let signature = identity.sign(DOMAIN, &bytes);
        bytes.extend_from_slice(&signature);
        bytes
    }

    /// Reads an introduction and checks the signature in it. Whose it is and whether it is time for it is left to
    /// [`Introduction::check`].
    ///
    /// # Errors
    /// `Malformed`, `BadSignature`, `BadKey`.
    pub fn read(bytes: &[u8]) -> Result<Self, ChannelError> {
        let signed: Box<[u8; INTRODUCTION_BYTES]> =
            bytes.to_vec().into_boxed_slice().try_into().map_err(|_| ChannelError::Malformed)?;
        let (body, signature) = bytes.split_at_checked(SIGNED_BYTES).ok_or(ChannelError::Malformed)?;
        let Some((&[VERSION], rest)) = body.split_first_chunk() else { return Err(ChannelError::Malformed) };
        let (identity, rest) = rest.split_at_checked(VERIFYING_KEY_BYTES).ok_or(ChannelError::Malformed)?;
        let identity = VerifyingKey::from_bytes(identity).map_err(|_| ChannelError::BadSignature)?;
        identity.verify(DOMAIN, body, signature).map_err(|_| ChannelError::BadSignature)?;
        let (issued, rest) = rest.split_first_chunk().ok_or(ChannelError::Malformed)?;
        let (expires, rest) = rest.split_first_chunk().ok_or(ChannelError::Malformed)?;
        let keys = StaticPublic::from_bytes(rest.try_into().map_err(|_| ChannelError::Malformed)?)?;
        let (issued_ms, expires_ms) = (u64::from_le_bytes(*issued), u64::from_le_bytes(*expires));
        Ok(Self { fingerprint: fingerprint(&identity), keys, issued_ms, expires_ms, signed })
    }

    /// Whether it is the pinned server's, and of now; clocks may differ by `skew_ms`.
    ///
    /// # Errors
    /// `WrongIdentity`, `NotYetValid`, `Expired`.
    pub fn check(&self, pinned: &[u8; 32], now_ms: u64, skew_ms: u64) -> Result<(), ChannelError> {
        if !bool::from(self.fingerprint.ct_eq(pinned)) {
            return Err(ChannelError::WrongIdentity);
        }
        if self.issued_ms > now_ms.saturating_add(skew_ms) {
            return Err(ChannelError::NotYetValid);
        }
        if now_ms >= self.expires_ms.saturating_add(skew_ms) {
            return Err(ChannelError::Expired);
        }
        Ok(())
    }

    /// The bytes that were signed, and the signature.
    pub fn as_bytes(&self) -> &[u8] {
        &*self.signed
    }
}
