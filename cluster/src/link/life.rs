//! One life of a link, from its handshake to its end: what is shared between those who send on it and the task that runs it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

use super::Ended;
use super::hooks::Hooks;
use super::outbox::{NotQueued, Outbox};
use super::slots::{NeverAsked, Slots};
use super::wire::{Answer, Frame, Payload};
use crate::peers::{NotSent, PeerLink};
use crate::{NodeId, clock};

/// Questions of the control plane that one link may have unanswered, each way.
pub(super) const CALLS_MAX: usize = 64;

pub(super) struct Life {
    pub(super) link: PeerLink,
    pub(super) since: Instant,
    /// Of the protocol, the newest that both sides know.
    pub(super) version: u16,
    /// The other side's, as it was proved: a DER-encoded `SubjectPublicKeyInfo`.
    pub(super) key: Vec<u8>,
    pub(super) hooks: Hooks,
    pub(super) counts: Counts,
    state: Mutex<State>,
    /// Something waits to be written.
    pub(super) to_write: Notify,
    /// The task that runs it is to end.
    pub(super) to_end: Notify,
    /// The task that runs it has ended.
    gone: watch::Sender<bool>,
}

/// Since the life began.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) read: AtomicU64,
    pub(super) written: AtomicU64,
    /// A write is under way.
    pub(super) writing: AtomicBool,
    /// Of the last ping that was answered; 0 before.
    rtt_us: AtomicU64,
    pub(super) no_room: AtomicU64,
}

struct State {
    ended: Option<Ended>,
    outbox: Outbox,
    calls: Slots<oneshot::Sender<Answer>>,
    /// The last one, and when it was asked.
    ping: (u64, Instant),
}

impl Life {
    pub(super) fn new(link: PeerLink, version: u16, key: Vec<u8>, hooks: Hooks) -> Arc<Self> {
        let since = clock::monotonic();
        let state = State { ended: None, outbox: Outbox::default(), calls: Slots::new(CALLS_MAX), ping: (0, since) };
        Arc::new(Self {
            link,
            since,
            version,
            key,
            hooks,
            counts: Counts::default(),
            state: Mutex::new(state),
            to_write: Notify::new(),
            to_end: Notify::new(),
            gone: watch::Sender::new(false),
        })
    }

    /// The other node.
    pub(super) const fn node(&self) -> NodeId {
        self.link.run.node
    }

    // A panic while the lock was held cannot have left the rules in between: each change is one call of theirs.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is sent on it any more, and the task that runs it ends. The first reason counts.
    pub(super) fn end(&self, why: Ended) {
        let mut state = self.state();
        if state.ended.is_none() {
            state.ended = Some(why);
            state.outbox = Outbox::default();
            // Who waits for an answer hears of the end by its sender being dropped.
            state.calls.end();
        }
        drop(state);
        self.to_end.notify_one();
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.state().ended
    }

    /// Its task has ended.
    pub(super) fn is_gone(&self) {
        self.gone.send_replace(true);
    }
    /// Waits until its task has ended.
    pub(super) async fn gone(&self) {
        // The sender is ours, so there is an answer.
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    pub(super) fn next_batch(&self) -> Option<Vec<u8>> {
        self.state().outbox.next()
    }
    pub(super) fn written(&self, batch: Vec<u8>) {
        self.state().outbox.written(batch);
    }

    /// Bytes that wait: of the control plane, of traffic.
    pub(super) fn waiting(&self) -> (usize, usize) {
        self.state().outbox.waiting()
    }

    /// How long the last ping took. `None` before the first.
    pub(super) fn rtt(&self) -> Option<Duration> {
        match self.counts.rtt_us.load(Relaxed) {
            0 => None,
            us => Some(Duration::from_micros(us)),
        }
    }

    /// Asks the other side whether it lives.
    pub(super) fn ping(&self, now: Instant) {
        let mut state = self.state();
        state.ping = (state.ping.0 + 1, now);
        let ping = Frame::Ping { n: state.ping.0 };
        // Without room there is enough for the other side to answer as it is.
        let _ = state.outbox.ask(&ping);
        drop(state);
        self.to_write.notify_one();
    }

    pub(super) fn pong(&self, n: u64, now: Instant) -> Result<(), NeverAsked> {
        let (last, asked) = self.state().ping;
        if n > last {
            return Err(NeverAsked);
        }
        if n == last {
            let rtt = u64::try_from(now.saturating_duration_since(asked).as_micros()).unwrap_or(u64::MAX);
            self.counts.rtt_us.store(rtt.max(1), Relaxed);
        }
        Ok(())
    }

    /// Queues a frame. An answer always has room: a peer that reads none of those that it asks for ends its link.
    pub(super) fn send(&self, frame: &Frame) -> Result<(), NotSent> {
        if frame.since() > self.version {
            return Err(NotSent::Unknown);
        }
        let mut state = self.state();
        if state.ended.is_some() {
            return Err(NotSent::Broken);
        }
        let idle = state.outbox.waiting() == (0, 0);
        let queued = if frame.is_answer() { state.outbox.answer(frame) } else { state.outbox.ask(frame) };
        drop(state);
        match queued {
            Ok(()) => {
                // Otherwise the writer has more to take, and looks again before it waits.
                if idle {
                    self.to_write.notify_one();
                }
                Ok(())
            }
            Err(NotQueued::Full) if frame.is_answer() => {
                self.end(Ended::Flooded);
                Err(NotSent::Broken)
            }
            Err(NotQueued::Full | NotQueued::TooLong) => {
                self.counts.no_room.fetch_add(1, Relaxed);
                Err(NotSent::Full)
            }
        }
    }

    /// Answers a question of the control plane: with a refusal when there is no room for more.
    pub(super) fn answer_call(&self, n: u64, answer: Answer) {
        let mut state = self.state();
        if state.ended.is_none() && state.outbox.answer(&Frame::Answer { n, answer }).is_err() {
            // So short that there is room, or the link is about to end.
            let _ = state.outbox.answer(&Frame::Answer { n, answer: Answer::Refused });
        }
        drop(state);
        self.to_write.notify_one();
    }

    /// Asks the other side's control plane. `None`: nothing was sent.
    pub(super) fn call(self: &Arc<Self>, question: Bytes) -> Option<Asked> {
        let (waits, answer) = oneshot::channel();
        let mut state = self.state();
        let n = state.ended.is_none().then(|| state.calls.ask(waits)).flatten()?;
        let asked = Asked { life: Arc::clone(self), n, answer };
        let queued = state.outbox.ask(&Frame::Call { n, question: Payload(question) });
        drop(state);
        self.to_write.notify_one();
        queued.is_ok().then_some(asked)
    }

    pub(super) fn call_answered(&self, n: u64, answer: Answer) -> Result<(), NeverAsked> {
        let waits = self.state().calls.answered(n)?;
        // Who has given up does not hear it.
        let _ = waits.map(|waits| waits.send(answer));
        Ok(())
    }
}

/// A question of the control plane on its way. Dropped, its answer is not waited for.
pub(super) struct Asked {
    life: Arc<Life>,
    n: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Asked {
    /// `None`: the link broke.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Was asked: there is no such error.
        let _ = self.life.state().calls.answered(self.n);
    }
}
