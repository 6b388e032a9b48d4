//! Rules: how long a password stands.

use zxcvbn::{Score, zxcvbn};

/// Letters that are looked at: more makes a password no weaker, and the search slow.
const LETTERS_MAX: usize = 100;
/// What somebody with a rack of machines may try in a second. Each try costs Argon2id with at least 64 MiB.
const GUESSES_EACH_SECOND: f64 = 10_000.0;

/// How long it takes to guess a password, for somebody who has the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// At once.
    Seconds,
    /// Up to an hour.
    Minutes,
    /// Up to a month.
    Days,
    /// Up to a century.
    Years,
    /// Longer than anybody lives.
    Centuries,
}

impl Strength {
    /// The least that a profile is made with.
    pub const LEAST: Self = Self::Days;

    /// Of this password. `known` are words that somebody would try first, like the handle.
    pub fn of(password: &str, known: &[&str]) -> Self {
        let end = password.char_indices().nth(LETTERS_MAX).map_or(password.len(), |(at, _)| at);
        let entropy = zxcvbn(password.get(..end).unwrap_or(password), known);
        let seconds = 10_f64.powf(entropy.guesses_log10()) / GUESSES_EACH_SECOND;
        match seconds {
            _ if entropy.score() == Score::Zero => Self::Seconds,
            ..60.0 => Self::Seconds,
            ..3_600.0 => Self::Minutes,
            ..2_592_000.0 => Self::Days,
            ..3_155_760_000.0 => Self::Years,
            _ => Self::Centuries,
        }
    }

    /// How many of four bars are filled.
    pub const fn bars(self) -> u8 {
        match self {
            Self::Seconds => 0,
            Self::Minutes => 1,
            Self::Days => 2,
            Self::Years => 3,
            Self::Centuries => 4,
        }
    }

    /// What is said about it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Seconds => "strength-seconds",
            Self::Minutes => "strength-minutes",
            Self::Days => "strength-days",
            Self::Years => "strength-years",
            Self::Centuries => "strength-centuries",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_choose_is_weak_and_what_chance_chooses_is_not() {
        for weak in ["", "a", "password", "123456789", "qwertyuiop", "alice1990"] {
            assert!(Strength::of(weak, &["alice"]) < Strength::LEAST, "{weak}");
        }
        assert!(Strength::of("stapler gravel quorum", &[]) >= Strength::Years);
        assert_eq!(Strength::of("tundra-moat-ferric-oblong-vivid-chess", &[]), Strength::Centuries);
        // Its owner's name is no secret.
        assert!(Strength::of("bartholomew.xq", &["bartholomew.xq"]) < Strength::of("bartholomew.xq", &[]));
    }

    #[test]
    fn a_long_one_takes_no_longer_to_look_at_than_its_beginning() {
        let long = "x7-Qp.".repeat(100_000);
        assert_eq!(Strength::of(&long, &[]), Strength::of(&long[..LETTERS_MAX], &[]));
    }
}
