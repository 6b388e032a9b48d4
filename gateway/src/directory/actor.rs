//! The parent of all mailboxes.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Recipient};
use endtoend_protocol::AccountTag;
use endtoend_storage::QueueStore;

use super::messages::{AttachTo, LeaveTo};
use crate::actors::reply;
use crate::mailbox::{Finish, Mailbox, MailboxIdle, MailboxStopped, Surroundings};
use crate::queue_writer::{Forget, Persist};
use crate::router::Routes;

/// Attachments that may wait. With no room left a device is told to come again.
const WAITING_MESSAGES_MAX: usize = 4_096;

/// Starts mailboxes, and forgets those that stopped.
///
/// Owns the one list of live mailboxes, so that a user has one at most. Senders do not come by here: they look into
/// [`Routes`]. Full: bounded by the connections that the node admits. Nobody else starts or stops a mailbox.
pub(crate) struct Directory {
    live: HashMap<AccountTag, Live>,
    generations: u64,
    arbiters: Vec<ArbiterHandle>,
    store: Arc<dyn QueueStore>,
    routes: Arc<Routes>,
    persist: Recipient<Persist>,
    forget: Recipient<Forget>,
}

struct Live {
    generation: u64,
    attaches: u64,
    mailbox: Addr<Mailbox>,
}

impl Directory {
    /// Mailboxes are spread over `arbiters`, one of which there must be.
    pub(crate) fn new(
        arbiters: Vec<ArbiterHandle>,
        store: Arc<dyn QueueStore>,
        routes: Arc<Routes>,
        persist: Recipient<Persist>,
        forget: Recipient<Forget>,
    ) -> Self {
        Self { live: HashMap::new(), generations: 0, arbiters, store, routes, persist, forget }
    }

    fn start_mailbox(&mut self, account: AccountTag, ctx: &mut Context<Self>) -> Option<Live> {
        self.generations += 1;
        let generation = self.generations;
        let around = Surroundings {
            store: Arc::clone(&self.store),
            persist: self.persist.clone(),
            forget: self.forget.clone(),
            routes: Arc::clone(&self.routes),
            idle: ctx.address().recipient(),
            stopped: ctx.address().recipient(),
        };
        let [first, ..] = account.as_bytes();
        let arbiter = self.arbiters.get(usize::from(*first) % self.arbiters.len().max(1))?;
        let mailbox = Mailbox::start_in_arbiter(arbiter, move |_| Mailbox::new(account, generation, around));
        Some(Live { generation, attaches: 0, mailbox })
    }
}

impl Actor for Directory {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(WAITING_MESSAGES_MAX);
    }
}

impl Handler<LeaveTo> for Directory {
    type Result = ();
    /// Comes after the `AttachTo` of the same connection, here and at the mailbox.
    fn handle(&mut self, LeaveTo { account, left }: LeaveTo, _: &mut Self::Context) {
        if let Some(live) = self.live.get(&account) {
            reply(&live.mailbox.clone().recipient(), left);
        }
    }
}

impl Handler<AttachTo> for Directory {
    type Result = ();
    fn handle(&mut self, AttachTo { account, attach }: AttachTo, ctx: &mut Self::Context) {
        if self.live.get(&account).is_none_or(|live| !live.mailbox.connected())
            && let Some(live) = self.start_mailbox(account, ctx)
        {
            self.live.insert(account, live);
        }
        if let Some(live) = self.live.get_mut(&account) {
            live.attaches += 1;
            reply(&live.mailbox.clone().recipient(), attach);
        }
    }
}

impl Handler<MailboxIdle> for Directory {
    type Result = ();
    fn handle(&mut self, idle: MailboxIdle, _: &mut Self::Context) {
        let MailboxIdle { account, generation, attaches } = idle;
        let idle = |live: &mut Live| live.generation == generation && live.attaches == attaches;
        if self.live.get_mut(&account).is_some_and(idle)
            && let Some(live) = self.live.remove(&account)
        {
            reply(&live.mailbox.recipient(), Finish);
        }
    }
}

impl Handler<MailboxStopped> for Directory {
    type Result = ();
    fn handle(&mut self, stopped: MailboxStopped, _: &mut Self::Context) {
        // News of an older life must not take the newer one out.
        if self.live.get(&stopped.account).is_some_and(|live| live.generation == stopped.generation) {
            self.live.remove(&stopped.account);
        }
    }
}
