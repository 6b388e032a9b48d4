//! What is between several nodes: links, the directory of claims, clocks of different speeds, and what a node does about them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use endtoend_cluster::NodeId;
use endtoend_cluster::claims::{
    Attempt, ClaimTable, ClaimsError, DeviceName, Epoch, Found, Incarnation, Kept, LEASE, Lost, Ownership, Renewed,
    Taken, Whereabouts,
};
use endtoend_cluster::link::wire::Frame;
use endtoend_cluster::peers::{LinkLife, PeerLink};
use endtoend_protocol::Address;
use endtoend_storage::Seq;
use tokio::sync::Semaphore;

use super::chance::Chance;
use super::client::Client;
use super::node::{ConnectionId, Generation, Inbox, News, Right, ToDirectory};
use super::weather::Fault;
use super::world::{Turn, World};
use crate::elsewhere::{Entry, FORWARDS_MAX, Forwards, Keeper, Unwoken};
use crate::letter::Letter;
use crate::queue_writer::Told;
use crate::router::{self, Places};

/// How long an answer of the directory is waited for.
pub(super) const ANSWER_MAX: u64 = 250_000;
/// How often a leader does what it does for all.
const CHORES_EACH: u64 = 10_000_000;
/// Few, so that a sweep has parts.
pub(super) const SWEEP_PART: usize = 2;
/// Few, so that it is full now and then.
const WHEREABOUTS_MAX: usize = 4;

/// What a device is called.
pub(super) fn name(to: Address) -> DeviceName {
    let mut name = [0; 16];
    let [user, ..] = to.account.as_bytes();
    name[0] = *user;
    name[1] = to.device.get();
    DeviceName(name)
}

/// What follows when others know of a row.
pub(super) type After = Told<Generation, Right>;

/// What an envelope came through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Through {
    Connection(ConnectionId),
    Line(LinkLife),
}

/// What a node is to the others. Gone with its process.
pub(super) struct Member {
    pub(super) run: Incarnation,
    pub(super) owned: Ownership,
    pub(super) keeper: Keeper<ToDirectory>,
    pub(super) whereabouts: RefCell<Whereabouts<LinkLife>>,
    pub(super) forwards: Forwards<Right>,
    pub(super) unwoken: Unwoken<After>,
    pub(super) doors: BTreeMap<LinkLife, Door>,
    /// Who was told of a newer claim.
    pub(super) displaced: BTreeMap<(LinkLife, u64), (DeviceName, Epoch)>,
    pub(super) last_displaced: u64,
    pub(super) renewing: bool,
    pub(super) keeping: bool,
    pub(super) handled: Vec<Lost>,
    pub(super) sweep: Option<Sweep>,
    pub(super) renew_at: u64,
    pub(super) keep_at: u64,
    pub(super) sweep_at: u64,
}

/// A sweep that is under way: parts without answer.
pub(super) struct Sweep {
    pub(super) began: Instant,
    pub(super) open: usize,
    pub(super) failed: bool,
}

/// Where forwarded envelopes come in, for one life of a link.
pub(super) struct Door {
    pub(super) rules: Entry,
    /// Refusals that the other end knows of.
    pub(super) heard: u64,
    pub(super) inbox: Inbox,
    pub(super) window: Arc<Semaphore>,
    /// As a connection's.
    pub(super) routing: Option<(Generation, Letter, Right)>,
}

impl Door {
    pub(super) fn new() -> Self {
        Self {
            rules: Entry::default(),
            heard: 0,
            inbox: Rc::default(),
            window: Arc::new(Semaphore::new(FORWARDS_MAX)),
            routing: None,
        }
    }
}

impl Member {
    fn new(run: Incarnation, now: u64) -> Self {
        Self {
            run,
            owned: Ownership::new(),
            keeper: Keeper::default(),
            whereabouts: RefCell::new(Whereabouts::new(WHEREABOUTS_MAX)),
            forwards: Forwards::default(),
            unwoken: Unwoken::new(run),
            doors: BTreeMap::new(),
            displaced: BTreeMap::new(),
            last_displaced: 0,
            renewing: false,
            keeping: false,
            handled: Vec::new(),
            sweep: None,
            renew_at: now,
            keep_at: now,
            sweep_at: now,
        }
    }

    fn unanswered(&self) -> usize {
        self.doors.values().map(|door| door.rules.lanes.unanswered()).sum()
    }
}

