//! Makes what the plan says happen.

mod members;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use endtoend_benches::several::{Several, ask};
use endtoend_testkit::{Node, PATIENCE, eventually};
use endtoend_testkit_postgres::Server;
use endtoend_testkit_redis::Server as Redis;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::disk::{OwnDisk, Trace};
use super::pace::Pace;
use super::plan::{Fault, Kind};
use super::world::World;
use super::{receiver, sender};

/// What can be struck.
pub(crate) struct Victims {
    pub(crate) world: Arc<World>,
    /// One at least.
    pub(crate) nodes: Vec<Node>,
    /// What they have in common, when there are several.
    pub(crate) several: Option<Several>,
    pub(crate) postgres: Option<Server>,
    pub(crate) disk: Option<OwnDisk>,
    pub(crate) senders: Vec<mpsc::Sender<sender::Command>>,
    pub(crate) receivers: Vec<mpsc::Sender<receiver::Command>>,
    /// By kind: how often, and for how long together.
    pub(crate) struck: BTreeMap<Kind, (u64, Duration)>,
    /// Starts of a node that failed, as they may on a full disk.
    pub(crate) failed_starts: u64,
    /// Kills of nodes with what they had.
    pub(crate) kills: Vec<Killed>,
    /// From the kill of a leader until another one has written a proposal, nanoseconds.
    pub(crate) led_again: Vec<u64>,
    /// Of the present fault, if it has several steps.
    pub(crate) pace: Option<Pace>,
}

/// A node was killed.
#[derive(Clone, Debug)]
pub(crate) struct Killed {
    /// Nanoseconds of the run.
    pub(crate) at: u64,
    /// Receivers that were attached there.
    pub(crate) receivers: Vec<usize>,
}

impl Victims {
    /// From the beginning of a fault to its end. What follows is the recovery.
    pub(crate) async fn strike(&mut self, fault: Fault) {
        let kind = fault.kind;
        tokio::time::sleep(fault.pause).await;
        self.world.service().struck(kind);
        let begun = self.world.now();
        self.step();
        self.carry_out(fault).await;
        self.pace = None;
        let lasted = Duration::from_nanos(self.world.now() - begun);
        let (times, together) = self.struck.entry(kind).or_default();
        *times += 1;
        *together += lasted;
    }

    async fn carry_out(&mut self, fault: Fault) {
        let Fault { kind, lasts, choice, .. } = fault;
        match kind {
            Kind::NodeKilled => {
                let node = self.any(choice);
                self.kill(kind, &[node]);
                tokio::time::sleep(lasts).await;
                self.start(&[node]);
            }
            Kind::NodeKilledTwice => {
                let node = self.any(choice);
                self.kill(kind, &[node]);
                if let Some(node) = self.nodes.get_mut(node) {
                    node.restart_without_waiting();
                }
                tokio::time::sleep(lasts).await;
                self.kill(kind, &[node]);
                self.start(&[node]);
            }
            Kind::NodePaused => {
                let node = self.any(choice);
                self.pause(node);
                tokio::time::sleep(lasts).await;
                self.resume(node);
                self.cured(kind);
            }
            Kind::NodePausedAndKilled => {
                let node = self.any(choice);
                self.pause(node);
                tokio::time::sleep(lasts).await;
                self.kill(kind, &[node]);
                self.start(&[node]);
            }
            Kind::DiskSlow => {
                self.with_disk(&SYNCS, &slow(choice), lasts).await;
                self.cured(kind);
            }
            Kind::DiskSlowNodeKilled => {
                let trace = Trace::attach(&self.writers(), &SYNCS, &slow(choice));
                tokio::time::sleep(lasts).await;
                self.kill(kind, &[0]);
                drop(trace);
                self.mend_store().await;
                self.start(&[0]);
            }
            Kind::DiskSyncFails => {
                self.with_disk(&SYNCS, "error=EIO", lasts).await;
                self.cured(kind);
            }
            Kind::DiskWriteFails => {
                self.with_disk(&WRITES, "error=EIO", lasts).await;
                self.cured(kind);
            }
            Kind::DiskWriteRefused => {
                self.with_disk(&WRITES, "error=ENOSPC", lasts).await;
                self.cured(kind);
            }
            Kind::DiskFull => {
                let ballast = self.disk.as_ref().map(OwnDisk::fill);
                tokio::time::sleep(lasts).await;
                drop(ballast);
                self.cured(kind);
            }
            Kind::DiskFullNodeKilled => {
                let ballast = self.disk.as_ref().map(OwnDisk::fill);
                tokio::time::sleep(lasts).await;
                self.kill(kind, &[0]);
                let started = self.nodes.first_mut().is_some_and(|node| node.try_restart().is_ok());
                drop(ballast);
                if !started {
                    self.failed_starts += 1;
                    self.start(&[0]);
                }
            }
            Kind::StoreKilled => {
                self.kill_store();
                tokio::time::sleep(lasts).await;
                self.start_store();
                self.cured(kind);
            }
            Kind::StoreAndNodeKilled => {
                let node = self.any(choice);
                self.kill_store();
                self.kill(kind, &[node]);
                tokio::time::sleep(lasts).await;
                self.start_store();
                self.start(&[node]);
            }
            Kind::SenderVanishes => self.tell_sender(choice, sender::Command::Vanish(lasts)),
            Kind::SenderConnectsTwice => self.tell_sender(choice, sender::Command::ConnectTwice),
            Kind::ReceiverVanishes => self.tell_receiver(choice, receiver::Command::Vanish { away: lasts }),
            Kind::ReceiverAttachesTwice => self.tell_receiver(choice, receiver::Command::AttachTwice),
            Kind::ReceiverEndsBeforeAck => {
                let deliveries = 1 + choice % 32;
                self.tell_receiver(choice, receiver::Command::EndBeforeAck { deliveries, away: lasts });
            }
            Kind::ReceiverEndsBeforeStoring => {
                let deliveries = 1 + choice % 32;
                self.tell_receiver(choice, receiver::Command::EndBeforeStoring { deliveries, away: lasts });
            }
            Kind::ReceiverSleeps => self.tell_receiver(choice, receiver::Command::Sleep(lasts)),
            _ => self.carry_out_among_several(fault).await,
        }
    }

