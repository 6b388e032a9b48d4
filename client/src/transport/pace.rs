//! How long things may take, by the way that they go.
//!
//! Through Tor a round trip takes some hundred milliseconds, and a second now and then; who waits no longer than on a wire would
//! give up what is on its way, and send it twice.

use std::time::Duration;

use endtoend_protocol::limits;

use super::choice::Way;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// An attempt to connect is given at least this long, whoever gives less. Zero: what is given.
    pub connect_min: Duration,
    /// How many times longer than on a wire an answer may take.
    pub patience: u32,
    /// A connection on which nothing was heard for so long is dead.
    pub idle_max: Duration,
}

/// A socket of ours to the server.
const WIRE: Pace = Pace { connect_min: Duration::ZERO, patience: 1, idle_max: limits::IDLE_MAX };
/// Through three relays, or six to an onion service.
const RELAYED: Pace =
    Pace { connect_min: Duration::from_secs(60), patience: 3, idle_max: limits::IDLE_MAX.saturating_mul(2) };

impl Pace {
    /// Of a way.
    pub const fn of(way: Way) -> Self {
        match way {
            Way::Direct => WIRE,
            Way::Tor | Way::Proxy(_) => RELAYED,
        }
    }

    /// How long an answer may take that takes this long on a wire.
    pub const fn answer(self, on_a_wire: Duration) -> Duration {
        on_a_wire.saturating_mul(self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_wire_nothing_takes_longer_than_before() {
        let second = Duration::from_secs(1);
        assert_eq!((Pace::of(Way::Direct).answer(second), Pace::of(Way::Direct).idle_max), (second, limits::IDLE_MAX));
        let tor = Pace::of(Way::Tor);
        assert!(tor.answer(second) > second && tor.idle_max > limits::IDLE_MAX && tor.connect_min > 10 * second);
        assert_eq!(Pace::of(Way::Proxy("127.0.0.1:9050".parse().unwrap())), tor);
    }
}
