//! Which mailboxes live on this node.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use actix::Recipient;
use endtoend_protocol::{AccountTag, Address};
use endtoend_storage::Seq;

use crate::actors::reply;
use crate::mailbox::{Enqueue, Wake};

/// The way to one mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub generation: u64,
    pub enqueue: Recipient<Enqueue>,
    pub wake: Recipient<Wake>,
}

/// The table of mailboxes on this node: a mailbox enters itself before it loads its queue, and leaves before it stops.
///
/// Read by every connection for every message, so it is a lock and not an actor. The lock is held for one look-up or
/// one change, never across an await. Bounded by the connections that the node admits.
#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<HashMap<AccountTag, Route>>);

impl Routes {
    pub(crate) fn insert(&self, account: AccountTag, route: Route) {
        self.write().insert(account, route);
    }

    /// Takes the route out, unless a newer mailbox has taken its place.
    pub(crate) fn remove(&self, account: AccountTag, generation: u64) {
        let mut routes = self.write();
        if routes.get(&account).is_some_and(|route| route.generation == generation) {
            routes.remove(&account);
        }
    }

    pub(crate) fn mailbox(&self, account: AccountTag) -> Option<Recipient<Enqueue>> {
        self.read().get(&account).map(|route| route.enqueue.clone())
    }

    /// A row was committed for this device: tells its mailbox, if there is one by now.
    pub(crate) fn wake(&self, to: Address, seq: Seq) {
        let wake = self.read().get(&to.account).map(|route| route.wake.clone());
        if let Some(wake) = wake {
            reply(&wake, Wake { device: to.device, seq });
        }
    }

    // A panic while the lock was held cannot have left the map in between: every change is one call.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<AccountTag, Route>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, HashMap<AccountTag, Route>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
