//! The actor around [`GroupCommit`].

use std::sync::Arc;

use actix::{Actor, AsyncContext as _, Context, Handler, SpawnHandle, WrapFuture as _, fut::ActorFutureExt as _};
use endtoend_protocol::Address;
use endtoend_storage::{AppendOutcome, QueueBatch, QueueStore, Seq};
use tokio::sync::oneshot;

use super::group_commit::{GroupCommit, Next};
use super::messages::{Forget, Persist, UntilWritten};
use super::outcome::place_of;
use crate::actors::end_node_after_panic;
use crate::clock;
use crate::elsewhere::{AfterCommit, say};
use crate::metrics::Metrics;
use crate::router::Routes;

/// Messages that may wait for the actor: one for each send that the node lets in, and deletions beside them.
const WAITING_MESSAGES_MAX: usize = 2 * crate::node::SENDS_MAX;

/// Brings envelopes to the store and takes them out again, many in one commit.
///
/// Owns the open batch; not the mailboxes that it answers, not the store. Busy: writes wait for the commit under way,
/// bounded by the permits inside their receipts. Restart: with the node, nothing to restore,
/// unanswered senders repeat.
pub(crate) struct QueueWriter {
    rules: GroupCommit<Persist, (Address, Seq)>,
    store: Arc<dyn QueueStore>,
    routes: Arc<Routes>,
    /// None: there are no other nodes.
    elsewhere: Option<AfterCommit>,
    metrics: Arc<Metrics>,
    timer: Option<SpawnHandle>,
    /// Whoever waits until all is written. One at most: the node stops once.
    until_written: Option<oneshot::Sender<()>>,
}

impl QueueWriter {
    pub(crate) fn new(
        store: Arc<dyn QueueStore>,
        routes: Arc<Routes>,
        elsewhere: Option<AfterCommit>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { rules: GroupCommit::default(), store, routes, elsewhere, metrics, timer: None, until_written: None }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        let next = self.rules.next(clock::monotonic());
        self.rules.take_refused().into_iter().for_each(|persist| self.settle(persist, None));
        match next {
            Next::Wait => self.tell_if_written(),
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
        let (appends, deletes, oldest) = self.rules.backlog();
        self.metrics.writes_wait(appends, deletes, oldest);
        self.metrics.elided.add(self.rules.take_elided());
    }

    fn tell_if_written(&mut self) {
        if self.rules.is_done()
            && let Some(waiting) = self.until_written.take()
        {
            // It may have waited long enough.
            let _ = waiting.send(());
        }
    }

    fn commit(&mut self, appends: Vec<Persist>, deletes: Vec<(Address, Seq)>, ctx: &mut Context<Self>) {
        let store = Arc::clone(&self.store);
        let batch = QueueBatch { deletes: deletes.clone(), appends: appends.iter().map(Persist::to_append).collect() };
        let began = clock::monotonic();
        let commit = async move { store.commit(batch).await };
        ctx.spawn(commit.into_actor(self).map(move |result, this, ctx| {
            let (now, confirmed) = (clock::monotonic(), result.is_ok());
            let took = now.saturating_duration_since(began);
            this.metrics.committed(appends.len(), deletes.len(), took, confirmed, now);
            this.rules.committed(confirmed, deletes, now);
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
                }
            }
            this.pump(ctx);
        }));
    }

    fn settle(&self, persist: Persist, outcome: Option<AppendOutcome>) {
        let (to, seq) = (persist.letter.envelope.to, place_of(outcome));
        for told in persist.concluded(outcome) {
            match &self.elsewhere {
                None => say(told, &self.routes),
                Some(elsewhere) => elsewhere.tell(to, seq, told, &self.routes),
            }
        }
    }
}

impl Actor for QueueWriter {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(WAITING_MESSAGES_MAX);
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        end_node_after_panic("queue writer");
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
        let left = self.rules.left();
        rows.into_iter().for_each(|seq| self.rules.delete((to, seq), now));
        if self.rules.left() > left {
            tracing::warn!(rows = self.rules.left(), "the store does not delete, rows are left for later");
        }
        self.pump(ctx);
    }
}

impl Handler<UntilWritten> for QueueWriter {
    type Result = ();
    fn handle(&mut self, UntilWritten(waiting): UntilWritten, ctx: &mut Self::Context) {
        self.until_written = Some(waiting);
        self.pump(ctx);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use async_trait::async_trait;
    use endtoend_protocol::{AccountTag, DeviceId, UnixMillis};
    use endtoend_storage::{Newer, Page, PageLimits, StoreError};
    use tokio::sync::{Notify, Semaphore};
    use tokio::time::timeout;

    use super::*;

    /// A store whose commits end when they are told to.
    struct Gated {
        begun: Notify,
        gate: Semaphore,
        deleted: Mutex<Vec<Seq>>,
    }

    #[async_trait]
    impl QueueStore for Gated {
        async fn commit(&self, batch: QueueBatch) -> Result<Vec<AppendOutcome>, StoreError> {
            self.begun.notify_one();
            self.gate.acquire().await.unwrap().forget();
            self.deleted.lock().unwrap().extend(batch.deletes.into_iter().map(|(_, seq)| seq));
            Ok(Vec::new())
        }
        async fn load(&self, _: Address, _: Seq, _: PageLimits, _: UnixMillis) -> Result<Page, StoreError> {
            panic!("a writer reads nothing");
        }
        async fn newer(&self, _: &[(Address, Seq)]) -> Result<Vec<Newer>, StoreError> {
            panic!("a writer reads nothing");
        }
        async fn delete_expired(&self, _: UnixMillis, _: u32) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    #[actix::test]
    async fn whoever_waits_for_everything_waits_for_what_waits_behind_a_commit() {
        let store = Arc::new(Gated { begun: Notify::new(), gate: Semaphore::new(0), deleted: Mutex::default() });
        let writer =
            QueueWriter::new(store.clone(), Arc::default(), None, Arc::new(Metrics::new(clock::monotonic()))).start();
        let forget = |seq| {
            let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
            writer.try_send(Forget { to, rows: vec![Seq(seq)] }).unwrap();
        };
        forget(1);
        store.begun.notified().await;
        let (done, mut written) = oneshot::channel();
        writer.send(UntilWritten(done)).await.unwrap();
        assert!(written.try_recv().is_err(), "a commit is under way");
        forget(2);
        store.gate.add_permits(1);
        store.begun.notified().await;
        assert!(written.try_recv().is_err(), "another one is");
        store.gate.add_permits(1);
        timeout(Duration::from_secs(60), written).await.unwrap().unwrap();
        assert_eq!(*store.deleted.lock().unwrap(), [Seq(1), Seq(2)]);
        // Nothing waits: the answer comes at once.
        let (done, written) = oneshot::channel();
        writer.send(UntilWritten(done)).await.unwrap();
        timeout(Duration::from_secs(60), written).await.unwrap().unwrap();
    }
}
