//! The rules of what comes in over one link: it is treated as what a client sends, and answered by number.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use endtoend_protocol::{Address, EnvelopeId};

use super::rules::to_wire;
use crate::course::{Course, Turn};
use crate::receipt::Outcome;
use crate::router::Lanes;

/// Forwarded envelopes of one life of a link that are not answered; more are told to come again.
pub(crate) const FORWARDS_MAX: usize = 1_024;

/// Envelopes that came over one life of a link and are not answered, and the ways that they took.
///
/// Its [`Lanes`] and its [`Course`] do for all senders of the other node together what those of a connection do for one.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) lanes: Lanes,
    course: Arc<Course>,
    numbers: HashMap<EnvelopeId, VecDeque<(u64, bool)>>,
}

impl Entry {
    /// Of a link over which so many were told to come again before anybody was there to hear them.
    pub(crate) fn after(refused: u64) -> Self {
        Self { course: Arc::new(Course::closed_after(refused, FORWARDS_MAX)), ..Self::default() }
    }

    /// Shared with whoever refuses envelopes before they come here.
    pub(crate) fn course(&self) -> Arc<Course> {
        Arc::clone(&self.course)
    }

    /// Whether one for this device may be let in, which was sent when the other side knew of so many refusals.
    pub(crate) fn lets_in(&self, to: Address, heard: u64) -> bool {
        self.course.lets_in(to, heard, |to, from| self.lanes.is_under_way(to, from))
    }

    /// One is refused before anything was done with it: the next that the other side is told.
    pub(crate) fn refuse(&self, to: Address, n: u64) {
        self.course.refuse(to, n);
    }

    /// Where the one with this number stands.
    pub(crate) fn turn(&self, n: u64) -> Turn {
        Turn::new(Arc::clone(&self.course), n)
    }

    /// One has come; `moved`: its device is not here.
    pub(crate) fn came(&mut self, n: u64, id: EnvelopeId, moved: bool) {
        self.numbers.entry(id).or_default().push_back((n, moved));
    }

    /// It was answered. Gives its number, and whether its device was elsewhere.
    pub(crate) fn settled(&mut self, id: EnvelopeId, to: Address, outcome: Outcome) -> Option<(u64, bool)> {
        self.lanes.settled(id);
        if to_wire(outcome).is_to_come_again() {
            self.course.tell(to, outcome.is_to_come_again());
        }
        let numbers = self.numbers.get_mut(&id)?;
        let first = numbers.pop_front();
        if numbers.is_empty() {
            self.numbers.remove(&id);
        }
        first
    }
}
