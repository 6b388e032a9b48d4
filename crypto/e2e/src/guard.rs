//! What must be checked before, around and after libsignal 0.85.3 and SPQR 1.2.0. See docs/cryptography.md, "Guards".

use std::panic::{AssertUnwindSafe, catch_unwind};

use libsignal_protocol::{PreKeySignalMessage, PublicKey, SignalMessage};
use x25519_dalek::StaticSecret;

/// What a guard refuses: no message of an honest client looks like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hostile;

/// The message version with PQXDH and SPQR.
const PQ_MESSAGE_VERSION: u8 = 4;

/// The guards of every message of the ratchet.
pub(crate) fn check_message(message: &SignalMessage) -> Result<(), Hostile> {
    check(message.message_version() == PQ_MESSAGE_VERSION)?;
    check(spqr_part_ok(message.pq_ratchet()))?;
    check_contributory(message.sender_ratchet_key())
}

/// The guards of a message that brings a session with it.
pub(crate) fn check_pre_key_message(message: &PreKeySignalMessage) -> Result<(), Hostile> {
    check(message.message_version() == PQ_MESSAGE_VERSION)?;
    check(message.kyber_pre_key_id().is_some() && message.kyber_ciphertext().is_some())?;
    check_contributory(message.base_key())?;
    check_contributory(message.identity_key().public_key())?;
    check_message(message.message())
}

/// Refuses low-order points, an agreement with which is zero whatever the other side's key is (version 0.85.3 lets them
/// pass; libsignal 0.87.2 checks its agreements), and second spellings of a key: X25519 ignores the highest bit and reduces
/// what is above the prime, so that one key would have two names, two fingerprints and two safety numbers.
pub(crate) fn check_contributory(key: &PublicKey) -> Result<(), Hostile> {
    let bytes: [u8; 32] = key.public_key_bytes().try_into().map_err(|_| Hostile)?;
    check(is_canonical(&bytes))?;
    // Any scalar will do: clamped ones are multiples of the cofactor, and the order of the rest is prime.
    let shared = StaticSecret::from([0x42; 32]).diffie_hellman(&bytes.into());
    check(shared.was_contributory())
}

/// Whether a little-endian number is below 2^255 - 19.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    let above = *high == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *low >= 0xed;
    *high < 0x80 && !above
}

/// Runs what parses foreign bytes; a panic inside is a refusal. What it worked on is thrown away then.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Hostile> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Hostile)
}

fn check(holds: bool) -> Result<(), Hostile> {
    if holds { Ok(()) } else { Err(Hostile) }
}

/// The structure of the SPQR part, which libsignal reads before it checks the MAC: SPQR 1.2.0 panics on what is refused
/// here, 1.4.0 refuses it itself. An empty part, which would switch the post-quantum ratchet off, is refused as well.
pub(crate) fn spqr_part_ok(part: &[u8]) -> bool {
    const EPOCH_MAX: u64 = 1 << 48;
    const CHUNK_INDEX_MAX: u64 = 65_535;
    const CHUNK_BYTES: usize = 32;

    let Some((1, rest)) = part.split_first() else { return false }; // version
    let Some((epoch, rest)) = varint(rest) else { return false };
    let Some((index, rest)) = varint(rest) else { return false };
    let Some((kind, rest)) = rest.split_first() else { return false };
    let chunk_ok = match kind {
        0 | 4 => true,
        1 | 2 | 3 | 5 | 6 => {
            varint(rest).is_some_and(|(index, chunk)| index <= CHUNK_INDEX_MAX && chunk.len() >= CHUNK_BYTES)
        }
        _ => false,
    };
    (1..=EPOCH_MAX).contains(&epoch) && index <= u64::from(u32::MAX) && chunk_ok
}

/// A little-endian base-128 number of at most 64 bits, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let digit = u64::from(byte & 0x7f);
        if at == 9 && digit > 1 {
            return None;
        }
        value |= digit << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parts_that_crash_spqr_are_refused() {
        let chunk = [7; 32];
        let part = |head: &[u8]| [head, &chunk].concat();
        assert!(spqr_part_ok(&[1, 1, 0, 0]), "no data");
        assert!(spqr_part_ok(&part(&[1, 1, 0, 1, 5])), "a chunk");
        assert!(!spqr_part_ok(&[]), "switched off");
        assert!(!spqr_part_ok(&[0, 1, 0, 0]), "another version");
        assert!(!spqr_part_ok(&[1, 0, 0, 0]), "epoch 0");
        assert!(!spqr_part_ok(&[1, 1, 0]), "cut after the index");
        assert!(!spqr_part_ok(&part(&[1, 1, 0, 7, 5])), "unknown kind");
        assert!(!spqr_part_ok(&part(&[1, 1, 0, 1, 5])[..36]), "a chunk that is cut");
        assert!(!spqr_part_ok(&part(&[1, 1, 0, 1, 0x80, 0x80, 4])), "chunk index 65536");
        assert!(!spqr_part_ok(&[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 0, 0]), "65 bits");
        assert!(!spqr_part_ok(&[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 0]), "11 bytes");
        assert!(!spqr_part_ok(&[1, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0]), "index 2^32");
    }

    #[test]
    fn low_order_points_are_refused() {
        // The canonical encodings of the points of order 1, 2, 4 and 8 (RFC 7748, section 6.1 warns of them).
        let low = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        for point in low {
            let key = PublicKey::from_djb_public_key_bytes(&hex::decode(point).unwrap()).unwrap();
            assert_eq!(check_contributory(&key), Err(Hostile), "{point}");
        }
        let base = [&[9][..], &[0; 31]].concat();
        assert_eq!(check_contributory(&PublicKey::from_djb_public_key_bytes(&base).unwrap()), Ok(()));
    }

    #[test]
    fn a_key_has_one_spelling() {
        let prime_plus = |n: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + n, 0x7f);
            bytes
        };
        let mut base = [0; 32];
        base[0] = 9;
        assert!(is_canonical(&base));
        base[31] = 0x80;
        assert!(!is_canonical(&base), "the base point with the unused bit set");
        let mut largest = prime_plus(0);
        largest[0] -= 1;
        assert!(is_canonical(&largest));
        assert!(!is_canonical(&prime_plus(0)) && !is_canonical(&prime_plus(9)), "0 and 9 once more");
        let key = PublicKey::from_djb_public_key_bytes(&prime_plus(9)).unwrap();
        assert_eq!(check_contributory(&key), Err(Hostile));
    }

    #[test]
    fn a_panic_is_a_refusal() {
        assert_eq!(catch(|| 1), Ok(1));
        assert_eq!(catch(|| -> i32 { panic!("inside") }), Err(Hostile));
    }

    proptest! {
        #[test]
        fn any_part_is_accepted_or_refused_without_a_panic(part in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = spqr_part_ok(&part);
        }
    }
}
