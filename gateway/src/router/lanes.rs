//! Keeps the order of one sender's envelopes while a recipient's mailbox appears or goes away.

use endtoend_cluster::peers::LinkLife;
use endtoend_protocol::{Address, EnvelopeId};

/// Which way an envelope took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// To the recipient's mailbox of this generation, which pushes it and has it stored.
    Mailbox(u64),
    /// Straight to the store, because there was no mailbox.
    Store,
    /// To the node at the other end of this link, which decides between these two.
    Peer(LinkLife),
}

impl Lane {
    /// The same way once more, if there still is one.
    fn way<M>(self, places: &impl Places<M>) -> Way<M> {
        match self {
            Self::Store => Way::Store,
            Self::Peer(link) if places.is_linked(link) => Way::Peer(link),
            Self::Peer(_) => Way::Busy,
            Self::Mailbox(ahead) => match places.mailbox() {
                Some((generation, mailbox)) if generation == ahead => Way::Mailbox(mailbox),
                // What waits for a mailbox that goes away is dropped, and a newer one may be there before that.
                Some(_) | None => Way::Busy,
            },
        }
    }
}

/// The envelopes of one connection that are not answered yet, and the ways they took.
///
/// What follows to the same device takes the same way. Otherwise a mailbox that has just appeared would push the second
/// before it can know of the first, or the store, or a newer mailbox, would take the second before one that goes away has handled
/// the first. Bounded by the send window.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Vec<(EnvelopeId, u64, Address, Lane)>);

/// Where an envelope goes. `M` is the way to a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way<M> {
    /// To this mailbox.
    Mailbox(M),
    /// Straight to the store.
    Store,
    /// Over this link, to the node that has the device.
    Peer(LinkLife),
    /// Nowhere: the mailbox, or the link, that has the ones before it is going away. Whatever becomes of them, this one comes
    /// after.
    Busy,
}

/// Where the device is, as far as this node knows. `M` is the way to a mailbox.
pub(crate) trait Places<M> {
    /// Its mailbox here and that one's generation, if envelopes may go there directly.
    fn mailbox(&self) -> Option<(u64, M)>;
    /// The link to the node where it was seen last.
    fn peer(&self) -> Option<LinkLife>;
    /// Whether the link still carries frames.
    fn is_linked(&self, link: LinkLife) -> bool;
}

/// A node without others: its mailboxes are all there are.
impl<M, F: Fn() -> Option<(u64, M)>> Places<M> for F {
    fn mailbox(&self) -> Option<(u64, M)> {
        self()
    }
    fn peer(&self) -> Option<LinkLife> {
        None
    }
    fn is_linked(&self, _: LinkLife) -> bool {
        false
    }
}

impl Lanes {
    /// Which way an envelope goes, given where its recipient is. Its place is taken until [`Lanes::settled`]. `n` is its number
    /// on the connection.
    pub(crate) fn choose<M>(&mut self, (id, n): (EnvelopeId, u64), to: Address, places: &impl Places<M>) -> Way<M> {
        let (lane, way) = match self.taken(to) {
            Some(lane) => (lane, lane.way(places)),
            None => match places.mailbox() {
                Some((generation, mailbox)) => (Lane::Mailbox(generation), Way::Mailbox(mailbox)),
                None => match places.peer() {
                    Some(link) => (Lane::Peer(link), Way::Peer(link)),
                    None => (Lane::Store, Way::Store),
                },
            },
        };
        self.0.push((id, n, to, lane));
        way
    }

