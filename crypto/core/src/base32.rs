//! RFC 4648, section 6, in small letters and without padding: how Tor writes keys and the names of onion services.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Five bits a letter, the last ones filled up with zeros.
pub fn encode(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let letter = |first: usize| (first..first + 5).fold(0, |value: usize, at| value << 1 | usize::from(bit(at)));
    let letters = (0..bytes.len() * 8).step_by(5).filter_map(|first| ALPHABET.get(letter(first)));
    letters.map(|letter| char::from(*letter)).collect()
}

/// The same backwards, in letters of either size; `None` for what [`encode`] does not make of `N` bytes.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (place, letter) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|known| *known == letter.to_ascii_lowercase())?;
        for bit in (0..5).filter(|bit| value >> (4 - bit) & 1 == 1) {
            let at = place * 5 + bit;
            *bytes.get_mut(at / 8)? |= 1 << (7 - at % 8);
        }
    }
    (text.len() == (N * 8).div_ceil(5)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_the_bytes_they_were_made_of_and_others_are_none() {
        assert_eq!(encode(b"foobar"), "mzxw6ytboi");
        for bytes in [[0; 32], [255; 32], [0x5a; 32]] {
            let text = encode(&bytes);
            assert_eq!((text.len(), decode(&text), decode(&text.to_uppercase())), (52, Some(bytes), Some(bytes)));
        }
        for text in ["", "a", &"a".repeat(51), &"a".repeat(53), &"1".repeat(52), &"é".repeat(26)] {
            assert_eq!(decode::<32>(text), None, "{text}");
        }
    }
}
