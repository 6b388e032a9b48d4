//! Drives the rules of a mailbox against a model of everything around them, and checks invariants 1 to 5 of the
//! design after every step: senders that repeat, a writer that commits late or fails after having written, a device
//! that comes and goes, pages that were read a while ago.
//!
//! One proptest case is one schedule; a schedule that fails is printed, shrunk and kept.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use endtoend_protocol::{AccountTag, Address, DeliveryNumber, DeviceId, Envelope, EnvelopeId, RetryReason, UnixMillis};
use endtoend_storage::{AppendOutcome, Page, PageLimits, Queued, Seq, Tray};
use proptest::prelude::*;

use super::pending::{Action, Pending};
use crate::letter::Letter;
use crate::queue_writer::Ticket;
use crate::receipt::Outcome;
use crate::router::{Lanes, Way};

const SENDERS: usize = 3;
const AT: UnixMillis = UnixMillis::new(1);

/// What happens next. Numbers choose among what is there, modulo its size.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A sender sends something new, of this many KiB.
    Send {
        sender: usize,
        kib: usize,
    },
    /// A sender repeats something that it sent before.
    Repeat {
        sender: usize,
        which: usize,
    },
    /// The writer commits up to this many of what waits.
    Commit {
        rows: usize,
    },
    /// A commit fails; perhaps it was written all the same.
    CommitFails {
        rows: usize,
        written: bool,
    },
    /// The mailbox handles the next message that waits for it.
    Handle,
    /// The store answers the read that is under way, or the answer reaches the mailbox.
    Read,
    ReadFails,
    /// The device acknowledges some of what it has.
    Acknowledge {
        how_many: u64,
    },
    Attach,
    Detach,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..SENDERS, prop_oneof![4 => Just(0_usize), 1 => 1..64_usize])
            .prop_map(|(sender, kib)| Step::Send { sender, kib }),
        2 => (0..SENDERS, any::<usize>()).prop_map(|(sender, which)| Step::Repeat { sender, which }),
        4 => (1..40_usize).prop_map(|rows| Step::Commit { rows }),
        1 => (1..40_usize, any::<bool>()).prop_map(|(rows, written)| Step::CommitFails { rows, written }),
        8 => Just(Step::Handle),
        4 => Just(Step::Read),
        1 => Just(Step::ReadFails),
        4 => (1..70_u64).prop_map(|how_many| Step::Acknowledge { how_many }),
        1 => Just(Step::Attach),
        1 => Just(Step::Detach),
    ]
}

/// The right of a sender to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Right {
    sender: usize,
    id: EnvelopeId,
}

/// A message on its way to the mailbox.
enum Inbox {
    Enqueue(Envelope, Right),
    Persisted(EnvelopeId, Option<AppendOutcome>),
    Wake(Seq),
}

/// A write on its way to the store.
struct Write {
    envelope: Envelope,
    then: Result<Ticket, Right>,
}

enum Reading {
    No,
    Asked { life: u64, after: Seq, limits: PageLimits },
    Answered { life: u64, page: Page },
}

struct World {
    pending: Pending<Right>,
    attached: bool,
    inbox: VecDeque<Inbox>,
    writer: VecDeque<Write>,
    rows: BTreeMap<i64, Envelope>,
    last_seq: i64,
    reading: Reading,
    lanes: Vec<Lanes>,
    sent: Vec<Vec<Envelope>>,
    /// When an envelope became safe, told or not; when its sender was told so first; whether it was told to repeat.
    safe: HashMap<EnvelopeId, usize>,
    accepted: HashMap<EnvelopeId, usize>,
    retried: HashSet<EnvelopeId>,
    events: usize,
    /// When the device got an envelope first; what it got this life; what it has acknowledged.
    got: HashMap<EnvelopeId, usize>,
    this_life: Vec<EnvelopeId>,
    acknowledged: HashSet<EnvelopeId>,
    acknowledged_up_to: u64,
}

