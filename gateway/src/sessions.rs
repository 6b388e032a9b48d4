//! Who is logged in on this node, so that somebody who is removed is gone at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use actix::{Message, Recipient};
use endtoend_cluster::link::wire::News;
use endtoend_protocol::{AccountTag, Address, DeviceId};
use endtoend_storage::FamilyId;

use crate::actors::reply;
use crate::elsewhere::Teller;
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

/// A connection, and what it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    pub(crate) id: SessionId,
    pub(crate) device: Address,
    pub(crate) family: FamilyId,
}

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
pub(crate) struct Sessions(Mutex<Table>, OnceLock<Arc<Teller>>);

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

fn entered(
    account: AccountTag,
    sessions: &[Session],
    which: impl Fn(&Session) -> bool,
) -> impl Iterator<Item = Entered> {
    sessions.iter().filter(move |session| which(session)).map(move |session| {
        let device = Address { account, device: session.device };
        Entered { id: session.id, device, family: session.family }
    })
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
    pub(crate) fn tell_peers(&self, teller: Arc<Teller>) {
        let _only_once = self.1.set(teller);
    }

    /// What this node does itself, other nodes do when they hear of it: one that has no link, when there is one again.
    pub(crate) fn tell(&self, news: News) {
        self.1.get().into_iter().for_each(|teller| teller.tell(news));
    }

    /// Connections that another node's news are about.
    pub(crate) fn concerned(&self, news: News) -> Vec<Entered> {
        match news {
            News::DeviceRevoked { device } => self.find(device.account, |session| session.device == device.device),
            News::FamilyRevoked { account, family } => self.find(account, |session| session.family.0 == family),
            News::AccountRevoked { account, except } => self.find(account, |session| Some(session.family.0) != except),
            News::DevicesChanged { .. } | News::StandingChanged { .. } => Vec::new(),
        }
    }

    /// All connections.
    pub(crate) fn everybody(&self) -> Vec<Entered> {
        let table = self.lock();
        table.accounts.iter().flat_map(|(account, sessions)| entered(*account, sessions, |_| true)).collect()
    }

    /// All accounts.
    pub(crate) fn accounts(&self) -> Vec<AccountTag> {
        self.lock().accounts.keys().copied().collect()
    }

    fn find(&self, account: AccountTag, which: impl Fn(&Session) -> bool) -> Vec<Entered> {
        let table = self.lock();
        let sessions = table.accounts.get(&account);
        sessions.into_iter().flat_map(|sessions| entered(account, sessions, &which)).collect()
    }

    /// Ends one connection, if it is still here.
    pub(crate) fn end_one(&self, Entered { id, device, .. }: Entered) {
        self.end(device.account, |session| session.id == id);
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

    pub(crate) fn say_devices_changed(&self, account: AccountTag, version: u32) {
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
