//! Invitations, as people pass them on.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// The code of an invitation, as people pass it on: 26 letters and digits in groups, 128 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode(pub [u8; limits::INVITE_BYTES]);

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(..)")
    }
}

/// The text is no code of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an invitation has 26 letters and digits, in groups of five or not")]
pub struct BadInviteCode;

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
    type Err = BadInviteCode;
    fn from_str(text: &str) -> Result<Self, BadInviteCode> {
        let mut number = 0_u128;
        let mut places = 0;
        for letter in text.chars().filter(|letter| !matches!(letter, '-' | ' ')) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let digit = ALPHABET.iter().position(|&known| char::from(known) == letter).ok_or(BadInviteCode)?;
            // 26 places of 5 bits are 130 bits: the first one has 3.
            if places == 0 && digit > 7 {
                return Err(BadInviteCode);
            }
            number = (number << 5) | u128::try_from(digit).map_err(|_| BadInviteCode)?;
            places += 1;
            if places > 26 {
                return Err(BadInviteCode);
            }
        }
        if places == 26 { Ok(Self(number.to_be_bytes())) } else { Err(BadInviteCode) }
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
            prop_assert_eq!(text.parse(), Ok(code.clone()));
            let by_hand = text.to_lowercase().replace('-', "").replace('0', "o").replace('1', "l");
            prop_assert_eq!(by_hand.parse(), Ok(code));
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
        assert_eq!("7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-Z".parse(), Ok(InviteCode([0xff; 16])));
        assert_eq!(format!("{:?}", InviteCode([0xff; 16])), "InviteCode(..)");
    }
}
