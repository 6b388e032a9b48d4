//! When a link is given up, and when it is tried again. Rules only.

use std::time::Duration;

/// A node that says nothing for so long is gone, for an edge.
pub const EDGE_SILENCE_MAX: Duration = Duration::from_secs(5);

/// Times of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTimings {
    /// A link is asked this often whether it lives. 10 ms to 10 s.
    pub ping_every: Duration,
    /// A link from which nothing came for so many pings is dead. 2 to 100.
    pub pings_unanswered_max: u32,
    /// A link that takes none of what waits for it for so long is dead. At least the two above together, at most 60 s.
    pub stall_max: Duration,
    /// From the first byte to the last of a handshake. 100 ms to 60 s.
    pub handshake_max: Duration,
    /// Longest wait before a link is tried again. 100 ms to 60 s.
    pub redial_max: Duration,
}

/// Timings that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is out of its bounds: {bounds}")]
pub struct BadLinkTimings {
    /// Which.
    pub what: &'static str,
    /// What it may be.
    pub bounds: &'static str,
}

impl LinkTimings {
    /// Nodes on one machine, or in one house: a link is dead after a second of silence. The default.
    pub const LAN: Self = Self {
        ping_every: Duration::from_millis(250),
        pings_unanswered_max: 4,
        stall_max: Duration::from_secs(5),
        handshake_max: Duration::from_secs(5),
        redial_max: Duration::from_secs(2),
    };
    /// Nodes on several continents: after six seconds.
    pub const WAN: Self = Self {
        ping_every: Duration::from_secs(1),
        pings_unanswered_max: 6,
        stall_max: Duration::from_secs(20),
        handshake_max: Duration::from_secs(15),
        redial_max: Duration::from_secs(10),
    };

    /// # Errors
    /// [`BadLinkTimings`].
    pub fn validate(self) -> Result<Self, BadLinkTimings> {
        let ms = Duration::from_millis;
        let within = |value: Duration, min: Duration, max: Duration| (min..=max).contains(&value);
        let dead_after = self.ping_every.saturating_mul(self.pings_unanswered_max);
        let rules = [
            (within(self.ping_every, ms(10), ms(10_000)), "ping_every", "10 ms to 10 s"),
            ((2..=100).contains(&self.pings_unanswered_max), "pings_unanswered_max", "2 to 100"),
            (
                within(self.stall_max, dead_after, ms(60_000)),
                "stall_max",
                "ping_every times pings_unanswered_max to 60 s",
            ),
            (within(self.handshake_max, ms(100), ms(60_000)), "handshake_max", "100 ms to 60 s"),
            (within(self.redial_max, ms(100), ms(60_000)), "redial_max", "100 ms to 60 s"),
        ];
        match rules.into_iter().find(|(good, ..)| !good) {
            Some((_, what, bounds)) => Err(BadLinkTimings { what, bounds }),
            None => Ok(self),
        }
    }
}

impl Default for LinkTimings {
    fn default() -> Self {
        Self::LAN
    }
}

/// Whether a link lives. Counts its own questions and not the time that has passed: a process that was paused asks a few times
/// more before it gives up everybody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    read: u64,
    silent: u32,
    written: u64,
    stalled: u32,
}

impl Pulse {
    /// At each ping. `read` and `written` count the bytes of the link so far, `waiting` those that are to be written. Whether
    /// the link is dead.
    pub(super) fn beat(&mut self, read: u64, written: u64, waiting: bool, timings: &LinkTimings) -> bool {
        self.silent = if read == self.read { self.silent.saturating_add(1) } else { 0 };
        self.stalled = if written == self.written && waiting { self.stalled.saturating_add(1) } else { 0 };
        (self.read, self.written) = (read, written);
        self.silent >= timings.pings_unanswered_max
            || timings.ping_every.saturating_mul(self.stalled) >= timings.stall_max
    }
}

/// A link that lived so long was a success.
const LIVED_MIN: Duration = Duration::from_secs(5);
/// Longest wait after the first failure.
const REDIAL_MIN: Duration = Duration::from_millis(50);

/// How long to wait before a link is tried again: anything up to a time that doubles with each failure. Unlike a client, of which
/// there are thousands, a node has few others and others wait for it: so it starts and ends far sooner.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Redial {
    failures: u32,
}

impl Redial {
    /// A link lived for `lived`, or not at all. `random` is any 64 random bits.
    pub(super) fn next(&mut self, lived: Duration, random: u64, timings: &LinkTimings) -> Duration {
        if lived >= LIVED_MIN {
            self.failures = 0;
        }
        let longest = REDIAL_MIN.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = (self.failures + 1).min(31);
        let micros = longest.min(timings.redial_max).as_micros().saturating_mul(u128::from(random)) >> 64;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: LinkTimings = LinkTimings::LAN;

    #[test]
    fn timings_that_cannot_work_are_refused() {
        for good in [LinkTimings::LAN, LinkTimings::WAN] {
            assert_eq!(good.validate(), Ok(good));
        }
        let what = |timings: LinkTimings| timings.validate().map_err(|bad| bad.what).unwrap_err();
        assert_eq!(what(LinkTimings { ping_every: Duration::ZERO, ..T }), "ping_every");
        assert_eq!(what(LinkTimings { pings_unanswered_max: 1, ..T }), "pings_unanswered_max");
        assert_eq!(what(LinkTimings { stall_max: Duration::from_millis(999), ..T }), "stall_max");
        assert_eq!(what(LinkTimings { handshake_max: Duration::from_secs(61), ..T }), "handshake_max");
        assert_eq!(what(LinkTimings { redial_max: Duration::ZERO, ..T }), "redial_max");
    }

    #[test]
    fn a_silent_link_is_dead_after_its_pings_and_one_byte_revives_it() {
        let mut pulse = Pulse::default();
        let beats = |pulse: &mut Pulse, read| (0..3).map(|_| pulse.beat(read, 0, false, &T)).collect::<Vec<_>>();
        assert_eq!(beats(&mut pulse, 0), [false; 3]);
        assert!(!pulse.beat(1, 0, false, &T));
        assert_eq!(beats(&mut pulse, 1), [false; 3]);
        assert!(pulse.beat(1, 0, false, &T), "four without a byte");
    }

    #[test]
    fn a_link_that_takes_nothing_is_dead_although_it_talks() {
        let mut pulse = Pulse::default();
        let beats = 1 + (1..100).take_while(|read| !pulse.beat(*read, 7, true, &T)).count();
        assert_eq!(T.ping_every * u32::try_from(beats).unwrap() - T.ping_every, T.stall_max, "the first has written");
        let mut pulse = Pulse::default();
        assert!((1..100).all(|n| !pulse.beat(n, n, true, &T)), "slow, but it goes on");
        assert!((100..200).all(|n| !pulse.beat(n, 7, false, &T)), "nothing waits");
    }

    #[test]
    fn waits_double_up_to_their_longest_and_start_over_after_a_link_that_lived() {
        let mut redial = Redial::default();
        let never = Duration::ZERO;
        let waits: Vec<u128> = (0..8).map(|_| redial.next(never, u64::MAX, &T).as_micros().div_ceil(1000)).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        for _ in 0..100 {
            assert!(redial.next(never, u64::MAX, &T) <= T.redial_max);
        }
        assert!(redial.next(LIVED_MIN, u64::MAX, &T) <= REDIAL_MIN);
        assert_eq!(redial.next(never, 0, &T), Duration::ZERO);
    }
}
