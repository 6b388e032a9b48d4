//! The actor around [`Pending`]: carries messages to the rules and does what they answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext as _, AsyncContext as _, Context, Handler, Recipient, WrapFuture as _, fut::ActorFutureExt as _,
};
use endtoend_protocol::{AccountTag, Address, DeviceId};
use endtoend_storage::{PageLimits, QueueStore, Seq};

use super::messages::{
    Attach, AttachmentId, DeviceEvent, Enqueue, Finish, FromDevice, MailboxIdle, MailboxStopped, Push, Wake,
};
use super::pending::{Action, Pending};
use crate::actors::reply;
use crate::clock;
use crate::letter::Letter;
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
}

/// Keeps the undelivered envelopes of one online user and offers them to each attached device in order.
///
/// Owns a [`Pending`] for each device that is or was attached; not the socket (`Connection`), not the durable copy
/// (the store). Busy: senders hold permits. Full: `Retry`. Alive while a device is attached or a commit is awaited.
/// After a panic the directory builds a new one from the store when the device attaches again.
pub(crate) struct Mailbox {
    account: AccountTag,
    generation: u64,
    attaches: u64,
    devices: BTreeMap<DeviceId, Device>,
    around: Surroundings,
}

struct Device {
    pending: Pending<Receipt>,
    attached: Option<(AttachmentId, Recipient<Push>)>,
}

impl Mailbox {
    pub(crate) fn new(account: AccountTag, generation: u64, around: Surroundings) -> Self {
        Self { account, generation, attaches: 0, devices: BTreeMap::new(), around }
    }

    fn address(&self, device: DeviceId) -> Address {
        Address { account: self.account, device }
    }

    fn device(&mut self, device: DeviceId) -> &mut Device {
        self.devices.entry(device).or_insert_with(|| Device { pending: Pending::default(), attached: None })
    }

    fn carry_out(&mut self, device: DeviceId, actions: Vec<Action<Receipt>>, ctx: &mut Context<Self>) {
        let (mut deliveries, mut rows) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Push(deliver) => deliveries.push(deliver),
                Action::Forget(seq) => rows.push(seq),
                Action::Settle(receipt, outcome) => receipt.settle(outcome),
                Action::Persist { letter, ticket } => {
                    let mailbox = ctx.address().recipient();
                    let persist = Persist { letter, then: Then::Tell { mailbox, ticket } };
                    if let Err(full) = self.around.persist.try_send(persist) {
                        let Persist { letter: Letter { envelope, .. }, .. } = full.into_inner();
                        let refused = Persisted { to: envelope.to, id: envelope.id, outcome: None };
                        // Through the own queue, so that the rules hear of it after this step and not inside it.
                        reply(&ctx.address().recipient(), refused);
                    }
                }
                Action::Load { life, after, limits } => self.load(device, life, after, limits, ctx),
            }
        }
        let to = self.address(device);
        if !rows.is_empty() && self.around.forget.try_send(Forget { to, rows }).is_err() {
            // The rows stay, the device knows their ids: it drops them when they come again.
            tracing::debug!("queue writer is full, deletions are left for later");
        }
        if !deliveries.is_empty()
            && let Some((_, connection)) = self.devices.get(&device).and_then(|d| d.attached.as_ref())
        {
            reply(connection, Push::Deliver(deliveries));
        }
    }

    fn load(&self, device: DeviceId, life: u64, after: Seq, limits: PageLimits, ctx: &mut Context<Self>) {
        let (store, to) = (Arc::clone(&self.around.store), self.address(device));
        let load = async move { store.load(to, after, limits, clock::now()).await };
        ctx.spawn(load.into_actor(self).map(move |page, this, ctx| match page {
            Ok(page) => this.step(device, ctx, |pending, out| pending.loaded(life, page, out)),
            Err(error) => {
                tracing::warn!(%error, "cannot read a queue, trying again");
                ctx.run_later(LOAD_BACK_OFF, move |this, ctx| {
                    this.step(device, ctx, |pending, out| pending.load_failed(life, out));
                });
            }
        }));
    }

    /// Lets the rules of one device take one step, and does what they ask.
    fn step(
        &mut self,
        device: DeviceId,
        ctx: &mut Context<Self>,
        rule: impl FnOnce(&mut Pending<Receipt>, &mut Vec<Action<Receipt>>),
    ) {
        let Some(entry) = self.devices.get_mut(&device) else { return };
        let mut actions = Vec::new();
        rule(&mut entry.pending, &mut actions);
        self.carry_out(device, actions, ctx);
    }

    fn detach(&mut self, device: DeviceId, attachment: AttachmentId) {
        let Some(entry) = self.devices.get_mut(&device) else { return };
        if entry.attached.as_ref().is_some_and(|(current, _)| *current == attachment) {
            entry.attached = None;
            entry.pending.detach();
        }
        self.finish_if_idle();
    }

    fn finish_if_idle(&mut self) {
        self.devices.retain(|_, device| !device.pending.is_idle());
        if self.devices.is_empty() {
            let Self { account, generation, attaches, .. } = *self;
            self.around.routes.remove(account, generation);
            reply(&self.around.idle, MailboxIdle { account, generation, attaches });
        }
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
        for device in self.devices.values() {
            if let Some((_, connection)) = &device.attached {
                reply(connection, Push::Detached);
            }
        }
        reply(&self.around.stopped, MailboxStopped { account: self.account, generation: self.generation });
    }
}

