//! Makes what the plan says happen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use endtoend_testkit::Node;
use endtoend_testkit_postgres::Server;
use tokio::sync::mpsc;

use super::disk::{OwnDisk, Trace};
use super::plan::{Fault, Kind};
use super::world::World;
use super::{receiver, sender};

/// What can be struck.
pub(crate) struct Victims {
    pub(crate) world: Arc<World>,
    pub(crate) node: Node,
    pub(crate) postgres: Option<Server>,
    pub(crate) disk: Option<OwnDisk>,
    pub(crate) senders: Vec<mpsc::Sender<sender::Command>>,
    pub(crate) receivers: Vec<mpsc::Sender<receiver::Command>>,
    /// By kind: how often, and for how long together.
    pub(crate) struck: BTreeMap<Kind, (u64, Duration)>,
    /// Starts of a node that failed, as they may on a full disk.
    pub(crate) failed_starts: u64,
}

impl Victims {
    /// From the beginning of a fault to its end. What follows is the recovery.
    pub(crate) async fn strike(&mut self, fault: Fault) {
        let kind = fault.kind;
        tokio::time::sleep(fault.pause).await;
        self.world.service().struck(kind);
        let begun = self.world.now();
        self.carry_out(fault).await;
        let lasted = Duration::from_nanos(self.world.now() - begun);
        let (times, together) = self.struck.entry(kind).or_default();
        *times += 1;
        *together += lasted;
    }

    async fn carry_out(&mut self, Fault { kind, lasts, choice, .. }: Fault) {
        match kind {
            Kind::NodeKilled => {
                self.kill(kind);
                tokio::time::sleep(lasts).await;
                self.start();
            }
            Kind::NodeKilledTwice => {
                self.kill(kind);
                self.node.restart_without_waiting();
                tokio::time::sleep(lasts).await;
                self.kill(kind);
                self.start();
            }
            Kind::NodePaused => {
                self.node.pause();
                tokio::time::sleep(lasts).await;
                self.node.resume();
                self.cured(kind);
            }
            Kind::NodePausedAndKilled => {
                self.node.pause();
                tokio::time::sleep(lasts).await;
                self.kill(kind);
                self.start();
            }
            Kind::DiskSlow => {
                self.with_disk(&SYNCS, &slow(choice), lasts).await;
                self.cured(kind);
            }
            Kind::DiskSlowNodeKilled => {
                let trace = Trace::attach(&self.writers(), &SYNCS, &slow(choice));
                tokio::time::sleep(lasts).await;
                self.kill(kind);
                drop(trace);
                self.mend_store().await;
                self.start();
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
                self.kill(kind);
                let started = self.node.try_restart();
                drop(ballast);
                if started.is_err() {
                    self.failed_starts += 1;
                    self.start();
                }
            }
            Kind::StoreKilled => {
                self.kill_store();
                tokio::time::sleep(lasts).await;
                self.start_store();
                self.cured(kind);
            }
            Kind::StoreAndNodeKilled => {
                self.kill_store();
                self.kill(kind);
                tokio::time::sleep(lasts).await;
                self.start_store();
                self.start();
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
        }
    }

    /// Kills the node; the recovery lasts until it has accepted something again.
    fn kill(&mut self, kind: Kind) {
        let at = self.world.now();
        self.node.kill_9();
        let life = self.world.next_life();
        self.world.service().recovers(kind, at, life);
    }

    fn start(&mut self) {
        self.node.restart();
    }

    /// The last start of a run: what was acknowledged has to be forgotten by it, too.
    pub(crate) fn kill_and_start(&mut self) {
        self.node.kill_9();
        self.world.next_life();
        self.start();
    }

    fn cured(&self, kind: Kind) {
        let (now, life) = (self.world.now(), self.world.life());
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
        self.postgres.as_ref().map_or_else(|| vec![self.node.pid()], Server::processes)
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
