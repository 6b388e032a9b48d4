//! Who is logged in on this node, so that somebody who is removed is gone at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use actix::{Message, Recipient};
use endtoend_cluster::link::wire::{Frame, News};
use endtoend_cluster::peers::Peers;
use endtoend_protocol::{AccountTag, Address, DeviceId};
use endtoend_storage::FamilyId;

use crate::actors::reply;
use crate::limits::Origin;

/// What a connection is told about its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub(crate) enum Notice {
    /// The list of devices has changed.
    DevicesChanged { version: u32 },
    /// The device may go on no more.
    Removed,
    /// Too many are here that have not logged in, and this one has been longest.
    Crowded,
}

/// Names a connection on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionId(u64);

struct Session {
    id: SessionId,
    device: DeviceId,
    family: FamilyId,
    origin: Origin,
    notice: Recipient<Notice>,
}

/// The authenticated connections of this node. Bounded by the connections that it admits; a few for each account.
///
/// A connection enters itself before it is told that it is authenticated, and a service removes a device from the store
/// before it looks here: one of the two sees the other.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Table>, OnceLock<Arc<dyn Peers>>);

#[derive(Default)]
struct Table {
    last: u64,
    accounts: HashMap<AccountTag, Vec<Session>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    // A panic while the lock was held cannot have left the table in between: every change is one call.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection. Says whether the device is here from somewhere else too.
    pub(crate) fn enter(
        &self,
        device: Address,
        family: FamilyId,
        origin: Origin,
        notice: Recipient<Notice>,
    ) -> (SessionId, bool) {
        let mut table = self.lock();
        table.last += 1;
        let id = SessionId(table.last);
        let sessions = table.accounts.entry(device.account).or_default();
        let elsewhere = sessions.iter().any(|other| other.device == device.device && other.origin != origin);
        sessions.push(Session { id, device: device.device, family, origin, notice });
        (id, elsewhere)
    }

    pub(crate) fn leave(&self, account: AccountTag, id: SessionId) {
        let mut table = self.lock();
        if let Some(sessions) = table.accounts.get_mut(&account) {
            sessions.retain(|session| session.id != id);
            if sessions.is_empty() {
                table.accounts.remove(&account);
            }
        }
    }

    /// Other nodes hear of what ends here from now on. Once, when the node starts.
    pub(crate) fn tell_peers(&self, peers: Arc<dyn Peers>) {
        let _only_once = self.1.set(peers);
    }

    /// What this node does itself, other nodes do when they hear of it. One that has no link does it when it asks the store: a token
    /// that is gone is not good for another login, and an access token for a quarter of an hour at most.
    pub(crate) fn tell(&self, news: News) {
        let Some(peers) = self.1.get() else { return };
        for link in peers.links() {
            // Nobody waits for an answer, so its number says nothing.
            if let Err(error) = peers.send(link.life, Frame::News { n: 0, news }) {
                tracing::warn!(%error, node = %link.run.node, "a node does not hear of a revocation");
            }
        }
    }

    /// Another node has done it.
    pub(crate) fn heard(&self, news: News) {
        match news {
            News::DevicesChanged { account, version } => self.say_devices_changed(account, version),
            News::DeviceRevoked { device } => self.end(device.account, |session| session.device == device.device),
            News::FamilyRevoked { account, family } => self.end(account, |session| session.family.0 == family),
            News::AccountRevoked { account, except } => {
                self.end(account, |session| Some(session.family.0) != except);
            }
            News::StandingChanged { .. } => {}
        }
    }

    /// Ends the connections of an account that this holds for.
    fn end(&self, account: AccountTag, which: impl Fn(&Session) -> bool) {
        for session in self.lock().accounts.get(&account).into_iter().flatten().filter(|session| which(session)) {
            reply(&session.notice, Notice::Removed);
        }
    }

    pub(crate) fn end_device(&self, device: Address) {
        self.tell(News::DeviceRevoked { device });
        self.end(device.account, |session| session.device == device.device);
    }

    pub(crate) fn end_family(&self, account: AccountTag, family: FamilyId) {
        self.tell(News::FamilyRevoked { account, family: family.0 });
        self.end(account, |session| session.family == family);
    }

    /// All but those of one family.
    pub(crate) fn end_account(&self, account: AccountTag, except: Option<FamilyId>) {
        self.tell(News::AccountRevoked { account, except: except.map(|family| family.0) });
        self.end(account, |session| Some(session.family) != except);
    }

    pub(crate) fn devices_changed(&self, account: AccountTag, version: u32) {
        self.tell(News::DevicesChanged { account, version });
        self.say_devices_changed(account, version);
    }

    fn say_devices_changed(&self, account: AccountTag, version: u32) {
        for session in self.lock().accounts.get(&account).into_iter().flatten() {
            reply(&session.notice, Notice::DevicesChanged { version });
        }
    }

    /// Accounts and connections that are here.
    pub(crate) fn count(&self) -> (usize, usize) {
        let table = self.lock();
        (table.accounts.len(), table.accounts.values().map(Vec::len).sum())
    }
}
