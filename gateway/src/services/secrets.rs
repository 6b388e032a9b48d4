//! The secrets that services need.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use endtoend_crypto_core::opaque::ServerSetup;
use endtoend_crypto_core::oprf::OprfKey;
use endtoend_crypto_core::refresh::RefreshKey;
use endtoend_crypto_core::signature::{SigningKey, VerifyingKey};
use endtoend_protocol::{AccountTag, limits};
use endtoend_storage::{AuditKey, InviteHash, PeerHash};
use zeroize::Zeroizing;

const RELATION_CONTEXT: &str = "endtoend 2026-11 relation v1";
const INVITE_CONTEXT: &str = "endtoend 2026-11 invitation v1";

/// What turns accounts, codes and tokens into what the store keeps. `Debug` shows nothing.
pub(crate) struct ServiceSecrets {
    pub(super) opaque: ServerSetup,
    pub(super) oprf: OprfKey,
    pub(super) token: Arc<SigningKey>,
    pub(super) token_verifier: Arc<VerifyingKey>,
    pub(super) refresh: RefreshKey,
    relation: Zeroizing<[u8; 32]>,
    invite: Zeroizing<[u8; 32]>,
    audit: AuditKey,
}

impl fmt::Debug for ServiceSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceSecrets(..)")
    }
}

impl ServiceSecrets {
    /// `store` is the secret of 32 bytes from which the keys for hashes are derived.
    pub(crate) fn new(opaque: ServerSetup, oprf: OprfKey, token: SigningKey, store: &[u8; 32]) -> Self {
        let token_verifier = Arc::new(token.verifying_key());
        let derive = |context| Zeroizing::new(blake3::derive_key(context, store));
        Self {
            opaque,
            oprf,
            token: Arc::new(token),
            token_verifier,
            refresh: RefreshKey::new(store),
            relation: derive(RELATION_CONTEXT),
            invite: derive(INVITE_CONTEXT),
            audit: AuditKey::new(store),
        }
    }

    pub(crate) fn audit(&self) -> AuditKey {
        self.audit.clone()
    }

    /// `BLAKE3-keyed(owner(32) || peer(32))`
    pub(crate) fn relation(&self, owner: AccountTag, peer: AccountTag) -> PeerHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.relation);
        hasher.update(owner.as_bytes()).update(peer.as_bytes());
        PeerHash(*hasher.finalize().as_bytes())
    }

    /// `BLAKE3-keyed(code(16))`
    pub(crate) fn invite(&self, code: &[u8; limits::INVITE_BYTES]) -> InviteHash {
        InviteHash(*blake3::keyed_hash(&self.invite, code).as_bytes())
    }

    /// The account of a handle, for an operator's commands.
    pub(crate) fn account(&self, handle: &str) -> Option<AccountTag> {
        self.oprf.tag(handle).ok().map(AccountTag::new)
    }
}

/// The code of an invitation, as people pass it on: 26 letters and digits in groups, 128 random bits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct InviteCode(pub(crate) [u8; limits::INVITE_BYTES]);

/// Crockford's alphabet: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        for place in 0..26_u32 {
            if place > 0 && place % 5 == 0 {
                f.write_str("-")?;
            }
            let digit = (number >> (125 - place * 5)) & 31;
            let letter = usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit)).copied().unwrap_or(b'0');
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

impl FromStr for InviteCode {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut number = 0_u128;
        let mut places = 0;
        for letter in text.chars().filter(|letter| !matches!(letter, '-' | ' ')) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let digit = ALPHABET.iter().position(|&known| char::from(known) == letter).ok_or(())?;
            // 26 places of 5 bits are 130 bits: the first one has 3.
            if places == 0 && digit > 7 {
                return Err(());
            }
            number = (number << 5) | u128::try_from(digit).map_err(|_| ())?;
            places += 1;
            if places > 26 {
                return Err(());
            }
        }
        if places == 26 { Ok(Self(number.to_be_bytes())) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_is_read_back_however_it_is_written(bytes in any::<[u8; 16]>()) {
            let code = InviteCode(bytes);
            let text = code.to_string();
            prop_assert_eq!(text.len(), 26 + 5);
            prop_assert!(text.parse() == Ok(code.clone()));
            prop_assert!(text.to_lowercase().replace('-', "").replace('0', "o").replace('1', "l").parse() == Ok(code));
        }

        #[test]
        fn any_text_is_a_code_or_none(text in "\\PC{0,40}") {
            let _ = text.parse::<InviteCode>();
        }
    }

    #[test]
    fn what_is_too_long_too_short_or_too_large_is_no_code() {
        for text in ["", "ABCDE", "ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-Z", "00000-00000-00000-00000-00000-00", "!0000"] {
            assert!(text.parse::<InviteCode>().is_err(), "{text}");
        }
        assert!("7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-Z".parse() == Ok(InviteCode([0xff; 16])));
    }
}
