//! What all parts of this node share of what they know of others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use actix::Recipient;
use endtoend_cluster::claims::{DeviceName, Incarnation, NameKey, Ownership, Whereabouts};
use endtoend_cluster::link::wire::{Forward, Frame, Outcome as WireOutcome, Tray as WireTray};
use endtoend_cluster::peers::{LinkLife, NotSent, Peers};
use endtoend_protocol::{Address, RetryReason};
use endtoend_storage::{Seq, Tray};

use super::forwards::Forwards;
use super::rules::{READS_FROM, from_wire};
use crate::actors::reply;
use crate::clock;
use crate::letter::Letter;
use crate::mailbox::Enqueue;
use crate::metrics::Metrics;
use crate::queue_writer::{Persisted, Told};
use crate::receipt::{Outcome, Receipt};
use crate::router::{Places, Routes};

use super::messages::Committed;

/// Devices on other nodes whose place is remembered: some ten megabytes.
const WHEREABOUTS_MAX: usize = 200_000;

/// What this node knows of its own claims and of devices elsewhere. Read by every connection for every message, so it is locks and
/// not an actor; each is held for one look-up or one change, never across an await.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(super) me: Incarnation,
    names: NameKey,
    owned: RwLock<Ownership>,
    whereabouts: Mutex<Whereabouts<LinkLife>>,
    forwards: Mutex<Forwards<Receipt>>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) metrics: Arc<Metrics>,
}

impl Elsewhere {
    pub(crate) fn new(me: Incarnation, names: NameKey, peers: Arc<dyn Peers>, metrics: Arc<Metrics>) -> Self {
        Self {
            me,
            names,
            owned: RwLock::default(),
            whereabouts: Mutex::new(Whereabouts::new(WHEREABOUTS_MAX)),
            forwards: Mutex::default(),
            peers,
            metrics,
        }
    }

    pub(crate) fn name(&self, to: Address) -> DeviceName {
        self.names.name(to)
    }

    // A panic while a lock was held cannot have left anything in between: every change is one call.
    pub(super) fn owned(&self) -> RwLockReadGuard<'_, Ownership> {
        self.owned.read().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn change_owned(&self) -> RwLockWriteGuard<'_, Ownership> {
        self.owned.write().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn whereabouts(&self) -> MutexGuard<'_, Whereabouts<LinkLife>> {
        self.whereabouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn forwards(&self) -> MutexGuard<'_, Forwards<Receipt>> {
        self.forwards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_exclusive(&self, device: DeviceName) -> bool {
        self.owned().is_exclusive(device, clock::monotonic())
    }

    /// Devices here, claimed ones, and exclusive ones.
    pub(crate) fn count(&self, now: Instant) -> (usize, usize, usize) {
        self.owned().count(now)
    }

    /// Sends an envelope over a link. Its sender hears from there, or that he has to repeat it.
    pub(crate) fn forward(&self, over: LinkLife, letter: Letter, receipt: Receipt) {
        // Under the lock, so that they leave in the order of their numbers, and after what is said of refusals that their senders
        // know of: those who do not are held back here, from before that is counted.
        let mut forwards = self.forwards();
        if letter.overtakes() {
            drop(forwards);
            return receipt.settle(Outcome::Retry(RetryReason::Busy));
        }
        let Letter { envelope, accepted_at, tray, .. } = letter;
        let tray = match tray {
            Tray::Contacts => WireTray::Contacts,
            Tray::Requests => WireTray::Requests,
        };
        let device = self.name(envelope.to);
        let n = forwards.went(over, device, receipt);
        let forward = Forward { envelope, tray, accepted_at };
        let heard = match forwards.untold(over) {
            None => Ok(()),
            Some(count) => self.peers.send(over, Frame::RefusalsHeard { count }).inspect(|()| forwards.told(over)),
        };
        let Err(error) = heard.and_then(|()| self.peers.send(over, Frame::Forward { n, forward })) else {
            return self.metrics.forwarded.one();
        };
        let refused = forwards.not_sent(over, n);
        drop(forwards);
        if error == NotSent::Broken {
            self.whereabouts().broke(over);
        }
        refused.into_iter().for_each(|receipt| receipt.settle(Outcome::Retry(RetryReason::Busy)));
    }