impl Handler<Enqueue> for Mailbox {
    type Result = ();
    fn handle(&mut self, Enqueue { letter, receipt }: Enqueue, ctx: &mut Self::Context) {
        let device = letter.envelope.to.device;
        self.device(device);
        self.step(device, ctx, |pending, out| pending.enqueue(letter, receipt, out));
    }
}

impl Handler<Persisted> for Mailbox {
    type Result = ();
    fn handle(&mut self, Persisted { to, id, outcome }: Persisted, ctx: &mut Self::Context) {
        self.step(to.device, ctx, |pending, out| pending.persisted(id, outcome, out));
        self.finish_if_idle();
    }
}

impl Handler<Wake> for Mailbox {
    type Result = ();
    fn handle(&mut self, Wake { device, seq }: Wake, ctx: &mut Self::Context) {
        self.step(device, ctx, |pending, out| pending.wake(seq, out));
    }
}

impl Handler<Attach> for Mailbox {
    type Result = ();
    fn handle(&mut self, Attach { device, attachment, connection }: Attach, ctx: &mut Self::Context) {
        self.attaches += 1;
        // Invariant 4: from here on senders find this mailbox; only then is the queue loaded.
        let (enqueue, wake) = (ctx.address().recipient(), ctx.address().recipient());
        self.around.routes.insert(self.account, Route { generation: self.generation, enqueue, wake });
        let entry = self.device(device);
        let mailbox = ctx.address().recipient();
        reply(&connection, Push::Attached { attachment, mailbox });
        if let Some((_, connection)) = entry.attached.replace((attachment, connection)) {
            reply(&connection, Push::Replaced);
        }
        self.step(device, ctx, Pending::attach);
    }
}

impl Handler<FromDevice> for Mailbox {
    type Result = ();
    fn handle(&mut self, FromDevice { device, attachment, event }: FromDevice, ctx: &mut Self::Context) {
        let current = self.devices.get(&device).and_then(|d| d.attached.as_ref());
        if current.is_none_or(|(current, _)| *current != attachment) {
            return; // news of an older life
        }
        match event {
            DeviceEvent::Left => self.detach(device, attachment),
            DeviceEvent::Acknowledged(up_to) => {
                let mut bad = false;
                self.step(device, ctx, |pending, out| bad = pending.acknowledge(up_to, out).is_err());
                if bad
                    && let Some((attachment, connection)) = self.devices.get(&device).and_then(|d| d.attached.clone())
                {
                    // Nothing it says about what it has can be believed: it starts again from the store.
                    reply(&connection, Push::Detached);
                    self.detach(device, attachment);
                }
            }
        }
    }
}

impl Handler<Finish> for Mailbox {
    type Result = ();
    fn handle(&mut self, _: Finish, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
