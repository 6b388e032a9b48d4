//! One life of a link, from its handshake to its end: what is shared between those who send on it and the task that runs it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use endtoend_protocol::Address;
use tokio::sync::{Notify, oneshot};

use super::handler::Hooks;
use super::outbox::{NotQueued, Outbox};
use super::slots::{NeverAsked, Slots};
use super::wire::{Answer, Forward, Frame, News, Outcome, Payload};
use super::{Ended, LinkLife};
use crate::clock;

/// Envelopes that one link may have unanswered. At 10 000 a second and an answer in half a second it is not reached.
pub(super) const FORWARDS_MAX: usize = 8_192;
/// The same of their bodies, at the side that has to keep them.
pub(super) const FORWARDED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Wake-ups that one link may have unanswered: they are handled at once, so it takes a peer that has stopped.
pub(super) const WAKES_MAX: usize = 65_536;
/// Claims and news that one link may have unanswered.
pub(super) const NOTICES_MAX: usize = 16_384;
/// Questions of the control plane that one link may have unanswered.
pub(super) const CALLS_MAX: usize = 64;

/// What became of an envelope that was sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The other side's word.
    Answered {
        /// What its sender is told.
        outcome: Outcome,
        /// The device is not there: look for it anew.
        moved: bool,
    },
    /// Nothing was sent: no room, or no link.
    NotSent,
    /// There is no answer, because the link broke or time ran out. It may have arrived.
    Lost,
}

/// What became of a wake-up, a claim or news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The other side has done what there was to do.
    Done,
    /// Nothing was sent: no room, or no link.
    NotSent,
    /// There is no answer, because the link broke or time ran out. It may have arrived.
    Lost,
}

type Done<T> = Box<dyn FnOnce(T) + Send>;

pub(super) struct Life {
    pub(super) id: LinkLife,
    pub(super) run: u64,
    pub(super) since: Instant,
    /// The other side's, as it was proved: a DER-encoded `SubjectPublicKeyInfo`.
    pub(super) key: Vec<u8>,
    state: Mutex<State>,
    /// Something waits to be written.
    pub(super) to_write: Notify,
    /// The task that runs it is to end.
    pub(super) to_end: Notify,
    pub(super) counts: Counts,
    hooks: Hooks,
}

/// Since the life began.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) read: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) writing: AtomicBool,
    pub(super) rtt_us: AtomicU64,
    forwards_here: AtomicUsize,
    bytes_here: AtomicUsize,
    pub(super) no_room: AtomicU64,
}

struct State {
    ended: Option<Ended>,
    outbox: Outbox,
    forwards: Slots<Done<Settled>>,
    wakes: Slots<Done<Told>>,
    taken: Slots<Done<Told>>,
    news: Slots<Done<Told>>,
    calls: Slots<oneshot::Sender<Option<Bytes>>>,
    pings: Slots<()>,
}

impl Life {
    pub(super) fn new(id: LinkLife, run: u64, key: Vec<u8>, hooks: Hooks) -> Arc<Self> {
        let state = State {
            ended: None,
            outbox: Outbox::default(),
            forwards: Slots::new(FORWARDS_MAX),
            wakes: Slots::new(WAKES_MAX),
            taken: Slots::new(NOTICES_MAX),
            news: Slots::new(NOTICES_MAX),
            calls: Slots::new(CALLS_MAX),
            pings: Slots::new(128),
        };
        Arc::new(Self {
            id,
            run,
            since: clock::monotonic(),
            key,
            state: Mutex::new(state),
            to_write: Notify::new(),
            to_end: Notify::new(),
            counts: Counts::default(),
            hooks,
        })
    }

    // A panic while the lock was held cannot have left the rules in between: each change is one call of theirs.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Ends it, once: everything unanswered is settled, and whoever listens hears of it.
    pub(super) fn end(&self, why: Ended) {
        let (forwards, told) = {
            let mut state = self.state();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(why);
            state.outbox = Outbox::default();
            // Who waits for an answer to a call hears of the end by its sender being dropped.
            state.calls = Slots::new(0);
            let forwards = std::mem::replace(&mut state.forwards, Slots::new(0)).into_all();
            let State { wakes, taken, news, .. } = &mut *state;
            let told = [wakes, taken, news].map(|slots| std::mem::replace(slots, Slots::new(0)).into_all());
            (forwards, told)
        };
        for done in forwards {
            done(Settled::Lost);
        }
        for done in told.into_iter().flatten() {
            done(Told::Lost);
        }
        self.hooks.handler.broke(self.id);
        self.to_end.notify_one();
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.state().ended
    }

    pub(super) fn next_batch(&self) -> Option<Vec<u8>> {
        self.state().outbox.next()
    }
    pub(super) fn written(&self, batch: Vec<u8>) {
        self.state().outbox.written(batch);
    }

    /// Bytes that wait (control, traffic), and envelopes without an answer.
    pub(super) fn load(&self) -> (usize, usize, usize) {
        let state = self.state();
        let (control, traffic) = state.outbox.waiting();
        (control, traffic, state.forwards.unanswered())
    }

