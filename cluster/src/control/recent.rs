//! Proposals that were written lately, so that a repeat is not written again.
//!
//! Whoever proposes repeats what was not answered, and a question may come late. A repeat that comes at once changes nothing;
//! one that comes after something else would undo that: a member that was drained and undrained would be drained once more. The
//! bytes of a proposal have the time at which it was made in them, so the same bytes are the same proposal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::command::Outcome;

/// Proposals whose outcome is remembered. The last ones are what can be repeated: who has heard an answer asks no more.
const DONE_MAX: usize = 256;
/// Proposals that wait for a majority. With more a leader takes no others.
const WRITTEN_MAX: usize = 1024;

/// Names a proposal.
type Name = [u8; 32];

/// What is to be done with a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It is new, and counts as written from now on.
    New(Name),
    /// It is in the log, and nothing is known of it yet.
    Written,
    /// This has come of it.
    Done(Outcome),
}

/// The last proposals.
#[derive(Debug, Default)]
pub(super) struct Recent {
    done: BTreeMap<Name, Outcome>,
    /// Of `done`, oldest first.
    order: VecDeque<Name>,
    /// In this term this node has written these, and has not applied them.
    term: u64,
    written: BTreeSet<Name>,
}

impl Recent {
    /// Somebody wants this proposal in the log of a leader of this term, who has applied all that was agreed upon before it.
    pub(super) fn meet(&mut self, proposal: &[u8], term: u64) -> Met {
        let name = *blake3::hash(proposal).as_bytes();
        if let Some(outcome) = self.done.get(&name) {
            return Met::Done(outcome.clone());
        }
        self.begin(term);
        if self.written.len() >= WRITTEN_MAX || !self.written.insert(name) {
            return Met::Written;
        }
        Met::New(name)
    }

    /// It was in the log when this node started, written in this term, and is not applied.
    pub(super) fn found(&mut self, proposal: &[u8], term: u64) {
        self.begin(term);
        self.written.insert(*blake3::hash(proposal).as_bytes());
    }

    fn begin(&mut self, term: u64) {
        if self.term != term {
            // What another leader has thrown away may be written again.
            (self.term, self.written) = (term, BTreeSet::new());
        }
    }

    /// It did not get into the log.
    pub(super) fn not_written(&mut self, name: &Name) {
        self.written.remove(name);
    }

    /// This node has applied it.
    pub(super) fn applied(&mut self, proposal: &[u8], outcome: &Outcome) {
        let name = *blake3::hash(proposal).as_bytes();
        self.written.remove(&name);
        if self.done.insert(name, outcome.clone()).is_none() {
            self.order.push_back(name);
        }
        if self.order.len() > DONE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.done.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::command::{Done, Refused};

    const DONE: Outcome = Ok(Done { index: 7, changed: true });

    #[test]
    fn a_proposal_is_written_once_and_answered_as_often_as_it_is_asked_for() {
        let mut recent = Recent::default();
        assert!(matches!(recent.meet(b"drain", 3), Met::New(_)));
        assert_eq!(recent.meet(b"drain", 3), Met::Written);
        recent.applied(b"drain", &DONE);
        recent.applied(b"undrain", &Err(Refused::Stale));
        for term in [3, 4] {
            assert_eq!(recent.meet(b"drain", term), Met::Done(DONE));
            assert_eq!(recent.meet(b"undrain", term), Met::Done(Err(Refused::Stale)), "another leader wrote it");
        }
    }

    #[test]
    fn what_did_not_reach_the_log_or_was_lost_with_its_leader_is_written_again() {
        let mut recent = Recent::default();
        let Met::New(name) = recent.meet(b"drain", 3) else { panic!("it is new") };
        recent.not_written(&name);
        assert_eq!(recent.meet(b"drain", 3), Met::New(name));
        assert_eq!(recent.meet(b"drain", 4), Met::New(name), "another term");
    }

    #[test]
    fn what_was_in_the_log_before_is_not_written_again_in_its_term() {
        let mut recent = Recent::default();
        recent.found(b"drain", 3);
        assert_eq!(recent.meet(b"drain", 3), Met::Written);
        assert!(matches!(recent.meet(b"drain", 4), Met::New(_)), "a leader of another term waits until it is applied");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::default();
        for at in 0..3 * DONE_MAX as u64 {
            recent.applied(&at.to_le_bytes(), &DONE);
        }
        assert_eq!((recent.done.len(), recent.order.len()), (DONE_MAX, DONE_MAX));
        assert!(matches!(recent.meet(&(3 * DONE_MAX as u64 - 1).to_le_bytes(), 1), Met::Done(_)));
        assert!(matches!(recent.meet(&0_u64.to_le_bytes(), 1), Met::New(_)), "it was long ago");
        for at in 0..3 * WRITTEN_MAX as u64 {
            recent.meet(&(at + 10_000).to_le_bytes(), 1);
        }
        assert_eq!(recent.written.len(), WRITTEN_MAX);
    }
}
