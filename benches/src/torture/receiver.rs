//! A client that receives: writes down, then acknowledges. Its record outlives its ends.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use endtoend_protocol::{ClientFrame, Deliver, DeliveryNumber, EnvelopeId, Request, ServerFrame};
use endtoend_testkit::{Device, Gone, Wire, WireReceiver, WireSender};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::record::Shown;
use super::world::{SILENCE_MAX, World};

/// Whoever waits for deliveries in order to end ends after this time anyway.
const END_AFTER: Duration = Duration::from_secs(1);

/// What the harness does to a receiver. Away means: not connected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Vanish {
        away: Duration,
    },
    AttachTwice,
    /// To this node, if it is not there.
    MoveTo(usize),
    /// After so many further deliveries that were written down and not acknowledged.
    EndBeforeAck {
        deliveries: u32,
        away: Duration,
    },
    /// After so many further deliveries that were not even written down.
    EndBeforeStoring {
        deliveries: u32,
        away: Duration,
    },
    Sleep(Duration),
}

pub(crate) struct Receiver {
    number: usize,
    device: Device,
    /// The node where it is, or tries to be.
    at: usize,
    world: Arc<World>,
    commands: mpsc::Receiver<Command>,
    /// Every envelope that is in the record.
    known: HashSet<EnvelopeId>,
}

/// How it goes about its deliveries.
#[derive(Clone, Copy)]
enum Mode {
    Well,
    Ends { stores: bool, deliveries: u32, away: Duration, at: Instant },
}

enum After {
    Over,
    Lost,
    Away(Duration),
    /// To this connection; the one before stays open, and is not read any more.
    Moved(Box<(Wire, WireSender, WireReceiver)>),
}

/// What one attachment has brought.
#[derive(Default)]
struct Attachment {
    last: u64,
    ids: HashSet<EnvelopeId>,
}

impl Receiver {
    pub(crate) fn new(number: usize, device: Device, world: Arc<World>, commands: mpsc::Receiver<Command>) -> Self {
        Self { number, device, at: number, world, commands, known: HashSet::new() }
    }

    /// Until the run is over.
    pub(crate) async fn run(mut self) {
        let mut over = self.world.over.subscribe();
        let mut moved = None;
        // A connection that was left open, until the next one is left.
        let mut left = None;
        loop {
            let wire = match moved.take() {
                Some(wire) => wire,
                None => tokio::select! {
                    wire = self.attach() => wire,
                    () = until_over(&mut over) => return,
                },
            };
            match self.attached(wire).await {
                After::Over => return,
                After::Lost => self.world.tally().connections_lost += 1,
                After::Away(how_long) => sleep(how_long).await,
                After::Moved(both) => {
                    let (wire, out, back) = *both;
                    drop(left.replace((out, back)));
                    moved = Some(wire);
                }
            }
        }
    }

    async fn attach(&mut self) -> Wire {
        let world = Arc::clone(&self.world);
        loop {
            let (mut wire, _) = world.connect(&mut self.device, &mut self.at).await;
            if matches!(timeout(SILENCE_MAX, wire.try_ask(Request::Attach)).await, Ok(Ok(_))) {
                world.attached(self.number, self.at);
                return wire;
            }
        }
    }