/// One life of a link.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) ends: [usize; 2],
    pub(super) runs: [Incarnation; 2],
    /// Frames on their way to each end.
    pub(super) to: [VecDeque<Frame>; 2],
    /// Whether each end believes in it.
    pub(super) up: [bool; 2],
    pub(super) broken: bool,
    pub(super) noticed_at: [u64; 2],
    /// Until when nothing comes to each end.
    pub(super) blocked_until: [u64; 2],
}

#[derive(Debug)]
pub(super) enum Question {
    Renew {
        handled: Vec<Lost>,
        sent: Instant,
    },
    Take {
        device: DeviceName,
        attempt: Attempt,
        loaded: bool,
    },
    Keep {
        claims: Vec<(DeviceName, Epoch)>,
        began: Instant,
    },
    Release {
        device: DeviceName,
        epoch: Epoch,
    },
    Find {
        devices: Vec<DeviceName>,
    },
    /// Of the store.
    Sweep {
        part: Vec<(DeviceName, Address, Seq)>,
    },
}

#[derive(Debug)]
pub(super) enum Answer {
    Renewed { sent: Instant, renewed: Option<Renewed> },
    Taken { device: DeviceName, attempt: Attempt, loaded: bool, taken: Result<Taken, ClaimsError> },
    Kept { claims: Vec<(DeviceName, Epoch)>, began: Instant, kept: Option<Vec<Kept>> },
    Found { found: Option<Vec<Found>> },
    Swept { found: Option<Vec<(DeviceName, Address, Seq)>> },
}

/// What comes to a run of a node, and when.
#[derive(Debug)]
pub(super) struct Coming<T> {
    pub(super) at: u64,
    pub(super) node: usize,
    pub(super) run: Incarnation,
    pub(super) what: T,
}

/// What belongs to no node.
pub(super) struct Between {
    /// Nanoseconds by which the clock of each node goes on in a microsecond.
    pub(super) speeds: Vec<u64>,
    pub(super) paused_until: Vec<u64>,
    /// Until when each node does not reach the directory of claims.
    pub(super) away_until: Vec<u64>,
    pub(super) table: ClaimTable,
    pub(super) lines: BTreeMap<LinkLife, Line>,
    pub(super) last_line: u64,
    /// Until when two nodes find no way to each other.
    pub(super) apart_until: BTreeMap<(usize, usize), u64>,
    pub(super) questions: Vec<Coming<Question>>,
    pub(super) answers: Vec<Coming<Answer>>,
    runs: u64,
    /// When the leader looks next for claims of nodes that are gone, and which it has found gone the last time.
    chores_at: u64,
    dead: BTreeSet<Incarnation>,
    /// Nothing is left to do but what is done again and again.
    pub(super) is_quiet: bool,
    pub(super) was_exclusive: u64,
    pub(super) was_forwarded: u64,
}

impl Between {
    pub(super) fn new(nodes: usize, chance: &mut Chance) -> Self {
        let speed = |chance: &mut Chance| match nodes {
            1 => 1_000,
            _ => 930 + chance.below(140) as u64,
        };
        Self {
            speeds: (0..nodes).map(|_| speed(chance)).collect(),
            paused_until: vec![0; nodes],
            away_until: vec![0; nodes],
            table: ClaimTable::new(LEASE),
            lines: BTreeMap::new(),
            last_line: 0,
            apart_until: BTreeMap::new(),
            questions: Vec::new(),
            answers: Vec::new(),
            runs: 0,
            chores_at: CHORES_EACH,
            dead: BTreeSet::new(),
            is_quiet: false,
            was_exclusive: 0,
            was_forwarded: 0,
        }
    }

    /// The links that a node believes in.
    pub(super) fn links(&self, n: usize) -> Vec<PeerLink> {
        let links = self.lines.iter().filter_map(|(life, line)| {
            let end = line.ends.iter().position(|end| *end == n).filter(|end| line.up[*end])?;
            Some(PeerLink { life: *life, run: line.runs[1 - end] })
        });
        links.collect()
    }
}

/// Where a device is, as a node knows it.
struct Known<'a> {
    mailbox: Option<Generation>,
    whereabouts: Option<(&'a RefCell<Whereabouts<LinkLife>>, DeviceName)>,
    links: &'a [PeerLink],
}

