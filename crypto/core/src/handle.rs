//! Handles: the names by which people call each other, in any alphabet, each person's written in one way only.
//!
//! Two strings that a person would take for one name must be one account or no account. What is done for that:
//!
//! 1. *One spelling.* NFKC and full case folding, until nothing changes: `Ａlice`, `ALICE` and `alice` are one handle.
//! 2. *Characters of names.* Letters, digits and the marks on them, of the General Security Profile (UTS 39, 3.1), and
//!    `.`, `_`, `-`: nothing invisible, no emoji, no symbols, no letters of dead scripts.
//! 3. *One script.* At most "highly restrictive" (UTS 39, 5.2): one script, or one of the three East Asian ways of mixing
//!    them, Latin included; and digits of one system.
//! 4. *Nothing that looks like ASCII.* A handle with other letters whose skeleton (UTS 39, 4) is ASCII is refused, so
//!    nobody is `аlice` in Cyrillic. Of two handles that both have other letters and look alike, either may exist: to refuse
//!    that needs the list of all handles, which nobody has. That is what safety numbers are for.
//!
//! ASCII handles are what they were: `a` to `z`, `0` to `9`, `.`, `_` and `-`, in any order. Others begin with a letter and
//! end with no `.`, `_` or `-`; so written from right to left, two of them cannot look alike by the order of their parts
//! (RFC 5893, 2, has the general rule).
//!
//! The crates: `unicode-normalization` and `unicode-security` are the ones of the Rust compiler, which has the same
//! question about identifiers; `caseless` has the table of full case folding, which lowering each letter is not (`ß` is
//! `ss`, both small sigmas are one). ICU4X has more and no skeletons. All are pinned, see the workspace's `Cargo.toml`;
//! Unicode's stability policy keeps what is assigned as it is, so a newer version accepts more handles and changes none.

use std::fmt;
use std::str::FromStr;

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_security::confusable_detection::skeleton;
use unicode_security::{GeneralSecurityProfile as _, RestrictionLevel, RestrictionLevelDetection as _};

/// Shortest handle, in characters (code points) after normalisation.
pub const HANDLE_CHARS_MIN: usize = 3;
/// Longest handle, in characters (code points) after normalisation: at most 128 bytes of UTF-8.
pub const HANDLE_CHARS_MAX: usize = 32;

/// Longest input that is looked at, in bytes: four times the longest handle, for what normalisation puts together.
const INPUT_BYTES_MAX: usize = 4 * 4 * HANDLE_CHARS_MAX;
/// Most marks on one letter (UTS 39, 5.4).
const MARKS_MAX: usize = 4;
/// Composed into a letter it is gone; on its own it hides in the dot of `i` (UTS 39, 5.4).
const DOT_ABOVE: char = '\u{307}';

/// A normalised handle: see the module. 3 to 32 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(String);

/// Why a string is no [`Handle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHandle {
    /// Too short or too long.
    #[error("a handle has {HANDLE_CHARS_MIN} to {HANDLE_CHARS_MAX} characters")]
    Length,
    /// A character that handles do not have, or not at that place.
    #[error("a handle has only letters, digits, '.', '_' and '-', and with letters beyond a to z it begins with one")]
    Character,
    /// Letters or digits of several scripts.
    #[error("a handle has letters of one script only, and digits of one kind")]
    MixedScripts,
    /// Looks like a handle of a to z.
    #[error("these letters look like others: write the handle with the letters a to z, or choose another")]
    Confusable,
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
        if text.len() > INPUT_BYTES_MAX {
            return Err(BadHandle::Length);
        }
        let handle = normalised(text);
        let chars = handle.chars().count();
        // Before the length, so that whoever types a space or an emoji is told what is wrong.
        check_characters(&handle)?;
        if !(HANDLE_CHARS_MIN..=HANDLE_CHARS_MAX).contains(&chars) {
            return Err(BadHandle::Length);
        }
        if !handle.is_ascii() {
            check_scripts(&handle)?;
        }
        Ok(Self(handle))
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// NFKC and full case folding, twice, as in compatibility caseless matching (Unicode, 3.13, D146): the second time folds
/// what the first took apart.
fn normalised(text: &str) -> String {
    text.nfd().default_case_fold().nfkc().default_case_fold().nfkc().collect()
}

