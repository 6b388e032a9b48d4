//! The rules of what comes in over one link: it is treated as what a client sends, and answered by number.

use std::collections::{HashMap, VecDeque};

use endtoend_protocol::EnvelopeId;

use crate::router::Lanes;

/// Forwarded envelopes of one life of a link that are not answered; more are told to come again.
pub(crate) const FORWARDS_MAX: usize = 1_024;

/// Envelopes that came over one life of a link and are not answered, and the ways that they took.
///
/// Its [`Lanes`] do for all senders of the other node together what those of a connection do for one.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) lanes: Lanes,
    numbers: HashMap<EnvelopeId, VecDeque<(u64, bool)>>,
}

impl Entry {
    /// One has come; `moved`: its device is not here.
    pub(crate) fn came(&mut self, n: u64, id: EnvelopeId, moved: bool) {
        self.numbers.entry(id).or_default().push_back((n, moved));
    }

    /// It was answered. Gives its number, and whether its device was elsewhere.
    pub(crate) fn settled(&mut self, id: EnvelopeId) -> Option<(u64, bool)> {
        self.lanes.settled(id);
        let numbers = self.numbers.get_mut(&id)?;
        let first = numbers.pop_front();
        if numbers.is_empty() {
            self.numbers.remove(&id);
        }
        first
    }
}
