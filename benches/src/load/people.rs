//! Senders and receivers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use endtoend_benches::Stopwatch;
use endtoend_protocol::{
    AccountTag, Address, ClientFrame, DeliveryNumber, Envelope, EnvelopeId, Relation, Request, ServerFrame, UnixMillis,
    limits,
};
use endtoend_testkit::{Wire, WireReceiver, WireSender};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::Options;
use super::alarm::Alarm;
use super::places::Places;

/// Bytes at the head of a body: planned time (8), sender (4), number (4).
const HEAD: usize = 16;

pub(crate) struct People {
    senders: Vec<Wire>,
    receivers: Vec<Wire>,
    addresses: Vec<Address>,
}

/// What was seen, times in nanoseconds.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) accepted: Vec<u64>,
    pub(crate) delivered: Vec<u64>,
    pub(crate) retries: u64,
    pub(crate) wrong: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.delivered.extend(other.delivered);
        self.retries += other.retries;
        self.wrong += other.wrong;
    }
}

/// Everybody at the node that `places` says, of those that listen there.
pub(crate) async fn register(places: Places, listens: &[SocketAddr], options: &Options) -> People {
    let at = |node: usize| *listens.get(node).expect("as many nodes as were asked for");
    let tag = |kind: u8, number: usize| {
        let mut tag = [kind; 32];
        tag.iter_mut().zip(number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
        AccountTag::new(tag)
    };
    let mut people = People { senders: Vec::new(), receivers: Vec::new(), addresses: Vec::new() };
    for number in 0..options.receivers {
        let (wire, device) = Wire::register(at(places.receiver(number)), tag(2, number)).await;
        people.receivers.push(wire);
        people.addresses.push(device.address);
    }
    for number in 0..options.senders {
        people.senders.push(Wire::register(at(places.sender(number)), tag(1, number)).await.0);
        // Strangers may leave less.
        if let Some(receiver) = people.receivers.get_mut(number % options.receivers) {
            receiver.decide(tag(1, number), Some(Relation::Accepted)).await;
        }
    }
    if !options.offline {
        for receiver in &mut people.receivers {
            receiver.ask(Request::Attach).await;
        }
    }
    people
}

impl People {
    pub(crate) async fn exchange(self, watch: Stopwatch, options: &Options) -> Seen {
        let share = |of: usize, number: usize, all: usize| of / all + usize::from(number < of % all);
        let mut tasks = JoinSet::new();
        let mut expected = vec![0; self.receivers.len()];
        for (number, wire) in self.senders.into_iter().enumerate() {
            let messages = share(options.messages, number, options.senders);
            let receiver = number % expected.len();
            if let Some(expected) = expected.get_mut(receiver) {
                *expected += messages;
            }
            let to = *self.addresses.get(receiver).expect("an address for each receiver");
            let every = options.rate.map(|rate| Duration::from_secs_f64(options.senders as f64 / rate));
            let mut noise = vec![0; options.bytes.max(HEAD) - HEAD];
            StdRng::seed_from_u64(options.seed ^ number as u64).fill_bytes(&mut noise);
            let (sender, receiver) = wire.split();
            let plan = Plan { number: number as u32, messages: messages as u32, to, every, noise: noise.into() };
            tasks.spawn(plan.carry_out(sender, receiver, watch));
        }
        if !options.offline {
            for (wire, expected) in self.receivers.into_iter().zip(expected) {
                let (sender, receiver) = wire.split();
                tasks.spawn(receive(sender, receiver, expected, watch));
            }
        }
        let mut seen = Seen::default();
        while let Some(done) = tasks.join_next().await {
            seen.add(done.expect("a task ends"));
        }
        seen
    }
}

/// What one sender sends.
struct Plan {
    number: u32,
    messages: u32,
    to: Address,
    /// Between two messages; `None` for as fast as the window allows.
    every: Option<Duration>,
    noise: Bytes,
}

impl Plan {
    async fn carry_out(self, mut out: WireSender, mut answers: WireReceiver, watch: Stopwatch) -> Seen {
        let mut seen = Seen::default();
        let mut open: HashMap<EnvelopeId, (u64, Envelope)> = HashMap::new();
        let (alarm, mut next) = (Alarm::new(), 0);
        while next < self.messages || !open.is_empty() {
            let room = open.len() < limits::SEND_WINDOW as usize && next < self.messages;
            let due = self.every.map(|every| every * next);
            let waits = due.filter(|due| *due > watch.elapsed());
            if room && waits.is_none() {
                let planned = due.unwrap_or_else(|| watch.elapsed()).as_nanos() as u64;
                let envelope = self.envelope(next, planned);
                out.feed(&ClientFrame::Send(envelope.clone())).await;
                open.insert(envelope.id, (planned, envelope));
                next += 1;
                continue;
            }
            out.flush().await;
            let answer = match waits.filter(|_| room) {
                Some(due) => tokio::select! {
                    answer = answers.recv() => answer,
                    () = alarm.after(due.saturating_sub(watch.elapsed())) => continue,
                },
                None => answers.recv().await,
            };
            let mut answer = Some(answer.expect("the connection lives"));
            while let Some(frame) = answer {
                self.answered(frame, &mut open, &mut out, &mut seen, watch).await;
                answer = answers.try_recv();
            }
        }
        seen
    }

    async fn answered(
        &self,
        frame: ServerFrame,
        open: &mut HashMap<EnvelopeId, (u64, Envelope)>,
        out: &mut WireSender,
        seen: &mut Seen,
        watch: Stopwatch,
    ) {
        match frame {
            ServerFrame::Accepted { id, .. } => match open.remove(&id) {
                Some((planned, _)) => seen.accepted.push(watch.elapsed().as_nanos() as u64 - planned),
                None => seen.wrong += 1,
            },
            ServerFrame::Retry { id, after_ms, .. } => {
                seen.retries += 1;
                let (_, envelope) = open.get(&id).expect("ours").clone();
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                out.feed(&ClientFrame::Send(envelope)).await;
                out.flush().await;
            }
            other => panic!("not an answer to a send: {other:?}"),
        }
    }

    fn envelope(&self, number: u32, planned: u64) -> Envelope {
        let mut body = BytesMut::with_capacity(HEAD + self.noise.len());
        body.put_u64_le(planned);
        body.put_u32_le(self.number);
        body.put_u32_le(number);
        body.put_slice(&self.noise);
        let mut random = [0; 10];
        random.iter_mut().zip(self.number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
        let id = EnvelopeId::new(UnixMillis::new(number.into()), random);
        Envelope { id, to: self.to, body: body.freeze(), devices_version: 1 }
    }
}

/// Counts what arrives: each sender's messages by number, once and in order.
async fn receive(mut out: WireSender, mut deliveries: WireReceiver, expected: usize, watch: Stopwatch) -> Seen {
    let mut seen = Seen::default();
    let mut next: HashMap<u32, u32> = HashMap::new();
    let mut got = 0;
    while got < expected {
        let mut frame = Some(deliveries.recv().await.expect("the connection lives"));
        let mut last = DeliveryNumber(0);
        while let Some(ServerFrame::Deliver(deliver)) = frame {
            let (planned, sender, number) = head(&deliver.body);
            seen.delivered.push((watch.elapsed().as_nanos() as u64).saturating_sub(planned));
            let expected = next.entry(sender).or_default();
            seen.wrong += u64::from(number != *expected);
            *expected = number + 1;
            got += 1;
            last = deliver.delivery;
            frame = deliveries.try_recv();
        }
        out.feed(&ClientFrame::Ack { up_to: last }).await;
        out.flush().await;
    }
    seen
}

fn head(body: &[u8]) -> (u64, u32, u32) {
    use bytes::Buf as _;
    let mut head = body;
    (head.get_u64_le(), head.get_u32_le(), head.get_u32_le())
}
