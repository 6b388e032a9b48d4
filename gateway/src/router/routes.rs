//! Which mailboxes live on this node.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use actix::Recipient;
use endtoend_protocol::{AccountTag, Address};
use endtoend_storage::Seq;

use super::table::Table;
use crate::actors::reply;
use crate::mailbox::{Enqueue, SharedWakeUps, Wake};

/// The way to one mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub enqueue: Recipient<Enqueue>,
    pub wake: Recipient<Wake>,
    pub wakes: Arc<SharedWakeUps>,
}

/// The table of mailboxes on this node: a mailbox enters itself before it loads its queue, and leaves before it stops.
///
/// Read by every connection for every message, so it is a lock and not an actor. The lock is held for one look-up or
/// one change, never across an await. Bounded by the connections that the node admits.
#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<Table<Route>>);

impl Routes {
    pub(crate) fn insert(&self, account: AccountTag, generation: u64, route: Route) {
        self.write().insert(account, generation, route);
    }

    pub(crate) fn remove(&self, account: AccountTag, generation: u64) {
        self.write().remove(account, generation);
    }

    /// The way to the mailbox of a user, and its generation.
    pub(crate) fn mailbox(&self, account: AccountTag) -> Option<(u64, Recipient<Enqueue>)> {
        self.read().get(account).map(|(generation, route)| (generation, route.enqueue.clone()))
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// A row was committed for this device: tells its mailbox, if there is one by now.
    pub(crate) fn wake(&self, to: Address, seq: Seq) {
        let Some((wake, wakes)) = self.way_to_wake(to.account) else { return };
        let tell = wakes.lock().add(to.device, seq);
        if tell {
            reply(&wake, Wake);
        }
    }

    fn way_to_wake(&self, account: AccountTag) -> Option<(Recipient<Wake>, Arc<SharedWakeUps>)> {
        self.read().get(account).map(|(_, route)| (route.wake.clone(), Arc::clone(&route.wakes)))
    }

    // A panic while the lock was held cannot have left the map in between: every change is one call.
    fn read(&self) -> RwLockReadGuard<'_, Table<Route>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Table<Route>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
