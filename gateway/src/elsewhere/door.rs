//! Where envelopes come in that another node sends on: what a connection is to a client, this is to one life of a link.

use std::sync::Arc;

use actix::{Actor, AsyncContext as _, Context, Handler};
use endtoend_cluster::link::wire::{Forward, Frame, Outcome as WireOutcome, Tray as WireTray};
use endtoend_storage::Tray;
use tokio::sync::Semaphore;

use super::answers::Answers;
use super::entry::{Entry, FORWARDS_MAX};
use super::known::Elsewhere;
use super::messages::ComesIn;
use super::rules::to_wire;
use crate::clock;
use crate::letter::Letter;
use crate::memory::Memory;
use crate::receipt::{Receipt, SendSettled};
use crate::router::Router;

/// Forwarded envelopes of one life of a link.
///
/// Owns their lanes and numbers; not the link. Full: `Busy`. Ends when its link has, and all that came over it is settled.
pub(crate) struct Door {
    rules: Entry,
    answers: Arc<Answers>,
    window: Arc<Semaphore>,
    memory: Memory,
    router: Arc<Router>,
    elsewhere: Arc<Elsewhere>,
}

impl Door {
    pub(crate) fn new(
        rules: Entry,
        answers: Arc<Answers>,
        memory: Memory,
        router: Arc<Router>,
        elsewhere: Arc<Elsewhere>,
    ) -> Self {
        let window = Arc::new(Semaphore::new(FORWARDS_MAX));
        Self { rules, answers, window, memory, router, elsewhere }
    }
}

impl Actor for Door {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(FORWARDS_MAX);
    }
}

impl Handler<ComesIn> for Door {
    type Result = ();
    fn handle(&mut self, ComesIn { n, forward, heard }: ComesIn, ctx: &mut Self::Context) {
        let Forward { envelope, tray, accepted_at } = forward;
        let (id, to) = (envelope.id, envelope.to);
        let comes_in_turn = self.rules.lets_in(to, heard);
        let place = Arc::clone(&self.window).try_acquire_owned();
        let (true, Ok(place), Some(memory)) = (comes_in_turn, place, self.memory.take(&envelope)) else {
            self.elsewhere.metrics.forwards_refused.one();
            return self.answers.say(|| {
                self.rules.refuse(to, n);
                Some(Frame::Forwarded { n, outcome: WireOutcome::Busy, moved: false })
            });
        };
        let moved = !self.elsewhere.owned().is_here(self.elsewhere.name(to));
        let turn = Some(self.rules.turn(n));
        let receipt =
            Receipt::new((id, to, turn.clone()), ctx.address().recipient(), place, memory, clock::monotonic());
        self.rules.came(n, id, moved);
        let tray = match tray {
            WireTray::Contacts => Tray::Contacts,
            WireTray::Requests => Tray::Requests,
        };
        self.router.route_here(n, Letter { envelope, accepted_at, tray, turn }, receipt, &mut self.rules.lanes);
    }
}

impl Handler<SendSettled> for Door {
    type Result = ();
    fn handle(&mut self, settled: SendSettled, _: &mut Self::Context) {
        let SendSettled { id, to, outcome, .. } = settled;
        self.answers.say(|| {
            let (n, moved) = self.rules.settled(id, to, outcome)?;
            Some(Frame::Forwarded { n, outcome: to_wire(outcome), moved })
        });
    }
}
