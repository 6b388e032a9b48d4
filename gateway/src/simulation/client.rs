//! A client: what it has on its disk, and what it forgets when its connection or its process ends.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use endtoend_protocol::{Address, Deliver, EnvelopeId, limits};

use crate::receipt::Outcome;

/// As the engine's: an envelope that is not answered this long is sent again.
const SILENCE_MAX: u64 = 10_000_000;

/// What a client says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Up {
    Attach,
    Send { number: usize, to: Address, bytes: usize },
    RetriesHeard(u64),
    Ack(u64),
}

/// What a client hears.
#[derive(Debug)]
pub(super) enum Down {
    Attached,
    Deliver(Deliver),
    Settled(EnvelopeId, Outcome),
    Closed,
}

/// The way between a client and a connection, with what travels on it. An end that is closed hears nothing.
#[derive(Debug)]
pub(super) struct Link {
    /// Where the connection is.
    pub(super) node: usize,
    pub(super) up: VecDeque<Up>,
    pub(super) down: VecDeque<Down>,
    pub(super) client_open: bool,
    /// When the node learns that the client is gone.
    pub(super) noticed_at: u64,
}

/// A row of the outbox.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) to: Address,
    pub(super) bytes: usize,
    pub(super) sent_at: Option<u64>,
    pub(super) was_sent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    No,
    Asked,
    Yes,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: Address,
    /// On its disk: what it has to send, and what it has received.
    pub(super) outbox: BTreeMap<usize, Written>,
    pub(super) received: BTreeSet<usize>,
    /// In its memory.
    pub(super) link: Option<usize>,
    pub(super) attachment: Attachment,
    pub(super) read: Option<Deliver>,
    pub(super) stored: u64,
    pub(super) acknowledged: u64,
    pub(super) held: BTreeMap<Address, u64>,
    /// Answers of this connection that asked it to send again; and how many of them the node knows to have been heard.
    pub(super) retries: u64,
    pub(super) retries_told: Option<u64>,
    pub(super) connect_at: u64,
    /// To which node it connects next, if it has one in mind.
    pub(super) goes_to: Option<usize>,
    pub(super) stalled_until: u64,
    /// Whether it wants deliveries at all.
    pub(super) wants: bool,
    /// What [`Client::next_to_send`] found, and until when that holds if nothing happens.
    next: Cell<Option<(Option<usize>, u64)>>,
}

impl Client {
    pub(super) fn new(address: Address, wants: bool) -> Self {
        Self {
            address,
            outbox: BTreeMap::new(),
            received: BTreeSet::new(),
            link: None,
            attachment: Attachment::No,
            read: None,
            stored: 0,
            acknowledged: 0,
            held: BTreeMap::new(),
            retries: 0,
            retries_told: None,
            connect_at: 0,
            goes_to: None,
            stalled_until: 0,
            wants,
            next: Cell::default(),
        }
    }

    /// The connection is gone, perhaps with the process: what is not on the disk is forgotten.
    pub(super) fn disconnected(&mut self, connect_at: u64) {
        self.next.set(None);
        self.link = None;
        self.attachment = Attachment::No;
        self.read = None;
        (self.stored, self.acknowledged) = (0, 0);
        self.held.clear();
        (self.retries, self.retries_told) = (0, None);
        self.connect_at = connect_at;
        self.outbox.values_mut().for_each(|row| row.sent_at = None);
    }

    /// The next envelope to send: in order for each addressee, a window of them at a time.
    pub(super) fn next_to_send(&self, now: u64) -> Option<usize> {
        if let Some((next, until)) = self.next.get()
            && now < until
        {
            return next;
        }
        let (mut next, mut until, mut in_flight) = (None, u64::MAX, 0);
        for (number, row) in &self.outbox {
            let sent_again_at = row.sent_at.map_or(0, |at| at + SILENCE_MAX);
            in_flight += usize::from(now < sent_again_at);
            let free_at = sent_again_at.max(self.held.get(&row.to).copied().unwrap_or(0));
            if free_at > now {
                until = until.min(free_at);
            } else {
                next = next.or(Some(*number));
            }
        }
        let next = next.filter(|_| in_flight < limits::SEND_WINDOW as usize);
        self.next.set(Some((next, until)));
        next
    }

    pub(super) fn write(&mut self, number: usize, to: Address, bytes: usize) {
        self.next.set(None);
        self.outbox.insert(number, Written { to, bytes, sent_at: None, was_sent: false });
    }

    /// It is on its way. Gives it, and whether it was before.
    pub(super) fn send(&mut self, number: usize, now: u64) -> Option<(Address, usize, bool)> {
        self.next.set(None);
        let row = self.outbox.get_mut(&number)?;
        row.sent_at = Some(now);
        Some((row.to, row.bytes, std::mem::replace(&mut row.was_sent, true)))
    }

    pub(super) fn settled(&mut self, number: usize, outcome: Outcome, now: u64) {
        self.next.set(None);
        match outcome {
            Outcome::Accepted { .. } | Outcome::Rejected(_) => {
                self.outbox.remove(&number);
            }
            Outcome::Retry(reason) => self.put_off(number, now + crate::connection::retry_after_ms(reason) * 1000),
            Outcome::Superseded => self.put_off(number, now + 100_000),
            Outcome::Limited { retry_after } => self.put_off(number, now + retry_after.as_micros() as u64),
        }
    }

    fn put_off(&mut self, number: usize, until: u64) {
        self.retries += 1;
        if let Some(row) = self.outbox.get_mut(&number) {
            row.sent_at = None;
            let held = self.held.entry(row.to).or_default();
            *held = until.max(*held);
        }
    }

    /// The next moment at which it may do something that it does not do now.
    pub(super) fn wakes_at(&self, now: u64) -> Option<u64> {
        let connects = self.link.is_none().then_some(self.connect_at);
        let waits = self.outbox.values().filter(|_| self.link.is_some()).filter_map(|row| match row.sent_at {
            Some(at) => Some(at + SILENCE_MAX),
            None => self.held.get(&row.to).copied(),
        });
        connects.into_iter().chain(waits).chain([self.stalled_until]).filter(|at| *at > now).min()
    }
}
