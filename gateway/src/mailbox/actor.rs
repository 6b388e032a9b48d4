//! The actor around [`Devices`]: carries messages to the rules and does what they answer.

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext as _, AsyncContext as _, Context, Handler, Recipient, WrapFuture as _, fut::ActorFutureExt as _,
};
use endtoend_protocol::{AccountTag, Address, DeviceId};
use endtoend_storage::{PageLimits, QueueStore, Seq};

use super::devices::{Action, Devices};
use super::messages::{Attach, Enqueue, Finish, FromDevice, MailboxIdle, MailboxStopped, Push, Wake};
use super::wakes::SharedWakeUps;
use crate::actors::reply;
use crate::clock;
use crate::letter::Letter;
use crate::metrics::{Metrics, Share, StoreCall};
use crate::queue_writer::{Forget, Persist, Persisted, Then};
use crate::receipt::Receipt;
use crate::router::{Route, Routes};

/// After a failed read the next one waits this long.
const LOAD_BACK_OFF: Duration = Duration::from_secs(1);
/// `Enqueue` messages that may wait for the actor. With none left a sender gets `Retry`.
const WAITING_MESSAGES_MAX: usize = 1024;

/// What a mailbox needs from the rest of the node.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub store: Arc<dyn QueueStore>,
    pub persist: Recipient<Persist>,
    pub forget: Recipient<Forget>,
    pub routes: Arc<Routes>,
    pub idle: Recipient<MailboxIdle>,
    pub stopped: Recipient<MailboxStopped>,
    pub metrics: Arc<Metrics>,
}

/// Keeps the undelivered envelopes of one online user and offers them to each attached device in order.
///
/// Owns its rules, the [`Devices`]; not the socket (`Connection`), not the durable copy (the store). Busy: senders hold
/// permits. Full: `Retry`. Alive while a device is attached or a commit is awaited.
/// After a panic the directory builds a new one from the store when the device attaches again.
pub(crate) struct Mailbox {
    account: AccountTag,
    generation: u64,
    devices: Devices<Receipt, Recipient<Push>>,
    wakes: Arc<SharedWakeUps>,
    around: Surroundings,
    /// Envelopes and bytes of the tails, as they are counted.
    tail: [Share; 2],
}

type Do = Action<Receipt, Recipient<Push>>;

impl Mailbox {
    pub(crate) fn new(account: AccountTag, generation: u64, around: Surroundings) -> Self {
        let (envelopes, bytes) = (&around.metrics.tail_envelopes, &around.metrics.tail_bytes);
        let tail = [envelopes, bytes].map(|gauge| Share::of(Arc::clone(gauge)));
        Self { account, generation, devices: Devices::default(), wakes: Arc::default(), around, tail }
    }

    /// Lets the rules take one step, and does what they ask.
    fn step(
        &mut self,
        ctx: &mut Context<Self>,
        rule: impl FnOnce(&mut Devices<Receipt, Recipient<Push>>, &mut Vec<Do>),
    ) {
        let mut actions = Vec::new();
        rule(&mut self.devices, &mut actions);
        let [envelopes, bytes] = &mut self.tail;
        let (now, now_bytes) = self.devices.tail();
        envelopes.set(now);
        bytes.set(now_bytes);
        actions.into_iter().for_each(|action| self.carry_out(action, ctx));
    }

