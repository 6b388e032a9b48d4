//! Padding: what a length may tell. See docs/cryptography.md, "Padding".

use zeroize::Zeroizing;

/// Size classes in bytes of what goes into the ratchet. The last one makes the largest envelope fit its limit.
pub const SIZE_CLASSES: [usize; 9] = [256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 61_824];
/// The envelope's plaintext is filled up to a multiple of this, which hides counters and ratchet parts of varying size.
pub const ENVELOPE_STEP: usize = 256;

/// Longest content in bytes: what the largest size class has beside two addresses and a length.
pub const CONTENT_BYTES_MAX: usize = 61_824 - (33 + 33 + 4);

/// The plaintext is longer than the largest size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The bytes are no padded text: a length that does not fit, or padding that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPadding;

/// Fills up to the next size class with zeros.
pub(crate) fn to_size_class(text: &mut Vec<u8>) -> Result<(), TooLong> {
    let class = SIZE_CLASSES.into_iter().find(|class| text.len() <= *class).ok_or(TooLong)?;
    text.resize(class, 0);
    Ok(())
}

/// Fills up to the next multiple of [`ENVELOPE_STEP`] with zeros.
pub(crate) fn to_envelope_step(text: &mut Vec<u8>) {
    text.resize(text.len().next_multiple_of(ENVELOPE_STEP), 0);
}

/// Reads `len(4, LE) || body || zeros`.
pub(crate) fn unpad(bytes: &[u8]) -> Result<&[u8], BadPadding> {
    let (len, rest) = bytes.split_first_chunk().ok_or(BadPadding)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| BadPadding)?;
    let (body, padding) = rest.split_at_checked(len).ok_or(BadPadding)?;
    if padding.iter().fold(0, |any, byte| any | byte) == 0 { Ok(body) } else { Err(BadPadding) }
}

/// Writes `head || len(4, LE) || body`, to be padded.
pub(crate) fn framed(head: &[&[u8]], body: &[u8]) -> Zeroizing<Vec<u8>> {
    let head_len: usize = head.iter().map(|part| part.len()).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(head_len + 4 + body.len() + ENVELOPE_STEP));
    head.iter().for_each(|part| text.extend_from_slice(part));
    // Bodies are far below 4 GiB; one above it would say a length that does not fit and be refused.
    text.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    text.extend_from_slice(body);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_text_up_to_a_class_has_its_size() {
        let mut before = 0;
        for class in SIZE_CLASSES {
            for len in [before + 1, class - 1, class] {
                let mut text = vec![1; len];
                to_size_class(&mut text).unwrap();
                assert_eq!(text.len(), class);
            }
            before = class;
        }
        assert_eq!(to_size_class(&mut vec![1; before + 1]), Err(TooLong));
    }

    proptest! {
        #[test]
        fn what_is_framed_and_padded_is_read_back(body in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut text = framed(&[], &body);
            to_size_class(&mut text).unwrap();
            prop_assert_eq!(unpad(&text), Ok(&body[..]));
            let mut text = framed(&[], &body);
            to_envelope_step(&mut text);
            prop_assert_eq!(text.len() % ENVELOPE_STEP, 0);
            prop_assert_eq!(unpad(&text), Ok(&body[..]));
        }

        #[test]
        fn any_bytes_are_a_text_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(body) = unpad(&bytes) {
                prop_assert!(body.len() + 4 <= bytes.len());
            }
        }

        #[test]
        fn padding_that_is_not_zero_is_refused(len in 0_usize..200, at in 0_usize..50) {
            let mut text = framed(&[], &vec![7; len]);
            to_size_class(&mut text).unwrap();
            let at = 4 + len + at.min(text.len() - 5 - len);
            text[at] = 1;
            prop_assert_eq!(unpad(&text), Err(BadPadding));
        }
    }
}
