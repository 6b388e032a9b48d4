//! Join tokens: what an operator carries from a member to a new node.

use std::fmt;
use std::str::FromStr;

use rand::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::KeyHash;
use crate::control::TokenId;

const PREFIX: &str = "endtoend-join:";
const CHECK_CONTEXT: &str = "endtoend 2026-11 join token v1 check";
const BYTES: usize = 16 + 32 + 32;

/// A join token: `Display` is what the operator carries, `Debug` shows its id.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    id: TokenId,
    secret: Zeroizing<[u8; 32]>,
    authority: KeyHash,
}

/// Text that is no join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a join token is {PREFIX} and 160 hexadecimal digits, as `endtoend cluster token create` shows it")]
pub struct BadToken;

impl JoinToken {
    /// A new one, for the cluster that has this authority now.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R, authority: KeyHash) -> Self {
        let (mut id, mut secret) = ([0; 16], Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut id);
        rng.fill_bytes(secret.as_mut());
        Self { id, secret, authority }
    }

    /// Names it.
    pub const fn id(&self) -> TokenId {
        self.id
    }
    /// The key of the authority whose certificate the seed must show.
    pub const fn authority(&self) -> KeyHash {
        self.authority
    }
    /// What the new node shows of it.
    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
    /// What the cluster keeps of it.
    pub fn check(&self) -> [u8; 32] {
        check(&self.id, &self.secret)
    }
}

/// `BLAKE3-derive-key("endtoend 2026-11 join token v1 check", id(16) || secret(32))`. The secret has 256 random bits: a fast
/// hash hides it.
fn check(id: &TokenId, secret: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECK_CONTEXT);
    let check = *hasher.update(id).update(secret).finalize().as_bytes();
    hasher.zeroize();
    check
}

/// Whether a secret is that of a token, in constant time.
pub(crate) fn is_secret_of(id: &TokenId, secret: &[u8; 32], kept: &[u8; 32]) -> bool {
    check(id, secret).ct_eq(kept).into()
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.id.iter().chain(&*self.secret).chain(&self.authority).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({})", hex::encode(self.id))
    }
}

impl FromStr for JoinToken {
    type Err = BadToken;
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let digits = text.trim().strip_prefix(PREFIX).ok_or(BadToken)?;
        hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| BadToken)?;
        let (id, rest) = bytes.split_first_chunk().ok_or(BadToken)?;
        let (secret, authority) = rest.split_first_chunk().ok_or(BadToken)?;
        let authority = authority.try_into().map_err(|_| BadToken)?;
        Ok(Self { id: *id, secret: Zeroizing::new(*secret), authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_from_its_text_and_nothing_else_is_one() {
        let token = JoinToken::generate(&mut rand::rng(), [9; 32]);
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
        assert_eq!(token.authority(), [9; 32]);
        for bad in ["", "endtoend-join:", &text[1..], &text[..text.len() - 1], &format!("{text}0")] {
            assert_eq!(bad.parse::<JoinToken>(), Err(BadToken), "{bad}");
        }
        assert!(!format!("{token:?}").contains(&hex::encode(token.secret())));
    }

    #[test]
    fn only_the_secret_of_a_token_passes_its_check() {
        let (token, other) =
            (JoinToken::generate(&mut rand::rng(), [9; 32]), JoinToken::generate(&mut rand::rng(), [9; 32]));
        assert!(is_secret_of(&token.id(), token.secret(), &token.check()));
        assert!(!is_secret_of(&token.id(), other.secret(), &token.check()));
        assert!(!is_secret_of(&other.id(), token.secret(), &token.check()), "the id is part of it");
    }
}