    /// What only several nodes have.
    async fn carry_out_among_several(&mut self, fault: Fault) {
        let Fault { kind, lasts, choice, .. } = fault;
        match kind {
            Kind::LeaderKilled => {
                let Some(leader) = self.leader(choice) else { return };
                self.kill(kind, &[leader]);
                let killed = self.world.now();
                let proposed = self.proposes(leader, killed);
                tokio::time::sleep(lasts).await;
                // The next leader is one of those that were there, also when this one comes back soon.
                self.led_again.extend(proposed.await.ok().flatten());
                self.start(&[leader]);
            }
            Kind::OwnerKilled => {
                let owner = self.world.owner(choice as usize);
                self.kill(kind, &[owner]);
                tokio::time::sleep(lasts).await;
                self.start(&[owner]);
            }
            Kind::BothEndsKilled => {
                let owner = self.world.owner(choice as usize);
                // Senders begin at the node of their number.
                let other = (owner + 1 + (choice >> 16) as usize % (self.nodes.len() - 1)) % self.nodes.len();
                self.kill(kind, &[owner, other]);
                tokio::time::sleep(lasts).await;
                self.start(&[owner, other]);
            }
            Kind::NodePausedBeyondLease => {
                let node = self.any(choice);
                self.pause(node);
                self.some_move_from(node);
                tokio::time::sleep(lasts).await;
                self.resume(node);
                self.cured(kind);
            }
            Kind::NodeEndsInOrder => {
                let node = self.any(choice);
                self.ends_in_order(kind, node);
                tokio::time::sleep(lasts).await;
                self.start(&[node]);
            }
            Kind::NodeDrained => {
                let node = self.any(choice);
                self.operates(&["drain", &self.name(node)]);
                tokio::time::sleep(lasts).await;
                self.operates(&["undrain", &self.name(node)]);
                self.cured(kind);
            }
            Kind::LeaderMoves => {
                let Some(leader) = self.leader(choice) else { return };
                let other = (leader + 1 + choice as usize % (self.nodes.len() - 1)) % self.nodes.len();
                self.operates(&["transfer-leader", &self.name(other)]);
                tokio::time::sleep(lasts).await;
                self.cured(kind);
            }
            Kind::RedisKilled => {
                self.redis(Redis::kill_9);
                tokio::time::sleep(lasts).await;
                self.redis(Redis::restart);
                self.cured(kind);
            }
            Kind::RedisFlushed => {
                self.redis(Redis::flush);
                tokio::time::sleep(lasts).await;
                self.cured(kind);
            }
            Kind::RedisHangs => {
                self.redis(Redis::hang);
                tokio::time::sleep(lasts).await;
                self.redis(Redis::go_on);
                self.cured(kind);
            }
            Kind::NodeCutOff | Kind::NodeCutOffOneWay | Kind::LinkCut => {
                self.cut(kind, choice);
                self.some_move_from(self.any(choice));
                tokio::time::sleep(lasts).await;
                if let Some(several) = &self.several {
                    several.links.mend();
                }
                self.cured(kind);
            }
            Kind::HaproxyKilled | Kind::HaproxyHangs | Kind::AgentKilled => self.strike_edge(fault).await,
            _ => self.change_members(fault).await,
        }
    }