    /// The way that unanswered envelopes to this device took; `None` when there are none.
    fn taken(&self, to: Address) -> Option<Lane> {
        self.0.iter().find(|(.., ahead, _)| *ahead == to).map(|(.., lane)| *lane)
    }
    /// Whether one to this device, or to any for `None`, from that number on has no answer.
    pub(crate) fn is_under_way(&self, to: Option<Address>, from: u64) -> bool {
        self.0.iter().any(|(_, n, ahead, _)| *n >= from && to.is_none_or(|to| to == *ahead))
    }
    /// Envelopes without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.0.len()
    }
    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert!(self.0.len() <= endtoend_protocol::limits::SEND_WINDOW as usize, "one for each send without answer");
        if let Some((.., to, lane)) = self.0.last() {
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
        let id = |n| (EnvelopeId::new(UnixMillis::new(n), [1; 10]), n);
        let mut lanes = Lanes::default();
        let (here, gone) = (|| Some((7, "mailbox")), || None::<(u64, &str)>);
        assert_eq!(lanes.choose(id(1), to(1), &gone), Way::Store);
        assert_eq!(
            lanes.choose(id(2), to(1), &here),
            Way::Store,
            "a mailbox that has just appeared knows nothing of 1"
        );
        assert_eq!(lanes.choose(id(3), to(2), &here), Way::Mailbox("mailbox"));
        assert_eq!(lanes.choose(id(4), to(2), &gone), Way::Busy, "the store may have it before 3");
        let newer = || Some((8, "newer"));
        assert_eq!(lanes.choose(id(9), to(2), &newer), Way::Busy, "it may push this before 3 is dropped");
        lanes.settled(id(9).0);
        lanes.settled(id(1).0);
        assert_eq!(lanes.taken(to(1)), Some(Lane::Store), "2 is still on its way");
        lanes.settled(id(2).0);
        assert_eq!(lanes.choose(id(5), to(1), &here), Way::Mailbox("mailbox"));
        lanes.settled(id(3).0);
        lanes.settled(id(4).0);
        assert_eq!(lanes.choose(id(6), to(2), &gone), Way::Store);
    }

    struct Elsewhere(Option<LinkLife>, bool);
    impl Places<()> for Elsewhere {
        fn mailbox(&self) -> Option<(u64, ())> {
            None
        }
        fn peer(&self) -> Option<LinkLife> {
            self.0
        }
        fn is_linked(&self, link: LinkLife) -> bool {
            self.1 && link == LinkLife(1)
        }
    }

    #[test]
    fn what_follows_an_envelope_over_a_link_goes_over_the_same_life_of_it_or_nowhere() {
        let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
        let id = |n| (EnvelopeId::new(UnixMillis::new(n), [1; 10]), n);
        let mut lanes = Lanes::default();
        assert_eq!(lanes.choose(id(1), to, &Elsewhere(Some(LinkLife(1)), true)), Way::Peer(LinkLife(1)));
        assert_eq!(
            lanes.choose(id(2), to, &|| Some((1, ()))),
            Way::Busy,
            "the link of 1 is gone, and 1 is not answered"
        );
        lanes.settled(id(2).0);
        assert_eq!(lanes.choose(id(3), to, &Elsewhere(None, true)), Way::Peer(LinkLife(1)));
        assert_eq!(lanes.choose(id(4), to, &Elsewhere(Some(LinkLife(2)), false)), Way::Busy);
        (1..=4).for_each(|n| lanes.settled(id(n).0));
        assert_eq!(lanes.choose(id(5), to, &Elsewhere(Some(LinkLife(2)), false)), Way::Peer(LinkLife(2)));
        lanes.settled(id(5).0);
        assert_eq!(lanes.choose(id(6), to, &Elsewhere(None, false)), Way::Store);
        lanes.check_invariants();
    }

    #[test]
    fn a_repeat_has_a_place_of_its_own() {
        let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
        let id = EnvelopeId::new(UnixMillis::new(1), [1; 10]);
        let mut lanes = Lanes::default();
        let none = || None::<(u64, ())>;
        lanes.choose((id, 1), to, &none);
        lanes.choose((id, 2), to, &none);
        assert!(lanes.is_under_way(Some(to), 2) && lanes.is_under_way(None, 1) && !lanes.is_under_way(None, 3));
        lanes.settled(id);
        assert_eq!(lanes.taken(to), Some(Lane::Store), "the repeat is still on its way");
        lanes.settled(id);
        assert_eq!(lanes.taken(to), None);
    }
}