impl World {
    fn new() -> Self {
        Self {
            pending: Pending::default(),
            attached: false,
            inbox: VecDeque::new(),
            writer: VecDeque::new(),
            rows: BTreeMap::new(),
            last_seq: 0,
            reading: Reading::No,
            lanes: (0..SENDERS).map(|_| Lanes::default()).collect(),
            sent: vec![Vec::new(); SENDERS],
            safe: HashMap::new(),
            accepted: HashMap::new(),
            retried: HashSet::new(),
            events: 0,
            got: HashMap::new(),
            this_life: Vec::new(),
            acknowledged: HashSet::new(),
            acknowledged_up_to: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { sender, kib } => {
                let number = self.sent[sender].len() as u64;
                let id = EnvelopeId::new(UnixMillis::new(number), [sender as u8; 10]);
                let to = Address { account: AccountTag::new([9; 32]), device: DeviceId::FIRST };
                let envelope = Envelope { id, to, body: Bytes::from(vec![0; (kib * 1024).max(1)]), devices_version: 1 };
                self.sent[sender].push(envelope.clone());
                self.route(sender, envelope);
            }
            Step::Repeat { sender, which } => {
                if !self.sent[sender].is_empty() {
                    let envelope = self.sent[sender][which % self.sent[sender].len()].clone();
                    self.route(sender, envelope);
                }
            }
            Step::Commit { rows } => {
                for _ in 0..rows {
                    let Some(write) = self.claim() else { break };
                    let outcome = self.write(&write.envelope);
                    self.written(&write, Some(outcome));
                }
            }
            Step::CommitFails { rows, written } => {
                for _ in 0..rows {
                    let Some(write) = self.claim() else { break };
                    if written {
                        self.write(&write.envelope);
                    }
                    self.written(&write, None);
                }
            }
            Step::Handle => self.handle(),
            Step::Read => self.read(),
            Step::ReadFails => {
                if let Reading::Asked { life, .. } = self.reading {
                    self.reading = Reading::No;
                    self.rule(|pending, out| pending.load_failed(life, out));
                }
            }
            Step::Acknowledge { how_many } => {
                let delivered = self.this_life.len() as u64;
                let up_to = (self.acknowledged_up_to + how_many).min(delivered);
                for at in self.acknowledged_up_to..up_to {
                    let id = self.this_life[at as usize];
                    self.acknowledged.insert(id);
                    self.is_safe(id);
                }
                self.acknowledged_up_to = up_to;
                let number = DeliveryNumber(up_to);
                if self.attached {
                    self.rule(|pending, out| pending.acknowledge(number, out).unwrap());
                }
            }
            Step::Attach => {
                self.attached = true;
                self.this_life.clear();
                self.acknowledged_up_to = 0;
                self.rule(Pending::attach);
            }
            Step::Detach => {
                self.attached = false;
                self.this_life.clear();
                self.acknowledged_up_to = 0;
                self.rule(|pending, _| pending.detach());
            }
        }
        self.pending.check_invariants();
    }

    /// As `Router::route`: the mailbox is found while a device is attached or it waits for the writer.
    fn route(&mut self, sender: usize, envelope: Envelope) {
        let (right, id, to) = (Right { sender, id: envelope.id }, envelope.id, envelope.to);
        let routed = self.attached || !self.pending.is_idle();
        match self.lanes[sender].choose(id, to, || routed.then_some(())) {
            Way::Mailbox(()) => self.inbox.push_back(Inbox::Enqueue(envelope, right)),
            Way::Store => self.writer.push_back(Write { envelope, then: Err(right) }),
            Way::Busy => self.settle(right, Outcome::Retry(RetryReason::Busy)),
        }
    }

    fn claim(&mut self) -> Option<Write> {
        loop {
            let write = self.writer.pop_front()?;
            if write.then.as_ref().is_err() || write.then.as_ref().is_ok_and(Ticket::claim) {
                return Some(write);
            }
        }
    }

    fn write(&mut self, envelope: &Envelope) -> AppendOutcome {
        if let Some((seq, _)) = self.rows.iter().find(|(_, row)| row.id == envelope.id) {
            return AppendOutcome::Repeat(Seq(*seq));
        }
        self.last_seq += 1;
        self.rows.insert(self.last_seq, envelope.clone());
        self.is_safe(envelope.id);
        AppendOutcome::Stored(Seq(self.last_seq))
    }

    fn is_safe(&mut self, id: EnvelopeId) {
        self.events += 1;
        self.safe.entry(id).or_insert(self.events);
    }

    /// As `QueueWriter::settle`.
    fn written(&mut self, write: &Write, outcome: Option<AppendOutcome>) {
        match &write.then {
            Ok(_) => self.inbox.push_back(Inbox::Persisted(write.envelope.id, outcome)),
            Err(right) => {
                if let Some(AppendOutcome::Stored(seq) | AppendOutcome::Repeat(seq)) = outcome {
                    self.inbox.push_back(Inbox::Wake(seq));
                }
                self.settle(*right, crate::queue_writer::outcome_for_sender(outcome, AT));
            }
        }
    }

    fn handle(&mut self) {
        match self.inbox.pop_front() {
            None => {}
            Some(Inbox::Enqueue(envelope, right)) => {
                self.rule(|pending, out| {
                    pending.enqueue(Letter { envelope, accepted_at: AT, tray: Tray::Contacts }, right, out);
                });
            }
            Some(Inbox::Persisted(id, outcome)) => self.rule(|pending, out| pending.persisted(id, outcome, out)),
            Some(Inbox::Wake(seq)) => self.rule(|pending, out| pending.wake(seq, out)),
        }
    }

