//! The name by which people call each other.

use std::fmt;
use std::str::FromStr;

/// Shortest handle, in characters.
pub const HANDLE_CHARS_MIN: usize = 3;
/// Longest handle, in characters.
pub const HANDLE_CHARS_MAX: usize = 32;

/// A normalised handle: 3 to 32 of `a` to `z`, `0` to `9`, `.`, `_` and `-`. Upper case is lowered on the way in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(String);

/// Why a string is no [`Handle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHandle {
    /// Too short or too long.
    #[error("a handle has {HANDLE_CHARS_MIN} to {HANDLE_CHARS_MAX} characters")]
    Length,
    /// A character that handles do not have.
    #[error("a handle has only the letters a to z, digits, '.', '_' and '-'")]
    Character,
}

impl Handle {
    /// The handle as it is shown and hashed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = BadHandle;
    fn from_str(text: &str) -> Result<Self, BadHandle> {
        let handle = text.to_ascii_lowercase();
        if !handle.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')) {
            return Err(BadHandle::Character);
        }
        match handle.len() {
            HANDLE_CHARS_MIN..=HANDLE_CHARS_MAX => Ok(Self(handle)),
            _ => Err(BadHandle::Length),
        }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_case_names_the_same_account() {
        let (a, b): (Handle, Handle) = ("Alice".parse().unwrap(), "alice".parse().unwrap());
        assert_eq!(a, b);
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, why) in [
            ("al", BadHandle::Length),
            ("", BadHandle::Length),
            (&*"a".repeat(33), BadHandle::Length),
            ("al ice", BadHandle::Character),
            ("älice", BadHandle::Character),
            ("alice\n", BadHandle::Character),
        ] {
            assert_eq!(text.parse::<Handle>(), Err(why), "{text:?}");
        }
    }
}
