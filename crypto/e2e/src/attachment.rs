//! A file that lies at the server: a sealed stream under a key of its own, filled up so that its length says little.
//!
//! ```text
//! padded  = file || zeros, up to the length that Padmé gives
//! context = "attachment v1" || name of the blob(16)
//! blob    = sealed stream(key, context, padded)
//! ```
//!
//! Padmé (Nikitin, Barman, Lueks, Underwood, Hubaux and Ford, "Reducing Metadata Leakage from Encrypted Files and Communication
//! with PURBs", PETS 2019) keeps as many leading bits of a length as the length has bits in its own binary logarithm: a length of
//! up to 2 GiB tells one of fewer than a thousand classes, and grows by less than 12 %. The true length and the hash of the file are in the
//! message, inside the ratchet.

use endtoend_crypto_core::aead::{self, Key};
use endtoend_crypto_core::stream::{CHUNK_BYTES, PART_BYTES, StreamOpener, StreamSealer};

const CONTEXT: &[u8] = b"attachment v1";

fn context(blob: &[u8; 16]) -> Vec<u8> {
    [CONTEXT, blob].concat()
}

/// Seals the parts of a file that is to lie under this name.
pub fn attachment_sealer(key: [u8; 32], blob: &[u8; 16]) -> StreamSealer {
    StreamSealer::new(Key::new(key), &context(blob))
}

/// Opens the chunks of a blob after the first `chunks` of them.
pub fn attachment_opener(key: [u8; 32], blob: &[u8; 16], chunks: u64) -> StreamOpener {
    StreamOpener::after(Key::new(key), &context(blob), chunks)
}

/// The length to which a file of this length is filled up, in bytes: Padmé.
pub const fn padded_bytes(bytes: u64) -> u64 {
    if bytes < 2 {
        return bytes;
    }
    let exponent = bytes.ilog2();
    // Bits that `exponent` has itself: so many of the length stay.
    let kept = u32::BITS - exponent.leading_zeros();
    let cleared = exponent.saturating_sub(kept);
    bytes.saturating_add((1 << cleared) - 1) >> cleared << cleared
}

/// The length of the blob of a file of this length, in bytes.
pub const fn blob_bytes(bytes: u64) -> u64 {
    let padded = padded_bytes(bytes);
    padded.saturating_add(chunks(padded).saturating_mul(aead::OVERHEAD as u64))
}

/// Chunks of a stream whose plaintext has so many bytes.
const fn chunks(padded: u64) -> u64 {
    match padded.div_ceil(PART_BYTES as u64) {
        0 => 1,
        chunks => chunks,
    }
}

/// How many chunks the blob of a file of this length has, the last of them included, and how long that one is.
pub const fn blob_chunks(bytes: u64) -> (u64, usize) {
    let chunks = chunks(padded_bytes(bytes));
    let before = (chunks - 1).saturating_mul(CHUNK_BYTES as u64);
    (chunks, (blob_bytes(bytes) - before) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_grows_by_little_and_tells_little() {
        let mut classes = std::collections::BTreeSet::new();
        for bytes in (0..300).chain((0..31).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
            let padded = padded_bytes(bytes);
            assert!(padded >= bytes && (padded - bytes) * 100 <= bytes * 12, "{bytes} becomes {padded}");
            assert_eq!(padded_bytes(padded), padded, "{bytes}");
        }
        // The values of the paper's definition: E = floor(log2 L), S = floor(log2 E) + 1, the last E - S bits are zero.
        let values = [(9, 10), (10, 10), (100, 104), (1_000, 1_024), (65_537, 67_584), (1_000_000, 1_015_808)];
        for (bytes, padded) in values {
            assert_eq!(padded_bytes(bytes), padded, "{bytes}");
        }
        assert_eq!(padded_bytes(1 << 31), 1 << 31, "the longest file grows by nothing");
        for megabyte in 1..=2048_u64 {
            classes.insert(padded_bytes((megabyte << 20) - 1));
        }
        assert!(classes.len() < 400, "{}", classes.len());
    }

    #[test]
    fn a_blob_has_the_length_that_its_chunks_have() {
        for bytes in [0, 1, 2, 65_535, 65_536, 65_537, 200_000, 1 << 31] {
            let (chunks, last) = blob_chunks(bytes);
            assert_eq!((chunks - 1) * CHUNK_BYTES as u64 + last as u64, blob_bytes(bytes), "{bytes}");
            assert!((aead::OVERHEAD..=CHUNK_BYTES).contains(&last), "{bytes}: {last}");
        }
        assert!(blob_bytes(1 << 31) <= 2 * 1024 * 1024 * 1024 + 16 * 1024 * 1024);
    }

    #[test]
    fn a_blob_opens_under_its_own_name_only() {
        let chunk = attachment_sealer([1; 32], &[2; 16]).seal_last(b"file").unwrap();
        assert_eq!(**attachment_opener([1; 32], &[2; 16], 0).open_last(&chunk).unwrap(), *b"file");
        assert!(attachment_opener([1; 32], &[3; 16], 0).open_last(&chunk).is_err());
        assert!(attachment_opener([2; 32], &[2; 16], 0).open_last(&chunk).is_err());
    }
}