    /// What became of a forwarded envelope.
    pub(super) fn forwarded(&self, over: LinkLife, n: u64, outcome: WireOutcome, moved: bool) {
        let Some((device, receipt)) = self.forwards().answered(over, n) else { return };
        if moved {
            self.whereabouts().moved(device, over);
        }
        receipt.settle(from_wire(outcome));
        if outcome.is_to_come_again() {
            // Now whoever would send on what follows is held back.
            self.forwards().was_refused(over);
        }
    }

    /// Nothing comes over that link any more.
    pub(super) fn broke(&self, link: LinkLife) {
        self.whereabouts().broke(link);
        let receipts = self.forwards().broke(link);
        receipts.into_iter().for_each(|receipt| receipt.settle(Outcome::Retry(RetryReason::Busy)));
    }

    /// Tells the mailbox of the device, if there is one here, that there is a row.
    pub(crate) fn wake(routes: &Routes, to: Address) {
        routes.wake(to, READS_FROM);
    }

    /// Where the device is. `may_hop`: an envelope that has not come over a link may go over one.
    pub(crate) fn places<'a>(&'a self, routes: &'a Routes, to: Address, may_hop: bool) -> Known<'a> {
        Known { elsewhere: self, routes, to, may_hop }
    }
}

/// See [`Elsewhere::places`].
pub(crate) struct Known<'a> {
    elsewhere: &'a Elsewhere,
    routes: &'a Routes,
    to: Address,
    may_hop: bool,
}

impl Places<Recipient<Enqueue>> for Known<'_> {
    fn mailbox(&self) -> Option<(u64, Recipient<Enqueue>)> {
        let is_here = self.elsewhere.is_exclusive(self.elsewhere.name(self.to));
        if is_here { self.routes.mailbox(self.to.account) } else { None }
    }
    fn peer(&self) -> Option<LinkLife> {
        let device = self.elsewhere.name(self.to);
        if !self.may_hop || self.elsewhere.is_exclusive(device) {
            return None;
        }
        self.elsewhere.whereabouts().get(device)
    }
    fn is_linked(&self, link: LinkLife) -> bool {
        self.may_hop && self.elsewhere.peers.links().iter().any(|other| other.life == link)
    }
}

/// Of the queue writer: says what follows a commit when everybody knows who has to.
#[derive(Clone, Debug)]
pub(crate) struct AfterCommit {
    pub(crate) elsewhere: Arc<Elsewhere>,
    pub(crate) waker: Recipient<Committed>,
}

impl AfterCommit {
    /// `told` is said at once where the device is exclusively here, or nothing was committed, and else when others know.
    pub(crate) fn tell(
        &self,
        to: Address,
        seq: Option<Seq>,
        told: Told<Recipient<Persisted>, Receipt>,
        routes: &Routes,
    ) {
        match (told, seq) {
            (Told::Wake(to, _), _) => Elsewhere::wake(routes, to),
            // Commit first, look second.
            (told, Some(seq)) if !self.elsewhere.is_exclusive(self.elsewhere.name(to)) => {
                reply(&self.waker, Committed { to, seq, told });
            }
            (told, _) => say(told, routes),
        }
    }
}

/// Says what became of a commit.
pub(crate) fn say(told: Told<Recipient<Persisted>, Receipt>, routes: &Routes) {
    match told {
        Told::Mailbox(mailbox, persisted) => reply(&mailbox, persisted),
        Told::Wake(to, seq) => routes.wake(to, seq),
        Told::Sender(receipt, outcome) => receipt.settle(outcome),
    }
}
