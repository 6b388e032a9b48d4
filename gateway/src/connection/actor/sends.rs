//! What a client sends, from its arrival to its answer.

use std::sync::Arc;
use std::time::Instant;

use actix::{AsyncContext as _, Handler, WrapFuture as _, fut::ActorFutureExt as _};
use endtoend_protocol::{
    AccountTag, Address, Envelope, EnvelopeId, RefusalCode, RejectReason, RetryReason, ServerFrame,
};
use endtoend_storage::{Relation, Standing, Tray};

use super::super::retry_after_ms;
use super::{Connection, Context};
use crate::clock;
use crate::course::{Course, Turn};
use crate::letter::Letter;
use crate::limits::{Operation, Subject};
use crate::receipt::{Outcome, Receipt, SendSettled};

impl Connection {
    pub(super) fn send(&mut self, envelope: Envelope, ctx: &mut Context) {
        let Some(login) = self.stage.login() else { return self.refuse(None, RefusalCode::NotAuthenticated, ctx) };
        self.node.metrics.sends.one();
        let (sender, recipient, arrived) = (login.device.account, envelope.to.account, self.heard_at);
        self.sends += 1;
        let (id, to, turn) = (envelope.id, envelope.to, self.turn());
        if self.leaving.is_asked() {
            return self.refuse_send((id, to), Outcome::Retry(RetryReason::ShuttingDown), arrived, ctx);
        }
        let under_way = |to, from| self.lanes.is_under_way(to, from);
        if self.heard.as_ref().is_some_and(|(heard, course)| !course.lets_in(to, *heard, under_way)) {
            return self.refuse_send((id, to), Outcome::Retry(RetryReason::Busy), arrived, ctx);
        }
        let Ok(place) = Arc::clone(&self.send_window).try_acquire_owned() else {
            if self.bears(ctx) {
                self.refuse_send((id, to), Outcome::Retry(RetryReason::Window), arrived, ctx);
            }
            return;
        };
        let Some(memory) = self.node.memory.take(&envelope) else {
            return self.refuse_send((id, to), Outcome::Retry(RetryReason::Busy), arrived, ctx);
        };
        if let Err(too_many) = self.node.services.limits.check_here(Operation::Send, Subject::Account(sender)) {
            return self.refuse_send((id, to), too_many.into(), arrived, ctx);
        }
        let receipt = Receipt::new((id, to, turn), ctx.address().recipient(), place, memory, arrived);
        let (changes, now) = (self.node.services.changes(), arrived);
        if let Some(standing) = self.standings.get(recipient, changes, now) {
            return self.send_to(sender, standing, envelope, receipt, ctx);
        }
        // Nothing else is read until it is known: the order stays.
        let node = Arc::clone(&self.node);
        let ask = async move { node.services.standing(recipient, sender).await };
        ctx.wait(ask.into_actor(self).map(move |standing, this, ctx| match standing {
            Ok(standing) => {
                this.standings.put(recipient, standing, changes, now);
                this.send_to(sender, standing, envelope, receipt, ctx);
            }
            Err(_) => receipt.settle(Outcome::Retry(RetryReason::Unavailable)),
        }));
    }

    /// Blocked senders are not heard, and not told.
    fn send_to(
        &mut self,
        sender: AccountTag,
        standing: Option<Standing>,
        envelope: Envelope,
        receipt: Receipt,
        ctx: &mut Context,
    ) {
        let (recipient, now) = (envelope.to.account, clock::now());
        let Some(standing) = standing else {
            return receipt.settle(Outcome::Rejected(RejectReason::UnknownRecipient));
        };
        if standing.devices_version != envelope.devices_version {
            return receipt.settle(Outcome::Retry(RetryReason::Devices));
        }
        let relation = if sender == recipient { Some(Relation::Accepted) } else { standing.relation };
        let (n, turn) = (self.sends, self.turn());
        let letter = |tray| Letter { envelope, accepted_at: now, tray, turn };
        match relation {
            Some(Relation::Blocked) => receipt.settle(Outcome::Accepted { at: now }),
            Some(Relation::Accepted) => self.node.router.route(n, letter(Tray::Contacts), receipt, &mut self.lanes),
            None => {
                let first = self.standings.is_first_request(recipient);
                let (node, letter) = (Arc::clone(&self.node), letter(Tray::Requests));
                // Nothing else is read until it is known: the order stays.
                let ask = async move { node.services.may_request(recipient, sender, first).await };
                ctx.wait(ask.into_actor(self).map(move |allowed, this, _| match allowed {
                    Ok(()) => this.node.router.route(n, letter, receipt, &mut this.lanes),
                    Err(too_many) => receipt.settle(too_many.into()),
                }));
            }
        }
    }

    /// Where the envelope stands that was heard last.
    fn turn(&self) -> Option<Turn> {
        self.heard.as_ref().map(|(_, course)| Turn::new(Arc::clone(course), self.sends))
    }

    /// Its client has heard so many of the `Retry`s of this connection, and sends in order from here on.
    pub(super) fn retries_heard(&mut self, count: u64, ctx: &mut Context) {
        if self.stage.login().is_none() {
            return self.refuse(None, RefusalCode::NotAuthenticated, ctx);
        }
        if self.bears(ctx) {
            let told = self.retries;
            self.heard.get_or_insert_with(|| (0, Arc::new(Course::after(told)))).0 = count;
        }
    }

    /// A refusal at the door: what was sent after it is to come after it.
    fn refuse_send(&mut self, (id, to): (EnvelopeId, Address), outcome: Outcome, arrived: Instant, ctx: &mut Context) {
        if let Some((_, course)) = &self.heard {
            course.refuse(to, self.sends);
        }
        self.settled((id, to), outcome, false, arrived, ctx);
    }

    fn settled(
        &mut self,
        (id, to): (EnvelopeId, Address),
        outcome: Outcome,
        by_receipt: bool,
        arrived: Instant,
        ctx: &mut Context,
    ) {
        if let Outcome::Retry(_) | Outcome::Superseded | Outcome::Limited { .. } = outcome {
            self.retries += 1;
            if let Some((_, course)) = self.heard.as_ref().filter(|_| by_receipt) {
                course.tell(to, outcome.is_to_come_again());
            }
        }
        let after = clock::monotonic().saturating_duration_since(arrived);
        self.node.metrics.answered(outcome, after);
        let frame = match outcome {
            Outcome::Accepted { at } => ServerFrame::Accepted { id, at },
            Outcome::Retry(reason) => ServerFrame::Retry { id, after_ms: retry_after_ms(reason), reason },
            Outcome::Superseded => {
                let reason = RetryReason::Busy;
                ServerFrame::Retry { id, after_ms: retry_after_ms(reason), reason }
            }
            Outcome::Limited { retry_after } => {
                let after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1);
                ServerFrame::Retry { id, after_ms, reason: RetryReason::Rate }
            }
            Outcome::Rejected(reason) => ServerFrame::Rejected { id, reason },
        };
        self.say(&frame, ctx);
    }
}

impl Handler<SendSettled> for Connection {
    type Result = ();
    fn handle(&mut self, SendSettled { id, to, outcome, arrived, .. }: SendSettled, ctx: &mut Self::Context) {
        self.lanes.settled(id);
        self.settled((id, to), outcome, true, arrived, ctx);
        self.go_if_settled(ctx);
    }
}