    fn read(&mut self) {
        match std::mem::replace(&mut self.reading, Reading::No) {
            Reading::No => {}
            Reading::Asked { life, after, limits } => {
                let rows = self.rows.range(after.0 + 1..).map(|(seq, row)| Queued {
                    seq: Seq(*seq),
                    id: row.id,
                    accepted_at: AT,
                    body: row.body.clone(),
                });
                let all: Vec<_> = rows.collect();
                let (mut page, mut bytes) = (Page::default(), 0);
                for row in &all {
                    bytes += row.body.len();
                    if !page.rows.is_empty() && (page.rows.len() >= limits.rows as usize || bytes > limits.bytes) {
                        break;
                    }
                    page.rows.push(row.clone());
                }
                page.more = page.rows.len() < all.len();
                self.reading = Reading::Answered { life, page };
            }
            Reading::Answered { life, page } => self.rule(|pending, out| pending.loaded(life, page, out)),
        }
    }

    fn rule(&mut self, rule: impl FnOnce(&mut Pending<Right>, &mut Vec<Action<Right>>)) {
        let mut out = Vec::new();
        rule(&mut self.pending, &mut out);
        for action in out {
            match action {
                Action::Push(deliver) => {
                    assert!(self.attached, "nobody is there to push to");
                    assert!(!self.this_life.contains(&deliver.id), "pushed twice on one attachment");
                    self.this_life.push(deliver.id);
                    assert_eq!(deliver.delivery.0, self.this_life.len() as u64);
                    self.events += 1;
                    self.got.entry(deliver.id).or_insert(self.events);
                }
                Action::Persist { letter: Letter { envelope, .. }, ticket } => {
                    self.writer.push_back(Write { envelope, then: Ok(ticket) });
                }
                Action::Settle(right, outcome) => self.settle(right, outcome),
                Action::Forget(seq) => {
                    if let Some(row) = self.rows.remove(&seq.0) {
                        assert!(self.acknowledged.contains(&row.id), "forgot what the device does not have");
                    }
                }
                Action::Load { life, after, limits } => self.reading = Reading::Asked { life, after, limits },
            }
        }
    }

    /// Invariant 1: whoever hears `Accepted`, it is so.
    fn settle(&mut self, right: Right, outcome: Outcome) {
        self.lanes[right.sender].settled(right.id);
        if matches!(outcome, Outcome::Accepted { .. }) {
            let on_disk = self.rows.values().any(|row| row.id == right.id);
            assert!(on_disk || self.acknowledged.contains(&right.id), "accepted, but neither stored nor acknowledged");
            self.events += 1;
            self.accepted.entry(right.id).or_insert(self.events);
        } else {
            self.retried.insert(right.id);
        }
    }

    /// Lets everything come to rest with the device attached and well, and looks at what it has.
    fn finish(mut self) {
        self.step(Step::Attach);
        let mut quiet = 0;
        while quiet < 4 {
            let before = (self.got.len(), self.inbox.len(), self.writer.len(), self.acknowledged.len());
            self.step(Step::Commit { rows: 1_000 });
            while !self.inbox.is_empty() {
                self.step(Step::Handle);
            }
            self.step(Step::Read);
            self.step(Step::Acknowledge { how_many: 1_000 });
            let after = (self.got.len(), self.inbox.len(), self.writer.len(), self.acknowledged.len());
            quiet = if before == after { quiet + 1 } else { 0 };
        }
        assert!(matches!(self.reading, Reading::No));
        for id in self.accepted.keys() {
            assert!(self.got.contains_key(id), "accepted and never delivered");
        }
        for sent in &self.sent {
            let accepted: Vec<_> = sent.iter().map(|e| e.id).filter(|id| self.accepted.contains_key(id)).collect();
            for (at, earlier) in accepted.iter().enumerate() {
                for later in &accepted[at + 1..] {
                    // Invariant 3. When a sender was told to repeat something that was written, or had arrived, all the
                    // same, its place is somewhere between; then only what was accepted before either of that counts.
                    let repeated = self.retried.contains(earlier) || self.retried.contains(later);
                    let (first, second) = match repeated {
                        true => (self.accepted[earlier], self.safe[later].min(self.got[later])),
                        false => (self.safe[earlier], self.safe[later]),
                    };
                    assert!(
                        first > second || self.got[earlier] < self.got[later],
                        "{earlier} was sent and accepted before {later}, and arrived after it"
                    );
                }
            }
        }
        assert!(self.rows.values().all(|row| !self.acknowledged.contains(&row.id)), "the store is cleared");
    }
}

/// `SCHEDULES=100000 cargo test -p endtoend-gateway simulation` looks longer.
fn schedules() -> u32 {
    std::env::var("SCHEDULES").ok().and_then(|number| number.parse().ok()).unwrap_or(500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: schedules(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_accepted_arrives_once_and_in_order(
        steps in prop::collection::vec(step(), 1..400)
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
