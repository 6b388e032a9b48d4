//! Rules: a profile locks itself when nobody was there for a while. No I/O; both clocks are arguments.
//!
//! The monotonic clock stands still while a machine sleeps, and the wall clock jumps: whichever says that the time is over is
//! believed, because to lock too early costs a password and to lock too late may cost everything.

use std::time::Duration;

use endtoend_protocol::UnixMillis;

use crate::clock::Instant;

/// A machine that wakes up notices within this time that it has slept for too long.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// When somebody was there last, and after how long the profile locks itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Idle {
    /// `None`: never.
    after: Option<Duration>,
    /// `None` until a person was there: a program without one in front of it does not lock itself.
    seen: Option<(Instant, UnixMillis)>,
}

impl Idle {
    pub(super) const fn new(after: Option<Duration>) -> Self {
        Self { after, seen: None }
    }

    /// Somebody is there.
    pub(super) const fn seen(&mut self, monotonic: Instant, wall: UnixMillis) {
        self.seen = Some((monotonic, wall));
    }

    pub(super) const fn set(&mut self, after: Option<Duration>) {
        self.after = after;
    }

    /// Whether it is time to lock.
    pub(super) fn is_over(&self, monotonic: Instant, wall: UnixMillis) -> bool {
        let (Some(after), Some((then, at))) = (self.after, self.seen) else { return false };
        monotonic.saturating_duration_since(then) >= after || wall.since(at) >= after
    }

    /// When to look next.
    pub(super) fn look_at(&self, monotonic: Instant) -> Option<Instant> {
        let (after, (then, _)) = (self.after?, self.seen?);
        Some((then + after).min(monotonic + LOOK_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn it_is_over_by_either_clock_and_not_before() {
        let (now, wall) = (clock::monotonic(), UnixMillis::new(1_000_000));
        let second = Duration::from_secs(1);
        let mut idle = Idle::new(Some(60 * second));
        assert!(!idle.is_over(now + 1_000 * second, wall), "nobody was ever there");
        assert_eq!(idle.look_at(now), None);
        idle.seen(now, wall);
        assert!(!idle.is_over(now + 59 * second, wall.plus(59 * second)));
        assert!(idle.is_over(now + 60 * second, wall), "a wall clock that stands still");
        assert!(idle.is_over(now, wall.plus(60 * second)), "a machine that has slept");
        assert!(!idle.is_over(now + second, UnixMillis::new(0)), "a wall clock that is set back");
        assert_eq!(idle.look_at(now), Some(now + LOOK_MAX));
        assert_eq!(idle.look_at(now + 58 * second), Some(now + 60 * second));
        idle.seen(now + 59 * second, wall);
        assert!(!idle.is_over(now + 100 * second, wall));
        idle.set(None);
        assert!(!idle.is_over(now + 1_000 * second, wall));
        assert_eq!(idle.look_at(now), None);
    }
}
