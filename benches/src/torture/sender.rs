//! A client that sends, as a good one does: in order, within its window, again until it is accepted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use endtoend_protocol::{Address, ClientFrame, Envelope, EnvelopeId, ServerFrame};
use endtoend_testkit::{Device, Gone, Wire, WireReceiver, WireSender};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::record::{MessageId, Sent};
use super::world::{SILENCE_MAX, World, envelope_id};

/// Unanswered sends: half of what the protocol allows, so that the first connection of two leaves room.
const WINDOW: usize = 32;
/// A pause that the node asks for is cut to this: the run is short.
const HOLD_MAX: Duration = Duration::from_millis(250);

/// What the harness does to a sender.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    /// Its socket is gone, and it is away for this long.
    Vanish(Duration),
    /// It goes on over a second connection, with the first one open.
    ConnectTwice,
    /// It goes to this node, if it is not there.
    MoveTo(usize),
}

pub(crate) struct Sender {
    number: u32,
    device: Device,
    /// The node where it is, or tries to be.
    at: usize,
    /// Receivers with their numbers.
    to: [(usize, Address); 2],
    messages: u32,
    world: Arc<World>,
    commands: mpsc::Receiver<Command>,
    /// Messages that were tried and have no answer on their way.
    waiting: BTreeSet<u32>,
    open: HashMap<EnvelopeId, (u32, u64)>,
    next: u32,
    attempts: u64,
}

enum After {
    Done,
    Lost,
    Away(Duration),
    Moved,
}

impl Sender {
    pub(crate) fn new(
        number: u32,
        device: Device,
        to: [(usize, Address); 2],
        messages: u32,
        world: Arc<World>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let (waiting, open) = Default::default();
        Self { number, device, at: number as usize, to, messages, world, commands, waiting, open, next: 0, attempts: 0 }
    }

    /// Until every message is accepted.
    pub(crate) async fn run(mut self) {
        // A connection that was left open, until the next one is left.
        let mut left = None;
        loop {
            let world = Arc::clone(&self.world);
            let (wire, life) = world.connect(&mut self.device, &mut self.at).await;
            let (mut out, mut back) = wire.split();
            let after = self.converse(&mut out, &mut back, life).await;
            self.waiting.extend(self.open.drain().map(|(_, (number, _))| number));
            match after {
                After::Done => return,
                After::Lost => world.tally().connections_lost += 1,
                After::Moved => {
                    self.at += 1;
                    left = Some((out, back));
                }
                After::Away(how_long) => {
                    drop((out, back, left.take()));
                    sleep(how_long).await;
                }
            }
        }
    }

    async fn converse(&mut self, out: &mut WireSender, back: &mut WireReceiver, life: u64) -> After {
        let world = Arc::clone(&self.world);
        let mut allowed = world.allowed.subscribe();
        let mut held_until: Option<Instant> = None;
        let (mut retries, mut retries_told) = (0, None);
        loop {
            if self.next == self.messages && self.waiting.is_empty() && self.open.is_empty() {
                return After::Done;
            }
            let allowed_now = *allowed.borrow_and_update();
            let fed = async {
                while held_until.is_none() && self.open.len() < WINDOW {
                    let Some(number) = self.choose(allowed_now) else { break };
                    if retries_told != Some(retries) {
                        // From here on all that comes is in order.
                        retries_told = Some(retries);
                        out.try_feed(&ClientFrame::RetriesHeard { count: retries }).await?;
                    }
                    self.attempt(number, out).await?;
                }
                out.try_flush().await
            };
            if !matches!(timeout(SILENCE_MAX, fed).await, Ok(Ok(()))) {
                return After::Lost;
            }
            let silent = Instant::from_std(world.watch.at(world.watch.elapsed() + SILENCE_MAX));
            tokio::select! {
                Some(command) = self.commands.recv() => match command {
                    Command::Vanish(how_long) => return After::Away(how_long),
                    Command::ConnectTwice => return After::Moved,
                    Command::MoveTo(node) if node == self.at => {}
                    Command::MoveTo(node) => {
                        self.at = node;
                        return After::Away(Duration::ZERO);
                    }
                },
                frame = back.recv() => {
                    let mut frame = match frame { None => return After::Lost, some => some };
                    while let Some(heard) = frame {
                        match self.heard(&heard, life) {
                            Ok(None) => {}
                            Ok(Some(hold)) => {
                                retries += 1;
                                held_until = Some(Instant::from_std(world.watch.at(world.watch.elapsed() + hold)));
                            }
                            Err(Gone) => return After::Lost,
                        }
                        frame = back.try_recv();
                    }
                }
                Ok(()) = allowed.changed() => {}
                () = sleep_until(held_until.unwrap_or(silent)), if held_until.is_some() => held_until = None,
                () = sleep_until(silent), if !self.open.is_empty() => {
                    world.tally().silences += 1;
                    return After::Lost;
                }
            }
        }
    }

