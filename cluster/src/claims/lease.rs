//! How long this node may believe that the directory believes in it.

use std::time::{Duration, Instant};

/// The lease of this run, by its own monotonic clock.
///
/// It counts from when the renewal was *sent*: the directory counts from when it came, which was later. It ends a margin before the
/// directory's does, so that a clock that runs slower here than there does no harm.
#[derive(Debug)]
pub struct Lease {
    /// Without the margin.
    length: Duration,
    valid: Option<Valid>,
}

#[derive(Clone, Copy, Debug)]
struct Valid {
    since: Instant,
    until: Instant,
}

impl Lease {
    /// None yet. The directory's is `lease` long.
    pub fn new(lease: Duration, margin: Duration) -> Self {
        Self { length: lease.saturating_sub(margin), valid: None }
    }

    /// A renewal that was sent at `sent` was answered; what it said was lost is taken care of. An answer that comes when it
    /// counts no more changes nothing.
    pub fn renewed(&mut self, sent: Instant, now: Instant) {
        let until = sent + self.length;
        if until <= now {
            return;
        }
        self.valid = match self.valid {
            Some(valid) if now < valid.until => Some(Valid { until: until.max(valid.until), ..valid }),
            Some(_) | None => Some(Valid { since: now, until }),
        };
    }

    /// The directory knew nothing of it: what was believed until now was wrong, perhaps.
    pub fn was_forgotten(&mut self) {
        self.valid = None;
    }

    /// Whether it counts.
    pub fn is_valid(&self, now: Instant) -> bool {
        self.since(now).is_some()
    }

    /// Since when it has counted without a gap; none when it does not.
    pub fn since(&self, now: Instant) -> Option<Instant> {
        self.valid.filter(|valid| now < valid.until).map(|valid| valid.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn lease() -> Lease {
        Lease::new(3 * SECOND, SECOND / 2)
    }

    #[test]
    fn it_counts_from_sending_and_ends_before_that_of_the_directory() {
        let (mut lease, sent) = (lease(), clock::monotonic());
        lease.renewed(sent, sent + 2 * SECOND);
        assert!(lease.is_valid(sent + 2 * SECOND));
        assert!(
            !lease.is_valid(sent + 2 * SECOND + SECOND / 2),
            "two and a half seconds from sending, not from the answer"
        );
    }

    #[test]
    fn an_answer_that_comes_too_late_says_nothing() {
        let (mut lease, sent) = (lease(), clock::monotonic());
        lease.renewed(sent, sent + 3 * SECOND);
        assert!(!lease.is_valid(sent + 3 * SECOND));
    }

    #[test]
    fn a_gap_begins_it_anew_and_an_early_renewal_does_not() {
        let (mut lease, first) = (lease(), clock::monotonic());
        lease.renewed(first, first);
        lease.renewed(first + SECOND, first + SECOND);
        assert_eq!(lease.since(first + 3 * SECOND), Some(first), "no gap");
        let later = first + 10 * SECOND;
        lease.renewed(later, later);
        assert_eq!(lease.since(later), Some(later));
        // Answers may overtake each other.
        lease.renewed(later - SECOND, later);
        assert!(lease.is_valid(later + 2 * SECOND));
        lease.was_forgotten();
        assert!(!lease.is_valid(later));
    }
}
