//! A password while it is typed: not in any `Debug`, overwritten when it is dropped.

use zeroize::Zeroizing;

/// Longest password, in bytes. What is pasted beyond it is not taken.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Something that nobody else may read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// What was typed so far, as long as it is not too long.
    #[must_use]
    pub fn typed(self, text: String) -> Self {
        let text = Zeroizing::new(text);
        if text.len() <= PASSWORD_BYTES_MAX { Self(text) } else { self }
    }

    /// What it says.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the engine takes it.
    pub fn to_zeroizing(&self) -> Zeroizing<String> {
        self.0.clone()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::default().typed(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_nothing_and_has_a_bound() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert_eq!(secret.clone().typed(long), secret);
    }
}