    /// Asks the other side whether it lives.
    pub(super) fn ping(&self, now: Instant) {
        let mut state = self.state();
        // A peer that does not answer them is silent soon enough.
        if let Ok(n) = state.pings.ask(now, ()) {
            let _ = state.outbox.ask(&Frame::Ping { n });
        }
        drop(state);
        self.to_write.notify_one();
    }

    pub(super) fn pong(&self, n: u64, now: Instant) -> Result<(), NeverAsked> {
        let mut state = self.state();
        let asked = state.pings.asked_at(n);
        state.pings.answered_up_to(n)?;
        drop(state);
        if let Some(asked) = asked {
            let rtt = u64::try_from(now.saturating_duration_since(asked).as_micros()).unwrap_or(u64::MAX);
            self.counts.rtt_us.store(rtt.max(1), Relaxed);
        }
        Ok(())
    }

    /// Queues an answer. A peer that reads none ends its link.
    pub(super) fn answer(&self, frame: &Frame) {
        let answered = {
            let mut state = self.state();
            if state.ended.is_some() {
                return;
            }
            let answered = state.outbox.answer(frame);
            match (frame, answered) {
                (Frame::Answer { n, .. }, Err(_)) => {
                    state.outbox.answer(&Frame::Answer { n: *n, answer: Answer::Refused })
                }
                _ => answered,
            }
        };
        match answered {
            Ok(()) => self.to_write.notify_one(),
            Err(_) => self.end(Ended::Flooded),
        }
    }

    /// Asks, if there is room; gives `done` back otherwise.
    fn ask<D>(
        &self,
        slots: impl Fn(&mut State) -> &mut Slots<D>,
        frame: impl FnOnce(u64) -> Frame,
        done: D,
    ) -> Result<u64, D> {
        let now = clock::monotonic();
        let mut state = self.state();
        if state.ended.is_some() {
            return Err(done);
        }
        let n = match slots(&mut state).ask(now, done) {
            Ok(n) => n,
            Err(done) => {
                self.counts.no_room.fetch_add(1, Relaxed);
                return Err(done);
            }
        };
        let idle = state.outbox.waiting() == (0, 0);
        match state.outbox.ask(&frame(n)) {
            Ok(()) => {
                drop(state);
                // Otherwise the writer has more to take, and looks again before it waits.
                if idle {
                    self.to_write.notify_one();
                }
                Ok(n)
            }
            Err(NotQueued::Full | NotQueued::TooLong) => {
                self.counts.no_room.fetch_add(1, Relaxed);
                match slots(&mut state).answered(n) {
                    Ok(Some(done)) => Err(done),
                    Ok(None) | Err(NeverAsked) => Ok(n),
                }
            }
        }
    }

    pub(super) fn forwarded(&self, n: u64, outcome: Outcome, moved: bool) -> Result<(), NeverAsked> {
        let done = self.state().forwards.answered(n)?;
        if let Some(done) = done {
            done(Settled::Answered { outcome, moved });
        }
        Ok(())
    }
    pub(super) fn woken(&self, up_to: u64) -> Result<(), NeverAsked> {
        let done = self.state().wakes.answered_up_to(up_to)?;
        done.into_iter().for_each(|done| done(Told::Done));
        Ok(())
    }
    pub(super) fn taken_seen(&self, n: u64) -> Result<(), NeverAsked> {
        let done = self.state().taken.answered(n)?;
        done.into_iter().for_each(|done| done(Told::Done));
        Ok(())
    }
    pub(super) fn news_heard(&self, n: u64) -> Result<(), NeverAsked> {
        let done = self.state().news.answered(n)?;
        done.into_iter().for_each(|done| done(Told::Done));
        Ok(())
    }
    pub(super) fn call_answered(&self, n: u64, answer: Answer) -> Result<(), NeverAsked> {
        let waits = self.state().calls.answered(n)?;
        if let Some(waits) = waits {
            // Who has given up does not hear it.
            let _ = waits.send(match answer {
                Answer::Bytes(Payload(bytes)) => Some(bytes),
                Answer::Refused => None,
            });
        }
        Ok(())
    }

    /// Gives up what was asked before `before`.
    pub(super) fn give_up(&self, before: Instant) {
        let (forwards, told) = {
            let mut state = self.state();
            let State { forwards, wakes, taken, news, .. } = &mut *state;
            (forwards.give_up(before), [wakes, taken, news].map(|slots| slots.give_up(before)))
        };
        forwards.into_iter().for_each(|done| done(Settled::Lost));
        told.into_iter().flatten().for_each(|done| done(Told::Lost));
    }

    /// An envelope has come in: the way to answer it. `None`, and answered, when this side has to keep too many.
    pub(super) fn let_in(self: &Arc<Self>, n: u64, body_bytes: usize) -> Option<ForwardReply> {
        let forwards = self.counts.forwards_here.fetch_add(1, Relaxed);
        let bytes = self.counts.bytes_here.fetch_add(body_bytes, Relaxed);
        let reply = ForwardReply { life: Arc::clone(self), n, body_bytes, answered: false };
        // Dropped beyond the bound: it says that there is no room.
        (forwards < FORWARDS_MAX && bytes.saturating_add(body_bytes) <= FORWARDED_BYTES_MAX).then_some(reply)
    }
}