fn check_characters(handle: &str) -> Result<(), BadHandle> {
    let allowed = |c: char| match c {
        'a'..='z' | '0'..='9' | '.' | '_' | '-' => true,
        DOT_ABOVE => false,
        // Letters that are newer than the folding table would keep their case.
        c => {
            !c.is_ascii()
                && c.identifier_allowed()
                && (c.is_alphanumeric() || is_combining_mark(c))
                && c.to_lowercase().eq([c])
        }
    };
    let shaped = handle.is_ascii()
        || handle.starts_with(|c: char| c.is_alphabetic() && !is_combining_mark(c))
            && !handle.ends_with(['.', '_', '-']);
    let good = handle.chars().all(allowed) && shaped && marks_ok(handle) && normalised(handle) == handle;
    if good { Ok(()) } else { Err(BadHandle::Character) }
}

/// No mark on something that is neither letter nor digit, none twice in a row, not more than [`MARKS_MAX`] on one letter.
fn marks_ok(handle: &str) -> bool {
    let (mut before, mut run) = ('.', 0);
    handle.chars().all(|c| {
        let mark = is_combining_mark(c);
        run = if mark { run + 1 } else { 0 };
        let good = !mark || c != before && run <= MARKS_MAX && !matches!(before, '.' | '_' | '-');
        before = c;
        good
    })
}

fn check_scripts(handle: &str) -> Result<(), BadHandle> {
    if !handle.check_restriction_level(RestrictionLevel::HighlyRestrictive) || !one_kind_of_digits(handle) {
        return Err(BadHandle::MixedScripts);
    }
    if skeleton(handle).all(|c| c.is_ascii()) { Err(BadHandle::Confusable) } else { Ok(()) }
}

