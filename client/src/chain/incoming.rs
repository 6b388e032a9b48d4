//! What a receiving device knows of the chain of one sending device.

use std::collections::VecDeque;

use endtoend_protocol::{ChainHead, ChainId, Place};

/// Runs of missing numbers that are remembered. At the bound the oldest is given up: it stays told, and whether a message
/// from it is right is not judged any more.
pub const MISSING_MAX: usize = 32;
/// Messages that are known by number and head, to tell a repeat from another message under the same number.
pub const SEEN_MAX: usize = 32;

/// What a message shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// These were not heard, and something after them was.
    Missing {
        /// The first of them.
        first: u64,
        /// The last.
        last: u64,
    },
    /// It was missing and comes now, after later ones, under the first envelope that was made for it.
    Late {
        /// Which.
        number: u64,
    },
    /// It was missing and comes now because its sender has sealed it anew.
    Mended {
        /// Which.
        number: u64,
    },
    /// It was heard before. A server may repeat.
    Repeated,
    /// Another message had this number, or another one came before it: the sender went back to an older state, or somebody
    /// else uses its keys.
    Forked {
        /// Which.
        number: u64,
    },
    /// A sending device that was heard before begins anew.
    Restarted,
}

/// Numbers that were not heard, between two heads that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The head before the first of them.
    pub(super) before: ChainHead,
    /// The head after the last of them.
    pub(super) after: ChainHead,
}

/// Where a chain goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) next: u64,
    pub(super) head: ChainHead,
}

impl End {
    fn continues(&self, number: u64, previous: ChainHead) -> bool {
        (self.next, self.head) == (number, previous)
    }
}

/// The chain of one sending device, as this device has heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub(super) chain: ChainId,
    pub(super) end: End,
    /// The one before it, of which something may still be under way.
    pub(super) former: Option<ChainId>,
    /// After a fork: the shorter of its two ends.
    pub(super) branch: Option<End>,
    /// In their order, at most [`MISSING_MAX`].
    pub(super) missing: Vec<Run>,
    /// Numbers up to this one that are not in `missing` are not judged.
    pub(super) floor: u64,
    /// The last that came, at most [`SEEN_MAX`].
    pub(super) seen: VecDeque<(u64, ChainHead)>,
}

impl Incoming {
    /// A chain of which nothing has come; `start` is the head that it begins with.
    pub const fn new(chain: ChainId, start: ChainHead) -> Self {
        Self {
            chain,
            end: End { next: 1, head: start },
            former: None,
            branch: None,
            missing: Vec::new(),
            floor: 0,
            seen: VecDeque::new(),
        }
    }

    /// A message has come. `start` is the head that its chain begins with and `head` the one after it; `again` says that it was
    /// sealed before, and `known` that a message of its id is stored. Gives what it shows about itself and about others.
    pub fn hear(&mut self, place: &Place, start: ChainHead, head: ChainHead, again: bool, known: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        if place.chain != self.chain {
            if self.former == Some(place.chain) {
                // Nothing is known of where that chain had come to.
                return findings;
            }
            *self = Self { former: Some(self.chain), ..Self::new(place.chain, start) };
            findings.push(Finding::Restarted);
        }
        findings.extend(self.judge(place, head, again, known));
        self.note(place.number.get(), head);
        findings
    }

    fn judge(&mut self, place: &Place, head: ChainHead, again: bool, known: bool) -> Option<Finding> {
        let (number, previous) = (place.number.get(), place.previous);
        let end = End { next: number.saturating_add(1), head };
        if self.seen.contains(&(number, head)) {
            return Some(Finding::Repeated);
        }
        let other_was_seen = self.seen.iter().any(|(seen, _)| *seen == number);
        if self.end.continues(number, previous) {
            self.end = end;
            return None;
        }
        if self.branch.is_some_and(|branch| branch.continues(number, previous)) {
            self.grow_branch(end);
            return None;
        }
        if number > self.end.next {
            let (first, last) = (self.end.next, number.saturating_sub(1));
            self.miss(Run { first, last, before: self.end.head, after: previous });
            self.end = end;
            return Some(Finding::Missing { first, last });
        }
        if let Some(at) = self.missing.iter().position(|run| (run.first..=run.last).contains(&number)) {
            if self.fill(at, number, previous, head) {
                return Some(if again { Finding::Mended { number } } else { Finding::Late { number } });
            }
        } else if number < self.end.next && known && !other_was_seen {
            return Some(Finding::Repeated);
        } else if number <= self.floor && !other_was_seen {
            return Some(Finding::Late { number });
        }
        self.grow_branch(end);
        Some(Finding::Forked { number })
    }

    /// The branch goes on, and is the chain as soon as it is longer.
    fn grow_branch(&mut self, mut branch: End) {
        if branch.next > self.end.next {
            std::mem::swap(&mut branch, &mut self.end);
        }
        self.branch = Some(branch);
    }

    fn miss(&mut self, run: Run) {
        self.missing.push(run);
        if self.missing.len() > MISSING_MAX {
            self.floor = self.missing.remove(0).last;
        }
    }

    /// Takes a number out of a run, unless its neighbours' heads say that it is another message.
    fn fill(&mut self, at: usize, number: u64, previous: ChainHead, head: ChainHead) -> bool {
        let Some(&run) = self.missing.get(at) else { return false };
        if (number == run.first && previous != run.before) || (number == run.last && head != run.after) {
            return false;
        }
        let before = Run { last: number.saturating_sub(1), after: previous, ..run };
        let after = Run { first: number.saturating_add(1), before: head, ..run };
        let rest = [(number > run.first).then_some(before), (number < run.last).then_some(after)];
        self.missing.splice(at..=at, rest.into_iter().flatten());
        // A run that fell apart may be one too many.
        if self.missing.len() > MISSING_MAX {
            self.floor = self.missing.remove(0).last;
        }
        true
    }

    fn note(&mut self, number: u64, head: ChainHead) {
        if !self.seen.contains(&(number, head)) {
            self.seen.push_back((number, head));
        }
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
    }

    /// How many numbers are missing.
    pub fn missing(&self) -> u64 {
        self.missing.iter().map(|run| run.last.saturating_sub(run.first).saturating_add(1)).fold(0, u64::saturating_add)
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        assert!(self.missing.len() <= MISSING_MAX && self.seen.len() <= SEEN_MAX);
        for run in &self.missing {
            assert!(run.first <= run.last && run.last < self.end.next, "{run:?}");
        }
        for pair in self.missing.windows(2) {
            assert!(pair[0].last < pair[1].first, "{pair:?}");
        }
        assert!(self.branch.is_none_or(|branch| branch.next <= self.end.next));
    }
}
