//! Access tokens: typed claims, signed by the server with both keys.

use subtle::ConstantTimeEq as _;

use crate::signature::{SIGNATURE_BYTES, SigningKey, VerifyingKey};

const DOMAIN: &str = "endtoend 2026-11 access token v1";
const KEY_ID_CONTEXT: &str = "endtoend 2026-11 access token key id v1";
const VERSION: u8 = 1;
const CLAIMS_BYTES: usize = 74;

/// Length in bytes of a token.
pub const TOKEN_BYTES: usize = CLAIMS_BYTES + SIGNATURE_BYTES;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Which server key signed it.
    pub key_id: [u8; 8],
    /// Names the token.
    pub token_id: [u8; 16],
    /// The account's tag.
    pub account: [u8; 32],
    /// The device's number.
    pub device: u8,
    /// When it was issued, in milliseconds since 1970.
    pub issued_ms: u64,
    /// From here on it is worth nothing.
    pub expires_ms: u64,
}

/// Why a token is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of this version.
    #[error("not a token")]
    Malformed,
    /// Signed by a key that is not ours, or not any more.
    #[error("the token is by another key")]
    UnknownKey,
    /// Not what was signed.
    #[error("the token's signature does not verify")]
    BadSignature,
    /// Too late.
    #[error("the token has expired")]
    Expired,
    /// Issued in the future by more than the skew.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// Issues a token of [`TOKEN_BYTES`].
pub fn issue(
    key: &SigningKey,
    account: &[u8; 32],
    device: u8,
    token_id: &[u8; 16],
    issued_ms: u64,
    expires_ms: u64,
) -> Vec<u8> {
    let mut token = Vec::with_capacity(TOKEN_BYTES);
    token.push(VERSION);
    token.extend_from_slice(&key_id(&key.verifying_key()));
    token.extend_from_slice(token_id);
    token.extend_from_slice(account);
    token.push(device);
    token.extend_from_slice(&issued_ms.to_le_bytes());
    token.extend_from_slice(&expires_ms.to_le_bytes());
    let signature = key.sign(DOMAIN, &token);
    token.extend_from_slice(&signature);
    token
}

/// Checks a token at `now_ms`; clocks may differ by `skew_ms`.
///
/// # Errors
/// See [`TokenError`]. Times are looked at only after the signature.
pub fn verify(key: &VerifyingKey, token: &[u8], now_ms: u64, skew_ms: u64) -> Result<Claims, TokenError> {
    let claims = peek(token)?;
    if !bool::from(claims.key_id.ct_eq(&key_id(key))) {
        return Err(TokenError::UnknownKey);
    }
    let (signed, signature) = token.split_at_checked(CLAIMS_BYTES).ok_or(TokenError::Malformed)?;
    key.verify(DOMAIN, signed, signature).map_err(|_| TokenError::BadSignature)?;
    if claims.issued_ms > now_ms.saturating_add(skew_ms) {
        return Err(TokenError::NotYetValid);
    }
    if now_ms >= claims.expires_ms.saturating_add(skew_ms) {
        return Err(TokenError::Expired);
    }
    Ok(claims)
}

/// Reads the claims without checking them, for the device that holds the token.
///
/// # Errors
/// `Malformed`.
pub fn peek(token: &[u8]) -> Result<Claims, TokenError> {
    if token.len() != TOKEN_BYTES {
        return Err(TokenError::Malformed);
    }
    let mut rest = token;
    let [version] = take(&mut rest)?;
    if version != VERSION {
        return Err(TokenError::Malformed);
    }
    let (key_id, token_id, account) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
    let [device] = take(&mut rest)?;
    let (issued_ms, expires_ms) = (u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?));
    Ok(Claims { key_id, token_id, account, device, issued_ms, expires_ms })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TokenError> {
    let (head, tail) = rest.split_first_chunk().ok_or(TokenError::Malformed)?;
    *rest = tail;
    Ok(*head)
}

/// First 8 bytes of `BLAKE3-derive(verifying key)`.
fn key_id(key: &VerifyingKey) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key(KEY_ID_CONTEXT, &key.to_bytes());
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const SKEW: u64 = 60_000;
    const LIFE: u64 = 900_000;

    fn setup() -> (SigningKey, Vec<u8>) {
        let key = SigningKey::from_seed(&[1; 64]);
        let token = issue(&key, &[2; 32], 3, &[4; 16], NOW, NOW + LIFE);
        (key, token)
    }

    #[test]
    fn a_token_says_what_was_issued() {
        let (key, token) = setup();
        assert_eq!(token.len(), TOKEN_BYTES);
        let claims = verify(&key.verifying_key(), &token, NOW, SKEW).unwrap();
        assert_eq!((claims.token_id, claims.account, claims.device), ([4; 16], [2; 32], 3));
        assert_eq!((claims.issued_ms, claims.expires_ms), (NOW, NOW + LIFE));
        assert_eq!(peek(&token), Ok(claims));
    }

    #[test]
    fn it_lives_from_its_issue_to_its_end_give_or_take_the_skew() {
        let (key, token) = setup();
        let at = |now| verify(&key.verifying_key(), &token, now, SKEW).map(|_| ());
        assert_eq!(at(NOW - SKEW - 1), Err(TokenError::NotYetValid));
        assert_eq!(at(NOW - SKEW), Ok(()));
        assert_eq!(at(NOW + LIFE + SKEW - 1), Ok(()));
        assert_eq!(at(NOW + LIFE + SKEW), Err(TokenError::Expired));
    }

    #[test]
    fn another_key_does_not_make_our_tokens() {
        let (key, _) = setup();
        let theirs = SigningKey::from_seed(&[9; 64]);
        let mut forged = issue(&theirs, &[2; 32], 3, &[4; 16], NOW, NOW + LIFE);
        assert_eq!(verify(&key.verifying_key(), &forged, NOW, SKEW), Err(TokenError::UnknownKey));
        forged[1..9].copy_from_slice(&key_id(&key.verifying_key()));
        assert_eq!(verify(&key.verifying_key(), &forged, NOW, SKEW), Err(TokenError::BadSignature));
    }

    #[test]
    fn flipped_bits_and_other_lengths_are_refused() {
        let (key, token) = setup();
        let verifier = key.verifying_key();
        // Every bit of the claims and of the classical half; of the other a sample, unless the build is fast.
        let (fast, step) = ((CLAIMS_BYTES + 64) * 8, if cfg!(debug_assertions) { 101 } else { 1 });
        for bit in (0..fast).chain((fast..TOKEN_BYTES * 8).step_by(step)) {
            let mut bent = token.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&verifier, &bent, NOW, SKEW).is_err(), "bit {bit}");
        }
        for len in [0, 1, CLAIMS_BYTES, TOKEN_BYTES - 1] {
            assert_eq!(verify(&verifier, &token[..len], NOW, SKEW), Err(TokenError::Malformed));
        }
        assert_eq!(verify(&verifier, &[&token[..], &[0]].concat(), NOW, SKEW), Err(TokenError::Malformed));
    }
}
