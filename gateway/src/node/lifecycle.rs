//! How a node ends: the states that it goes through, and when its clients come back.
//!
//! Rules only: time, counts and randomness are arguments. `drain` carries them out.

use std::time::{Duration, Instant};

/// What one client's return costs a node is a few milliseconds of its processors: the handshakes, and the check of the device's
/// signatures. So many milliseconds apart on average they do not pile up.
const BETWEEN_RETURNS: Duration = Duration::from_millis(4);
/// The clients of a small node come back over this long: the time that a restart takes anyhow.
const SPREAD_MIN: Duration = Duration::from_secs(1);
/// No client is sent away for longer than this, however many they are. Below `COME_BACK_MAX` of the protocol.
const SPREAD_MAX: Duration = Duration::from_secs(60);

/// What a node takes on. It moves in one direction, but that a member whose cluster has drained it may be told to serve again.
/// Readiness shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    /// Everything.
    Accepting,
    /// No connection, no envelope. What came before is settled, then each connection is sent away.
    Draining {
        /// When it was told to.
        since: Instant,
        /// Connections that are still there then are cut.
        deadline: Instant,
        /// The clients come back over this long.
        spread: Duration,
    },
    /// Nothing, and no connection stays. What is under way is brought to the store.
    Closed {
        /// The clients come back over this long.
        spread: Duration,
    },
}

impl Lifecycle {
    /// The node was told to stop at `now`, with so many connections that get at most `drain` to leave. Told once more, it waits
    /// for none of them.
    pub(crate) fn stop(self, connections: usize, drain: Duration, now: Instant) -> Self {
        match self {
            Self::Accepting if !drain.is_zero() => {
                Self::Draining { since: now, deadline: now + drain, spread: spread(connections) }
            }
            Self::Accepting | Self::Draining { .. } | Self::Closed { .. } => self.close(connections),
        }
    }

    /// Every connection has left, or the deadline has passed. What clients were told first stays.
    pub(crate) fn close(self, connections: usize) -> Self {
        Self::Closed { spread: self.spread().unwrap_or_else(|| spread(connections)) }
    }

    /// Whether connections and envelopes are taken.
    pub(crate) const fn is_accepting(self) -> bool {
        matches!(self, Self::Accepting)
    }

    /// Over how long the clients come back; `None` while nobody is sent away.
    pub(crate) const fn spread(self) -> Option<Duration> {
        match self {
            Self::Accepting => None,
            Self::Draining { spread, .. } | Self::Closed { spread } => Some(spread),
        }
    }

    /// The word that operators see.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepting => "accepting",
            Self::Draining { .. } => "draining",
            Self::Closed { .. } => "closed",
        }
    }
}

/// Over how long so many clients come back.
fn spread(connections: usize) -> Duration {
    let each = BETWEEN_RETURNS.saturating_mul(u32::try_from(connections).unwrap_or(u32::MAX));
    each.clamp(SPREAD_MIN, SPREAD_MAX)
}

/// When one of them comes back: evenly spread over zero to `spread` by `random`, which is any 64 random bits.
pub(crate) fn come_back_after(spread: Duration, random: u64) -> Duration {
    let micros = spread.as_micros().saturating_add(1).saturating_mul(u128::from(random)) >> 64;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::limits;
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const DRAIN: Duration = Duration::from_secs(20);

    #[test]
    fn a_node_that_is_told_twice_waits_for_nobody() {
        let now = clock::monotonic();
        let draining = Lifecycle::Accepting.stop(2_500, DRAIN, now);
        let spread = Duration::from_secs(10);
        assert_eq!(draining, Lifecycle::Draining { since: now, deadline: now + DRAIN, spread });
        assert!(!draining.is_accepting());
        assert_eq!(draining.stop(3, DRAIN, now), Lifecycle::Closed { spread });
        assert_eq!(draining.close(3), Lifecycle::Closed { spread });
        assert_eq!(draining.close(3).stop(3, DRAIN, now), Lifecycle::Closed { spread });
    }

    #[test]
    fn without_a_time_to_drain_a_node_closes_at_once() {
        let closed = Lifecycle::Accepting.stop(3, Duration::ZERO, clock::monotonic());
        assert_eq!(closed, Lifecycle::Closed { spread: SPREAD_MIN });
    }

    #[test]
    fn ten_thousand_clients_come_back_evenly() {
        let spread = spread(10_000);
        assert_eq!(spread, Duration::from_secs(40));
        let mut each_second = vec![0_u32; 41];
        let mut state = 7_u64;
        for _ in 0..10_000 {
            // xorshift64*: any even spread will do.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let after = come_back_after(spread, state.wrapping_mul(0x2545_F491_4F6C_DD1D));
            each_second[usize::try_from(after.as_secs()).unwrap()] += 1;
        }
        let (most, least) = (each_second.iter().max().unwrap(), each_second[..40].iter().min().unwrap());
        assert!(*most < 350 && *least > 170, "about 250 in each second: {each_second:?}");
    }

    proptest! {
        #[test]
        fn nobody_is_sent_away_for_longer_than_a_client_believes(connections: usize, random: u64) {
            let spread = spread(connections);
            prop_assert!((SPREAD_MIN..=SPREAD_MAX).contains(&spread));
            prop_assert!(come_back_after(spread, random) <= spread);
            prop_assert!(spread <= limits::COME_BACK_MAX);
        }
    }
}
