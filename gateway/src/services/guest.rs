//! Somebody who has not logged in yet, on one connection.

use std::time::Instant;

use endtoend_crypto_core::work::{Puzzle, check};
use endtoend_protocol::{Refusal, RefusalCode, Work, limits};

use crate::clock;
use crate::limits::{Origin, TooMany};

/// What a connection knows of its other end before a login.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) origin: Origin,
    /// Of the secure channel: a proof cannot be carried over to another connection.
    pub(crate) channel_binding: [u8; 32],
    challenge: Challenge,
    /// What puzzles on this connection are made from; stays the same.
    puzzles: [u8; limits::CHALLENGE_BYTES],
    /// The puzzle that is to be solved, and how many there were.
    puzzle: Option<Puzzle>,
    counter: u64,
    /// It was solved, and nothing was had for it yet.
    paid: bool,
}

/// Fresh, for one proof within [`limits::CHALLENGE_LIFE`].
#[derive(Debug)]
struct Challenge {
    bytes: [u8; limits::CHALLENGE_BYTES],
    made_at: Instant,
    used: bool,
}

impl Challenge {
    fn new(bytes: [u8; limits::CHALLENGE_BYTES], made_at: Instant) -> Self {
        Self { bytes, made_at, used: false }
    }

    fn take(&mut self, now: Instant) -> Option<[u8; limits::CHALLENGE_BYTES]> {
        let fresh = !self.used && now.saturating_duration_since(self.made_at) <= limits::CHALLENGE_LIFE;
        self.used = true;
        fresh.then_some(self.bytes)
    }
}

impl Guest {
    pub(crate) fn new(origin: Origin) -> Self {
        let bytes = rand::random();
        let challenge = Challenge::new(bytes, clock::monotonic());
        // No frame is heard before the channel has its binding.
        Self { origin, channel_binding: [0; 32], challenge, puzzles: bytes, puzzle: None, counter: 0, paid: false }
    }

    /// What `Welcome` says.
    pub(crate) fn greet(&mut self) -> [u8; limits::CHALLENGE_BYTES] {
        self.challenge = Challenge::new(self.puzzles, clock::monotonic());
        self.puzzles
    }

    /// Another challenge, in place of the present one.
    pub(crate) fn new_challenge(&mut self) -> [u8; limits::CHALLENGE_BYTES] {
        self.challenge = Challenge::new(rand::random(), clock::monotonic());
        self.challenge.bytes
    }

    /// The challenge, if it is still good. It is used up.
    pub(super) fn use_challenge(&mut self) -> Option<[u8; limits::CHALLENGE_BYTES]> {
        self.challenge.take(clock::monotonic())
    }

    /// Takes what may solve the puzzle that was asked for. A puzzle is solved once, and pays once.
    ///
    /// # Errors
    /// `Invalid` when it does not.
    pub(crate) fn show_work(&mut self, nonce: u64) -> Result<(), RefusalCode> {
        let solved = self.puzzle.take().is_some_and(|puzzle| check(&puzzle, nonce));
        self.paid |= solved;
        if solved { Ok(()) } else { Err(RefusalCode::Invalid) }
    }

    /// Goes on beyond a limit of the address with what was paid by work.
    ///
    /// # Errors
    /// What to solve, or how long to wait, when nothing was.
    pub(super) fn pay(&mut self, bits: u8, too_many: TooMany) -> Result<(), Refusal> {
        if std::mem::take(&mut self.paid) {
            return Ok(());
        }
        self.counter += 1;
        let counter = self.counter;
        // The configuration allows fewer bits than a puzzle may have.
        self.puzzle = Puzzle::new(self.puzzles, counter, bits).ok();
        Err(Refusal { code: RefusalCode::Work, work: Some(Work { bits, counter }), ..too_many.into() })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use super::*;
    use crate::limits::Operation;

    #[test]
    fn a_challenge_is_good_once_and_not_for_long() {
        let now = clock::monotonic();
        let mut challenge = Challenge::new([1; 32], now);
        assert_eq!(challenge.take(now + limits::CHALLENGE_LIFE), Some([1; 32]));
        assert_eq!(challenge.take(now), None);
        let mut old = Challenge::new([1; 32], now);
        assert_eq!(old.take(now + limits::CHALLENGE_LIFE + Duration::from_millis(1)), None);
        assert_eq!(old.take(now), None, "one that came too late is used too");
    }

    #[test]
    fn a_puzzle_pays_once_and_none_is_solved_that_was_not_asked_for() {
        let mut guest = Guest::new(Origin::of(None));
        let too_many = TooMany { operation: Operation::Login, retry_after: Duration::from_secs(3) };
        assert_eq!(guest.show_work(0), Err(RefusalCode::Invalid));
        let refusal = guest.pay(8, too_many).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms), (RefusalCode::Work, NonZeroU64::new(3_000)));
        let Work { bits, counter } = refusal.work.unwrap();
        let puzzle = Puzzle::new(guest.puzzles, counter, bits).unwrap();
        let nonce = endtoend_crypto_core::work::solve(&puzzle, || false).unwrap();
        assert_eq!(guest.show_work(nonce), Ok(()));
        assert_eq!(guest.show_work(nonce), Err(RefusalCode::Invalid), "it is solved");
        assert_eq!(guest.pay(8, too_many), Ok(()));
        // What comes after it costs more work, and another.
        let refusal = guest.pay(24, too_many).unwrap_err();
        assert_ne!(refusal.work.unwrap().counter, counter);
        assert_eq!(guest.show_work(nonce), Err(RefusalCode::Invalid));
        guest.pay(24, too_many).unwrap_err();
    }
}
