//! Proof of work: what a stranger pays while a server is under load.
//!
//! The server names a [`Puzzle`], the client searches a nonce ([`solve`]), the server looks at it with one hash
//! ([`check`]). A nonce solves a puzzle of `bits` bits when the first `bits` bits of
//!
//! `BLAKE3-derive("endtoend 2026-11 proof of work v1", challenge(32) || le64(counter) || le64(nonce))`
//!
//! are zero: 2^`bits` hashes on average, some six million a second on one core. It buys a busy server time and is no wall:
//! who rents machines pays for them only.

use std::fmt;

const CONTEXT: &str = "endtoend 2026-11 proof of work v1";
/// Nonces that are tried before the caller is asked whether to stop: about a millisecond.
const TRIES_BETWEEN: u64 = 4096;

/// Most bits a puzzle may have: less than a minute on one core. A server that asks for more is not worth waiting for.
pub const WORK_BITS_MAX: u8 = 28;

/// The puzzle has more than [`WORK_BITS_MAX`] bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a puzzle of {bits} bits is too hard")]
pub struct TooHard {
    /// As it was asked for.
    pub bits: u8,
}

/// What is to be solved: at most [`WORK_BITS_MAX`] bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Puzzle {
    challenge: [u8; 32],
    counter: u64,
    bits: u8,
}

impl Puzzle {
    /// `challenge` is random and the server's, of one connection; `counter` numbers the puzzles on it, so that a solution is
    /// good for one request.
    ///
    /// # Errors
    /// When `bits` is above [`WORK_BITS_MAX`].
    pub const fn new(challenge: [u8; 32], counter: u64, bits: u8) -> Result<Self, TooHard> {
        if bits > WORK_BITS_MAX {
            return Err(TooHard { bits });
        }
        Ok(Self { challenge, counter, bits })
    }

    /// How many bits are to be zero.
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// What is hashed for every nonce.
    fn begun(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.challenge).update(&self.counter.to_le_bytes());
        hasher
    }

    fn solved_by(&self, begun: &blake3::Hasher, nonce: u64) -> bool {
        let hash = begun.clone().update(&nonce.to_le_bytes()).finalize();
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_be_bytes([a, b, c, d]).leading_zeros() >= u32::from(self.bits)
    }
}

impl fmt::Debug for Puzzle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Puzzle({} bits)", self.bits)
    }
}

/// The least nonce that solves the puzzle, or none when `stop` says so; it is asked before every 4096th try, the first
/// included. Busy meanwhile: not for a thread that others wait for.
pub fn solve(puzzle: &Puzzle, mut stop: impl FnMut() -> bool) -> Option<u64> {
    let begun = puzzle.begun();
    for nonce in 0..=u64::MAX {
        if nonce % TRIES_BETWEEN == 0 && stop() {
            return None;
        }
        if puzzle.solved_by(&begun, nonce) {
            return Some(nonce);
        }
    }
    None
}

/// Whether the nonce solves the puzzle: one hash.
pub fn check(puzzle: &Puzzle, nonce: u64) -> bool {
    puzzle.solved_by(&puzzle.begun(), nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn puzzle(bits: u8) -> Puzzle {
        Puzzle::new([7; 32], 3, bits).unwrap()
    }

    #[test]
    fn a_solution_is_for_its_puzzle_only() {
        let nonce = solve(&puzzle(16), || false).unwrap();
        assert!(check(&puzzle(16), nonce));
        assert!(check(&puzzle(15), nonce), "easier");
        assert!((0..nonce).all(|less| !check(&puzzle(16), less)), "the least");
        assert!(!check(&puzzle(16), nonce + 1));
        assert!(!check(&Puzzle::new([8; 32], 3, 16).unwrap(), nonce));
        assert!(!check(&Puzzle::new([7; 32], 4, 16).unwrap(), nonce));
    }

    #[test]
    fn nothing_is_solved_by_anything() {
        assert_eq!(solve(&puzzle(0), || false), Some(0));
        assert!(check(&puzzle(0), u64::MAX));
    }

    #[test]
    fn whoever_waits_can_stop() {
        assert_eq!(solve(&puzzle(0), || true), None);
        let mut asked = 0;
        let stopped = solve(&puzzle(WORK_BITS_MAX), || {
            asked += 1;
            asked > 3
        });
        assert_eq!((stopped, asked), (None, 4));
    }

    #[test]
    fn puzzles_have_a_bound() {
        assert_eq!(Puzzle::new([0; 32], 0, WORK_BITS_MAX).map(|puzzle| puzzle.bits()), Ok(28));
        for bits in [29, 32, 64, 255] {
            assert_eq!(Puzzle::new([0; 32], 0, bits), Err(TooHard { bits }));
        }
    }

    #[test]
    fn each_bit_doubles_the_work() {
        let tries: u64 = (0..200).map(|n| solve(&Puzzle::new([1; 32], n, 6).unwrap(), || false).unwrap() + 1).sum();
        // 200 times 64 on average, with a deviation of 14 times that.
        assert!((12_800 - 5 * 905..12_800 + 5 * 905).contains(&tries), "{tries}");
    }

    proptest! {
        #[test]
        fn what_is_solved_checks(challenge in any::<[u8; 32]>(), counter in any::<u64>(), bits in 0..10_u8) {
            let puzzle = Puzzle::new(challenge, counter, bits).unwrap();
            prop_assert!(check(&puzzle, solve(&puzzle, || false).unwrap()));
        }
    }
}
