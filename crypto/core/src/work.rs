//! Proof of work: what a stranger pays for a question when many are asked.

const CONTEXT: &str = "endtoend 2026-11 proof of work v1";
/// Most leading zero bits that a puzzle may ask for.
pub const BITS_MAX: u8 = 28;

/// A puzzle. `challenge` and `counter` make each one new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Puzzle {
    /// The connection's.
    pub challenge: [u8; 32],
    /// Counts the puzzles of a connection.
    pub counter: u64,
    /// Leading zero bits that the hash must have, at most [`BITS_MAX`].
    pub bits: u8,
}

impl Puzzle {
    /// Whether the nonce solves it: `BLAKE3-keyed(derive(context, challenge), le64(counter) || le64(nonce))` begins with
    /// `bits` zero bits.
    pub fn check(&self, nonce: u64) -> bool {
        self.is_solved_by(&blake3::derive_key(CONTEXT, &self.challenge), nonce)
    }

    /// A nonce that solves it, found by trying; `None` when `stop` says so (asked every 4096 tries) or `bits` are too many.
    pub fn solve(&self, mut stop: impl FnMut() -> bool) -> Option<u64> {
        if self.bits > BITS_MAX {
            return None;
        }
        let key = blake3::derive_key(CONTEXT, &self.challenge);
        for nonce in 0..u64::MAX {
            if self.is_solved_by(&key, nonce) {
                return Some(nonce);
            }
            if nonce % 4096 == 4095 && stop() {
                return None;
            }
        }
        None
    }

    fn is_solved_by(&self, key: &[u8; 32], nonce: u64) -> bool {
        let mut input = [0; 16];
        let parts = self.counter.to_le_bytes().into_iter().chain(nonce.to_le_bytes());
        input.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        let hash = blake3::keyed_hash(key, &input);
        let first = hash.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        first.leading_zeros() >= u32::from(self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_solves_its_puzzle_only() {
        let puzzle = Puzzle { challenge: [1; 32], counter: 2, bits: 12 };
        let nonce = puzzle.solve(|| false).unwrap();
        assert!(puzzle.check(nonce));
        // With probability 2^-12 each; these were looked at.
        assert!(!Puzzle { counter: 3, ..puzzle }.check(nonce));
        assert!(!Puzzle { challenge: [2; 32], ..puzzle }.check(nonce));
        assert!(Puzzle { bits: 0, ..puzzle }.check(0));
    }

    #[test]
    fn a_search_ends_when_told_and_never_begins_for_too_much() {
        let puzzle = Puzzle { challenge: [1; 32], counter: 0, bits: BITS_MAX };
        assert_eq!(puzzle.solve(|| true), None);
        assert_eq!(Puzzle { bits: BITS_MAX + 1, ..puzzle }.solve(|| false), None);
    }
}
