//! How soon a silent leader is replaced.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Times of elections. The cluster waits about `silence` and half of `spread` for a new leader when one has died, and two
/// round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Timings {
    /// A leader says at least this often that it lives. A member has this long to write what it is sent: longer than a
    /// round trip and a slow disk. 10 ms to 10 s.
    pub heartbeat: Duration,
    /// While a leader was heard from so lately nobody votes for another one, and a leader that no majority has answered
    /// for so long does no leader's duty. At least five heartbeats, at most 60 s.
    pub silence: Duration,
    /// A node asks for votes at a random moment up to this long after the silence, so that they seldom ask at once. At
    /// least two heartbeats, at most 60 s.
    pub spread: Duration,
}

/// Timings that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTimings {
    /// Out of its bounds.
    #[error("a heartbeat is between 10 ms and 10 s")]
    Heartbeat,
    /// Out of its bounds.
    #[error("the silence is between five heartbeats and 60 s")]
    Silence,
    /// Out of its bounds.
    #[error("the spread is between two heartbeats and 60 s")]
    Spread,
}

impl Timings {
    /// Nodes on one machine: a dead leader is replaced in 0.5 to 1 s.
    pub const LOOPBACK: Self = Self::ms(100, 500, 400);
    /// Nodes in one house, or in data centres a few milliseconds apart. The default: 1.2 to 2 s.
    pub const LAN: Self = Self::ms(200, 1_200, 800);
    /// Nodes on several continents, with round trips up to 400 ms: 4 to 7 s.
    pub const WAN: Self = Self::ms(600, 4_000, 3_000);

    const fn ms(heartbeat: u64, silence: u64, spread: u64) -> Self {
        Self {
            heartbeat: Duration::from_millis(heartbeat),
            silence: Duration::from_millis(silence),
            spread: Duration::from_millis(spread),
        }
    }

    /// # Errors
    /// [`BadTimings`].
    pub fn validate(self) -> Result<Self, BadTimings> {
        const LONGEST: Duration = Duration::from_secs(60);
        if self.heartbeat < Duration::from_millis(10) || self.heartbeat > Duration::from_secs(10) {
            Err(BadTimings::Heartbeat)
        } else if self.silence < self.heartbeat * 5 || self.silence > LONGEST {
            Err(BadTimings::Silence)
        } else if self.spread < self.heartbeat * 2 || self.spread > LONGEST {
            Err(BadTimings::Spread)
        } else {
            Ok(self)
        }
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self::LAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_that_cannot_work_are_refused() {
        for good in [Timings::LOOPBACK, Timings::LAN, Timings::WAN] {
            assert_eq!(good.validate(), Ok(good));
        }
        assert_eq!(Timings::ms(5, 100, 100).validate(), Err(BadTimings::Heartbeat));
        assert_eq!(Timings::ms(100, 499, 200).validate(), Err(BadTimings::Silence));
        assert_eq!(Timings::ms(100, 500, 199).validate(), Err(BadTimings::Spread));
        assert_eq!(Timings::ms(100, 61_000, 200).validate(), Err(BadTimings::Silence));
    }
}
