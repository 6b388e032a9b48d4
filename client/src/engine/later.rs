//! What the server has put off on this connection, and until when. The time is an argument.

use endtoend_protocol::AccountTag;

use crate::clock::Instant;

/// What is to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// What was decided about people is told.
    Decisions,
    /// Handles whose accounts are not known are looked up.
    LookUps,
    /// One-time keys are published.
    Keys,
    /// Who an account is.
    Identity(AccountTag),
}

/// What is to be asked again, each once. Bounded by what was asked.
#[derive(Debug, Default)]
pub(super) struct Later(Vec<(Instant, Again)>);

impl Later {
    /// Not before `at`, nor before an earlier answer allows it.
    pub(super) fn put(&mut self, again: Again, at: Instant) {
        match self.0.iter_mut().find(|(_, other)| *other == again) {
            Some((until, _)) => *until = at.max(*until),
            None => self.0.push((at, again)),
        }
    }

    /// What may be asked now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Again> {
        self.0.extract_if(.., |(at, _)| *at <= now).map(|(_, again)| again).collect()
    }

    /// When something may be asked.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn what_was_put_off_is_due_once_and_not_before_its_time() {
        let (now, mut later) = (clock::monotonic(), Later::default());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(later.next(), None);
        later.put(Again::Decisions, at(5));
        later.put(Again::Keys, at(3));
        later.put(Again::Decisions, at(4));
        assert_eq!((later.next(), later.due(at(2))), (Some(at(3)), vec![]));
        assert_eq!(later.due(at(4)), [Again::Keys]);
        assert_eq!((later.next(), later.due(at(5))), (Some(at(5)), vec![Again::Decisions]));
        assert_eq!((later.next(), later.due(at(100))), (None, vec![]));
    }
}
