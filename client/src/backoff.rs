//! When to try again: exponential back-off with full jitter.
//!
//! Full jitter spreads the clients of a node that went away over the whole wait, so that they don't return at once. A node that
//! stops in order says itself how long each of them should wait, and knows how many they are; it is believed within bounds.

use std::time::Duration;

/// Longest wait after the first failure.
pub const BASE: Duration = Duration::from_millis(250);
/// Longest wait after any number of failures.
pub const CAP: Duration = Duration::from_secs(30);
/// A connection that lived this long was a success. A server that takes a connection and drops it at once was not.
pub const LIVED_MIN: Duration = Duration::from_secs(10);
/// Longest wait that a server is granted, whatever it asks for: none can send us away for good.
pub const ASKED_MAX: Duration = Duration::from_secs(3600);
/// The same as [`LIVED_MIN`] for a connection whose server sent the client away and said when to come back: a node may be stopped soon after its
/// start, but a server that does so at once is one to be spared.
pub const SENT_AWAY_MIN: Duration = Duration::from_secs(1);

/// Counts failures and says how long to wait. Has neither clock nor randomness of its own.
#[derive(Clone, Debug)]
pub struct Backoff {
    failures: u32,
    /// 1 or more.
    stretch: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// No failure yet.
    pub const fn new() -> Self {
        Self { failures: 0, stretch: 1 }
    }

    /// From now on waits are so many times longer: an attempt through Tor costs relays work, and takes longer itself.
    pub const fn stretch(&mut self, times: u32) {
        self.stretch = if times == 0 { 1 } else { times };
    }

    /// The wait after one more failure: evenly spread over zero to `min(CAP, BASE * 2^failures)`, stretched, by `random`, which
    /// is any 64 random bits.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let ceiling = BASE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(CAP);
        let ceiling = ceiling.saturating_mul(self.stretch);
        self.failures = self.failures.saturating_add(1);
        let micros = ceiling.as_micros().saturating_add(1).saturating_mul(u128::from(random)) >> 64;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// [`Self::next_delay`], but not before what the server has `asked` for, up to [`ASKED_MAX`].
    pub fn next_delay_of(&mut self, asked: Duration, random: u64) -> Duration {
        self.next_delay(random).max(asked.min(ASKED_MAX))
    }

    /// A connection ended after `lived` because the server stops. Starts over when it lived at least [`SENT_AWAY_MIN`].
    pub fn sent_away(&mut self, lived: Duration) {
        if lived >= SENT_AWAY_MIN {
            self.failures = 0;
        }
    }

    /// A connection ended after `lived`. Starts over when it lived at least [`LIVED_MIN`].
    pub fn connection_ended(&mut self, lived: Duration) {
        if lived >= LIVED_MIN {
            self.failures = 0;
        }
    }

    /// Failures since the last connection that lived.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn longest_delays(backoff: &mut Backoff, count: usize) -> Vec<Duration> {
        (0..count).map(|_| backoff.next_delay(u64::MAX)).collect()
    }

    #[test]
    fn the_longest_wait_doubles_up_to_the_cap() {
        let waits = longest_delays(&mut Backoff::new(), 9);
        let expected = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].map(Duration::from_millis);
        assert_eq!(waits, expected);
    }

    #[test]
    fn the_shortest_wait_is_none() {
        assert_eq!(Backoff::new().next_delay(0), Duration::ZERO);
    }

    #[test]
    fn through_tor_every_wait_is_longer_and_still_has_an_end() {
        let mut backoff = Backoff::new();
        backoff.stretch(3);
        let waits = longest_delays(&mut backoff, 9);
        assert_eq!((waits.first(), waits.last()), (Some(&(3 * BASE)), Some(&(3 * CAP))));
    }

    #[test]
    fn only_a_connection_that_lived_starts_over() {
        let mut backoff = Backoff::new();
        longest_delays(&mut backoff, 5);
        backoff.connection_ended(LIVED_MIN - Duration::from_millis(1));
        assert_eq!(backoff.failures(), 5);
        backoff.connection_ended(LIVED_MIN);
        assert_eq!(backoff.next_delay(u64::MAX), BASE);
    }

    #[test]
    fn a_server_that_stops_is_believed_within_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(Backoff::new().next_delay_of(7 * second, u64::MAX), 7 * second);
        assert_eq!(Backoff::new().next_delay_of(366 * 24 * 3600 * second, 0), ASKED_MAX, "not for a year");
        let mut backoff = Backoff::new();
        longest_delays(&mut backoff, 5);
        backoff.sent_away(SENT_AWAY_MIN - Duration::from_millis(1));
        assert_eq!(backoff.next_delay_of(Duration::ZERO, u64::MAX), 8 * second, "a loop of goodbyes is slowed down");
        backoff.sent_away(SENT_AWAY_MIN);
        assert_eq!(backoff.next_delay_of(Duration::ZERO, u64::MAX), BASE);
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_its_ceiling(randoms in proptest::collection::vec(any::<u64>(), 1..100)) {
            let (mut drawn, mut longest) = (Backoff::new(), Backoff::new());
            for random in randoms {
                let ceiling = longest.next_delay(u64::MAX);
                prop_assert!(ceiling <= CAP);
                prop_assert!(drawn.next_delay(random) <= ceiling);
            }
        }

        #[test]
        fn more_randomness_waits_longer(failures in 0_u32..u32::MAX, a: u64, b: u64) {
            let wait = |random| Backoff { failures, stretch: 1 }.next_delay(random);
            prop_assert!(wait(a.min(b)) <= wait(a.max(b)));
        }
    }
}