    /// What stands before the nodes.
    async fn strike_edge(&mut self, Fault { kind, lasts, .. }: Fault) {
        let Some(edge) = self.several.as_mut().and_then(Several::edge) else { return };
        match kind {
            Kind::HaproxyKilled => edge.signal_worker("KILL"),
            Kind::HaproxyHangs => {
                edge.signal_worker("STOP");
                tokio::time::sleep(lasts).await;
                edge.signal_worker("CONT");
            }
            _ => {
                edge.kill_agent();
                tokio::time::sleep(lasts).await;
                tokio::task::block_in_place(|| edge.launch());
            }
        }
        self.cured(kind);
    }

    /// The next step of a fault that has several begins.
    fn step(&mut self) {
        self.pace.iter_mut().for_each(Pace::step);
    }

    /// SIGTERM, and the end that follows.
    fn ends_in_order(&mut self, kind: Kind, number: usize) {
        let (at, life) = (self.world.now(), self.world.next_life());
        if let Some(node) = self.nodes.get_mut(number) {
            let ended = tokio::task::block_in_place(|| node.terminate());
            assert!(ended.success(), "a node that was told to end: {ended:?}");
        }
        self.world.service().recovers(kind, at, life);
    }

    /// Some of a node's devices move to where they are served, and leave a connection open; the others are there when it is well.
    fn some_move_from(&self, node: usize) {
        for receiver in self.world.owned(node).into_iter().step_by(2) {
            self.tell_receiver(receiver as u32, receiver::Command::AttachTwice);
        }
    }

    fn cut(&self, kind: Kind, choice: u32) {
        let Some(several) = &self.several else { return };
        let node = self.any(choice);
        match kind {
            Kind::NodeCutOff => several.links.cut(several.directions(node, true, true)),
            Kind::NodeCutOffOneWay => {
                let outward = choice & 0x10000 == 0;
                several.links.cut(several.directions(node, outward, !outward));
            }
            _ => {
                let other = (node + 1) % self.nodes.len();
                several.links.cut([(node, other), (other, node)]);
            }
        }
    }

    fn redis(&self, what: impl FnOnce(&Redis)) {
        if let Some(several) = &self.several {
            tokio::task::block_in_place(|| what(&several.redis));
        }
    }

    /// Has a node that lives carry out an operator's command. It may fail, as when nobody leads.
    fn operates(&self, arguments: &[&str]) {
        if let Some(node) = self.nodes.first() {
            let _may_fail = tokio::task::block_in_place(|| ask(node.data_dir(), arguments));
        }
    }

    fn name(&self, node: usize) -> String {
        self.several.as_ref().map_or_else(String::new, |several| several.name(node).to_owned())
    }

    fn any(&self, choice: u32) -> usize {
        choice as usize % self.nodes.len()
    }

    /// As a node sees it, which looks until there is one.
    fn leader(&self, choice: u32) -> Option<usize> {
        let (several, node) = (self.several.as_ref()?, self.nodes.get(self.any(choice))?);
        let mut leader = None;
        tokio::task::block_in_place(|| {
            eventually(PATIENCE, "a leader", || {
                leader = several.leader(node);
                leader.is_some()
            });
        });
        leader
    }

    /// Has another node than the killed one propose something until that is written: how long after the kill that was.
    fn proposes(&self, killed: usize, at: u64) -> JoinHandle<Option<u64>> {
        let other = self.nodes.get((killed + 1) % self.nodes.len()).map(|node| node.data_dir().to_owned());
        let world = Arc::clone(&self.world);
        tokio::task::spawn_blocking(move || {
            let other = other?;
            let mut token = None;
            eventually(PATIENCE, "a proposal without the leader", || {
                token = ask(&other, &["token", "create", "--expires", "1m"]);
                token.is_some()
            });
            let took = world.now() - at;
            // There is a bound of them.
            let id = token?.get("id")?.as_str()?.to_owned();
            ask(&other, &["token", "revoke", &id]);
            Some(took)
        })
    }