impl Places<Generation> for Known<'_> {
    fn mailbox(&self) -> Option<(u64, Generation)> {
        self.mailbox.map(|generation| (generation, generation))
    }
    fn peer(&self) -> Option<LinkLife> {
        let (whereabouts, device) = self.whereabouts?;
        whereabouts.borrow_mut().get(device).filter(|link| self.is_linked(*link))
    }
    fn is_linked(&self, link: LinkLife) -> bool {
        self.links.iter().any(|other| other.life == link)
    }
}

impl World {
    /// A node's process starts, as one of several.
    pub(super) fn joins(&mut self, n: usize) {
        self.between.runs += 1;
        let run = Incarnation { node: NodeId::new(n as u64), run: self.between.runs };
        self.nodes[n].member = Some(Member::new(run, self.now));
    }

    /// Its process has ended, and starts anew.
    pub(super) fn died(&mut self, n: usize) {
        let lives: Vec<_> =
            self.between.lines.iter().filter(|(_, line)| line.ends.contains(&n)).map(|(life, _)| *life).collect();
        for life in lives {
            let line = self.between.lines.get_mut(&life).unwrap();
            let end = usize::from(line.ends[1] == n);
            line.up[end] = false;
            line.to[end].clear();
            let late = self.chance.of(&[0, 1_000, 100_000, 5_000_000]);
            self.break_line(life, [late, late]);
        }
        self.between.paused_until[n] = 0;
        self.joins(n);
    }

    pub(super) fn break_line(&mut self, life: LinkLife, late: [u64; 2]) {
        let Some(line) = self.between.lines.get_mut(&life).filter(|line| !line.broken) else { return };
        line.broken = true;
        line.blocked_until = [0; 2];
        line.noticed_at = late.map(|late| self.now + late);
        for to in &mut line.to {
            to.truncate(self.chance.below(to.len() + 1));
        }
    }

    pub(super) fn runs(&self, n: usize) -> bool {
        self.now >= self.between.paused_until[n]
    }

    /// A node that takes connections.
    pub(super) fn some_node_that_listens(&mut self) -> Option<usize> {
        if !self.is_cluster() {
            return Some(0);
        }
        let listen: Vec<_> = (0..self.nodes.len()).filter(|n| self.now >= self.up_at[*n]).collect();
        match listen.len() {
            0 => None,
            len => Some(listen[self.chance.below(len)]),
        }
    }

    /// Which way an envelope goes that came through a connection, or over a link: over one only once.
    pub(super) fn choose(
        &mut self,
        n: usize,
        through: Through,
        id: (endtoend_protocol::EnvelopeId, u64),
        to: Address,
    ) -> router::Way<Generation> {
        let (now, links) = (self.instant(n), self.between.links(n));
        let node = &mut self.nodes[n];
        let is_here = node.member.as_ref().is_none_or(|member| member.owned.is_exclusive(name(to), now));
        let mailbox = node.routes.get(to.account).map(|(mailbox, _)| mailbox).filter(|_| is_here);
        // Who has it for himself and no mailbox yet does not look elsewhere.
        let whereabouts = match (&node.member, through) {
            (Some(member), Through::Connection(_)) if !is_here => Some((&member.whereabouts, name(to))),
            _ => None,
        };
        let known = Known { mailbox, whereabouts, links: &links };
        match through {
            Through::Connection(id_of) => node.connections.get_mut(&id_of).unwrap().lanes.choose(id, to, &known),
            Through::Line(life) => {
                let doors = |member: &mut Member| member.doors.remove(&life).unwrap();
                // Taken out for the moment: what is known borrows the rest.
                let whereabouts = known.whereabouts.is_some();
                assert!(!whereabouts, "one hop");
                let known = Known { mailbox: known.mailbox, whereabouts: None, links: &[] };
                let mut door = doors(node.member.as_mut().unwrap());
                let way = door.rules.lanes.choose(id, to, &known);
                node.member.as_mut().unwrap().doors.insert(life, door);
                way
            }
        }
    }

    pub(super) fn ask(&mut self, n: usize, what: Question) {
        let run = self.nodes[n].member.as_ref().unwrap().run;
        let at = self.now + self.chance.of(&[0, 0, 100, 10_000, 200_000]);
        self.between.questions.push(Coming { at, node: n, run, what });
    }

