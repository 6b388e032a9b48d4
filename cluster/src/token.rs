//! Join tokens: what an operator carries from a member to a new node.

use std::fmt;
use std::str::FromStr;

use rand::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::KeyHash;
use crate::control::TokenId;

const BYTES: usize = 16 + 32 + 32;

/// Who may come with a token. What is kept of a token for the one is worth nothing for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// A node, which gets the cluster's secrets when it is approved.
    Node,
    /// An edge, which hears who serves clients.
    Edge,
}

impl For {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Node => "endtoend-join:",
            Self::Edge => "endtoend-edge:",
        }
    }

    const fn check_context(self) -> &'static str {
        match self {
            Self::Node => "endtoend 2026-11 join token v1 check",
            Self::Edge => "endtoend 2026-11 edge token v1 check",
        }
    }
}

/// A join token: `Display` is what the operator carries, `Debug` shows its id.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    whom: For,
    id: TokenId,
    secret: Zeroizing<[u8; 32]>,
    authority: KeyHash,
}

/// Text that is no join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a join token is endtoend-join: and 160 hexadecimal digits, as `endtoend cluster token create` shows it; that of an edge begins \
     with endtoend-edge:"
)]
pub struct BadToken;

impl JoinToken {
    /// A new one for a node, for the cluster that has this authority now.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R, authority: KeyHash) -> Self {
        Self::generate_for(For::Node, rng, authority)
    }

    /// A new one, for the cluster that has this authority now.
    pub fn generate_for<R: CryptoRng + ?Sized>(whom: For, rng: &mut R, authority: KeyHash) -> Self {
        let (mut id, mut secret) = ([0; 16], Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut id);
        rng.fill_bytes(secret.as_mut());
        Self { whom, id, secret, authority }
    }

    /// Who may come with it.
    pub const fn whom(&self) -> For {
        self.whom
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
        check(self.whom, &self.id, &self.secret)
    }
}

/// `BLAKE3-derive-key("endtoend 2026-11 join token v1 check", id(16) || secret(32))`, for edges `edge` instead of `join`. The secret
/// has 256 random bits: a fast hash hides it.
fn check(whom: For, id: &TokenId, secret: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(whom.check_context());
    let check = *hasher.update(id).update(secret).finalize().as_bytes();
    hasher.zeroize();
    check
}

/// Whether a secret is that of a token, in constant time.
pub(crate) fn is_secret_of(whom: For, id: &TokenId, secret: &[u8; 32], kept: &[u8; 32]) -> bool {
    check(whom, id, secret).ct_eq(kept).into()
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.whom.prefix())?;
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
        let begins = |whom: For| text.trim().strip_prefix(whom.prefix()).map(|digits| (whom, digits));
        let (whom, digits) = begins(For::Node).or_else(|| begins(For::Edge)).ok_or(BadToken)?;
        hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| BadToken)?;
        let (id, rest) = bytes.split_first_chunk().ok_or(BadToken)?;
        let (secret, authority) = rest.split_first_chunk().ok_or(BadToken)?;
        let authority = authority.try_into().map_err(|_| BadToken)?;
        Ok(Self { whom, id: *id, secret: Zeroizing::new(*secret), authority })
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
        let passes = |id, secret| is_secret_of(For::Node, &id, secret, &token.check());
        assert!(passes(token.id(), token.secret()));
        assert!(!passes(token.id(), other.secret()));
        assert!(!passes(other.id(), token.secret()), "the id is part of it");
        assert!(!is_secret_of(For::Edge, &token.id(), token.secret(), &token.check()), "it is for a node");
    }

    #[test]
    fn a_token_for_an_edge_is_none_for_a_node() {
        let token = JoinToken::generate_for(For::Edge, &mut rand::rng(), [9; 32]);
        assert!(token.to_string().starts_with("endtoend-edge:"));
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert!(is_secret_of(For::Edge, &token.id(), token.secret(), &token.check()));
        assert!(!is_secret_of(For::Node, &token.id(), token.secret(), &token.check()));
    }
}