    async fn attached(&mut self, wire: Wire) -> After {
        let (mut out, mut back) = wire.split();
        let mut over = self.world.over.subscribe();
        let (mut mode, mut attachment, mut acknowledged) = (Mode::Well, Attachment::default(), 0);
        loop {
            let ends_at = if let Mode::Ends { at, .. } = mode { Some(at) } else { None };
            tokio::select! {
                () = until_over(&mut over) => return After::Over,
                Some(command) = self.commands.recv() => match command {
                    Command::Vanish { away } => return After::Away(away),
                    Command::Sleep(how_long) => sleep(how_long).await,
                    Command::MoveTo(node) if node == self.at => {}
                    Command::MoveTo(node) => {
                        self.at = node;
                        return After::Away(Duration::ZERO);
                    }
                    Command::AttachTwice => {
                        self.at += 1;
                        let second = self.attach().await;
                        return After::Moved(Box::new((second, out, back)));
                    }
                    Command::EndBeforeAck { deliveries, away } => mode = self.ends(true, deliveries, away),
                    Command::EndBeforeStoring { deliveries, away } => mode = self.ends(false, deliveries, away),
                },
                frame = back.recv() => match self.take(frame, &mut back, &mut attachment, &mut mode) {
                    Err(after) => return after,
                    Ok(()) if ends_at.is_some() || attachment.last == acknowledged => {}
                    Ok(()) => {
                        acknowledged = attachment.last;
                        if acknowledge(&mut out, acknowledged).await.is_err() {
                            return After::Lost;
                        }
                    }
                },
                () = sleep_until(ends_at.unwrap_or_else(|| Instant::from_std(self.world.watch.at(END_AFTER)))), if ends_at.is_some() => {
                    return After::Away(Duration::ZERO);
                }
            }
        }
    }

    fn ends(&self, stores: bool, deliveries: u32, away: Duration) -> Mode {
        let at = Instant::from_std(self.world.watch.at(self.world.watch.elapsed() + END_AFTER));
        Mode::Ends { stores, deliveries, away, at }
    }

    /// Takes this frame and all that are here already.
    fn take(
        &mut self,
        first: Option<ServerFrame>,
        back: &mut WireReceiver,
        attachment: &mut Attachment,
        mode: &mut Mode,
    ) -> Result<(), After> {
        let mut frame = Some(first.ok_or(After::Lost)?);
        while let Some(heard) = frame {
            match heard {
                ServerFrame::Deliver(deliver) => {
                    self.judge(&deliver, attachment);
                    match mode {
                        Mode::Well => self.write_down(&deliver),
                        Mode::Ends { stores, deliveries, away, .. } => {
                            if *stores {
                                self.write_down(&deliver);
                            }
                            *deliveries = deliveries.saturating_sub(1);
                            if *deliveries == 0 {
                                return Err(After::Away(*away));
                            }
                        }
                    }
                }
                ServerFrame::Closing { reason, .. } => {
                    self.world.closed(reason);
                    return Err(After::Lost);
                }
                _ => {}
            }
            frame = back.try_recv();
        }
        Ok(())
    }

    /// One attachment counts its deliveries, and brings each message once.
    fn judge(&self, deliver: &Deliver, attachment: &mut Attachment) {
        let DeliveryNumber(number) = deliver.delivery;
        let (expected, new) = (attachment.last + 1, attachment.ids.insert(deliver.id));
        attachment.last = number;
        if number != expected || !new {
            let mut tally = self.world.tally();
            tally.bad_numbers += u64::from(number != expected);
            tally.twice_on_one += u64::from(!new);
        }
    }

    fn write_down(&mut self, deliver: &Deliver) {
        if !self.known.insert(deliver.id) {
            self.world.tally().repeats += 1;
            return;
        }
        let id = World::read(&deliver.body);
        let shown = Shown { id, whole: self.world.body(id) == deliver.body, at: self.world.now() };
        if let Some(record) = self.world.records().shown.get_mut(self.number) {
            record.push(shown);
        }
        *self.world.tally().shown_at.entry(self.at).or_default() += 1;
    }
}

async fn until_over(over: &mut watch::Receiver<bool>) {
    let _world_is_gone = over.wait_for(|over| *over).await;
}

async fn acknowledge(out: &mut WireSender, up_to: u64) -> Result<(), Gone> {
    let acknowledged = async {
        out.try_feed(&ClientFrame::Ack { up_to: DeliveryNumber(up_to) }).await?;
        out.try_flush().await
    };
    timeout(SILENCE_MAX, acknowledged).await.unwrap_or(Err(Gone))
}
