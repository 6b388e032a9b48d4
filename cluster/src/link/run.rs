//! Runs one life of a link over its connection.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Ended;
use super::life::{CALLS_MAX, Life};
use super::slots::NeverAsked;
use super::timings::{LinkTimings, Pulse};
use super::tls::may_link;
use super::wire::{Answer, Frame, Outcome, Payload, WireError, take};
use crate::peers::HearsPeers;
use crate::{ClusterView, NodeId, clock};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// What a life needs to run besides its connection.
pub(super) struct Running {
    pub(super) own: NodeId,
    pub(super) timings: LinkTimings,
    pub(super) view: watch::Receiver<ClusterView>,
    /// Who hears traffic, as soon as there is somebody.
    pub(super) ears: Arc<OnceLock<Arc<dyn HearsPeers>>>,
}

/// Runs it until it ends, and says why.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(
    life: &Arc<Life>,
    connection: S,
    read: BytesMut,
    mut running: Running,
) -> Ended {
    let (reader, writer) = tokio::io::split(connection);
    let mut hearing = Hearing { life: Arc::clone(life), ears: Arc::clone(&running.ears), told: None, refused: 0 };
    // One task: what is read and what is written never waits for another thread, and nothing is heard after the end.
    tokio::select! {
        why = reads(&mut hearing, reader, read) => why,
        why = writes(life, writer) => why,
        why = beats(life, running.timings) => why,
        why = membership(life, &mut running.view, running.own) => why,
        () = life.to_end.notified() => life.ended().unwrap_or(Ended::Stopped),
    }
}

/// Tells who hears traffic of the link, of its frames and, dropped, of its end: in this order, whatever happens.
struct Hearing {
    life: Arc<Life>,
    ears: Arc<OnceLock<Arc<dyn HearsPeers>>>,
    told: Option<Arc<dyn HearsPeers>>,
    /// Forwarded envelopes that were told to come again while nobody heard.
    refused: u64,
}

impl Hearing {
    fn ears(&mut self) -> Option<&dyn HearsPeers> {
        if self.told.is_none()
            && let Some(ears) = self.ears.get()
        {
            ears.linked(self.life.link, self.refused);
            self.told = Some(Arc::clone(ears));
        }
        self.told.as_deref()
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        // Nothing is sent before it is known that the link has ended: also when a handler has panicked.
        self.life.end(Ended::Stopped);
        if let Some(told) = &self.told {
            told.broke(self.life.link);
        }
    }
}

impl From<WireError> for Ended {
    fn from(_: WireError) -> Self {
        Self::Malformed
    }
}
impl From<NeverAsked> for Ended {
    fn from(_: NeverAsked) -> Self {
        Self::Malformed
    }
}
impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

async fn reads<S: AsyncRead + AsyncWrite>(hearing: &mut Hearing, mut reader: ReadHalf<S>, mut read: BytesMut) -> Ended {
    let mut calls = JoinSet::new();
    loop {
        if let Err(why) = handle_all(hearing, &mut read, &mut calls) {
            return why;
        }
        read.reserve(READ_BYTES);
        tokio::select! {
            count = reader.read_buf(&mut read) => match count {
                Ok(0) => return Ended::Closed,
                Ok(count) => {
                    hearing.life.counts.read.fetch_add(count as u64, Relaxed);
                }
                Err(error) => return error.into(),
            },
            Some(_) = calls.join_next(), if !calls.is_empty() => {}
        }
    }
}

fn handle_all(hearing: &mut Hearing, read: &mut BytesMut, calls: &mut JoinSet<()>) -> Result<(), Ended> {
    hearing.ears();
    while let Some(body) = take(read)? {
        let frame = Frame::decode(&body)?;
        if frame.since() > hearing.life.version {
            return Err(Ended::Malformed);
        }
        handle(hearing, frame, calls)?;
    }
    Ok(())
}

