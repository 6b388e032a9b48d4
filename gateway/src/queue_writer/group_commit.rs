//! Which writes go into the next commit, and when: the rules of the queue writer.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use endtoend_protocol::Address;

/// How long an idle writer waits for company, or for the device to be faster.
pub(super) const LINGER: Duration = Duration::from_millis(2);
/// Rows of one commit: bounds how long one transaction keeps the others waiting.
pub(super) const BATCH_ROWS_MAX: usize = 512;
/// Bytes of bodies in one commit, unless a single one is larger.
pub(super) const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Deletions that may wait: so many that only a store that reads and does not write reaches it. What is beyond stays in the
/// store, and its device, which knows it, has it deleted when it comes again.
pub(super) const DELETES_MAX: usize = 65_536;
/// Bytes of waiting writes from which those among them that were elided are looked for.
pub(super) const SWEEP_BYTES_MIN: usize = 16 * 1024 * 1024;
/// What a write takes beside its body, roughly.
const WRITE_BYTES: usize = 1024;

/// After a commit that failed the next one waits this long, so that a broken store is not hammered.
pub(super) const BACK_OFF: Duration = Duration::from_millis(500);

/// What the rules know of a write that waits.
pub(crate) trait Write {
    /// Bytes that it adds to a commit.
    fn bytes(&self) -> usize;
    /// A device may acknowledge it within [`LINGER`], so that it need not be written.
    fn may_be_elided(&self) -> bool;
    /// It was elided: nobody waits for it any more.
    fn is_elided(&self) -> bool;
    /// Takes it for writing, unless it must not be written.
    fn claim(&self) -> Claim;
    /// It may be refused where others of the same commit are not: a stranger's, whose part of a queue is full. What goes to the same
    /// device from the same place then waits for the next commit, or it would overtake.
    fn may_be_refused_alone(&self) -> bool;
    /// From where it comes, from each place if it was sent again, and to which device.
    fn lanes(&self) -> impl Iterator<Item = LaneName>;
}

/// Names what comes from one place and goes to one device, as long as something of it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneName {
    pub(crate) course: usize,
    pub(crate) to: Address,
}

