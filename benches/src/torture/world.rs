//! What all clients of a run share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use endtoend_benches::Stopwatch;
use endtoend_protocol::{ClosingReason, EnvelopeId, UnixMillis};
use endtoend_testkit::{Device, Unreached, Wire};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::record::{MessageId, Records};
use super::service::Service;

/// Longer than any fault lasts; then a client tries again on another connection.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Where there are several nodes, one that does not let a client in for so long is left for the next.
const ELSEWHERE_AFTER: Duration = Duration::from_secs(3);
/// Between two attempts to connect, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// Bytes at the head of a body: sender (4), number (4).
const HEAD: usize = 8;

/// Counted beside the records.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests to repeat, by their reason.
    pub(crate) retries: BTreeMap<String, u64>,
    /// First attempt to `Accepted`, nanoseconds.
    pub(crate) accepted_ns: Vec<u64>,
    /// Connections that ended while a client used them, and those that said nothing for [`SILENCE_MAX`].
    pub(crate) connections_lost: u64,
    pub(crate) silences: u64,
    /// Deliveries that a receiver had in its record already.
    pub(crate) repeats: u64,
    /// Violations of what an attachment promises: numbers that count, and no message twice.
    pub(crate) bad_numbers: u64,
    pub(crate) twice_on_one: u64,
    /// Refusals that no well-behaved client should meet.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// What nodes said when they closed a connection.
    pub(crate) closed: BTreeMap<String, u64>,
    /// Messages that were shown, by the node from which they came.
    pub(crate) shown_at: BTreeMap<usize, u64>,
}

#[derive(Debug)]
pub(crate) struct World {
    /// Where clients connect: any of these has them all. The last may be one that comes and goes. One edge for all of them.
    nodes: RwLock<Vec<SocketAddr>>,
    /// Who is not let in soon tries again, and comes to another node.
    several: bool,
    senders: usize,
    pub(crate) watch: Stopwatch,
    pub(crate) seed: u64,
    /// How many messages of a sender may be on their way or done: so that traffic lasts as long as the faults.
    pub(crate) allowed: watch::Sender<u32>,
    /// Turns true when receivers may leave.
    pub(crate) over: watch::Sender<bool>,
    life: AtomicU64,
    records: Mutex<Records>,
    service: Mutex<Service>,
    tally: Mutex<Tally>,
    /// By receiver: the node where it was attached last.
    whereabouts: Vec<AtomicUsize>,
}

impl World {
    pub(crate) fn new(nodes: Vec<SocketAddr>, several: bool, seed: u64, senders: usize, receivers: usize) -> Self {
        let records = Records { sent: vec![Vec::new(); senders], shown: vec![Vec::new(); receivers] };
        Self {
            nodes: RwLock::new(nodes),
            several,
            senders: senders.max(1),
            watch: Stopwatch::start(),
            seed,
            allowed: watch::Sender::new(0),
            over: watch::Sender::new(false),
            life: AtomicU64::new(0),
            records: Mutex::new(records),
            service: Mutex::default(),
            tally: Mutex::default(),
            whereabouts: (0..receivers).map(AtomicUsize::new).collect(),
        }
    }

    /// Nanoseconds of the run.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.watch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Which life of the node this is: counts kills.
    pub(crate) fn life(&self) -> u64 {
        self.life.load(Ordering::SeqCst)
    }