    pub(super) fn who_can_between(&self, turns: &mut Vec<Turn>) {
        for n in (0..self.nodes.len()).filter(|n| self.runs(*n) && self.now >= self.up_at[*n]) {
            if self.member_can(n) {
                turns.push(Turn::Member(n));
            }
        }
        for (life, line) in &self.between.lines {
            if (0..2).any(|end| self.line_can(*life, line, end)) {
                turns.push(Turn::Line(*life));
            }
        }
        if self.between.questions.iter().any(|question| question.at <= self.now) {
            turns.push(Turn::Question);
        }
        if self.between.answers.iter().any(|answer| self.comes(answer)) {
            turns.push(Turn::Answer);
        }
    }

    pub(super) fn comes<T>(&self, coming: &Coming<T>) -> bool {
        coming.at <= self.now && self.runs(coming.node)
    }

    pub(super) fn line_can(&self, life: LinkLife, line: &Line, end: usize) -> bool {
        let n = line.ends[end];
        let door = self.nodes[n].member.as_ref().and_then(|member| member.doors.get(&life));
        if self.runs(n) && door.is_some_and(|door| door.routing.is_some()) {
            return true;
        }
        let comes = !line.to[end].is_empty() && line.blocked_until[end] <= self.now;
        line.up[end]
            && self.runs(n)
            && (comes || (line.broken && line.to[end].is_empty() && line.noticed_at[end] <= self.now))
    }

    fn member_can(&self, n: usize) -> bool {
        let Some(member) = &self.nodes[n].member else { return false };
        let due = !self.between.is_quiet
            && [
                (member.renewing, member.renew_at),
                (member.keeping, member.keep_at),
                (member.sweep.is_some(), member.sweep_at),
            ]
            .iter()
            .any(|(busy, at)| !busy && *at <= self.now);
        due || member.doors.values().any(|door| !door.inbox.borrow().is_empty())
            || member.unwoken.has_next()
            || member.unwoken.due_at().is_some_and(|at| at <= self.instant(n))
    }

    /// When something happens between the nodes by itself.
    pub(super) fn next_between(&self) -> Option<u64> {
        let between = &self.between;
        let lines = between.lines.values().flat_map(|line| line.noticed_at.into_iter().chain(line.blocked_until));
        let coming = between.questions.iter().map(|question| question.at);
        let coming = coming.chain(between.answers.iter().map(|answer| answer.at));
        let members = self.nodes.iter().enumerate().filter_map(|(n, node)| Some((n, node.member.as_ref()?)));
        let timers = members.clone().filter(|_| !between.is_quiet).flat_map(|(_, member)| {
            [
                (member.renewing, member.renew_at),
                (member.keeping, member.keep_at),
                (member.sweep.is_some(), member.sweep_at),
            ]
        });
        let timers = timers.filter(|(busy, _)| !busy).map(|(_, at)| at);
        let rows = members.filter_map(|(n, member)| Some(self.micros(n, member.unwoken.due_at()?)));
        let apart = between.apart_until.values().copied();
        let all =
            lines.chain(coming).chain(timers).chain(rows).chain(apart).chain(between.paused_until.iter().copied());
        all.filter(|at| *at > self.now).min()
    }