/// Whether a write goes into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Taken,
    /// The device was faster.
    Elided,
    /// What was sent before it was not written and is to come again, so this is, too.
    Overtakes,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<A, D> {
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
pub(crate) struct GroupCommit<A, D> {
    /// Each with the moment of its offer.
    appends: VecDeque<(A, Instant)>,
    appends_bytes: usize,
    /// At so many bytes elided writes are taken out. They hold no permit, so a slow store would collect them without end.
    sweep_at: usize,
    deletes: VecDeque<D>,
    /// Deletions that found no room.
    left: u64,
    /// When the oldest append of the commit under way was offered.
    committing_since: Option<Instant>,
    elided: u64,
    /// See [`Claim::Overtakes`].
    refused: Vec<A>,
    linger_until: Option<Instant>,
    hold_until: Option<Instant>,
    committing: bool,
}

impl<A, D> Default for GroupCommit<A, D> {
    fn default() -> Self {
        Self {
            appends: VecDeque::new(),
            appends_bytes: 0,
            sweep_at: SWEEP_BYTES_MIN,
            deletes: VecDeque::new(),
            left: 0,
            committing_since: None,
            elided: 0,
            refused: Vec::new(),
            linger_until: None,
            hold_until: None,
            committing: false,
        }
    }
}

impl<A: Write, D> GroupCommit<A, D> {
    /// An envelope to append.
    pub(crate) fn append(&mut self, write: A, now: Instant) {
        if !write.may_be_elided() {
            self.linger_until = Some(now);
        } else if self.linger_until.is_none() {
            self.linger_until = Some(now + LINGER);
        }
        if self.appends_bytes >= self.sweep_at {
            let before = self.appends.len();
            self.appends.retain(|(write, _)| !write.is_elided());
            self.elided += (before - self.appends.len()) as u64;
            self.appends_bytes = self.appends.iter().map(|(write, _)| weight(write)).sum();
            self.sweep_at = SWEEP_BYTES_MIN.max(2 * self.appends_bytes);
        }
        self.appends_bytes += weight(&write);
        self.appends.push_back((write, now));
    }

    /// A row to delete. Deletions are in no hurry: they ride along, or wait for [`LINGER`]. With [`DELETES_MAX`] waiting
    /// the row is left where it is.
    pub(crate) fn delete(&mut self, row: D, now: Instant) {
        if self.deletes.len() >= DELETES_MAX {
            self.left += 1;
            return;
        }
        self.linger_until.get_or_insert(now + LINGER);
        self.deletes.push_back(row);
    }

    /// What to do at `now`.
    pub(crate) fn next(&mut self, now: Instant) -> Next<A, D> {
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
        // Those in which something of this batch may be refused alone: nearly always none.
        let mut unsure: HashSet<LaneName> = HashSet::new();
        while appends.len() < BATCH_ROWS_MAX
            && let Some((write, _)) = self.appends.front()
            && (appends.is_empty() || bytes + write.bytes() <= BATCH_BYTES_MAX)
        {
            let is_sure = !write.may_be_refused_alone();
            if is_sure && !unsure.is_empty() && write.lanes().any(|lane| unsure.contains(&lane)) {
                break;
            }
            bytes += write.bytes();
            self.appends_bytes -= weight(write);
            let Some((write, offered_at)) = self.appends.pop_front() else { break };
            match write.claim() {
                Claim::Taken => {
                    self.committing_since.get_or_insert(offered_at);
                    if !is_sure {
                        unsure.extend(write.lanes());
                    }
                    appends.push(write);
                }
                Claim::Elided => self.elided += 1,
                Claim::Overtakes => self.refused.push(write),
            }
        }
        self.sweep_at = self.sweep_at.min(SWEEP_BYTES_MIN.max(2 * self.appends_bytes));
        let deletes: Vec<D> = self.deletes.drain(..self.deletes.len().min(BATCH_ROWS_MAX)).collect();
        // What is left over did not fit, so it has company already and need not linger again.
        self.linger_until = (self.waiting() > 0).then_some(now);
        if appends.is_empty() && deletes.is_empty() {
            return Next::Wait; // everything was elided, or refused
        }
        self.committing = true;
        Next::Commit { appends, deletes }
    }

    /// The commit that [`Next::Commit`] asked for has ended. Deletions that are not confirmed are tried again.
    pub(crate) fn committed(&mut self, confirmed: bool, deletes: Vec<D>, now: Instant) {
        self.committing = false;
        self.committing_since = None;
        self.hold_until = (!confirmed).then_some(now + BACK_OFF);
        if !confirmed {
            deletes.into_iter().for_each(|row| self.delete(row, now));
        }
        if self.waiting() > 0 {
            self.linger_until = Some(now);
        }
    }

    /// Rows that were left in the store since the node runs.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Whether nothing waits and no commit is under way.
    pub(crate) fn is_done(&self) -> bool {
        !self.committing && self.waiting() == 0
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert!(self.waiting() == 0 || self.linger_until.is_some() || self.committing, "what waits will be written");
        assert!(self.deletes.len() <= DELETES_MAX);
        assert_eq!(self.appends_bytes, self.appends.iter().map(|(write, _)| weight(write)).sum::<usize>());
        assert!(self.appends_bytes <= self.sweep_at + weight_max(), "elided writes do not pile up");
    }

    /// Writes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.appends.len() + self.deletes.len()
    }

    /// Appends and deletions that wait, and when the oldest append was offered whose commit has not ended.
    pub(crate) fn backlog(&self) -> (usize, usize, Option<Instant>) {
        let waiting_since = self.appends.front().map(|(_, offered_at)| *offered_at);
        (self.appends.len(), self.deletes.len(), self.committing_since.or(waiting_since))
    }

    /// Writes that were taken out because of what was not written before them: call after each [`GroupCommit::next`], and let
    /// them be told as after a commit that was not confirmed.
    pub(crate) fn take_refused(&mut self) -> Vec<A> {
        std::mem::take(&mut self.refused)
    }

    /// How many were elided since this was asked last.
    pub(crate) fn take_elided(&mut self) -> u64 {
        std::mem::take(&mut self.elided)
    }
}

