//! The world: a scheduler that owns the time and every queue, and lets one thing happen after the other.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use endtoend_cluster::peers::LinkLife;
use endtoend_protocol::{AccountTag, Address, DeviceId, EnvelopeId, UnixMillis, limits};
use tokio::sync::Semaphore;

use super::chance::Chance;
use super::client::{Attachment as Attached, Client, Down, Link, Up};
use super::member::Between;
use super::node::{Connection, ConnectionId, Generation, News, Node};
use super::oracle::Oracle;
use super::store::Store;
use super::weather::{Fault, Weather};
use crate::connection::Attachment;
use crate::receipt::Outcome;
use crate::router::Lanes;

/// Where the wall clock of every world begins, in milliseconds.
const DAWN_MS: u64 = 1_000_000_000_000;
/// A world that is calm comes to rest within so many microseconds, or never.
const REST_MAX: u64 = 3600 * 1_000_000;

/// By then whoever has a claim has it for himself: a lease, and a sweep after it.
const SETTLED: u64 = 10_000_000;

/// What every clock on a wall shows, so many microseconds after the world began.
pub(super) fn wall(now: u64) -> UnixMillis {
    UnixMillis::new(DAWN_MS + now / 1000)
}

/// Who can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Client(usize),
    Connection(ConnectionId),
    Directory(usize),
    Mailbox(usize, Generation),
    LeftOver(usize),
    Writer(usize),
    Commit(usize),
    Read,
    Late,
    /// Of several nodes: what one does by itself, what is on its way between them, and to and from the directory of claims.
    Member(usize),
    Line(LinkLife),
    Question,
    Answer,
}

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) weather: Weather,
    /// Microseconds since the world began.
    pub(super) now: u64,
    /// Where monotonic time begins; only differences matter.
    dawn: Instant,
    pub(super) clients: Vec<Client>,
    /// Who is not accepted yet by whom.
    pub(super) strangers: BTreeSet<(usize, Address)>,
    pub(super) links: std::collections::BTreeMap<ConnectionId, Link>,
    pub(super) last_connection: ConnectionId,
    /// Nobody listens while a node is down.
    pub(super) up_at: Vec<u64>,
    pub(super) nodes: Vec<Node>,
    pub(super) between: Between,
    pub(super) store: Store,
    pub(super) oracle: Oracle,
    /// What was said of envelopes since the oracle looked.
    pub(super) log: Rc<RefCell<Vec<(EnvelopeId, Outcome)>>>,
    /// How often who gets a turn; changes now and then.
    weights: [u32; 16],
    turns: Vec<Turn>,
    written: usize,
    /// The schedule, when it is wanted.
    pub(super) trace: Option<Vec<String>>,
    pub(super) print: bool,
}

/// Each with whom he is a stranger to, of 1000 so many.
fn strangers(clients: &[Client], per_mille: u32, mut chance: Chance) -> BTreeSet<(usize, Address)> {
    let pairs = (0..clients.len()).flat_map(|from| clients.iter().map(move |client| (from, client.address)));
    pairs.filter(|_| chance.per_mille(per_mille)).collect()
}

impl World {
    /// Of so many nodes. One is alone: nothing of what is between several is there.
    pub(super) fn new(seed: u64, without: u32, nodes: usize) -> Self {
        let mut chance = Chance::new(seed);
        let weather = Weather::new(&mut chance, without, nodes);
        let mut clients = Vec::new();
        for (user, devices) in (1..).zip(&weather.devices) {
            for device in 1..=*devices as u32 {
                let device = DeviceId::new(device).unwrap();
                let address = Address { account: AccountTag::new([user; 32]), device };
                clients.push(Client::new(address, chance.per_mille(weather.attach)));
            }
        }
        let strangers = strangers(&clients, weather.strangers, chance.apart());
        let between = Between::new(nodes, &mut chance);
        let memory_kib = weather.memory_kib;
        let oracle = Oracle::new(clients.iter().map(|client| client.address).collect());
        let mut world = Self {
            chance,
            weather,
            now: 0,
            dawn: crate::clock::monotonic(),
            clients,
            strangers,
            links: std::collections::BTreeMap::new(),
            last_connection: 0,
            up_at: vec![0; nodes],
            nodes: (0..nodes).map(|_| Node::new(memory_kib)).collect(),
            between,
            store: Store::default(),
            oracle,
            log: Rc::default(),
            weights: [1; 16],
            turns: Vec::new(),
            written: 0,
            trace: None,
            print: false,
        };
        (0..nodes).filter(|_| nodes > 1).for_each(|n| world.joins(n));
        world
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.nodes.len() > 1
    }