/// Whether all digits are of one system (UTS 39, 5.3). The ten of a system follow each other, and those of two allowed
/// systems are further apart than that.
fn one_kind_of_digits(handle: &str) -> bool {
    let digits = || handle.chars().filter(|c| c.is_numeric()).map(u32::from);
    let (Some(least), Some(greatest)) = (digits().min(), digits().max()) else { return true };
    greatest - least < 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<String, BadHandle> {
        text.parse().map(|handle: Handle| handle.to_string())
    }

    #[test]
    fn handles_of_many_scripts_have_one_spelling() {
        for (text, handle) in [
            ("Alice", "alice"),
            ("...", "..."),
            ("-a_b.c-1", "-a_b.c-1"),
            ("Ａｌｉｃｅ", "alice"), // fullwidth
            ("ﬁona", "fiona"),       // a ligature
            ("Straße", "strasse"),   // full folding, not lowering
            ("STRASSE", "strasse"),  // and so the two are one
            ("ℌ𝐀ns", "hans"),        // letters of mathematics, which only the second folding meets as letters
            ("MÜLLER", "müller"),
            ("mu\u{308}ller", "müller"), // composed
            ("Ａ\u{30a}sa", "åsa"),      // fullwidth, then composed
            ("Ångström", "ångström"),    // the unit's sign is the letter
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),    // both small sigmas are one
            ("Владимир", "владимир"),
            ("Ёжик.2", "ёжик.2"),
            ("ışık", "ışık"), // the dotless i stays what it is, in company
            ("IŞIK", "işik"), // but its capital is the I of everybody else
            ("işık", "işık"), // and looks like the one above: nobody has the list of all handles
            ("nguyễn_văn", "nguyễn_văn"),
            ("שלמה", "שלמה"), // from right to left
            ("محمد-1", "محمد-1"),
            ("राजेश", "राजेश"), // vowel signs and a virama are marks
            ("สมชาย", "สมชาย"),
            ("山田太郎", "山田太郎"),
            ("ヤマダたろう", "ヤマダたろう"), // Japanese mixes three scripts
            ("ﾔﾏﾀﾞtaro", "ヤマダtaro"),        // and Latin; halfwidth, with its mark
            ("김철수abc", "김철수abc"),
            ("\u{1112}\u{1161}\u{11ab}글날", "한글날"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(handle), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_handle_is_refused_with_its_reason() {
        use BadHandle::{Character, Confusable, Length, MixedScripts};
        for (text, why) in [
            ("", Length),
            ("al", Length),
            ("日本", Length),
            (&*"a".repeat(33), Length),
            (&*"a".repeat(100_000), Length),
            (&*"ß".repeat(17), Length), // 34 letters
            ("al ice", Character),
            ("alice\n", Character),
            ("alice@home", Character),
            ("ali\u{200b}ce", Character),            // zero width space
            ("ali\u{200d}ce", Character),            // zero width joiner
            ("ali\u{ad}ce", Character),              // soft hyphen
            ("\u{202e}ecila", Character),            // an override of the direction
            ("\u{feff}alice", Character),            // byte order mark
            ("alice\u{fe0f}", Character),            // variation selector
            ("\u{3164}\u{3164}\u{3164}", Character), // Hangul filler
            ("alice🦀", Character),
            ("a\u{308}\u{308}\u{308}bc", Character), // the same mark twice
            ("q\u{323}\u{302}\u{303}\u{301}\u{304}ab", Character), // more than four
            ("\u{308}abc", Character),               // on nothing
            ("äb-\u{301}c", Character),              // on a hyphen
            ("İstanbul", Character),                 // folds to i with another dot
            ("al\u{307}ice", Character),             // one more dot
            ("alice\u{301}\u{20dd}", Character),     // in a circle
            ("ali‐ce", Character),                   // another hyphen
            ("al·ice", Character),
            ("Ⅷabc\u{2160}½", Character),
            ("élan_", Character),
            ("-élan", Character),
            ("1élan", Character),
            ("123-אבג", Character),  // would look like אבג-123
            ("𐌰𐌱𐌲", Character),      // Gothic
            ("аlice", MixedScripts), // the first is Cyrillic
            ("αlpha", MixedScripts),
            ("abcשלמה", MixedScripts),
            ("владиmир", MixedScripts),
            ("山田влад", MixedScripts),
            ("राजेश1२", MixedScripts), // two kinds of digits
            ("раураl", MixedScripts), // the last is Latin
            ("раурау", Confusable),   // all of it Cyrillic
            ("сосо", Confusable),
            ("ıstanbul", Confusable),
            ("ɡoogle", Character), // the letter of phonetics
        ] {
            assert_eq!(read(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn each_character_has_one_spelling_in_both_cases() {
        let does_something = |c: &char| c.identifier_allowed() || !std::iter::once(*c).nfkc().eq([*c]);
        for c in ('\0'..=char::MAX).filter(does_something) {
            for text in [format!("{c}{c}{c}"), format!("a{c}b")] {
                let Ok(handle) = read(&text) else { continue };
                assert_eq!(read(&handle).as_ref(), Ok(&handle), "{c:?}");
                // The capital of the dotless i is the I of everybody else.
                if !handle.contains('ı') {
                    assert_eq!(read(&handle.to_uppercase()), Ok(handle), "{c:?}");
                }
            }
        }
    }

    #[test]
    fn digits_of_two_systems_are_apart() {
        let digits: Vec<u32> = ('\0'..=char::MAX)
            .filter(|c| c.is_numeric() && c.identifier_allowed() && normalised(&c.to_string()) == c.to_string())
            .map(u32::from)
            .collect();
        let runs: Vec<&[u32]> = digits.chunk_by(|a, b| a + 1 == *b).collect();
        for pair in runs.windows(2) {
            assert!(pair[1][0] - pair[0].last().unwrap() >= 10, "{pair:x?}");
        }
        assert!(runs.iter().all(|run| run.len() <= 10), "{runs:x?}");
    }

    proptest! {
        #[test]
        fn whatever_parses_is_its_own_spelling(text in "\\PC{0,40}") {
            if let Ok(handle) = text.parse::<Handle>() {
                prop_assert_eq!(handle.to_string().parse::<Handle>(), Ok(handle.clone()));
                let chars = handle.as_str().chars().count();
                prop_assert!((HANDLE_CHARS_MIN..=HANDLE_CHARS_MAX).contains(&chars));
            }
        }

        #[test]
        fn letters_of_one_script_parse_to_their_own_spelling(
            text in prop_oneof![
                "[a-zA-ZÀ-ɏ\u{300}-\u{30f}0-9._-]{3,20}",
                "[a-zÀ-ỹ\u{300}-\u{303}ﬀ-ﬆＡ-ｚ]{3,20}",
                "[Α-Ϋά-ώ\u{300}-\u{303}0-9]{3,12}",
                "[А-яЁёЀ-ӿ\u{300}-\u{306}._-]{3,12}",
                "[א-ת0-9._-]{3,12}",
                "[ء-ي٠-٩]{3,12}",
                "[क-हा-ू्०-९]{3,12}",
                "[ぁ-ゖァ-ヺ一-龥ｦ-ﾟa-z]{3,12}",
                "[가-힣\u{1100}-\u{1112}\u{1161}-\u{1175}a-z]{3,12}",
            ],
        ) {
            if let Ok(handle) = text.parse::<Handle>() {
                prop_assert_eq!(handle.as_str().parse::<Handle>(), Ok(handle));
            }
        }

        #[test]
        fn ascii_handles_are_what_they_were(text in "[a-zA-Z0-9._-]{3,32}") {
            prop_assert_eq!(read(&text), Ok(text.to_ascii_lowercase()));
        }

        #[test]
        fn other_ascii_is_refused(text in "[ -~]{3,32}") {
            let good = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            prop_assert_eq!(read(&text).is_ok(), good);
        }

        #[test]
        fn no_string_panics(text in any::<String>()) {
            let _ = text.parse::<Handle>();
        }
    }
}
