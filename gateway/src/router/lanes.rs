//! Keeps the order of one sender's envelopes while a recipient's mailbox appears or goes away.

use endtoend_protocol::{Address, EnvelopeId};

/// Which way an envelope took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// To the recipient's mailbox, which pushes it and has it stored.
    Mailbox,
    /// Straight to the store, because there was no mailbox.
    Store,
}

/// The envelopes of one connection that are not answered yet, and the ways they took.
///
/// What follows to the same device takes the same way. Otherwise a mailbox that has just appeared would push the second
/// before it can know of the first, or the store would take the second before a mailbox that goes away has handled the
/// first. Bounded by the send window.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Vec<(EnvelopeId, Address, Lane)>);

impl Lanes {
    /// The way that unanswered envelopes to this device took; `None` when there are none.
    pub(crate) fn taken(&self, to: Address) -> Option<Lane> {
        self.0.iter().find(|(_, ahead, _)| *ahead == to).map(|(_, _, lane)| *lane)
    }
    pub(crate) fn take(&mut self, id: EnvelopeId, to: Address, lane: Lane) {
        self.0.push((id, to, lane));
    }
    /// An envelope was answered, once: a repeat beside it has an answer of its own.
    pub(crate) fn settled(&mut self, id: EnvelopeId) {
        if let Some(at) = self.0.iter().position(|(ahead, ..)| *ahead == id) {
            self.0.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use endtoend_protocol::{AccountTag, DeviceId, UnixMillis};

    #[test]
    fn what_follows_an_unanswered_envelope_takes_the_same_way_and_other_devices_do_not() {
        let to = |byte| Address { account: AccountTag::new([byte; 32]), device: DeviceId::FIRST };
        let id = |n| EnvelopeId::new(UnixMillis::new(n), [1; 10]);
        let mut lanes = Lanes::default();
        lanes.take(id(1), to(1), Lane::Store);
        lanes.take(id(2), to(2), Lane::Mailbox);
        assert_eq!((lanes.taken(to(1)), lanes.taken(to(2))), (Some(Lane::Store), Some(Lane::Mailbox)));
        assert_eq!(lanes.taken(to(3)), None);
        lanes.settled(id(2));
        assert_eq!((lanes.taken(to(1)), lanes.taken(to(2))), (Some(Lane::Store), None));
        lanes.take(id(1), to(1), Lane::Store);
        lanes.settled(id(1));
        assert_eq!(lanes.taken(to(1)), Some(Lane::Store), "the repeat is still on its way");
        lanes.settled(id(1));
        assert_eq!(lanes.taken(to(1)), None);
    }
}
