//! What the agent does next: a rule, which is told the time.

use std::time::{Duration, Instant};

/// How often HAProxy is looked at when nothing else is to be done.
const WATCH: Duration = Duration::from_secs(1);
/// Looks in a row without an answer, each of which takes up to 2 s: then it hangs.
const SILENCES_MAX: u32 = 3;
/// What was applied is written down for the next start after so long without a change: it costs a run of `haproxy -c`.
const KEEP_AFTER: Duration = Duration::from_millis(250);
/// And when there are changes all the time, after so long.
const KEEP_WITHIN: Duration = Duration::from_secs(2);
/// What could not be written is tried again after this; after twice as long each further time: `haproxy -c` may hang.
const KEEP_AGAIN: Duration = Duration::from_secs(2);
const KEEP_AGAIN_MAX: Duration = Duration::from_secs(30);

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Do {
    /// Make HAProxy what is wanted.
    Apply,
    /// Write down what was applied.
    Keep,
    /// Look whether HAProxy lives, and is what it was last.
    Watch,
    Nothing,
}

/// What was applied and is not written down.
#[derive(Clone, Copy, Debug)]
struct Unkept {
    at: Instant,
    by: Instant,
}

/// Where the agent stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    watched: Option<Instant>,
    unkept: Option<Unkept>,
    /// Times in a row that it could not be written down.
    vain: u32,
    silences: u32,
}

impl Course {
    /// `wants`: HAProxy is not yet what is wanted, and may be told so now.
    pub(super) fn next(&mut self, now: Instant, wants: bool) -> Do {
        if self.unkept.is_some_and(|unkept| unkept.by <= now) {
            return Do::Keep;
        }
        if wants {
            return Do::Apply;
        }
        if self.unkept.is_some_and(|unkept| unkept.at <= now) {
            return Do::Keep;
        }
        if self.watched.is_none_or(|watched| now.saturating_duration_since(watched) >= WATCH) {
            self.watched = Some(now);
            return Do::Watch;
        }
        Do::Nothing
    }

    /// HAProxy is what is wanted.
    pub(super) fn applied(&mut self, now: Instant) {
        self.silences = 0;
        let by = self.unkept.map_or(now + KEEP_WITHIN, |unkept| unkept.by);
        // Another change is no reason to try sooner what has just failed.
        let at = if self.vain == 0 { now + KEEP_AFTER } else { by };
        self.unkept = Some(Unkept { at, by });
    }

    /// It was written down, or could not be.
    pub(super) fn kept(&mut self, now: Instant, done: bool) {
        let again = now + KEEP_AGAIN.saturating_mul(1 << self.vain.min(8)).min(KEEP_AGAIN_MAX);
        self.unkept = (!done).then_some(Unkept { at: again, by: again });
        self.vain = if done { 0 } else { self.vain.saturating_add(1) };
    }

    /// There was nothing to write down yet, which is no failure.
    pub(super) fn kept_later(&mut self, now: Instant) {
        self.unkept = Some(Unkept { at: now + KEEP_AGAIN, by: now + KEEP_AGAIN });
    }

    /// Whether something that was applied is not written down.
    pub(super) const fn is_unkept(&self) -> bool {
        self.unkept.is_some()
    }

    pub(super) const fn answered(&mut self) {
        self.silences = 0;
    }

    /// It did not answer. `true` when that was once too often.
    pub(super) const fn unanswered(&mut self) -> bool {
        self.silences += 1;
        let hangs = self.silences >= SILENCES_MAX;
        if hangs {
            self.silences = 0;
        }
        hangs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, ms: u64) -> Instant {
        begin + Duration::from_millis(ms)
    }

    #[test]
    fn what_is_wanted_comes_first_and_what_was_applied_is_kept_when_there_is_time() {
        let (begin, mut course) = (crate::clock::monotonic(), Course::default());
        assert_eq!(course.next(begin, true), Do::Apply);
        course.applied(begin);
        assert_eq!(course.next(begin, false), Do::Watch);
        assert_eq!(course.next(at(begin, 10), false), Do::Nothing);
        assert_eq!(course.next(at(begin, 250), false), Do::Keep);
        course.kept(at(begin, 250), true);
        assert_eq!(course.next(at(begin, 999), false), Do::Nothing);
        assert_eq!(course.next(at(begin, 1_000), false), Do::Watch);
        assert!(!course.is_unkept());
    }

    #[test]
    fn waiting_for_haproxy_is_no_failed_write() {
        let (begin, mut course) = (crate::clock::monotonic(), Course::default());
        course.applied(begin);
        for ms in [250, 2_250, 4_250] {
            course.kept_later(at(begin, ms));
        }
        course.applied(at(begin, 5_000));
        assert_eq!(course.next(at(begin, 5_250), false), Do::Keep, "as soon as it is something to be written");
    }

    #[test]
    fn changes_without_end_are_kept_within_two_seconds_and_failures_tried_again() {
        let (begin, mut course) = (crate::clock::monotonic(), Course::default());
        for ms in (0..2_000).step_by(20) {
            assert_eq!(course.next(at(begin, ms), true), Do::Apply, "{ms}");
            course.applied(at(begin, ms));
        }
        assert_eq!(course.next(at(begin, 2_000), true), Do::Keep);
        course.kept(at(begin, 2_000), false);
        assert!(course.is_unkept());
        assert_eq!(course.next(at(begin, 2_010), true), Do::Apply, "a full disk stops nothing");
        course.applied(at(begin, 2_010));
        assert_eq!(course.next(at(begin, 2_300), false), Do::Watch, "nor does it hurry a failure");
        assert_eq!(course.next(at(begin, 4_000), true), Do::Keep);
        let mut now = 4_000;
        for pause in [4_000, 8_000, 16_000, 30_000, 30_000] {
            course.kept(at(begin, now), false);
            assert_ne!(course.next(at(begin, now + pause - 1), false), Do::Keep, "{pause}");
            now += pause;
            assert_eq!(course.next(at(begin, now), false), Do::Keep, "{pause}");
        }
        course.kept(at(begin, now), true);
        course.applied(at(begin, now));
        assert_eq!(course.next(at(begin, now + 250), false), Do::Keep, "it works again");
    }

    #[test]
    fn three_silences_in_a_row_are_a_hang() {
        let mut course = Course::default();
        assert_eq!([course.unanswered(), course.unanswered()], [false, false]);
        course.answered();
        assert_eq!([course.unanswered(), course.unanswered(), course.unanswered()], [false, false, true]);
        assert!(!course.unanswered(), "counted anew");
    }
}
