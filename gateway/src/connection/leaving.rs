//! When a connection may be closed that was told to leave: a rule.

use std::time::{Duration, Instant};

/// How long a node that drains waits for its clients: for acknowledgements of deliveries (what is not acknowledged is delivered
/// once more, and dropped by the device as a repeat), and for their end of the channel's handshake, without which nothing can be
/// said to them.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
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
    /// Whether there are deliveries without an acknowledgement, or no channel yet.
    pub(super) client: bool,
}

impl Leaving {
    /// When the client is told to come back, if it is time to tell it.
    pub(super) fn may_go(self, under_way: UnderWay, now: Instant) -> Option<Duration> {
        let Self::Since { at, come_back_after } = self else { return None };
        let UnderWay { sends, requests, client } = under_way;
        let waited = now.saturating_duration_since(at) >= PATIENCE;
        (sends == 0 && requests == 0 && (!client || waited)).then_some(come_back_after)
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
    fn a_connection_leaves_when_all_is_answered_and_the_client_had_its_time() {
        let (at, come_back_after) = (clock::monotonic(), Duration::from_secs(7));
        let leaving = Leaving::Since { at, come_back_after };
        let idle = UnderWay::default();
        assert_eq!(leaving.may_go(idle, at), Some(come_back_after));
        for waits in [UnderWay { sends: 1, ..idle }, UnderWay { requests: 1, ..idle }] {
            assert_eq!(leaving.may_go(waits, at + 9 * PATIENCE), None, "an answer is waited for: {waits:?}");
        }
        let unacknowledged = UnderWay { client: true, ..idle };
        assert_eq!(leaving.may_go(unacknowledged, at), None);
        assert_eq!(leaving.may_go(unacknowledged, at + PATIENCE), Some(come_back_after));
        assert_eq!(Leaving::No.may_go(idle, at), None);
        assert_eq!(Leaving::Gone.may_go(idle, at), None, "a goodbye is said once");
        assert!(!Leaving::No.is_asked() && leaving.is_asked() && Leaving::Gone.is_asked());
    }
}
