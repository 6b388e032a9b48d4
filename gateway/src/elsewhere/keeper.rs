//! The rules between a connection that asks to be attached and the directory of mailboxes: first the claim, then the mailbox.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use endtoend_cluster::claims::{
    Arrival, Attempt, ClaimsError, DeviceName, Epoch, Incarnation, Lost, Ownership, Standing, Taken,
};
use endtoend_protocol::Address;

use super::seen::Seen;

/// What waits for a claim. `M` is what the directory of mailboxes is told.
#[derive(Debug)]
pub(crate) struct Keeper<M> {
    /// By device, in the order in which it came: what follows a question to be attached waits behind it.
    parked: HashMap<DeviceName, VecDeque<M>>,
    pub(crate) seen: Seen,
}

impl<M> Default for Keeper<M> {
    fn default() -> Self {
        Self { parked: HashMap::new(), seen: Seen::default() }
    }
}

/// What is to be done after a claim was taken, or not.
#[derive(Debug)]
pub(crate) struct AfterTaking<M> {
    /// To be told to the directory of mailboxes, in this order.
    pub(crate) pass: VecDeque<M>,
    /// To be released.
    pub(crate) release: Option<Epoch>,
    /// Who had the device, and should hear of the newer claim.
    pub(crate) tell: Option<(Incarnation, Epoch)>,
    /// The connection that is to end.
    pub(crate) end: Option<u64>,
}

impl<M> Keeper<M> {
    /// A connection asks to be attached. Gives what the directory of mailboxes is told now, and whether the claim is to be taken.
    pub(crate) fn attach(
        &mut self,
        owned: &mut Ownership,
        (device, address): (DeviceName, Address),
        connection: u64,
        message: M,
        now: Instant,
    ) -> (Option<M>, Option<Attempt>) {
        self.seen.arrived(device, address);
        match owned.arrives(device, connection, now) {
            Arrival::Go => (Some(message), None),
            Arrival::Take(attempt) => {
                self.parked.entry(device).or_default().push_back(message);
                (None, Some(attempt))
            }
            Arrival::Wait => {
                self.parked.entry(device).or_default().push_back(message);
                (None, None)
            }
        }
    }

    /// A connection has ended; `message`: its mailbox is to hear of it by the way that its question took. Gives what the directory
    /// of mailboxes is told now, and the claim to release.
    pub(crate) fn left(
        &mut self,
        owned: &mut Ownership,
        device: DeviceName,
        connection: u64,
        message: Option<M>,
    ) -> (Option<M>, Option<Epoch>) {
        let released = owned.left(device, connection);
        self.forget_gone(owned, device);
        match self.parked.get_mut(&device) {
            Some(parked) => {
                parked.extend(message);
                (None, released)
            }
            None => (message, released),
        }
    }

    /// The directory of claims has answered.
    pub(crate) fn taken(
        &mut self,
        owned: &mut Ownership,
        device: DeviceName,
        attempt: Attempt,
        answer: Result<Taken, ClaimsError>,
        loaded: bool,
        now: Instant,
    ) -> AfterTaking<M> {
        let mut after = AfterTaking { pass: VecDeque::new(), release: None, tell: None, end: None };
        match owned.taken(device, attempt, answer, loaded, now) {
            Standing::Old => return after,
            Standing::Here { tell } => after.tell = tell,
            Standing::Left(epoch) => after.release = epoch,
            Standing::Lost(connection) => after.end = Some(connection),
        }
        let parked = self.parked.remove(&device).unwrap_or_default();
        // Who is not attached is told so when the question is dropped.
        if after.end.is_none() {
            after.pass = parked;
        }
        self.forget_gone(owned, device);
        after
    }

    /// There is a newer claim. Gives the connection that is to end.
    pub(crate) fn lost(&mut self, owned: &mut Ownership, lost: Lost) -> Option<u64> {
        let end = owned.lost(lost);
        self.forget_gone(owned, lost.device);
        end
    }

    /// A device that is not here any more is not swept.
    pub(crate) fn forget_gone(&mut self, owned: &Ownership, device: DeviceName) {
        if !owned.is_here(device) {
            self.seen.left(device);
        }
    }
}