    /// The message to send next: what has to be repeated first.
    fn choose(&mut self, allowed: u32) -> Option<u32> {
        if let Some(number) = self.waiting.pop_first() {
            return Some(number);
        }
        let number = self.next;
        (number < self.messages && number < allowed).then(|| {
            self.next += 1;
            number
        })
    }

    async fn attempt(&mut self, number: u32, out: &mut WireSender) -> Result<(), Gone> {
        let message = MessageId { sender: self.number, number };
        let [first, second] = self.to;
        let (receiver, to) = if number.is_multiple_of(3) { second } else { first };
        let (attempt, now) = (self.attempts, self.world.now());
        self.attempts += 1;
        {
            let mut records = self.world.records();
            if let Some(sent) = records.sent.get_mut(self.number as usize)
                && sent.len() == number as usize
            {
                sent.push(Sent { to: receiver, first_attempt: attempt, first_at: now, accepted_attempt: None });
                self.world.service().tried(now);
            }
        }
        let id = envelope_id(message);
        self.open.insert(id, (number, attempt));
        let envelope = Envelope { id, to, body: self.world.body(message), devices_version: 1 };
        out.try_feed(&ClientFrame::Send(envelope)).await
    }

    /// What the node says; how long it wants to be left alone.
    fn heard(&mut self, frame: &ServerFrame, life: u64) -> Result<Option<Duration>, Gone> {
        let now = self.world.now();
        match frame {
            ServerFrame::Accepted { id, .. } => {
                if let Some((number, attempt)) = self.open.remove(id) {
                    let mut records = self.world.records();
                    let sent =
                        records.sent.get_mut(self.number as usize).and_then(|sent| sent.get_mut(number as usize));
                    if let Some(sent) = sent {
                        sent.accepted_attempt = Some(attempt);
                        self.world.tally().accepted_ns.push(now.saturating_sub(sent.first_at));
                        self.world.service().accepted(now, life);
                    }
                }
                Ok(None)
            }
            ServerFrame::Retry { id, after_ms, reason } => {
                *self.world.tally().retries.entry(format!("{reason:?}")).or_default() += 1;
                self.waiting.extend(self.open.remove(id).map(|(number, _)| number));
                Ok(Some(Duration::from_millis(*after_ms).min(HOLD_MAX)))
            }
            ServerFrame::Rejected { reason, .. } => {
                *self.world.tally().rejected.entry(format!("{reason:?}")).or_default() += 1;
                Ok(None)
            }
            ServerFrame::Closing { reason, .. } => {
                self.world.closed(*reason);
                Err(Gone)
            }
            _ => Ok(None),
        }
    }
}

/// Registers somebody with a tag that is his number.
pub(crate) async fn register(world: &World, kind: u8, number: usize) -> (Wire, Device) {
    Wire::register(world.node(number).1, tag(kind, number)).await
}

pub(crate) fn tag(kind: u8, number: usize) -> endtoend_protocol::AccountTag {
    let mut tag = [kind; 32];
    tag.iter_mut().zip(number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    endtoend_protocol::AccountTag::new(tag)
}
