//! The parent of all mailboxes.

use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Recipient};
use endtoend_storage::QueueStore;
use tokio::sync::oneshot;

use super::live::LiveMailboxes;
use super::messages::{AttachTo, LeaveTo, UntilEmpty};
use crate::actors::{end_node_after_panic, reply};
use crate::mailbox::{Finish, Mailbox, MailboxIdle, MailboxStopped, Surroundings};
use crate::metrics::Metrics;
use crate::queue_writer::{Forget, Persist};
use crate::router::Routes;

/// Attachments that may wait. With no room left a device is told to come again.
const WAITING_MESSAGES_MAX: usize = 4_096;

/// Starts mailboxes, and forgets those that stopped.
///
/// Owns the one list of live mailboxes, so that a user has one at most. Senders do not come by here: they look into
/// [`Routes`]. Full: bounded by the connections that the node admits. Nobody else starts or stops a mailbox.
pub(crate) struct Directory {
    rules: LiveMailboxes<Addr<Mailbox>>,
    /// Whoever waits until there is none. One at most: the node stops once.
    until_empty: Option<oneshot::Sender<()>>,
    store: Arc<dyn QueueStore>,
    routes: Arc<Routes>,
    persist: Recipient<Persist>,
    forget: Recipient<Forget>,
    metrics: Arc<Metrics>,
}

impl Directory {
    pub(crate) fn new(
        store: Arc<dyn QueueStore>,
        routes: Arc<Routes>,
        persist: Recipient<Persist>,
        forget: Recipient<Forget>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { rules: LiveMailboxes::default(), until_empty: None, store, routes, persist, forget, metrics }
    }

    fn tell_if_empty(&mut self) {
        if self.rules.is_empty()
            && let Some(waiting) = self.until_empty.take()
        {
            // It may have waited long enough.
            let _ = waiting.send(());
        }
    }

    fn surroundings(&self, ctx: &mut Context<Self>) -> Surroundings {
        Surroundings {
            store: Arc::clone(&self.store),
            persist: self.persist.clone(),
            forget: self.forget.clone(),
            routes: Arc::clone(&self.routes),
            idle: ctx.address().recipient(),
            stopped: ctx.address().recipient(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

impl Actor for Directory {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(WAITING_MESSAGES_MAX);
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        end_node_after_panic("directory");
    }
}

impl Handler<LeaveTo> for Directory {
    type Result = ();
    /// Comes after the `AttachTo` of the same connection, here and at the mailbox.
    fn handle(&mut self, LeaveTo { account, left }: LeaveTo, _: &mut Self::Context) {
        if let Some(mailbox) = self.rules.get(account) {
            reply(&mailbox.clone().recipient(), left);
        }
    }
}

impl Handler<AttachTo> for Directory {
    type Result = ();
    fn handle(&mut self, AttachTo { account, attach, thread }: AttachTo, ctx: &mut Self::Context) {
        let around = self.surroundings(ctx);
        let start =
            |generation| Some(Mailbox::start_in_arbiter(&thread, move |_| Mailbox::new(account, generation, around)));
        if let Some(mailbox) = self.rules.attach(account, |mailbox| !mailbox.connected(), start) {
            reply(&mailbox.clone().recipient(), attach);
        }
    }
}

impl Handler<MailboxIdle> for Directory {
    type Result = ();
    fn handle(&mut self, MailboxIdle { account, generation, attaches }: MailboxIdle, _: &mut Self::Context) {
        if let Some(mailbox) = self.rules.idle(account, generation, attaches) {
            reply(&mailbox.recipient(), Finish);
        }
        self.tell_if_empty();
    }
}

impl Handler<MailboxStopped> for Directory {
    type Result = ();
    fn handle(&mut self, MailboxStopped { account, generation }: MailboxStopped, _: &mut Self::Context) {
        self.rules.stopped(account, generation);
        self.tell_if_empty();
    }
}

impl Handler<UntilEmpty> for Directory {
    type Result = ();
    fn handle(&mut self, UntilEmpty(waiting): UntilEmpty, _: &mut Self::Context) {
        self.until_empty = Some(waiting);
        self.tell_if_empty();
    }
}