    /// Kills nodes; the recovery lasts until something is accepted again over a connection that was made after it.
    fn kill(&mut self, kind: Kind, nodes: &[usize]) {
        let at = self.world.now();
        for number in nodes {
            if let Some(node) = self.nodes.get_mut(*number) {
                node.kill_9();
            }
        }
        let life = self.world.next_life();
        self.world.service().recovers(kind, at, life);
        // By an edge nobody knows where a client is.
        if self.several.as_ref().is_some_and(|several| several.entry().is_none()) {
            let receivers = nodes.iter().flat_map(|number| self.world.owned(*number)).collect();
            self.kills.push(Killed { at, receivers });
        }
    }

    /// Starts them all at one time: none may be ready without the others.
    fn start(&mut self, numbers: &[usize]) {
        let chosen = self.nodes.iter_mut().enumerate().filter(|(number, _)| numbers.contains(number));
        tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                for (_, node) in chosen {
                    scope.spawn(|| node.restart());
                }
            });
        });
        if let Some(several) = &self.several {
            for (number, node) in self.nodes.iter().enumerate() {
                several.links.runs_as(number, node.pid());
            }
        }
    }

    fn pause(&self, node: usize) {
        if let Some(node) = self.nodes.get(node) {
            node.pause();
        }
    }

    fn resume(&self, node: usize) {
        if let Some(node) = self.nodes.get(node) {
            node.resume();
        }
    }

    /// The last start of a run: what was acknowledged has to be forgotten by it, too.
    pub(crate) fn kill_and_start(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill_9);
        self.world.next_life();
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.start(&all);
    }

    /// What stands still would keep everybody from ending.
    pub(crate) fn let_all_go_on(&self) {
        self.nodes.iter().for_each(Node::resume);
        if let Some(several) = &self.several {
            several.links.mend();
        }
    }

    fn cured(&self, kind: Kind) {
        // Of several nodes connections outlive the kills of others.
        let life = if self.several.is_some() { 0 } else { self.world.life() };
        let now = self.world.now();
        self.world.service().recovers(kind, now, life);
    }

    fn kill_store(&self) {
        if let Some(server) = &self.postgres {
            tokio::task::block_in_place(|| server.kill_9());
        }
    }

    fn start_store(&self) {
        if let Some(server) = &self.postgres {
            tokio::task::block_in_place(|| server.restart());
        }
    }

    async fn with_disk(&self, calls: &[&str], how: &str, lasts: Duration) {
        let trace = Trace::attach(&self.writers(), calls, how);
        tokio::time::sleep(lasts).await;
        tokio::task::block_in_place(|| drop(trace));
        self.mend_store().await;
    }

    /// PostgreSQL recovers by itself from a disk that has failed, or ends and wants to be started.
    async fn mend_store(&self) {
        let Some(server) = &self.postgres else { return };
        while !server.takes_connections().await {
            if server.has_ended() {
                self.start_store();
            }
            tokio::time::sleep(STORE_LOOK).await;
        }
    }

    /// Whoever writes the database.
    fn writers(&self) -> Vec<u32> {
        let nodes = || self.nodes.iter().map(Node::pid).collect();
        self.postgres.as_ref().map_or_else(nodes, Server::processes)
    }

    /// A command that finds the client busy with another one is lost: it is struck already.
    fn tell_sender(&self, choice: u32, command: sender::Command) {
        if let Some(client) = self.senders.get(choice as usize % self.senders.len().max(1)) {
            let _struck_already = client.try_send(command);
        }
    }

    fn tell_receiver(&self, choice: u32, command: receiver::Command) {
        if let Some(client) = self.receivers.get(choice as usize % self.receivers.len().max(1)) {
            let _struck_already = client.try_send(command);
        }
    }
}

/// Between two looks whether PostgreSQL has recovered.
const STORE_LOOK: Duration = Duration::from_millis(50);
const SYNCS: [&str; 2] = ["fsync", "fdatasync"];
const WRITES: [&str; 3] = ["pwrite64", "ftruncate", "fallocate"];

/// 20 to 150 ms for each.
fn slow(choice: u32) -> String {
    format!("delay_enter={}", 20_000 + choice % 130_000)
}
