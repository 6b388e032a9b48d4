//! The actor around [`Unwoken`]: asks the directory of claims, tells other nodes, and says then what follows.

use std::sync::Arc;

use actix::{
    Actor, AsyncContext as _, Context, Handler, Recipient, SpawnHandle, WrapFuture as _, fut::ActorFutureExt as _,
};
use endtoend_cluster::claims::ClaimDirectory;
use endtoend_cluster::link::wire::Frame;

use super::known::{Elsewhere, say};
use super::messages::{Committed, OfWakes};
use super::unwoken::{Step, Unwoken};
use crate::actors::end_node_after_panic;
use crate::clock;
use crate::queue_writer::{Persisted, Told};
use crate::receipt::Receipt;
use crate::router::Routes;

/// Rows whose senders wait until other nodes know of them.
///
/// Owns [`Unwoken`]. Busy: rows wait for the look-up that is under way, bounded by the permits inside their receipts. Restart:
/// with the node, unanswered senders repeat.
pub(crate) struct Waker {
    rules: Unwoken<Told<Recipient<Persisted>, Receipt>>,
    elsewhere: Arc<Elsewhere>,
    claims: Arc<dyn ClaimDirectory>,
    routes: Arc<Routes>,
    timer: Option<SpawnHandle>,
}

impl Waker {
    pub(crate) fn new(elsewhere: Arc<Elsewhere>, claims: Arc<dyn ClaimDirectory>, routes: Arc<Routes>) -> Self {
        Self { rules: Unwoken::new(elsewhere.me), elsewhere, claims, routes, timer: None }
    }

    fn carry_out(&mut self, steps: Vec<Step<Told<Recipient<Persisted>, Receipt>>>) {
        for step in steps {
            match step {
                Step::Done(told) => say(told, &self.routes),
                Step::Saw { device, over } => self.elsewhere.whereabouts().saw(device, over),
                Step::Wake { over, n, to, seq } => {
                    if self.elsewhere.peers.send(over, Frame::Wake { n, to, seq: seq.0 }).is_err() {
                        let mut steps = Vec::new();
                        self.rules.not_sent(over, n, clock::monotonic(), &mut steps);
                        // It does not ask for anything to be sent.
                        self.carry_out(steps);
                    } else {
                        self.elsewhere.metrics.wakes_sent.one();
                    }
                }
            }
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        let (now, mut steps) = (clock::monotonic(), Vec::new());
        self.rules.tick(now, &mut steps);
        self.carry_out(steps);
        if let Some(devices) = self.rules.next() {
            let claims = Arc::clone(&self.claims);
            let look = async move { claims.find(&devices).await };
            ctx.spawn(look.into_actor(self).map(|found, this, ctx| {
                if let Err(error) = &found {
                    tracing::debug!(%error, "nobody says where devices are: everybody is told");
                }
                // What is linked is looked at after the answer: a link that has come meanwhile is told, too.
                let (links, is_complete) = (this.elsewhere.peers.links(), this.elsewhere.peers.is_complete());
                let mut steps = Vec::new();
                this.rules.looked(found.as_deref().ok(), &links, is_complete, clock::monotonic(), &mut steps);
                this.carry_out(steps);
                this.pump(ctx);
            }));
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some(at) = self.rules.due_at() {
            let wait = at.saturating_duration_since(clock::monotonic());
            self.timer = Some(ctx.run_later(wait, |this, ctx| {
                this.timer = None;
                this.pump(ctx);
            }));
        }
        self.elsewhere.metrics.unwoken(self.rules.len());
    }
}

impl Actor for Waker {
    type Context = Context<Self>;
    fn stopped(&mut self, _: &mut Self::Context) {
        end_node_after_panic("waker");
    }
}

impl Handler<Committed> for Waker {
    type Result = ();
    fn handle(&mut self, Committed { to, seq, told }: Committed, ctx: &mut Self::Context) {
        let device = self.elsewhere.name(to);
        self.rules.committed(to, device, seq, told, clock::monotonic());
        self.pump(ctx);
    }
}

impl Handler<OfWakes> for Waker {
    type Result = ();
    fn handle(&mut self, news: OfWakes, ctx: &mut Self::Context) {
        let (now, mut steps) = (clock::monotonic(), Vec::new());
        match news {
            OfWakes::Woken { over, up_to } => self.rules.woken(over, up_to, now, &mut steps),
            OfWakes::Broke(link) => {
                self.rules.broke(link, now, &mut steps);
                // Something may have been seen there after everybody else had heard.
                self.elsewhere.whereabouts().broke(link);
            }
        }
        self.carry_out(steps);
        self.pump(ctx);
    }
}
