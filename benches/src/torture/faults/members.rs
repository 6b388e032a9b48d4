//! Faults that are no faults: an operator changes who belongs to the cluster, and restarts it, while messages flow.

use std::time::Duration;

use endtoend_benches::several::{ask, decided};
use endtoend_testkit::{Node, PATIENCE, eventually, nodes, text};
use serde_json::Value;

use super::Victims;
use crate::plan::{Fault, Kind};
use crate::{receiver, sender};

/// Messages that are shown at a node that has come before it goes.
const SHOWN_MIN: u64 = 5;
/// Receivers that go there, and as many senders.
const MOVE_THERE: u32 = 2;
/// Between two looks whether they have.
const LOOK: Duration = Duration::from_millis(50);
/// What a node ends with that was removed.
const REMOVED: Option<i32> = Some(3);

impl Victims {
    pub(super) async fn change_members(&mut self, Fault { kind, choice, .. }: Fault) {
        match kind {
            Kind::MemberComesAndGoes => self.visit(choice, true).await,
            Kind::MemberRemovedWhileItServes => self.visit(choice, false).await,
            Kind::MembersGetNewSecrets => self.rotate(choice),
            Kind::MembersRestartOneByOne => self.restart_each(kind),
            _ => {}
        }
        self.cured(kind);
    }

    /// A node is let in, clients go there, messages are shown there; it is removed, and ends. `in_order`: after it was drained.
    async fn visit(&mut self, choice: u32, in_order: bool) {
        let at = self.any(choice);
        let (Some(several), Some(seed)) = (&self.several, self.nodes.get(at)) else { return };
        let (number, name) = (several.visitor(), several.name(several.visitor()).to_owned());
        let mut visitor = tokio::task::block_in_place(|| several.join(number, seed));
        let by_edge = several.entry().is_some();
        if by_edge {
            self.step();
            self.come_by_edge(at, &name, choice).await;
        } else {
            self.world.opens(visitor.listen());
            self.step();
            self.move_to(number, choice).await;
        }
        self.step();
        // With the leadership, now and then: it has to give that away before it can be removed.
        if choice & 0x100 == 0 {
            self.decides(at, &["transfer-leader", &name]);
        }
        if in_order {
            self.decides(at, &["drain", &name, "--wait", "30s"]);
        }
        self.remove(at, &name);
        let ended = tokio::task::block_in_place(|| visitor.ended().code());
        assert_eq!(ended, REMOVED, "a node that was removed says so");
        if !by_edge {
            self.world.closes();
        }
    }

    /// Clients come back over the edge, until one of them is at that node.
    async fn come_by_edge(&self, at: usize, name: &str, choice: u32) {
        let begun = self.world.watch.elapsed();
        let is_there = || {
            let status = self.nodes.get(at).and_then(|node| ask(node.data_dir(), &["status"])).unwrap_or_default();
            named(&status, name).is_some_and(|node| node.get("connections").and_then(Value::as_u64) > Some(0))
        };
        for client in choice.. {
            if tokio::task::block_in_place(is_there) {
                return;
            }
            assert!(self.world.watch.elapsed() - begun < PATIENCE, "nobody comes to a node that has come");
            self.tell_sender(client, sender::Command::Vanish(Duration::ZERO));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Some clients go to a node, until messages are shown there.
    async fn move_to(&self, node: usize, choice: u32) {
        let shown = || self.world.tally().shown_at.get(&node).copied().unwrap_or_default();
        let (before, begun) = (shown(), self.world.watch.elapsed());
        while shown() < before + SHOWN_MIN {
            assert!(self.world.watch.elapsed() - begun < PATIENCE, "nothing is shown at a node that has come");
            for client in (0..MOVE_THERE).map(|client| choice.wrapping_add(client)) {
                // Who is there already stays.
                self.tell_receiver(client, receiver::Command::MoveTo(node));
                self.tell_sender(client, sender::Command::MoveTo(node));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The answer to one that was not heard may have been that it is done.
    fn remove(&self, at: usize, name: &str) {
        let Some(node) = self.nodes.get(at) else { return };
        let is_gone = || {
            let _perhaps_done_before = ask(node.data_dir(), &["remove", name, "--yes"]);
            ask(node.data_dir(), &["status"]).is_some_and(|status| named(&status, name).is_none())
        };
        tokio::task::block_in_place(|| eventually(PATIENCE, "the removal of a node", is_gone));
    }

    /// The authority and the secrets of the cluster are replaced, and all have the new ones.
    fn rotate(&mut self, choice: u32) {
        let before = self.secrets();
        self.decides(self.any(choice), &["rotate", "--yes"]);
        self.step();
        let all_have = || self.secrets().iter().zip(&before).all(|(now, before)| now > before);
        tokio::task::block_in_place(|| eventually(PATIENCE, "new secrets at all nodes", all_have));
    }

    /// How often each node has seen the secrets replaced.
    fn secrets(&self) -> Vec<Option<u64>> {
        let seen = |node: &Node| ask(node.data_dir(), &["status"])?.get("secrets")?.as_u64();
        tokio::task::block_in_place(|| self.nodes.iter().map(seen).collect())
    }

    /// As an operator upgrades a cluster: each node is drained, ends, starts, and serves again.
    fn restart_each(&mut self, kind: Kind) {
        for number in 0..self.nodes.len() {
            let (name, other) = (self.name(number), (number + 1) % self.nodes.len());
            self.decides(other, &["drain", &name, "--wait", "30s"]);
            self.ends_in_order(kind, number);
            self.start(&[number]);
            self.decides(other, &["undrain", &name]);
            self.is_whole(number);
            self.step();
        }
    }

    /// Waits until a node knows a leader and has its links: then another one may go.
    fn is_whole(&self, number: usize) {
        let Some(node) = self.nodes.get(number) else { return };
        let linked = |node: &Value| ["self", "up"].contains(&&*text(node, "health"));
        let whole = || {
            let status = ask(node.data_dir(), &["status"]).unwrap_or_default();
            !text(&status, "leader").is_empty() && nodes(&status).iter().all(linked)
        };
        tokio::task::block_in_place(|| eventually(PATIENCE, "a node with all of its links", whole));
    }

    /// Has a node carry out an operator's command.
    fn decides(&self, at: usize, arguments: &[&str]) {
        if let Some(node) = self.nodes.get(at) {
            tokio::task::block_in_place(|| decided(node.data_dir(), arguments));
        }
    }
}

fn named(status: &Value, name: &str) -> Option<Value> {
    nodes(status).into_iter().find(|node| text(node, "name") == name)
}
