//! The actor around [`GroupCommit`].

use std::sync::Arc;

use actix::{Actor, AsyncContext as _, Context, Handler, SpawnHandle, WrapFuture as _, fut::ActorFutureExt as _};
use endtoend_protocol::{Address, RejectReason, RetryReason};
use endtoend_storage::{Append, AppendOutcome, QueueBatch, QueueStore, Seq};

use super::group_commit::{GroupCommit, Next, Write};
use super::messages::{Forget, Persist, Persisted, Then};
use crate::actors::reply;
use crate::clock;
use crate::letter::Letter;
use crate::receipt::Outcome;
use crate::router::Routes;

/// Messages that may wait for the actor: one for each send that the node lets in, and deletions beside them.
const WAITING_MESSAGES_MAX: usize = 2 * crate::node::SENDS_MAX;

/// Brings envelopes to the store and takes them out again, many in one commit.
///
/// Owns the open batch; not the mailboxes that it answers, not the store. Busy: writes wait for the commit under way,
/// bounded by the permits inside their receipts. Restart: nothing to restore, unanswered senders repeat.
pub(crate) struct QueueWriter {
    rules: GroupCommit<Persist, (Address, Seq)>,
    store: Arc<dyn QueueStore>,
    routes: Arc<Routes>,
    timer: Option<SpawnHandle>,
}

impl Write for Persist {
    fn bytes(&self) -> usize {
        self.letter.envelope.body.len()
    }
    fn may_be_elided(&self) -> bool {
        matches!(self.then, Then::Tell { .. })
    }
    fn claim(&self) -> bool {
        match &self.then {
            Then::Tell { ticket, .. } => ticket.claim(),
            Then::Settle(_) => true,
        }
    }
}

impl QueueWriter {
    pub(crate) fn new(store: Arc<dyn QueueStore>, routes: Arc<Routes>) -> Self {
        Self { rules: GroupCommit::default(), store, routes, timer: None }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        match self.rules.next(clock::monotonic()) {
            Next::Wait => {}
            Next::WaitUntil(at) => {
                if self.timer.is_none() {
                    let wait = at.saturating_duration_since(clock::monotonic());
                    self.timer = Some(ctx.run_later(wait, |this, ctx| {
                        this.timer = None;
                        this.pump(ctx);
                    }));
                }
            }
            Next::Commit { appends, deletes } => self.commit(appends, deletes, ctx),
        }
    }

    fn commit(&mut self, appends: Vec<Persist>, deletes: Vec<(Address, Seq)>, ctx: &mut Context<Self>) {
        let store = Arc::clone(&self.store);
        let batch = QueueBatch { deletes: deletes.clone(), appends: appends.iter().map(Persist::to_append).collect() };
        let commit = async move { store.commit(batch).await };
        ctx.spawn(commit.into_actor(self).map(move |result, this, ctx| {
            this.rules.committed(result.is_ok(), clock::monotonic());
            match result {
                Ok(outcomes) => {
                    // An outcome that a store forgot to give counts as not confirmed.
                    let outcomes = outcomes.into_iter().map(Some).chain(std::iter::repeat(None));
                    for (persist, outcome) in appends.into_iter().zip(outcomes) {
                        this.settle(persist, outcome);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, rows = appends.len(), "commit not confirmed");
                    for persist in appends {
                        this.settle(persist, None);
                    }
                    let now = clock::monotonic();
                    deletes.into_iter().for_each(|row| this.rules.delete(row, now));
                }
            }
            this.pump(ctx);
        }));
    }

    /// Invariant 1: nothing is called safe before this, which runs after the commit.
    fn settle(&self, persist: Persist, outcome: Option<AppendOutcome>) {
        let Persist { letter: Letter { envelope, accepted_at, .. }, then } = persist;
        match then {
            Then::Tell { mailbox, .. } => reply(&mailbox, Persisted { to: envelope.to, id: envelope.id, outcome }),
            Then::Settle(receipt) => {
                if let Some(AppendOutcome::Stored(seq) | AppendOutcome::Repeat(seq)) = outcome {
                    // Invariant 4: commit first, look for a mailbox second. And before the sender hears of it, so
                    // that whatever it sends next reaches that mailbox after the wake-up.
                    self.routes.wake(envelope.to, seq);
                }
                receipt.settle(outcome_for_sender(outcome, accepted_at));
            }
        }
    }
}

/// What a sender is told of a commit.
pub(crate) fn outcome_for_sender(outcome: Option<AppendOutcome>, at: endtoend_protocol::UnixMillis) -> Outcome {
    match outcome {
        Some(AppendOutcome::Stored(_) | AppendOutcome::Repeat(_)) => Outcome::Accepted { at },
        Some(AppendOutcome::Full) => Outcome::Retry(RetryReason::QueueFull),
        Some(AppendOutcome::UnknownDevice) => Outcome::Rejected(RejectReason::UnknownRecipient),
        None => Outcome::Retry(RetryReason::Unavailable),
    }
}

impl Persist {
    fn to_append(&self) -> Append {
        let Letter { envelope, accepted_at, tray } = &self.letter;
        Append {
            tray: *tray,
            to: envelope.to,
            id: envelope.id,
            body: envelope.body.clone(),
            accepted_at: *accepted_at,
            expires_at: accepted_at.plus(endtoend_protocol::limits::QUEUE_AGE_MAX),
        }
    }
}

impl Actor for QueueWriter {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(WAITING_MESSAGES_MAX);
    }
}

impl Handler<Persist> for QueueWriter {
    type Result = ();
    fn handle(&mut self, persist: Persist, ctx: &mut Self::Context) {
        self.rules.append(persist, clock::monotonic());
        self.pump(ctx);
    }
}

impl Handler<Forget> for QueueWriter {
    type Result = ();
    fn handle(&mut self, Forget { to, rows }: Forget, ctx: &mut Self::Context) {
        let now = clock::monotonic();
        rows.into_iter().for_each(|seq| self.rules.delete((to, seq), now));
        self.pump(ctx);
    }
}
