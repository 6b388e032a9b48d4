//! The end of a node, step by step. What it means for each connection is in `connection::leaving`.
//!
//! 1. No connection comes in any more. Readiness shows it, and every connection is told to leave: it settles what is under way and
//!    goes. Those who have not gone at the deadline, or at a second signal, are cut.
//! 2. Mailboxes end, and the queue writer brings to the store what waits; so does the audit.
//! 3. The store is closed. SQLite writes its log back into the database.
//!
//! Nothing that was accepted depends on any of it: a node that is killed in the middle has lost nothing.

use std::io;
use std::time::Duration;

use actix::{Message, Recipient};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::lifecycle::Lifecycle;
use super::open::OpenConnections;
use crate::clock;
use crate::directory::UntilEmpty;
use crate::queue_writer::UntilWritten;
use crate::services::Auditor;

/// What connections get for their goodbye once they are cut.
const CUT_MAX: Duration = Duration::from_secs(1);
/// Those that are on their way from the kernel to a worker get so long to come to be counted.
const ARRIVALS: Duration = Duration::from_millis(250);
/// What mailboxes, queue writer and audit get to end together. All that they still have is deletions and notes, unless the store
/// is away: then nothing helps.
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// All of that.
pub(super) const ENDING_MAX: Duration = CUT_MAX.saturating_add(FLUSH_MAX);

/// SIGTERM, and Ctrl-C.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on these signals end nothing by themselves.
    ///
    /// # Errors
    /// When the system does not give them.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits until the connections have left, the time is over, or another signal says that it is.
pub(super) async fn drain(lifecycle: &watch::Sender<Lifecycle>, open: &OpenConnections, signals: &mut StopSignals) {
    let now = *lifecycle.borrow();
    if let Lifecycle::Draining { deadline, .. } = now {
        let gone = async {
            sleep(ARRIVALS).await;
            open.until_none().await;
        };
        tokio::select! {
            () = gone => {}
            () = sleep_until(deadline.into()) => tracing::warn!(connections = open.count(), "the time to leave is over"),
            () = signals.next() => tracing::warn!(connections = open.count(), "told once more: leaving nobody any time"),
        }
    }
    lifecycle.send_modify(|now| *now = now.close(open.count()));
    // Those that read hear why, and when to come back.
    if timeout(CUT_MAX, open.until_none()).await.is_err() {
        tracing::info!(connections = open.count(), "cut connections that take nothing");
    }
}

/// Whatever still has to be written when the last connection is gone.
pub(super) struct Remains {
    pub(super) mailboxes: Recipient<UntilEmpty>,
    pub(super) writer: Recipient<UntilWritten>,
    pub(super) audit: Auditor,
}

impl Remains {
    /// Writes it, within [`FLUSH_MAX`].
    pub(super) async fn flush(self) {
        let Self { mailboxes, writer, audit } = self;
        let deadline = Instant::from(clock::monotonic()) + FLUSH_MAX;
        let queues = async {
            // What mailboxes still say goes to the writer.
            ask(&mailboxes, UntilEmpty).await;
            ask(&writer, UntilWritten).await;
        };
        let all = async { tokio::join!(queues, audit.flush()) };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!(
                "the store did not confirm everything: what was accepted is safe, what was acknowledged may be delivered again"
            );
        }
    }
}

async fn ask<M>(whom: &Recipient<M>, question: impl FnOnce(oneshot::Sender<()>) -> M)
where
    M: Message<Result = ()> + Send,
{
    let (answer, answered) = oneshot::channel();
    if whom.send(question(answer)).await.is_ok() {
        // Gone without an answer: there is nobody to wait for.
        let _ = answered.await;
    }
}