    /// Nodes that have no link make one, when they can.
    pub(super) fn mend(&mut self) {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                let is_linked = |line: &Line| line.ends == [a, b] && line.up != [false; 2];
                let apart = self.between.apart_until.get(&(a, b)).is_some_and(|until| *until > self.now);
                let both = [a, b].iter().all(|n| self.runs(*n) && self.now >= self.up_at[*n]);
                if apart || !both || self.between.lines.values().any(is_linked) {
                    continue;
                }
                self.between.last_line += 1;
                let life = LinkLife(self.between.last_line);
                let runs = [a, b].map(|n| self.nodes[n].member.as_ref().unwrap().run);
                self.note(|| format!("nodes {a} and {b} are linked by {life:?}"));
                for n in [a, b] {
                    self.nodes[n].member.as_mut().unwrap().doors.insert(life, Door::new());
                }
                let line = Line {
                    ends: [a, b],
                    runs,
                    to: [VecDeque::new(), VecDeque::new()],
                    up: [true; 2],
                    broken: false,
                    noticed_at: [0; 2],
                    blocked_until: [0; 2],
                };
                self.between.lines.insert(life, line);
            }
        }
        self.between.lines.retain(|_, line| line.up != [false; 2]);
    }

    /// A client goes to another node; the one where it was learns of it late.
    fn moves(&mut self, client: usize, noticed_at: u64) {
        let here = self.clients[client].link.and_then(|id| self.links.get(&id)).map(|link| link.node);
        let there: Vec<_> = (0..self.nodes.len()).filter(|n| Some(*n) != here && self.now >= self.up_at[*n]).collect();
        if there.is_empty() {
            return;
        }
        let there = there[self.chance.below(there.len())];
        // Now and then nobody can tell the other node.
        let between = |line: &Line| line.ends.contains(&there) && here.is_some_and(|here| line.ends.contains(&here));
        let life = self.between.lines.iter().find(|(_, line)| between(line)).map(|(life, _)| *life);
        life.into_iter().for_each(|life| self.breaks_perhaps(life, 3, None));
        self.note(|| format!("client {client} moves to node {there}"));
        self.cut(client, noticed_at);
        self.clients[client].connect_at = self.now;
        self.clients[client].goes_to = Some(there);
    }

    /// A sender has heard that something is accepted. What he says next, elsewhere, must not be shown before it.
    pub(super) fn moves_perhaps(&mut self, client: usize, to: Address) {
        if self.is_cluster() && self.weather.has(Fault::Moves) && self.chance.below(3) == 0 {
            let late = self.chance.of(&[0, 3_000_000, 40_000_000]);
            self.moves(client, self.now + late);
            self.stir(Some(client), to);
        }
    }

    /// A link breaks with what is on its way, in the moment in which that matters most; once in so many of these.
    pub(super) fn breaks_perhaps(&mut self, life: LinkLife, of: usize, about: Option<Address>) {
        if !self.weather.has(Fault::LinkBreaks) || self.chance.below(of) != 0 {
            return;
        }
        let [a, b] = self.between.lines[&life].ends;
        let until = self.now + self.chance.of(&[0, 0, 1_000, 1_000_000, 7_000_000]);
        self.note(|| format!("{life:?} breaks, {a} and {b} are apart until {until}"));
        self.between.apart_until.insert((a, b), until);
        let late = [0; 2].map(|_: u64| self.chance.of(&[0, 0, 1_000, 200_000]));
        self.break_line(life, late);
        about.into_iter().for_each(|to| self.stir(None, to));
    }

    /// A node reaches nobody, and half of its clients notice.
    fn cut_off(&mut self, n: usize) {
        let until = self.now + self.chance.of(&[1_000_000, 4_000_000, 8_000_000, 15_000_000]);
        self.note(|| format!("node {n} is cut off until {until}"));
        self.between.away_until[n] = until;
        let lives: Vec<_> =
            self.between.lines.iter().filter(|(_, line)| line.ends.contains(&n)).map(|(life, _)| *life).collect();
        for life in lives {
            let [a, b] = self.between.lines[&life].ends;
            self.between.apart_until.insert((a, b), until);
            let late = [0; 2].map(|_: u64| self.chance.of(&[0, 1_000, 1_000_000]));
            self.break_line(life, late);
        }
        let here = |client: &Client| client.link.and_then(|id| self.links.get(&id)).is_some_and(|link| link.node == n);
        let here: Vec<_> = (0..self.clients.len()).filter(|at| here(&self.clients[*at])).collect();
        for client in here {
            if self.chance.below(2) == 0 {
                self.moves(client, until + 5_000_000);
                self.stir(None, self.clients[client].address);
            }
        }
    }

    /// As the leader's: whoever was gone the last time, too, is forgotten. Another leader begins anew.
    fn chores(&mut self) {
        if self.now < self.between.chores_at {
            return;
        }
        self.between.chores_at = self.now + CHORES_EACH;
        if self.chance.below(4) == 0 {
            self.note(|| "another node leads".to_owned());
            self.between.dead.clear();
        }
        let Between { table, dead, .. } = &mut self.between;
        *dead = table.sweep(dead, self.now).dead;
    }

    pub(super) fn misfortune_between(&mut self, later: u64) {
        self.chores();
        let somebody = self.chance.below(self.clients.len());
        if self.weather.strikes(Fault::Moves, &mut self.chance) {
            self.moves(somebody, later);
            self.stir(None, self.clients[somebody].address);
        }
        if self.weather.strikes(Fault::CutOff, &mut self.chance) {
            let n = self.chance.below(self.nodes.len());
            self.cut_off(n);
        }
        let nobody_knows =
            self.between.away_until.iter().chain(self.between.apart_until.values()).any(|until| *until > self.now);
        if nobody_knows && self.chance.below(2) == 0 {
            self.stir(None, self.clients[somebody].address);
        }
        if self.chance.below(self.weather.leaps) == 0 {
            self.now += self.chance.of(&[1_000, 50_000, 300_000, 1_000_000, 3_000_000]);
        }
        let lives: Vec<_> = self.between.lines.keys().copied().collect();
        if !lives.is_empty() && self.weather.strikes(Fault::LinkBreaks, &mut self.chance) {
            let life = lives[self.chance.below(lives.len())];
            let late = [0; 2].map(|_: u64| self.chance.of(&[0, 1_000, 200_000, 5_000_000]));
            let [a, b] = self.between.lines[&life].ends;
            let until = self.now + self.chance.of(&[0, 1_000, 1_000_000, 20_000_000]);
            self.note(|| format!("{life:?} breaks, {a} and {b} are apart until {until}"));
            self.between.apart_until.insert((a, b), until);
            self.break_line(life, late);
        }
        if !lives.is_empty() && self.weather.strikes(Fault::LinkBlocks, &mut self.chance) {
            let (life, end) = (lives[self.chance.below(lives.len())], self.chance.below(2));
            self.note(|| format!("nothing comes over {life:?} to end {end}"));
            self.between.lines.get_mut(&life).unwrap().blocked_until[end] = later.min(self.now + 10_000_000);
        }
        if self.weather.strikes(Fault::Pause, &mut self.chance) {
            let n = self.chance.below(self.nodes.len());
            self.note(|| format!("node {n} is paused"));
            self.between.paused_until[n] = later.min(self.now + 20_000_000);
        }
        if self.weather.strikes(Fault::ClaimsAway, &mut self.chance) {
            let n = self.chance.below(self.nodes.len());
            self.note(|| format!("node {n} does not reach the directory of claims"));
            self.between.away_until[n] = later;
        }
        if self.weather.strikes(Fault::ClaimsFlushed, &mut self.chance) {
            self.note(|| "the directory of claims forgets everything".to_owned());
            self.between.table.flush();
        }
    }

    /// From here on nothing goes wrong between the nodes.
    pub(super) fn between_is_calm(&mut self) {
        let between = &mut self.between;
        between.paused_until.iter_mut().chain(&mut between.away_until).for_each(|until| *until = 0);
        between.apart_until.clear();
        // As a node does every ten minutes: what has expired keeps a queue full.
        if self.nodes.len() > 1 {
            self.store.forget_expired(super::world::wall(self.now));
        }
        for line in between.lines.values_mut() {
            line.blocked_until = [0; 2];
            line.noticed_at = line.noticed_at.map(|at| at.min(self.now));
        }
    }

    /// Whether everybody was told what he has to know.
    pub(super) fn members_rest(&self, sloth: Option<usize>) -> bool {
        let sloth = sloth.map(|sloth| self.clients[sloth].address);
        let rests =
            |member: &Member| member.unwoken.len() == 0 && member.forwards.len() == 0 && member.unanswered() == 0;
        let now = self.wall();
        // A repeat that was committed elsewhere is deleted after the next sweep.
        let waits = |row: &super::store::Row| Some(row.to) != sloth && row.expires_at > now;
        self.nodes.iter().filter_map(|node| node.member.as_ref()).all(rests)
            && self.oracle.all_is_shown(sloth, now)
            && (self.store.littered || !self.store.rows().any(waits))
    }

    pub(super) fn check_between(&self) {
        for (n, node) in self.nodes.iter().enumerate() {
            if let Some(member) = &node.member {
                member.owned.check_invariants(self.instant(n));
                member.unwoken.check_invariants();
                member.whereabouts.borrow().check_invariants();
            }
        }
    }

    /// Invariant 6: a device is exclusive on one node at most; whether that one is paused or not.
    pub(super) fn check_holders(&mut self) {
        for client in &self.clients {
            let has = |n: &usize| {
                let member = self.nodes[*n].member.as_ref();
                member.is_some_and(|member| member.owned.is_exclusive(name(client.address), self.instant(*n)))
            };
            let holders: Vec<_> = (0..self.nodes.len()).filter(has).collect();
            assert!(holders.len() <= 1, "{:?} is exclusive on {holders:?}", client.address);
            self.between.was_exclusive += holders.len() as u64;
        }
    }

    /// A connection of that node is to end, because its device is elsewhere.
    pub(super) fn end_connection(&mut self, n: usize, connection: u64) {
        if let Some(connection) = usize::try_from(connection).ok().and_then(|id| self.nodes[n].connections.get(&id)) {
            connection.inbox.borrow_mut().push_back(News::Replaced);
        }
    }
}