fn weight<A: Write>(write: &A) -> usize {
    write.bytes() + WRITE_BYTES
}

#[cfg(test)]
fn weight_max() -> usize {
    endtoend_protocol::limits::ENVELOPE_BYTES_MAX + WRITE_BYTES
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::{AccountTag, DeviceId};

    use super::*;
    use crate::queue_writer::ticket::Ticket;

    #[derive(Debug)]
    struct Row {
        name: u32,
        bytes: usize,
        ticket: Option<Ticket>,
        overtakes: bool,
        /// A stranger's; from where.
        stranger: bool,
        from: usize,
    }
    impl Write for Row {
        fn bytes(&self) -> usize {
            self.bytes
        }
        fn may_be_elided(&self) -> bool {
            self.ticket.is_some()
        }
        fn is_elided(&self) -> bool {
            self.ticket.as_ref().is_some_and(Ticket::is_elided)
        }
        fn claim(&self) -> Claim {
            match self.ticket.as_ref().is_none_or(Ticket::claim) {
                true if self.overtakes => Claim::Overtakes,
                true => Claim::Taken,
                false => Claim::Elided,
            }
        }
        fn may_be_refused_alone(&self) -> bool {
            self.stranger
        }
        fn lanes(&self) -> impl Iterator<Item = LaneName> {
            let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
            std::iter::once(LaneName { course: self.from, to })
        }
    }
    fn plain(name: u32) -> Row {
        Row { name, bytes: 100, ticket: None, overtakes: false, stranger: false, from: 1 }
    }
    fn elidable(name: u32) -> (Row, Ticket) {
        let ticket = Ticket::default();
        (Row { ticket: Some(ticket.clone()), ..plain(name) }, ticket)
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
        assert_eq!((rules.backlog(), rules.take_elided(), rules.take_elided()), ((0, 0, None), 1, 0));
    }

    #[test]
    fn a_write_ages_until_its_commit_has_ended() {
        let (mut rules, t) = start();
        rules.append(plain(1), t);
        rules.append(plain(2), t + LINGER);
        assert_eq!(names(rules.next(t + LINGER)), [1, 2]);
        rules.append(plain(3), t + 2 * LINGER);
        assert_eq!(rules.backlog(), (1, 0, Some(t)), "a commit that hangs is seen");
        rules.committed(true, vec![], t + 3 * LINGER);
        assert_eq!(rules.backlog(), (1, 0, Some(t + 2 * LINGER)));
        assert_eq!(names(rules.next(t + 3 * LINGER)), [3]);
        rules.committed(true, vec![], t + 4 * LINGER);
        assert_eq!(rules.backlog(), (0, 0, None));
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
        rules.committed(true, Vec::new(), t);
        assert_eq!(names(rules.next(t)), (2..=100).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_is_bounded_in_rows_and_bytes_but_takes_one_row_of_any_size() {
        let (mut rules, t) = start();
        for name in 0..BATCH_ROWS_MAX as u32 + 1 {
            rules.append(plain(name), t);
        }
        assert_eq!(names(rules.next(t)).len(), BATCH_ROWS_MAX);
        rules.committed(true, Vec::new(), t);
        assert_eq!(names(rules.next(t)).len(), 1);
        rules.committed(true, Vec::new(), t);
        rules.append(Row { bytes: BATCH_BYTES_MAX * 2, ..plain(1) }, t);
        rules.append(plain(2), t);
        assert_eq!(names(rules.next(t)), [1]);
        rules.committed(true, Vec::new(), t);
        assert_eq!(names(rules.next(t)), [2]);
    }

    #[test]
    fn after_a_failure_the_next_commit_waits_for_the_back_off() {
        let (mut rules, t) = start();
        rules.append(plain(1), t);
        assert_eq!(names(rules.next(t)), [1]);
        rules.committed(false, Vec::new(), t);
        assert!(matches!(rules.next(t), Next::Wait));
        rules.append(plain(2), t);
        assert!(matches!(rules.next(t), Next::WaitUntil(until) if until == t + BACK_OFF));
        assert_eq!(names(rules.next(t + BACK_OFF)), [2]);
    }

    #[test]
    fn what_would_overtake_is_not_written_and_not_forgotten() {
        let (mut rules, t) = start();
        rules.append(Row { overtakes: true, ..plain(1) }, t);
        assert!(matches!(rules.next(t), Next::Wait));
        rules.append(Row { overtakes: true, ..plain(2) }, t);
        rules.append(plain(3), t);
        assert_eq!(names(rules.next(t)), [3]);
        assert_eq!(rules.take_refused().iter().map(|row| row.name).collect::<Vec<_>>(), [1, 2]);
        assert!(rules.take_refused().is_empty());
    }

    #[test]
    fn what_follows_a_strangers_envelope_on_its_lane_waits_for_the_next_commit() {
        let (mut rules, t) = start();
        rules.append(Row { stranger: true, ..plain(1) }, t);
        rules.append(Row { stranger: true, ..plain(2) }, t);
        rules.append(Row { from: 2, ..plain(3) }, t);
        rules.append(plain(4), t);
        rules.append(Row { stranger: true, ..plain(5) }, t);
        assert_eq!(names(rules.next(t)), [1, 2, 3], "his part of the queue may be full where there is room for 4");
        rules.committed(true, Vec::new(), t);
        assert_eq!(names(rules.next(t)), [4, 5]);
    }

    #[test]
    fn deletions_ride_along_or_wait_for_the_linger() {
        let (mut rules, t) = start();
        rules.delete(7, t);
        assert!(matches!(rules.next(t), Next::WaitUntil(_)));
        rules.append(plain(1), t);
        assert!(matches!(rules.next(t), Next::Commit { deletes, .. } if deletes == [7]));
    }

    #[test]
    fn elided_writes_do_not_pile_up_while_the_store_is_slow() {
        let (mut rules, t) = start();
        rules.append(plain(0), t);
        assert_eq!(names(rules.next(t)), [0]);
        let mut wanted = Vec::new();
        for name in 1..20_000 {
            let (mut row, ticket) = elidable(name);
            row.bytes = 50_000;
            rules.append(row, t);
            if name % 100 == 0 {
                wanted.push(name);
            } else {
                assert!(ticket.elide());
            }
            assert!(rules.waiting() <= SWEEP_BYTES_MIN / 50_000 + 2 * wanted.len(), "{} wait", rules.waiting());
        }
        rules.check_invariants();
        rules.committed(true, Vec::new(), t);
        let written = std::iter::repeat_with(|| {
            let written = names(rules.next(t));
            rules.committed(true, Vec::new(), t);
            written
        });
        let written: Vec<_> = written.take(2).flatten().collect();
        assert_eq!(written, wanted, "the rest is written, in order");
    }

    #[test]
    fn more_deletions_than_a_node_can_remember_are_left_in_the_store() {
        let (mut rules, t) = start();
        for row in 0..DELETES_MAX as u32 + 3 {
            rules.delete(row, t);
        }
        assert_eq!((rules.waiting(), rules.left()), (DELETES_MAX, 3));
        let Next::Commit { deletes, .. } = rules.next(t + LINGER) else { panic!("no commit") };
        assert_eq!(deletes.len(), BATCH_ROWS_MAX);
        rules.committed(false, deletes, t + LINGER);
        assert_eq!((rules.waiting(), rules.left()), (DELETES_MAX, 3), "those that failed have room again");
    }
}
