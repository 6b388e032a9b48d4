//! Keeps the order of one sender's envelopes while a recipient's mailbox appears or goes away.

use endtoend_protocol::{Address, EnvelopeId};

/// Which way an envelope took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
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

/// Where an envelope goes. `M` is the way to a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way<M> {
    /// To this mailbox.
    Mailbox(M),
    /// Straight to the store.
    Store,
    /// Nowhere: the mailbox that has the ones before it is going away. Whatever becomes of them, this one comes after.
    Busy,
}

impl Lanes {
    /// Which way an envelope goes, given the recipient's mailbox as far as there is one. Its place is taken until
    /// [`Lanes::settled`].
    pub(crate) fn choose<M>(&mut self, id: EnvelopeId, to: Address, mailbox: impl FnOnce() -> Option<M>) -> Way<M> {
        let way = match self.taken(to) {
            Some(Lane::Store) => Way::Store,
            Some(Lane::Mailbox) => mailbox().map_or(Way::Busy, Way::Mailbox),
            None => mailbox().map_or(Way::Store, Way::Mailbox),
        };
        let lane = match way {
            Way::Store => Lane::Store,
            Way::Mailbox(_) | Way::Busy => Lane::Mailbox,
        };
        self.0.push((id, to, lane));
        way
    }

    /// The way that unanswered envelopes to this device took; `None` when there are none.
    fn taken(&self, to: Address) -> Option<Lane> {
        self.0.iter().find(|(_, ahead, _)| *ahead == to).map(|(_, _, lane)| *lane)
    }
    /// Envelopes without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.0.len()
    }
    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert!(self.0.len() <= endtoend_protocol::limits::SEND_WINDOW as usize, "one for each send without answer");
        if let Some((_, to, lane)) = self.0.last() {
            assert_eq!(self.taken(*to), Some(*lane), "what goes to one device takes one way");
        }
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
        let (here, gone) = (|| Some("mailbox"), || None::<&str>);
        assert_eq!(lanes.choose(id(1), to(1), gone), Way::Store);
        assert_eq!(lanes.choose(id(2), to(1), here), Way::Store, "a mailbox that has just appeared knows nothing of 1");
        assert_eq!(lanes.choose(id(3), to(2), here), Way::Mailbox("mailbox"));
        assert_eq!(lanes.choose(id(4), to(2), gone), Way::Busy, "the store may have it before 3");
        lanes.settled(id(1));
        assert_eq!(lanes.taken(to(1)), Some(Lane::Store), "2 is still on its way");
        lanes.settled(id(2));
        assert_eq!(lanes.choose(id(5), to(1), here), Way::Mailbox("mailbox"));
        lanes.settled(id(3));
        lanes.settled(id(4));
        assert_eq!(lanes.choose(id(6), to(2), gone), Way::Store);
    }

    #[test]
    fn a_repeat_has_a_place_of_its_own() {
        let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
        let id = EnvelopeId::new(UnixMillis::new(1), [1; 10]);
        let mut lanes = Lanes::default();
        let none = || None::<()>;
        lanes.choose(id, to, none);
        lanes.choose(id, to, none);
        lanes.settled(id);
        assert_eq!(lanes.taken(to), Some(Lane::Store), "the repeat is still on its way");
        lanes.settled(id);
        assert_eq!(lanes.taken(to), None);
    }
}
