//! Whether Redis is asked: a circuit breaker. Plain rules, told the time.

use std::time::{Duration, Instant};

/// Timeouts in a row that are taken for more than a hiccup.
const TIMEOUTS_MAX: u32 = 3;
/// After the first failure.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The delay doubles up to this. One small question from each node: nothing that would need to be spread. A primary that takes
/// another's place is found so much later.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(4);
/// Redis that has answered for this long begins with the shortest delay again.
const STEADY: Duration = Duration::from_secs(60);

/// How an attempt to ask has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer yet. May pass.
    Timeout,
    /// No connection, or an answer that is none.
    Broken,
}

/// Which life of the connection somebody has asked. News of an older one says nothing about the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(u64);

/// Closed: everybody asks. Open: nobody but the one who tries whether it answers again.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    life: Life,
}

#[derive(Debug)]
enum State {
    /// Not tried yet.
    New {
        since: Instant,
    },
    Closed {
        since: Instant,
        timeouts: u32,
        delay: Duration,
    },
    Open {
        retry_at: Instant,
        delay: Duration,
    },
}

impl Breaker {
    pub(super) const fn new(now: Instant) -> Self {
        Self { state: State::New { since: now }, life: Life(0) }
    }

    /// Whom to ask; `None` when nobody is to be asked.
    pub(super) const fn life(&self) -> Option<Life> {
        match self.state {
            State::Closed { .. } => Some(self.life),
            State::New { .. } | State::Open { .. } => None,
        }
    }

    /// When to try again; `None` when that is not needed.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::New { since } => Some(since),
            State::Open { retry_at, .. } => Some(retry_at),
            State::Closed { .. } => None,
        }
    }

    pub(super) fn answered(&mut self, asked: Life) {
        if let State::Closed { timeouts, .. } = &mut self.state
            && asked == self.life
        {
            *timeouts = 0;
        }
    }

    /// Says whether nobody is to ask any more from now on.
    pub(super) fn failed(&mut self, asked: Life, failure: Failure, now: Instant) -> bool {
        let State::Closed { since, timeouts, delay } = &mut self.state else { return false };
        if asked != self.life {
            return false;
        }
        if failure == Failure::Timeout {
            *timeouts += 1;
            if *timeouts < TIMEOUTS_MAX {
                return false;
            }
        }
        let steady = now.saturating_duration_since(*since) >= STEADY;
        let delay = if steady { BACKOFF_MIN } else { *delay };
        self.open(delay, now);
        true
    }

    /// After an attempt to have it answer again. Says whether that is news.
    pub(super) fn tried(&mut self, answers: bool, now: Instant) -> bool {
        let (delay, first) = match self.state {
            State::New { .. } => (BACKOFF_MIN, true),
            State::Open { delay, .. } => (delay, false),
            State::Closed { .. } => return false,
        };
        if answers {
            self.life = Life(self.life.0 + 1);
            self.state = State::Closed { since: now, timeouts: 0, delay };
        } else {
            self.open(delay, now);
        }
        answers || first
    }

    /// The next delay is twice this one.
    fn open(&mut self, delay: Duration, now: Instant) {
        self.state = State::Open { retry_at: now + delay, delay: (delay * 2).min(BACKOFF_MAX) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn closed(now: Instant) -> (Breaker, Life) {
        let mut breaker = Breaker::new(now);
        assert_eq!((breaker.life(), breaker.retry_at()), (None, Some(now)), "nobody asks before it was tried");
        assert!(breaker.tried(true, now));
        let life = breaker.life().unwrap();
        (breaker, life)
    }

    #[test]
    fn a_broken_connection_opens_at_once_and_timeouts_only_in_a_row() {
        let now = clock::monotonic();
        let (mut breaker, life) = closed(now);
        assert!(breaker.failed(life, Failure::Broken, now));
        assert_eq!((breaker.life(), breaker.retry_at()), (None, Some(now + BACKOFF_MIN)));
        assert!(!breaker.failed(life, Failure::Broken, now), "told once");

        let (mut breaker, life) = closed(now);
        for _ in 0..10 {
            assert!(!breaker.failed(life, Failure::Timeout, now) && !breaker.failed(life, Failure::Timeout, now));
            breaker.answered(life);
        }
        assert!(!breaker.failed(life, Failure::Timeout, now) && !breaker.failed(life, Failure::Timeout, now));
        assert!(breaker.failed(life, Failure::Timeout, now));
    }

    #[test]
    fn delays_double_to_a_bound_and_news_is_told_once() {
        let mut now = clock::monotonic();
        let mut breaker = Breaker::new(now);
        let mut delays = Vec::new();
        for attempt in 0..12 {
            assert_eq!(breaker.tried(false, now), attempt == 0, "only the first is news");
            let retry_at = breaker.retry_at().unwrap();
            delays.push(retry_at - now);
            now = retry_at;
        }
        assert_eq!(delays[0], BACKOFF_MIN);
        assert!(delays.windows(2).all(|pair| pair[1] == (pair[0] * 2).min(BACKOFF_MAX)), "{delays:?}");
        assert_eq!(delays.last(), Some(&BACKOFF_MAX));
        assert!(breaker.tried(true, now));
        assert!(!breaker.tried(false, now), "who tries too late changes nothing");
        assert!(breaker.life().is_some());
    }

    #[test]
    fn one_that_soon_fails_again_is_left_alone_for_longer() {
        let now = clock::monotonic();
        let (mut breaker, life) = closed(now);
        breaker.failed(life, Failure::Broken, now);
        breaker.tried(true, now);
        breaker.failed(breaker.life().unwrap(), Failure::Broken, now);
        assert_eq!(breaker.retry_at(), Some(now + 2 * BACKOFF_MIN));
        breaker.tried(true, now);
        let later = now + STEADY;
        breaker.failed(breaker.life().unwrap(), Failure::Broken, later);
        assert_eq!(breaker.retry_at(), Some(later + BACKOFF_MIN));
    }

    #[test]
    fn news_of_an_older_connection_says_nothing_about_the_present_one() {
        let now = clock::monotonic();
        let (mut breaker, old) = closed(now);
        breaker.failed(old, Failure::Broken, now);
        breaker.tried(true, now);
        let life = breaker.life();
        assert!(life != Some(old) && !breaker.failed(old, Failure::Broken, now));
        assert_eq!(breaker.life(), life);
    }
}