    /// By the clock of that node.
    pub(super) fn instant(&self, n: usize) -> Instant {
        self.dawn + Duration::from_nanos(self.now * self.between.speeds[n])
    }

    pub(super) fn micros(&self, n: usize, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.dawn).as_nanos();
        u64::try_from(nanos.div_ceil(u128::from(self.between.speeds[n]))).unwrap_or(u64::MAX)
    }

    pub(super) fn wall(&self) -> UnixMillis {
        wall(self.now)
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            let line = format!("{now:>12} {}", line());
            if self.print {
                println!("{line}");
            }
            trace.push(line);
        }
    }

    /// Runs a storm of so many steps, and then until everything has come to rest.
    pub(super) fn run(&mut self, steps: usize) {
        if self.is_cluster() && self.weather.settled {
            self.settle();
        }
        for _ in 0..steps {
            self.now += self.chance.below(60) as u64;
            self.misfortune();
            if self.is_cluster() {
                self.mend();
            }
            self.write();
            if !self.turn() && !self.skip(true) && self.written >= self.weather.envelopes {
                break;
            }
        }
        self.rest();
    }

    /// Everybody connects, and has his devices for himself: there is something that a storm can destroy.
    fn settle(&mut self) {
        let storm = self.weather.clone();
        self.weather.calm();
        while self.now < SETTLED {
            self.now += self.chance.below(60) as u64;
            self.mend();
            if !self.turn() && !self.skip(true) {
                break;
            }
        }
        self.weather = storm;
    }

    /// Everything is well from here on. First one device reads nothing, which must not hold up anybody else.
    fn rest(&mut self) {
        self.weather.calm();
        self.note(|| "calm".to_owned());
        self.store.away_until = 0;
        self.clients.iter_mut().for_each(|client| {
            client.stalled_until = 0;
            client.wants = true;
            client.connect_at = client.connect_at.min(self.now);
        });
        self.up_at.iter_mut().for_each(|at| *at = self.now.min(*at));
        self.between_is_calm();
        let sloth = self.chance.below(self.clients.len());
        self.clients[sloth].stalled_until = u64::MAX;
        self.come_to_rest(Some(sloth));
        self.oracle.at_rest(&self.nodes, self.weather.memory_kib, &self.clients, Some(sloth), self.wall());
        self.clients[sloth].stalled_until = 0;
        self.come_to_rest(None);
        self.oracle.at_rest(&self.nodes, self.weather.memory_kib, &self.clients, None, self.wall());
        self.oracle.order_of_writing();
        self.oracle.order();
        if !self.store.littered {
            let rows = self.store.rows().filter(|row| row.expires_at > self.wall());
            let rows: Vec<_> = rows.map(|row| super::oracle::number(row.queued.id)).collect();
            assert!(rows.is_empty(), "{rows:?} were acknowledged and are still in the store");
        }
    }

    fn come_to_rest(&mut self, sloth: Option<usize>) {
        let too_late = self.now + REST_MAX;
        while self.now < too_late {
            self.now += self.chance.below(60) as u64;
            if self.is_cluster() {
                self.mend();
            }
            let all_sent = |client: &Client| match sloth {
                None => client.outbox.is_empty(),
                // What is for the sloth may have to wait for it.
                Some(sloth) => client.outbox.values().all(|row| row.to == self.clients[sloth].address),
            };
            let well = |client: &Client| client.attachment == Attached::Yes && all_sent(client);
            let done = self.clients.iter().enumerate().all(|(at, client)| Some(at) == sloth || well(client));
            let done = done && (!self.is_cluster() || self.members_rest(sloth));
            self.between.is_quiet = done;
            // Those whose envelopes have to wait would come again and again.
            if !self.turn() && !self.skip(!done) {
                return;
            }
        }
        panic!("no rest");
    }

    /// Somebody writes something.
    fn write(&mut self) {
        if self.written >= self.weather.envelopes || !self.chance.per_mille(self.weather.writes) {
            return;
        }
        let from = self.chance.below(self.clients.len());
        for _ in 0..1 + self.chance.below(self.weather.burst) {
            let to = match self.weather.one_addressee {
                true => 0,
                false => self.chance.below(self.clients.len()),
            };
            let bytes = match self.chance.per_mille(self.weather.large) {
                true => limits::ENVELOPE_BYTES_MAX,
                false => 1,
            };
            self.write_one(from, self.clients[to].address, bytes);
            self.written += 1;
        }
    }

    fn write_one(&mut self, from: usize, to: Address, bytes: usize) {
        let number = self.oracle.written(from, to);
        self.clients[from].write(number, to, bytes);
    }

    /// Something has happened to the claim of a device, or to what is said of it: now somebody writes to it.
    pub(super) fn stir(&mut self, from: Option<usize>, to: Address) {
        if self.weather.stirs == 0 || self.chance.below(2) == 0 {
            return;
        }
        self.weather.stirs -= 1;
        // Often the same, who then has something under way.
        let from = from.unwrap_or_else(|| self.chance.below(self.clients.len()).saturating_sub(self.clients.len() / 2));
        self.note(|| format!("client {from} writes to {to:?}"));
        for _ in 0..1 + self.chance.below(2) {
            self.write_one(from, to, 1);
        }
    }

    /// Something goes wrong, perhaps.
    fn misfortune(&mut self) {
        if self.chance.below(40) != 0 {
            return;
        }
        let client = self.chance.below(self.clients.len());
        let later = self.now + self.chance.of(&[0, 500, 100_000, 3_000_000, 40_000_000]);
        if self.weather.strikes(Fault::Vanish, &mut self.chance) {
            self.note(|| format!("client {client} vanishes"));
            self.cut(client, later);
        }
        if self.weather.strikes(Fault::Leave, &mut self.chance) {
            self.note(|| format!("client {client} leaves"));
            self.cut(client, self.now);
        }
        if self.weather.strikes(Fault::Stall, &mut self.chance) {
            self.note(|| format!("client {client} stalls"));
            self.clients[client].stalled_until = later;
        }
        if self.weather.strikes(Fault::MailboxPanics, &mut self.chance) {
            let n = self.some_node();
            let which = self.chance.below(self.nodes[n].mailboxes.len());
            if let Some(generation) = self.nodes[n].mailboxes.keys().nth(which).copied() {
                self.note(|| format!("mailbox {generation} panics"));
                self.nodes[n].end_mailbox(generation);
                // It may have been about to delete what was written while the device acknowledged it.
                self.store.littered = true;
            }
        }
        if self.weather.strikes(Fault::StoreAway, &mut self.chance) {
            self.note(|| "the store is away".to_owned());
            self.store.away_until = later;
        }
        if self.weather.strikes(Fault::Month, &mut self.chance) {
            (0..self.nodes.len()).for_each(|n| self.node_dies(n, later));
            self.now += (1 + self.chance.below(40) as u64) * 24 * 3600 * 1_000_000;
            self.up_at = vec![self.now; self.nodes.len()];
            self.note(|| "a month goes by".to_owned());
            if self.chance.below(2) == 0 {
                self.store.forget_expired(self.wall());
            }
        }
        if self.weather.strikes(Fault::NodeDies, &mut self.chance) {
            let n = self.some_node();
            self.node_dies(n, later);
        }
        if self.is_cluster() {
            self.misfortune_between(later);
        }
    }

    fn some_node(&mut self) -> usize {
        match self.nodes.len() {
            1 => 0,
            several => self.chance.below(several),
        }
    }

    /// A client loses its connection; the node learns of it then. Part of what was on its way is lost.
    pub(super) fn cut(&mut self, client: usize, noticed_at: u64) {
        if let Some(id) = self.clients[client].link
            && let Some(link) = self.links.get_mut(&id)
        {
            link.client_open = false;
            link.noticed_at = noticed_at;
            link.up.truncate(self.chance.below(link.up.len() + 1));
        }
        let connect_at = self.now + self.chance.of(&[0, 200, 1_000_000]);
        self.clients[client].disconnected(connect_at);
    }

    fn node_dies(&mut self, n: usize, up_at: u64) {
        self.note(|| format!("node {n} dies"));
        if self.store.commits.contains_key(&n) && self.chance.below(2) == 0 {
            // It was on its way already.
            self.store.carry_out(n, &self.weather, &mut self.chance, false);
            self.hear_of_commits();
        }
        self.store.commits.remove(&n);
        self.store.littered = true;
        self.store.reads.retain(|read| read.node != n);
        for id in self.nodes[n].connections.keys() {
            if let Some(link) = self.links.get_mut(id) {
                link.down.truncate(self.chance.below(link.down.len() + 1));
                link.down.push_back(Down::Closed);
            }
        }
        self.nodes[n] = Node::new(self.weather.memory_kib);
        self.log.borrow_mut().clear();
        self.up_at[n] = up_at;
        if self.is_cluster() {
            self.died(n);
        }
    }

    /// Gives one of those who can do something a turn. False when nobody can.
    fn turn(&mut self) -> bool {
        if self.chance.below(64) == 0 {
            let fair = self.chance.below(3) == 0;
            for weight in &mut self.weights {
                *weight = if fair { 1 } else { self.chance.of(&[0, 1, 1, 8, 64]) };
            }
        }
        let mut turns = std::mem::take(&mut self.turns);
        turns.clear();
        self.who_can(&mut turns);
        let weight = |turn: &Turn| match *turn {
            Turn::Client(at) => self.weights[at % 5],
            Turn::Connection(id) => self.weights[5 + id % 4],
            Turn::Mailbox(_, generation) => self.weights[9 + generation as usize % 2],
            Turn::Directory(_) => self.weights[11],
            Turn::LeftOver(_) => self.weights[8],
            Turn::Writer(n) => self.weights[(12 + n) % 16],
            Turn::Commit(n) => self.weights[(13 + n) % 16],
            Turn::Read => self.weights[14],
            Turn::Late => self.weights[15],
            Turn::Member(n) => self.weights[n % 16],
            Turn::Line(line) => self.weights[(line.0 % 16) as usize],
            Turn::Question => self.weights[6],
            Turn::Answer => self.weights[7],
        };
        let sum: u32 = turns.iter().map(weight).sum();
        let chosen = match sum {
            // Whoever is left out for long gets a turn when nobody else can do anything.
            0 => self.chance.below(turns.len()),
            sum => {
                let mut left = self.chance.below(sum as usize) as u32;
                turns
                    .iter()
                    .position(|turn| {
                        let weight = weight(turn);
                        let mine = left < weight;
                        left = left.saturating_sub(weight);
                        mine
                    })
                    .unwrap()
            }
        };
        let turn = turns.get(chosen).copied();
        self.turns = turns;
        let Some(turn) = turn else { return false };
        match turn {
            Turn::Client(at) => self.client(at),
            Turn::Connection(id) => self.connection(id),
            Turn::Directory(n) => self.directory(n),
            Turn::Mailbox(n, generation) => self.mailbox(n, generation),
            Turn::LeftOver(n) => drop(self.nodes[n].left_over.pop_front()),
            Turn::Writer(n) => self.writer(n),
            Turn::Commit(n) => self.commit(n),
            Turn::Member(n) => self.member(n),
            Turn::Line(line) => self.line(line),
            Turn::Question => self.question(),
            Turn::Answer => self.answer(),
            Turn::Read => self.read(),
            Turn::Late => {
                self.note(|| "a late commit lands".to_owned());
                self.store.land(self.weather.room);
            }
        }
        self.check(turn);
        true
    }

    fn who_can(&self, turns: &mut Vec<Turn>) {
        for at in 0..self.clients.len() {
            if self.client_can(at) {
                turns.push(Turn::Client(at));
            }
        }
        turns.extend(self.store.commits.keys().map(|n| Turn::Commit(*n)));
        if !self.store.reads.is_empty() {
            turns.push(Turn::Read);
        }
        if self.store.has_late() {
            turns.push(Turn::Late);
        }
        for (n, node) in self.nodes.iter().enumerate().filter(|(n, _)| self.runs(*n)) {
            for (id, connection) in &node.connections {
                if self.connection_can(*id, connection) {
                    turns.push(Turn::Connection(*id));
                }
            }
            if !node.to_directory.is_empty() {
                turns.push(Turn::Directory(n));
            }
            for (generation, mailbox) in &node.mailboxes {
                let answered = mailbox.answered.iter().any(|answered| answered.at <= self.now);
                if !mailbox.todo.is_empty() || !mailbox.inbox.is_empty() || answered {
                    turns.push(Turn::Mailbox(n, *generation));
                }
            }
            if !node.left_over.is_empty() {
                turns.push(Turn::LeftOver(n));
            }
            if self.writer_can(n) {
                turns.push(Turn::Writer(n));
            }
        }
        if self.is_cluster() {
            self.who_can_between(turns);
        }
    }

    /// Nobody can do anything: time goes on to when somebody can. False when nobody ever can,
    /// by their own clocks or, `with_clients`, by those of the clients.
    fn skip(&mut self, with_clients: bool) -> bool {
        let clients = self.clients.iter().filter(|_| with_clients).filter_map(|client| client.wakes_at(self.now));
        let links = self
            .links
            .iter()
            .filter(|(id, link)| !link.client_open && self.nodes[link.node].connections.contains_key(id));
        let links = links.map(|(_, link)| link.noticed_at);
        let mailboxes = self.nodes.iter().flat_map(|node| node.mailboxes.values());
        let reads = mailboxes.flat_map(|mailbox| mailbox.answered.iter().map(|answered| answered.at));
        let writers = self.nodes.iter().filter_map(|node| node.writer.pump_at);
        let times = clients.chain(links).chain(reads).chain(writers).chain(self.up_at.iter().copied());
        let times = times.chain(self.is_cluster().then(|| self.next_between()).flatten());
        let Some(next) = times.filter(|at| *at > self.now && *at < u64::MAX).min() else { return false };
        self.now = next;
        true
    }

    /// A new connection of a client, which is past its login.
    pub(super) fn connect(&mut self, client: usize) {
        self.last_connection += 1;
        let id = self.last_connection;
        let goes_to = self.clients[client].goes_to.take().filter(|n| self.now >= self.up_at[*n]);
        let Some(node) = goes_to.or_else(|| self.some_node_that_listens()) else { return };
        let link = Link { node, up: [].into(), down: [].into(), client_open: true, noticed_at: 0 };
        self.links.insert(id, link);
        let connection = Connection {
            client,
            attachment: Attachment::Never,
            window: Arc::new(Semaphore::new(limits::SEND_WINDOW as usize)),
            lanes: Lanes::default(),
            sends: 0,
            heard: 0,
            course: Arc::default(),
            inbox: Rc::default(),
            routing: None,
        };
        self.nodes[node].connections.insert(id, connection);
        self.clients[client].link = Some(id);
    }

    /// What must hold after each step.
    fn check(&mut self, turn: Turn) {
        match turn {
            Turn::Mailbox(n, generation) => {
                if let Some(mailbox) = self.nodes[n].mailboxes.get(&generation) {
                    mailbox.rules.check_invariants();
                }
            }
            Turn::Connection(id) => {
                if let Some(connection) =
                    self.links.get(&id).and_then(|link| self.nodes[link.node].connections.get(&id))
                {
                    connection.lanes.check_invariants();
                    connection.course.check_invariants();
                    let news = connection.inbox.borrow();
                    let answers = news.iter().filter(|news| matches!(news, News::Settled(_))).count();
                    assert!(answers <= limits::SEND_WINDOW as usize, "an answer for each place in the window");
                }
            }
            Turn::Writer(n) => self.nodes[n].writer.rules.check_invariants(),
            Turn::Member(_) | Turn::Line(_) | Turn::Question | Turn::Answer => self.check_between(),
            Turn::Client(_) | Turn::Directory(_) | Turn::LeftOver(_) | Turn::Commit(_) | Turn::Read | Turn::Late => {}
        }
        if self.is_cluster() {
            self.check_holders();
        }
        self.hear_of_commits();
        let log = std::mem::take(&mut *self.log.borrow_mut());
        for (id, outcome) in log {
            self.oracle.said(id, outcome, &self.store, &self.clients, self.wall());
            self.note(|| format!("envelope {} is answered {outcome:?}", super::oracle::number(id)));
        }
    }

    fn hear_of_commits(&mut self) {
        for (id, until) in std::mem::take(&mut self.store.written) {
            self.oracle.is_safe(id, until, wall(self.now));
        }
    }

    pub(super) fn say_up(&mut self, link: ConnectionId, up: Up) {
        if let Some(link) = self.links.get_mut(&link) {
            link.up.push_back(up);
        }
    }
}