    fn carry_out(&self, action: Do, ctx: &mut Context<Self>) {
        match action {
            Action::Enter => {
                let (enqueue, wake) = (ctx.address().recipient(), ctx.address().recipient());
                let route = Route { enqueue, wake, wakes: Arc::clone(&self.wakes) };
                self.around.routes.insert(self.account, self.generation, route);
            }
            Action::Idle { attaches } => {
                let Self { account, generation, .. } = *self;
                self.around.routes.remove(account, generation);
                reply(&self.around.idle, MailboxIdle { account, generation, attaches });
            }
            Action::Attached { device, attachment } => {
                let mailbox = ctx.address().recipient();
                self.push(device, Push::Attached { attachment, mailbox });
            }
            Action::Replaced(connection) => reply(&connection, Push::Replaced),
            Action::Detached(connection) => reply(&connection, Push::Detached),
            Action::Deliver { device, deliveries } => self.push(device, Push::Deliver(deliveries)),
            Action::Settle(receipt, outcome) => receipt.settle(outcome),
            Action::Persist { letter, ticket } => {
                let mailbox = ctx.address().recipient();
                let persist = Persist { letter, then: Then::Tell { mailbox, ticket } };
                if let Err(full) = self.around.persist.try_send(persist) {
                    let persist = full.into_inner();
                    persist.refuse();
                    let Letter { envelope, accepted_at, .. } = persist.letter;
                    let refused = Persisted { to: envelope.to, id: envelope.id, accepted_at, outcome: None };
                    // Through the own queue, so that the rules hear of it after this step and not inside it.
                    reply(&ctx.address().recipient(), refused);
                }
            }
            Action::Forget { device, rows } => {
                let to = Address { account: self.account, device };
                if self.around.forget.try_send(Forget { to, rows }).is_err() {
                    // The rows stay, the device knows their ids: it drops them when they come again.
                    tracing::debug!("queue writer is full, deletions are left for later");
                }
            }
            Action::Load { device, life, after, limits } => self.load(device, life, after, limits, ctx),
        }
    }

    fn push(&self, device: DeviceId, push: Push) {
        if let Some(connection) = self.devices.connection(device) {
            reply(connection, push);
        }
    }

    fn load(&self, device: DeviceId, life: u64, after: Seq, limits: PageLimits, ctx: &mut Context<Self>) {
        let (store, to) = (Arc::clone(&self.around.store), Address { account: self.account, device });
        let load = async move { store.load(to, after, limits, clock::now()).await };
        ctx.spawn(load.into_actor(self).map(move |page, this, ctx| match page {
            Ok(page) => this.step(ctx, |devices, out| devices.loaded(device, life, page, out)),
            Err(error) => {
                tracing::warn!(%error, "cannot read a queue, trying again");
                this.around.metrics.store_errors.one(StoreCall::Load);
                ctx.run_later(LOAD_BACK_OFF, move |this, ctx| {
                    this.step(ctx, |devices, out| devices.load_failed(device, life, out));
                });
            }
        }));
    }
}

impl Actor for Mailbox {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(WAITING_MESSAGES_MAX);
    }
    /// Runs after a panic, too: nobody may go on believing that this mailbox is there.
    fn stopped(&mut self, _: &mut Self::Context) {
        self.around.routes.remove(self.account, self.generation);
        self.devices.connections().for_each(|connection| reply(connection, Push::Detached));
        reply(&self.around.stopped, MailboxStopped { account: self.account, generation: self.generation });
    }
}

impl Handler<Enqueue> for Mailbox {
    type Result = ();
    fn handle(&mut self, Enqueue { letter, receipt }: Enqueue, ctx: &mut Self::Context) {
        self.step(ctx, |devices, out| devices.enqueue(letter, receipt, out));
    }
}

impl Handler<Persisted> for Mailbox {
    type Result = ();
    fn handle(&mut self, persisted: Persisted, ctx: &mut Self::Context) {
        self.step(ctx, |devices, out| devices.persisted(&persisted, out));
    }
}

impl Handler<Wake> for Mailbox {
    type Result = ();
    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        let wakes = self.wakes.lock().take();
        self.step(ctx, |devices, out| wakes.for_each(|(device, seq)| devices.wake(device, seq, out)));
    }
}

impl Handler<Attach> for Mailbox {
    type Result = ();
    fn handle(&mut self, Attach { device, attachment, connection }: Attach, ctx: &mut Self::Context) {
        let Some(connection) = connection.heard() else { return };
        self.step(ctx, |devices, out| devices.attach(device, attachment, connection, out));
    }
}

impl Handler<FromDevice> for Mailbox {
    type Result = ();
    fn handle(&mut self, FromDevice { device, attachment, event }: FromDevice, ctx: &mut Self::Context) {
        self.step(ctx, |devices, out| devices.heard(device, attachment, event, out));
    }
}

impl Handler<Finish> for Mailbox {
    type Result = ();
    fn handle(&mut self, _: Finish, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