fn handle(hearing: &mut Hearing, frame: Frame, calls: &mut JoinSet<()>) -> Result<(), Ended> {
    let life = &hearing.life;
    match frame {
        // Of a link that has ended: so has this task, soon.
        Frame::Ping { n } => drop(life.send(&Frame::Pong { n })),
        Frame::Pong { n } => life.pong(n, clock::monotonic())?,
        Frame::Call { n, question } => answer_call(life, n, question, calls),
        Frame::Answer { n, answer } => life.call_answered(n, answer)?,
        traffic => {
            let link = life.link;
            match hearing.ears() {
                Some(ears) => ears.heard(link, traffic),
                None => {
                    hearing.refused += u64::from(matches!(traffic, Frame::Forward { .. }));
                    // Of a link that has ended: so has this task, soon.
                    let _gone = as_nobody(&traffic).map(|answer| hearing.life.send(&answer));
                }
            }
        }
    }
    Ok(())
}

/// What a node answers to which no device is connected yet.
const fn as_nobody(frame: &Frame) -> Option<Frame> {
    match *frame {
        Frame::Forward { n, .. } => Some(Frame::Forwarded { n, outcome: Outcome::Busy, moved: true }),
        Frame::Wake { n, .. } => Some(Frame::Woken { up_to: n }),
        Frame::Taken { n, .. } => Some(Frame::TakenSeen { n }),
        Frame::News { n, .. } | Frame::NewsMissed { n } => Some(Frame::NewsHeard { n }),
        _ => None,
    }
}

/// Questions of the control plane are answered beside everything else, a bounded number at a time.
fn answer_call(life: &Arc<Life>, n: u64, question: Payload, calls: &mut JoinSet<()>) {
    while calls.try_join_next().is_some() {}
    if calls.len() >= CALLS_MAX {
        return life.answer_call(n, Answer::Refused);
    }
    let life = Arc::clone(life);
    calls.spawn(async move {
        let answer = match life.hooks.answers.answer(life.node(), question.0).await {
            Ok(bytes) => Answer::Bytes(Payload(bytes)),
            Err(refused) => {
                tracing::debug!(node = %life.node(), %refused, "a question is refused");
                Answer::Refused
            }
        };
        life.answer_call(n, answer);
    });
}

async fn writes<S: AsyncRead + AsyncWrite>(life: &Life, mut writer: WriteHalf<S>) -> Ended {
    loop {
        let Some(batch) = life.next_batch() else {
            life.to_write.notified().await;
            continue;
        };
        life.counts.writing.store(true, Relaxed);
        if let Err(error) = write(life, &mut writer, &batch).await {
            return error.into();
        }
        life.counts.writing.store(false, Relaxed);
        life.written(batch);
    }
}

/// Counts what goes out as it goes out: a slow link that moves is not a dead one.
async fn write<S: AsyncWrite>(life: &Life, writer: &mut WriteHalf<S>, mut batch: &[u8]) -> io::Result<()> {
    while !batch.is_empty() {
        let count = writer.write(batch).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        life.counts.written.fetch_add(count as u64, Relaxed);
        batch = batch.get(count..).unwrap_or_default();
    }
    writer.flush().await
}

/// Asks whether the other side lives.
async fn beats(life: &Life, timings: LinkTimings) -> Ended {
    let mut ticks = tokio::time::interval(timings.ping_every);
    // Ticks that were missed while the process was paused say nothing about the other side.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pulse = Pulse::default();
    loop {
        ticks.tick().await;
        let counts = &life.counts;
        let (read, written) = (counts.read.load(Relaxed), counts.written.load(Relaxed));
        let stalls = counts.writing.load(Relaxed);
        if pulse.beat(read, written, stalls, &timings) {
            return Ended::Silent;
        }
        life.ping(clock::monotonic());
    }
}

/// Ends the link of a node that is none of ours any more, or when this one is not.
async fn membership(life: &Life, view: &mut watch::Receiver<ClusterView>, own: NodeId) -> Ended {
    loop {
        if !may_link(&view.borrow_and_update(), own, life.node(), &life.key) {
            return Ended::NotAMember;
        }
        if view.changed().await.is_err() {
            return Ended::Stopped;
        }
    }
}
