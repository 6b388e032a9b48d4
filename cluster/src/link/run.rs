//! Runs one life of a link over its connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Ended;
use super::life::{CALLS_MAX, Life, PeerHandle, TakenReply};
use super::slots::NeverAsked;
use super::timings::{LinkTimings, Pulse};
use super::tls::may_link;
use super::wire::{Answer, Frame, Payload, WireError, take};
use crate::{ClusterView, NodeId, clock};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Runs it until it ends, and ends it.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(
    life: Arc<Life>,
    connection: S,
    read: BytesMut,
    mut view: watch::Receiver<ClusterView>,
    own: NodeId,
    timings: LinkTimings,
) {
    // However this future goes, by a panic of a handler too: what is unanswered is settled.
    let end = EndOnDrop(Arc::clone(&life));
    let (reader, writer) = tokio::io::split(connection);
    // One task: what is read and what is written never waits for another thread.
    let why = tokio::select! {
        why = reads(&life, reader, read) => why,
        why = writes(&life, writer) => why,
        why = beats(&life, timings) => why,
        why = membership(&life, &mut view, own) => why,
        () = life.to_end.notified() => Ended::Stopped,
    };
    life.end(why);
    drop(end);
}

struct EndOnDrop(Arc<Life>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(Ended::Stopped);
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

async fn reads<S: AsyncRead + AsyncWrite>(life: &Arc<Life>, mut reader: ReadHalf<S>, mut read: BytesMut) -> Ended {
    let mut calls = JoinSet::new();
    loop {
        if let Err(why) = handle_all(life, &mut read, &mut calls) {
            return why;
        }
        read.reserve(READ_BYTES);
        tokio::select! {
            count = reader.read_buf(&mut read) => match count {
                Ok(0) => return Ended::Closed,
                Ok(count) => {
                    life.counts.read.fetch_add(count as u64, Relaxed);
                }
                Err(error) => return error.into(),
            },
            Some(_) = calls.join_next(), if !calls.is_empty() => {}
        }
    }
}

fn handle_all(life: &Arc<Life>, read: &mut BytesMut, calls: &mut JoinSet<()>) -> Result<(), Ended> {
    let mut woken = None;
    while let Some(body) = take(read)? {
        handle(life, Frame::decode(&body)?, calls, &mut woken)?;
    }
    if let Some(up_to) = woken {
        life.answer(&Frame::Woken { up_to });
    }
    Ok(())
}

fn handle(life: &Arc<Life>, frame: Frame, calls: &mut JoinSet<()>, woken: &mut Option<u64>) -> Result<(), Ended> {
    let peer = || PeerHandle(Arc::clone(life));
    let handler = &life.hooks().handler;
    match frame {
        Frame::Ping { n } => life.answer(&Frame::Pong { n }),
        Frame::Pong { n } => life.pong(n, clock::monotonic())?,
        Frame::Call { n, question } => answer_call(life, n, question, calls),
        Frame::Answer { n, answer } => life.call_answered(n, answer)?,
        Frame::Forward { n, forward } => {
            if let Some(reply) = life.let_in(n, forward.envelope.body.len()) {
                handler.forward(&peer(), forward, reply);
            }
        }
        Frame::Forwarded { n, outcome, moved } => life.forwarded(n, outcome, moved)?,
        Frame::Wake { n, to, seq } => {
            handler.wake(&peer(), to, seq);
            *woken = Some(n);
        }
        Frame::Woken { up_to } => life.woken(up_to)?,
        Frame::Taken { n, device, epoch } => {
            handler.taken(&peer(), device, epoch, TakenReply { life: Arc::clone(life), n });
        }
        Frame::TakenSeen { n } => life.taken_seen(n)?,
        Frame::News { n, news } => {
            handler.news(&peer(), news);
            life.answer(&Frame::NewsHeard { n });
        }
        Frame::NewsHeard { n } => life.news_heard(n)?,
    }
    Ok(())
}

/// Questions of the control plane are answered beside everything else, a bounded number at a time.
fn answer_call(life: &Arc<Life>, n: u64, question: Payload, calls: &mut JoinSet<()>) {
    while calls.try_join_next().is_some() {}
    if calls.len() >= CALLS_MAX {
        return life.answer(&Frame::Answer { n, answer: Answer::Refused });
    }
    let life = Arc::clone(life);
    calls.spawn(async move {
        let answer = match life.hooks().answers.answer(life.id.node(), question.0).await {
            Ok(bytes) => Answer::Bytes(Payload(bytes)),
            Err(refused) => {
                tracing::debug!(node = %life.id.node(), %refused, "a question is refused");
                Answer::Refused
            }
        };
        life.answer(&Frame::Answer { n, answer });
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

/// Asks whether the other side lives, and gives up what takes too long.
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
        let now = clock::monotonic();
        life.ping(now);
        if let Some(before) = now.checked_sub(timings.answer_max) {
            life.give_up(before);
        }
    }
}

/// Ends the link of a node that is none of ours any more, or when this one is not.
async fn membership(life: &Life, view: &mut watch::Receiver<ClusterView>, own: NodeId) -> Ended {
    loop {
        if !may_link(&view.borrow_and_update(), own, life.id.node(), &life.key) {
            return Ended::NotAMember;
        }
        if view.changed().await.is_err() {
            return Ended::Stopped;
        }
    }
}
