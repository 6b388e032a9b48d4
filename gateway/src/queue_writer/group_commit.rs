//! Which writes go into the next commit, and when: the rules of the queue writer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an idle writer waits for company, or for the device to be faster.
pub(super) const LINGER: Duration = Duration::from_millis(2);
/// Rows of one commit: bounds how long one transaction keeps the others waiting.
pub(super) const BATCH_ROWS_MAX: usize = 512;
/// Bytes of bodies in one commit, unless a single one is larger.
pub(super) const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// After a commit that failed the next one waits this long, so that a broken store is not hammered.
pub(super) const BACK_OFF: Duration = Duration::from_millis(500);

/// What the rules know of a write that waits.
pub(super) trait Write {
    /// Bytes that it adds to a commit.
    fn bytes(&self) -> usize;
    /// A device may acknowledge it within [`LINGER`], so that it need not be written.
    fn may_be_elided(&self) -> bool;
    /// Takes it for writing; `false` when it was elided meanwhile.
    fn claim(&self) -> bool;
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<A, D> {
    /// Nothing, until something is offered or a commit ends.
    Wait,
    /// Ask again at this moment.
    WaitUntil(Instant),
    /// Write this, then call [`GroupCommit::committed`].
    Commit {
        /// In the order in which they were offered.
        appends: Vec<A>,
        /// In any order.
        deletes: Vec<D>,
    },
}

/// Collects writes while a commit is under way, so that one fsync serves everything that waited for it.
///
/// Under load the batch is as large as the disk is slow. Idle, a write that a device may make needless waits up to
/// [`LINGER`]; any other write is committed at once. Appends keep their order; at most one commit is under way.
#[derive(Debug)]
pub(super) struct GroupCommit<A, D> {
    appends: VecDeque<A>,
    deletes: VecDeque<D>,
    linger_until: Option<Instant>,
    hold_until: Option<Instant>,
    committing: bool,
}

impl<A, D> Default for GroupCommit<A, D> {
    fn default() -> Self {
        Self {
            appends: VecDeque::new(),
            deletes: VecDeque::new(),
            linger_until: None,
            hold_until: None,
            committing: false,
        }
    }
}

impl<A: Write, D> GroupCommit<A, D> {
    /// An envelope to append.
    pub(super) fn append(&mut self, write: A, now: Instant) {
        if !write.may_be_elided() {
            self.linger_until = Some(now);
        } else if self.linger_until.is_none() {
            self.linger_until = Some(now + LINGER);
        }
        self.appends.push_back(write);
    }

    /// A row to delete. Deletions are in no hurry: they ride along, or wait for [`LINGER`].
    pub(super) fn delete(&mut self, row: D, now: Instant) {
        self.linger_until.get_or_insert(now + LINGER);
        self.deletes.push_back(row);
    }

    /// What to do at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Next<A, D> {
        if self.committing {
            return Next::Wait;
        }
        if let Some(until) = self.hold_until.filter(|until| now < *until) {
            return if self.waiting() > 0 { Next::WaitUntil(until) } else { Next::Wait };
        }
        match self.linger_until {
            None => return Next::Wait,
            Some(until) if now < until && self.appends.len() + self.deletes.len() < BATCH_ROWS_MAX => {
                return Next::WaitUntil(until);
            }
            Some(_) => {}
        }
        let (mut appends, mut bytes) = (Vec::new(), 0);
        while appends.len() < BATCH_ROWS_MAX
            && let Some(write) = self.appends.front()
            && (appends.is_empty() || bytes + write.bytes() <= BATCH_BYTES_MAX)
        {
            bytes += write.bytes();
            if let Some(write) = self.appends.pop_front()
                && write.claim()
            {
                appends.push(write);
            }
        }
        let deletes: Vec<D> = self.deletes.drain(..self.deletes.len().min(BATCH_ROWS_MAX)).collect();
        // What is left over did not fit, so it has company already and need not linger again.
        self.linger_until = (self.waiting() > 0).then_some(now);
        if appends.is_empty() && deletes.is_empty() {
            return Next::Wait; // everything was elided
        }
        self.committing = true;
        Next::Commit { appends, deletes }
    }

    /// The commit that [`Next::Commit`] asked for has ended.
    pub(super) fn committed(&mut self, confirmed: bool, now: Instant) {
        self.committing = false;
        self.hold_until = (!confirmed).then_some(now + BACK_OFF);
        if self.waiting() > 0 {
            self.linger_until = Some(now);
        }
    }

