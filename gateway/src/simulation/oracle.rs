//! What must be true of a world, whatever happens in it: invariants 1 to 5 of the message path.
//!
//! It knows what was written by whom, what the node said of it, what was on a disk when, and what each device stored.

use std::collections::BTreeMap;

use endtoend_protocol::{Address, EnvelopeId, UnixMillis, limits};

use super::client::{Attachment, Client};
use super::node::{ConnectionId, Node};
use super::store::Store;
use crate::receipt::Outcome;

/// So many acknowledgements later a device may be given an envelope again: many times what a sender can have to repeat.
const REPEATS_KNOWN: usize = 1024;

/// An envelope, and when things happened to it first. Moments are counted, not measured.
#[derive(Debug)]
struct Told {
    from: usize,
    to: Address,
    /// A device stored it, or it was committed.
    safe: Option<u64>,
    /// It was on its way to its device, or committed.
    somewhere: Option<u64>,
    /// Its sender was told so.
    accepted: Option<u64>,
    /// It had expired before it was shown: it came because it was sent again, or a page of it was on its way.
    late: bool,
    /// When its row ends, if it ever had one.
    row_until: Option<UnixMillis>,
    /// What is accepted is kept until then at least.
    kept_until: UnixMillis,
    /// Its device stored it.
    shown: Option<u64>,
    /// It was sent again, or its sender was told to.
    repeated: bool,
}

impl Told {
    fn looks_whether_it_is_late(&mut self, now: UnixMillis) {
        self.late |= self.shown.is_none() && self.row_until.is_some_and(|until| until <= now);
    }
}

pub(super) struct Oracle {
    clients: Vec<Address>,
    envelopes: Vec<Told>,
    moment: u64,
    /// By connection: what was delivered there, and how much was delivered before.
    delivered: BTreeMap<ConnectionId, BTreeMap<usize, usize>>,
}

/// Envelopes are numbered in the order in which they were written; the number is in the id.
pub(super) fn id_of(number: usize) -> EnvelopeId {
    EnvelopeId::new(UnixMillis::new(number as u64), [7; 10])
}

pub(super) fn number(id: EnvelopeId) -> usize {
    id.as_bytes().iter().take(6).fold(0, |number, byte| number << 8 | usize::from(*byte))
}

impl Oracle {
    pub(super) fn new(clients: Vec<Address>) -> Self {
        Self { clients, envelopes: Vec::new(), moment: 0, delivered: BTreeMap::new() }
    }

    fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// Somebody has written an envelope; gives its number.
    pub(super) fn written(&mut self, from: usize, to: Address) -> usize {
        self.envelopes.push(Told {
            from,
            to,
            safe: None,
            somewhere: None,
            accepted: None,
            late: false,
            row_until: None,
            kept_until: UnixMillis::new(0),
            shown: None,
            repeated: false,
        });
        self.envelopes.len() - 1
    }

    pub(super) fn sent(&mut self, number: usize, again: bool) {
        self.envelopes[number].repeated |= again;
    }

    /// It was refused at the door.
    pub(super) fn refused(&mut self, number: usize) {
        self.envelopes[number].repeated = true;
    }

    /// A row of it was committed, or committed again, and stays until then.
    pub(super) fn is_safe(&mut self, id: EnvelopeId, until: UnixMillis, now: UnixMillis) {
        let moment = self.moment();
        let told = &mut self.envelopes[number(id)];
        told.safe.get_or_insert(moment);
        told.somewhere.get_or_insert(moment);
        told.looks_whether_it_is_late(now);
        told.row_until = told.row_until.max(Some(until));
    }

    /// Invariant 1: what the node calls accepted is on a disk, the device's or its own, and stays there as long as it says.
    pub(super) fn said(
        &mut self,
        id: EnvelopeId,
        outcome: Outcome,
        store: &Store,
        clients: &[Client],
        now: UnixMillis,
    ) {
        let (moment, number) = (self.moment(), number(id));
        let told = &mut self.envelopes[number];
        let Outcome::Accepted { at } = outcome else {
            assert!(
                matches!(outcome, Outcome::Retry(_) | Outcome::Superseded | Outcome::Limited { .. }),
                "{number} was rejected"
            );
            told.repeated = true;
            return;
        };
        let addressee = self.clients.iter().position(|client| *client == told.to).unwrap();
        let kept_until = at.plus(limits::QUEUE_AGE_MAX);
        if !clients[addressee].received.contains(&number) {
            let until = store.until(id).filter(|until| *until > now);
            assert!(
                until.is_some(),
                "envelope {number} is accepted, but neither the node nor the device has it on its disk"
            );
            assert!(
                until >= Some(kept_until),
                "envelope {number} is accepted, but its row ends before its sender knows"
            );
        }
        let had_expired = told.kept_until <= now && told.shown.is_none();
        if told.accepted.is_none() || had_expired {
            told.accepted = Some(moment);
        }
        told.kept_until = told.kept_until.max(kept_until);
    }