    /// The node was killed.
    pub(crate) fn next_life(&self) -> u64 {
        self.life.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has closed a client's connection.
    pub(crate) fn closed(&self, reason: ClosingReason) {
        *self.tally().closed.entry(format!("{reason:?}")).or_default() += 1;
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many messages may be on their way or done, in all.
    pub(crate) fn allow(&self, messages: usize) {
        self.allowed.send_replace(u32::try_from(messages.div_ceil(self.senders)).unwrap_or(u32::MAX));
    }

    /// The node of this number, counted around, of which there is one at least. With its own number.
    pub(crate) fn node(&self, number: usize) -> (usize, SocketAddr) {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let number = number % nodes.len();
        (number, *nodes.get(number).expect("of those that there are"))
    }

    /// One more node takes clients.
    pub(crate) fn opens(&self, node: SocketAddr) {
        self.nodes.write().unwrap_or_else(PoisonError::into_inner).push(node);
    }

    /// The one that has come last does not any more.
    pub(crate) fn closes(&self) {
        self.nodes.write().unwrap_or_else(PoisonError::into_inner).pop();
    }

    /// A receiver attaches at this node.
    pub(crate) fn attached(&self, receiver: usize, node: usize) {
        if let Some(place) = self.whereabouts.get(receiver) {
            place.store(node, Ordering::SeqCst);
        }
    }

    /// Where a receiver is, or was last.
    pub(crate) fn owner(&self, receiver: usize) -> usize {
        self.whereabouts.get(receiver % self.whereabouts.len().max(1)).map_or(0, |place| place.load(Ordering::SeqCst))
    }

    /// The receivers of a node.
    pub(crate) fn owned(&self, node: usize) -> Vec<usize> {
        (0..self.whereabouts.len()).filter(|receiver| self.owner(*receiver) == node).collect()
    }

    /// Connects a device, however long that takes; with the life in which that was. Begins with the node of number `at`, which
    /// is then the one that took it.
    pub(crate) async fn connect(&self, device: &mut Device, at: &mut usize) -> (Wire, u64) {
        let mut patience = if self.several { ELSEWHERE_AFTER } else { SILENCE_MAX };
        let (mut pause, longest) = BACK_OFF;
        let mut token_is_good = true;
        loop {
            let (life, (number, node)) = (self.life(), self.node(*at));
            *at = number;
            let reached = async {
                match token_is_good {
                    true => Wire::reach(node, device).await,
                    false => Wire::reach_by_password(node, device).await,
                }
            };
            match timeout(patience, reached).await {
                Ok(Ok(wire)) => return (wire, life),
                // Access tokens are short-lived; whoever refuses a password as well wants nobody at the moment.
                Ok(Err(Unreached::Refused(_))) => {
                    *at += usize::from(!token_is_good);
                    token_is_good = false;
                }
                Ok(Err(Unreached::Gone)) => *at += 1,
                Err(_) => {
                    *at += 1;
                    // On a busy machine a login by password takes its time, and would never get through.
                    patience = SILENCE_MAX.min(patience * 2);
                }
            }
            let share = rand::rng().random_range(0.5..1.0);
            sleep(pause.mul_f64(share)).await;
            pause = longest.min(pause * 2);
        }
    }

    /// What a message says: its name, and noise that follows from it. Mostly short, now and then up to 48 KiB.
    pub(crate) fn body(&self, id: MessageId) -> Bytes {
        let seed = self.seed ^ (u64::from(id.sender) << 32 | u64::from(id.number)).rotate_left(17);
        let mut rng = StdRng::seed_from_u64(seed);
        let noise = match rng.random_range(0..64) {
            0 => rng.random_range(4_096..48 * 1024),
            _ => rng.random_range(16..1_500),
        };
        let mut body = BytesMut::with_capacity(HEAD + noise);
        body.put_u32_le(id.sender);
        body.put_u32_le(id.number);
        body.resize(HEAD + noise, 0);
        if let Some(noise) = body.get_mut(HEAD..) {
            rng.fill_bytes(noise);
        }
        body.freeze()
    }

    /// Whose message this is; nobody's for what no sender writes.
    pub(crate) fn read(body: &[u8]) -> MessageId {
        let mut head = body;
        if head.len() < HEAD {
            return MessageId { sender: u32::MAX, number: u32::MAX };
        }
        MessageId { sender: head.get_u32_le(), number: head.get_u32_le() }
    }
}

pub(crate) fn envelope_id(id: MessageId) -> EnvelopeId {
    let mut random = [0; 10];
    random.iter_mut().zip(id.sender.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    EnvelopeId::new(UnixMillis::new(id.number.into()), random)
}