    /// Whether nothing waits and no commit is under way.
    pub(super) fn is_done(&self) -> bool {
        !self.committing && self.waiting() == 0
    }

    /// Writes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.appends.len() + self.deletes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue_writer::ticket::Ticket;

    #[derive(Debug)]
    struct Row {
        name: u32,
        bytes: usize,
        ticket: Option<Ticket>,
    }
    impl Write for Row {
        fn bytes(&self) -> usize {
            self.bytes
        }
        fn may_be_elided(&self) -> bool {
            self.ticket.is_some()
        }
        fn claim(&self) -> bool {
            self.ticket.as_ref().is_none_or(Ticket::claim)
        }
    }
    fn plain(name: u32) -> Row {
        Row { name, bytes: 100, ticket: None }
    }
    fn elidable(name: u32) -> (Row, Ticket) {
        let ticket = Ticket::default();
        (Row { name, bytes: 100, ticket: Some(ticket.clone()) }, ticket)
    }
    fn names(next: Next<Row, u32>) -> Vec<u32> {
        match next {
            Next::Commit { appends, .. } => appends.iter().map(|row| row.name).collect(),
            other => panic!("no commit but {other:?}"),
        }
    }
    fn start() -> (GroupCommit<Row, u32>, Instant) {
        (GroupCommit::default(), crate::clock::monotonic())
    }

    #[test]
    fn a_write_that_no_device_can_elide_is_committed_at_once() {
        let (mut rules, t) = start();
        rules.append(plain(1), t);
        assert_eq!(names(rules.next(t)), [1]);
    }

    #[test]
    fn a_write_for_a_device_that_is_here_lingers_two_milliseconds() {
        let (mut rules, t) = start();
        rules.append(elidable(1).0, t);
        assert!(matches!(rules.next(t), Next::WaitUntil(until) if until == t + LINGER));
        assert_eq!(names(rules.next(t + LINGER)), [1]);
    }

    #[test]
    fn an_elided_write_is_never_committed() {
        let (mut rules, t) = start();
        let (row, ticket) = elidable(1);
        rules.append(row, t);
        assert!(ticket.elide());
        assert!(matches!(rules.next(t + LINGER), Next::Wait));
        assert_eq!(rules.waiting(), 0);
    }

    #[test]
    fn what_arrives_during_a_commit_shares_the_next_one_in_order() {
        let (mut rules, t) = start();
        rules.append(plain(1), t);
        assert_eq!(names(rules.next(t)), [1]);
        for name in 2..=100 {
            rules.append(plain(name), t);
            assert!(matches!(rules.next(t), Next::Wait), "one commit at a time");
        }
        rules.committed(true, t);
        assert_eq!(names(rules.next(t)), (2..=100).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_is_bounded_in_rows_and_bytes_but_takes_one_row_of_any_size() {
        let (mut rules, t) = start();
        for name in 0..BATCH_ROWS_MAX as u32 + 1 {
            rules.append(plain(name), t);
        }
        assert_eq!(names(rules.next(t)).len(), BATCH_ROWS_MAX);
        rules.committed(true, t);
        assert_eq!(names(rules.next(t)).len(), 1);
        rules.committed(true, t);
        rules.append(Row { name: 1, bytes: BATCH_BYTES_MAX * 2, ticket: None }, t);
        rules.append(plain(2), t);
        assert_eq!(names(rules.next(t)), [1]);
        rules.committed(true, t);
        assert_eq!(names(rules.next(t)), [2]);
    }

    #[test]
    fn after_a_failure_the_next_commit_waits_for_the_back_off() {
        let (mut rules, t) = start();
        rules.append(plain(1), t);
        assert_eq!(names(rules.next(t)), [1]);
        rules.committed(false, t);
        assert!(matches!(rules.next(t), Next::Wait));
        rules.append(plain(2), t);
        assert!(matches!(rules.next(t), Next::WaitUntil(until) if until == t + BACK_OFF));
        assert_eq!(names(rules.next(t + BACK_OFF)), [2]);
    }

    #[test]
    fn deletions_ride_along_or_wait_for_the_linger() {
        let (mut rules, t) = start();
        rules.delete(7, t);
        assert!(matches!(rules.next(t), Next::WaitUntil(_)));
        rules.append(plain(1), t);
        assert!(matches!(rules.next(t), Next::Commit { deletes, .. } if deletes == [7]));
    }
}