    /// The node pushes an envelope to a device. Invariant 2: not again what it knows the device to have.
    pub(super) fn delivered(&mut self, connection: ConnectionId, id: EnvelopeId) {
        let moment = self.moment();
        self.envelopes[number(id)].somewhere.get_or_insert(moment);
        let delivered = self.delivered.entry(connection).or_default();
        let count = delivered.len();
        if let Some(before) = delivered.insert(number(id), count) {
            assert!(count - before >= REPEATS_KNOWN, "envelope {} is delivered twice on one connection", number(id));
        }
    }

    /// A device has stored an envelope; `first` as far as its disk knows.
    pub(super) fn stored(&mut self, id: EnvelopeId, client: usize, first: bool, now: UnixMillis) {
        let moment = self.moment();
        let told = &mut self.envelopes[number(id)];
        assert_eq!(told.to, self.clients[client], "another's envelope");
        assert_eq!(first, told.shown.is_none(), "envelope {} is shown once", number(id));
        told.looks_whether_it_is_late(now);
        told.shown.get_or_insert(moment);
        told.safe.get_or_insert(moment);
    }

    /// Everything has come to rest with all devices there. Invariant 4: all that was accepted was shown; and 5: every
    /// place in a window, and all of the memory, is given back. One device may read nothing: that is its own affair.
    pub(super) fn at_rest(
        &self,
        nodes: &[Node],
        memory_kib: usize,
        clients: &[Client],
        sloth: Option<usize>,
        now: UnixMillis,
    ) {
        let sloth_address = sloth.map(|sloth| self.clients[sloth]);
        for (at, client) in clients.iter().enumerate().filter(|(at, _)| Some(*at) != sloth) {
            assert_eq!(client.attachment, Attachment::Yes, "device {at} asked to be attached and never was");
            assert_eq!(client.stored, client.acknowledged);
        }
        let is_others = |told: &Told| Some(told.to) != sloth_address && Some(told.from) != sloth;
        for (number, told) in self.envelopes.iter().enumerate().filter(|(_, told)| is_others(told)) {
            let expired = told.kept_until <= now;
            assert!(told.accepted.is_some(), "envelope {number} of client {} was never accepted", told.from);
            assert!(told.shown.is_some() || expired, "envelope {number} was accepted and never shown");
        }
        if sloth.is_none() {
            for node in nodes {
                assert_eq!(node.memory.free(), memory_kib, "the memory is given back");
            }
            for connection in nodes.iter().flat_map(|node| node.connections.values()) {
                assert_eq!(
                    connection.window.available_permits(),
                    limits::SEND_WINDOW as usize,
                    "every send is answered"
                );
                assert_eq!(connection.lanes.unanswered(), 0, "and has left its lane");
            }
        }
    }

    /// Whether everything that was accepted was shown, but what is for one that reads nothing.
    pub(super) fn all_is_shown(&self, sloth: Option<Address>, now: UnixMillis) -> bool {
        let waits = |told: &Told| told.accepted.is_some() && told.shown.is_none() && told.kept_until > now;
        !self.envelopes.iter().any(|told| Some(told.to) != sloth && waits(told))
    }

    /// Invariant 3: of one sender to one device, in the order in which they were written, also where some of them were told to come
    /// again. What came after its time is an exception: it may have been dropped before.
    pub(super) fn order_of_writing(&self) {
        let mut last: BTreeMap<(usize, Address), (usize, u64)> = BTreeMap::new();
        for (at, told) in self.envelopes.iter().enumerate().filter(|(_, told)| !told.late) {
            let Some(shown) = told.shown else { continue };
            if let Some((before, moment)) = last.insert((told.from, told.to), (at, shown)) {
                assert!(moment < shown, "envelope {before} was sent before {at} and shown after it");
            }
        }
    }

    /// Invariant 3, again, where the order of acceptance says more: what was accepted is before what came late.
    ///
    /// When a sender was told to repeat something that was written, or pushed, all the same, its place is somewhere
    /// between; then only what was accepted before the other was anywhere counts.
    pub(super) fn order(&self) {
        let mut pairs: BTreeMap<(usize, Address), Vec<(usize, &Told)>> = BTreeMap::new();
        for (at, told) in self.envelopes.iter().enumerate().filter(|(_, told)| told.shown.is_some()) {
            pairs.entry((told.from, told.to)).or_default().push((at, told));
        }
        for told in pairs.values() {
            for (at, one) in told {
                for (other_at, other) in told {
                    let repeated = one.repeated || other.repeated;
                    let (first, second) =
                        if repeated { (one.accepted, other.somewhere) } else { (one.safe, other.safe) };
                    let first = first.filter(|_| !one.late);
                    let before = first.is_some_and(|first| second.is_some_and(|second| first < second));
                    assert!(
                        !before || one.shown < other.shown,
                        "envelope {at} was accepted before {other_at} and shown after it"
                    );
                }
            }
        }
    }
}
