//! What a person calls somebody on this device. Nobody else sees it.

use std::fmt;
use std::str::FromStr;

/// Longest nickname, in bytes of UTF-8.
pub const NICKNAME_BYTES_MAX: usize = 128;

/// 1 to [`NICKNAME_BYTES_MAX`] bytes of one line, without spaces at its ends and without what turns the direction of writing.
/// `Debug` shows the length.
#[derive(Clone, PartialEq, Eq)]
pub struct Nickname(String);

/// The text is empty, too long, or has characters that steer a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nickname is one line of 1 to {NICKNAME_BYTES_MAX} bytes")]
pub struct BadNickname;

impl Nickname {
    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a character steers a screen, or the direction of writing.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
}

impl Nickname {
    /// What is left of a name that somebody else has chosen, without what steers and what is too long. `None` for nothing.
    pub fn harmless(text: &str) -> Option<Self> {
        let mut kept: String = text.chars().filter(|c| !steers(*c)).collect();
        let mut end = NICKNAME_BYTES_MAX.min(kept.len());
        while !kept.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        kept.truncate(end);
        kept.parse().ok()
    }
}

impl FromStr for Nickname {
    type Err = BadNickname;

    fn from_str(text: &str) -> Result<Self, BadNickname> {
        let text = text.trim();
        let good = (1..=NICKNAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(steers);
        good.then(|| Self(text.to_owned())).ok_or(BadNickname)
    }
}

impl fmt::Debug for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nickname({} B)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nickname_is_one_line_that_steers_nothing() {
        let read = |text: &str| text.parse::<Nickname>().map(|name| name.as_str().to_owned());
        assert_eq!(read("  Grandma 👵 "), Ok("Grandma 👵".to_owned()));
        let long = "x".repeat(NICKNAME_BYTES_MAX + 1);
        for bad in ["", "  ", "two\nlines", "\u{1b}[2J", "a\u{202e}b", &long] {
            assert_eq!(read(bad), Err(BadNickname), "{bad:?}");
        }
        assert_eq!(read(&long[1..]), Ok(long[1..].to_owned()));
    }

    #[test]
    fn of_a_strangers_name_stays_what_steers_nothing() {
        let left = |text: &str| Nickname::harmless(text).map(|name| name.as_str().to_owned());
        assert_eq!(left("a\u{202e}b\nc"), Some("abc".to_owned()));
        assert_eq!(left("\u{1b}"), None);
        assert_eq!(left(&"ä".repeat(100)), Some("ä".repeat(64)));
        assert_eq!(left(&format!("x{}", "ä".repeat(100))), Some(format!("x{}", "ä".repeat(63))));
    }
}
