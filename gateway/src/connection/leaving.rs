//! When a connection may be closed that was told to leave: a rule.

use std::time::{Duration, Instant};

/// How long deliveries of a node that drains may still be acknowledged. What is not is delivered once more, and dropped by
/// the device as a repeat.
pub(super) const ACKS_MAX: Duration = Duration::from_secs(1);
/// How long a connection is read on after its goodbye. Bytes that nobody reads would make the kernel reset the connection, and
/// the goodbye could be lost.
pub(super) const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Where a connection of a node that drains stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Nobody has asked.
    No,
    /// What is under way is settled.
    Since {
        /// When it was told.
        at: Instant,
        /// When the client should come back.
        come_back_after: Duration,
    },
    /// Nothing more is said or heard.
    Gone,
}

/// What is under way on a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnderWay {
    /// Sends without an answer.
    pub(super) sends: usize,
    /// Requests without an answer.
    pub(super) requests: usize,
    /// Whether there are deliveries without an acknowledgement.
    pub(super) deliveries: bool,
}

impl Leaving {
    /// When the client is told to come back, if it is time to tell it.
    pub(super) fn may_go(self, under_way: UnderWay, now: Instant) -> Option<Duration> {
        let Self::Since { at, come_back_after } = self else { return None };
        let UnderWay { sends, requests, deliveries } = under_way;
        let waited = now.saturating_duration_since(at) >= ACKS_MAX;
        (sends == 0 && requests == 0 && (!deliveries || waited)).then_some(come_back_after)
    }

    /// Whether a new envelope would come too late.
    pub(super) fn is_asked(self) -> bool {
        self != Self::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_connection_leaves_when_all_is_answered_and_acknowledgements_had_their_time() {
        let (at, come_back_after) = (clock::monotonic(), Duration::from_secs(7));
        let leaving = Leaving::Since { at, come_back_after };
        let idle = UnderWay::default();
        assert_eq!(leaving.may_go(idle, at), Some(come_back_after));
        for waits in [UnderWay { sends: 1, ..idle }, UnderWay { requests: 1, ..idle }] {
            assert_eq!(leaving.may_go(waits, at + 9 * ACKS_MAX), None, "an answer is waited for: {waits:?}");
        }
        let unacknowledged = UnderWay { deliveries: true, ..idle };
        assert_eq!(leaving.may_go(unacknowledged, at), None);
        assert_eq!(leaving.may_go(unacknowledged, at + ACKS_MAX), Some(come_back_after));
        assert_eq!(Leaving::No.may_go(idle, at), None);
        assert_eq!(Leaving::Gone.may_go(idle, at), None, "a goodbye is said once");
        assert!(!Leaving::No.is_asked() && leaving.is_asked() && Leaving::Gone.is_asked());
    }
}