/// One life of the link to another node. Cheap to clone; when the life has ended, nothing is sent any more.
#[derive(Clone)]
pub struct PeerHandle(pub(super) Arc<Life>);

impl fmt::Debug for PeerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerHandle({:?})", self.0.id)
    }
}

impl PeerHandle {
    /// Names it.
    pub fn life(&self) -> LinkLife {
        self.0.id
    }
    /// Which run of the other node's process it is.
    pub fn run(&self) -> u64 {
        self.0.run
    }

    /// Sends an envelope on. `done` is called exactly once, on whatever thread; it must not wait.
    pub fn forward(&self, forward: Forward, done: impl FnOnce(Settled) + Send + 'static) {
        let done: Done<Settled> = Box::new(done);
        if let Err(done) = self.0.ask(|state| &mut state.forwards, |n| Frame::Forward { n, forward }, done) {
            done(Settled::NotSent);
        }
    }

    /// A row was committed for a device that is there. `done` as with [`PeerHandle::forward`].
    pub fn wake(&self, to: Address, seq: i64, done: impl FnOnce(Told) + Send + 'static) {
        let done: Done<Told> = Box::new(done);
        if let Err(done) = self.0.ask(|state| &mut state.wakes, |n| Frame::Wake { n, to, seq }, done) {
            done(Told::NotSent);
        }
    }

    /// This node has claimed a device that was there. `done` as with [`PeerHandle::forward`].
    pub fn taken(&self, device: Address, epoch: u64, done: impl FnOnce(Told) + Send + 'static) {
        let done: Done<Told> = Box::new(done);
        if let Err(done) = self.0.ask(|state| &mut state.taken, |n| Frame::Taken { n, device, epoch }, done) {
            done(Told::NotSent);
        }
    }

    /// Connections there must hear of this. `done` as with [`PeerHandle::forward`].
    pub fn news(&self, news: News, done: impl FnOnce(Told) + Send + 'static) {
        let done: Done<Told> = Box::new(done);
        if let Err(done) = self.0.ask(|state| &mut state.news, |n| Frame::News { n, news }, done) {
            done(Told::NotSent);
        }
    }

    /// Asks the other side's control plane. `None`: nothing was sent.
    pub(super) fn call(&self, question: Bytes) -> Option<Asked> {
        let (waits, answer) = oneshot::channel();
        let frame = |n| Frame::Call { n, question: Payload(question) };
        let n = self.0.ask(|state| &mut state.calls, frame, waits).ok()?;
        Some(Asked { life: Arc::clone(&self.0), n, answer })
    }

    /// How long the last question whether it lives took. `None` before the first.
    pub fn rtt(&self) -> Option<Duration> {
        self.0.rtt()
    }
}

impl Life {
    pub(super) fn rtt(&self) -> Option<Duration> {
        match self.counts.rtt_us.load(Relaxed) {
            0 => None,
            us => Some(Duration::from_micros(us)),
        }
    }
}

/// A question of the control plane on its way. Dropped, its answer is not waited for.
pub(super) struct Asked {
    life: Arc<Life>,
    n: u64,
    answer: oneshot::Receiver<Option<Bytes>>,
}

impl Asked {
    /// `Err`: the link broke.
    pub(super) async fn answer(&mut self) -> Result<Option<Bytes>, oneshot::error::RecvError> {
        (&mut self.answer).await
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Was asked: there is no such error.
        let _ = self.life.state().calls.answered(self.n);
    }
}

/// The right to answer one envelope of another node. Dropped, it says that there is no room: the sender tries again.
pub struct ForwardReply {
    life: Arc<Life>,
    n: u64,
    body_bytes: usize,
    answered: bool,
}

impl fmt::Debug for ForwardReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForwardReply({} of {:?})", self.n, self.life.id)
    }
}

impl ForwardReply {
    /// What became of it; `moved`: the device is not here.
    pub fn settle(mut self, outcome: Outcome, moved: bool) {
        self.answer(outcome, moved);
    }

    fn answer(&mut self, outcome: Outcome, moved: bool) {
        if !std::mem::replace(&mut self.answered, true) {
            self.life.counts.forwards_here.fetch_sub(1, Relaxed);
            self.life.counts.bytes_here.fetch_sub(self.body_bytes, Relaxed);
            self.life.answer(&Frame::Forwarded { n: self.n, outcome, moved });
        }
    }
}

impl Drop for ForwardReply {
    fn drop(&mut self) {
        self.answer(Outcome::Busy, false);
    }
}

/// The right to confirm that this node does not act for a device any more. Dropped, nothing is confirmed: the other node
/// waits for one lease.
pub struct TakenReply {
    pub(super) life: Arc<Life>,
    pub(super) n: u64,
}

impl fmt::Debug for TakenReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TakenReply({} of {:?})", self.n, self.life.id)
    }
}

impl TakenReply {
    /// It does not.
    pub fn confirm(self) {
        self.life.answer(&Frame::TakenSeen { n: self.n });
    }
}
