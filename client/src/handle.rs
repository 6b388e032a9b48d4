//! The name by which people call each other.

use std::fmt;
use std::str::FromStr;

use endtoend_crypto_core::handle;
pub use endtoend_crypto_core::handle::{BadHandle, HANDLE_CHARS_MAX, HANDLE_CHARS_MIN};
use endtoend_protocol::AccountTag;

/// A normalised handle of 3 to 32 characters, in any alphabet; which ones and how is in `endtoend_crypto_core::handle`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(handle::Handle);

impl Handle {
    /// The handle as it is shown and hashed.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
    /// What is blinded to ask a server for the account's tag.
    pub const fn normalised(&self) -> &handle::Handle {
        &self.0
    }
    /// What the server knows the account by.
    pub fn tag(&self) -> AccountTag {
        AccountTag::new(endtoend_crypto_core::account_tag(self.as_str()))
    }
}

impl FromStr for Handle {
    type Err = BadHandle;
    fn from_str(text: &str) -> Result<Self, BadHandle> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spelling_names_the_same_account() {
        for (one, another) in [("Alice", "alice"), ("STRASSE", "straße"), ("mu\u{308}ller", "Müller")] {
            let (a, b): (Handle, Handle) = (one.parse().unwrap(), another.parse().unwrap());
            assert_eq!(a, b);
            assert_eq!(a.tag(), b.tag());
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, why) in [
            ("al", BadHandle::Length),
            ("", BadHandle::Length),
            (&*"a".repeat(33), BadHandle::Length),
            ("al ice", BadHandle::Character),
            ("alice\n", BadHandle::Character),
            ("аlice", BadHandle::MixedScripts),
            ("ıstanbul", BadHandle::Confusable),
        ] {
            assert_eq!(text.parse::<Handle>(), Err(why), "{text:?}");
        }
    }
}
