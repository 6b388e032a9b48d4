//! Several nodes in one process, over a network that can be cut.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use endtoend_protocol::UnixMillis;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::*;
use crate::calls::{Answers, InMemory};
use crate::join::{Admitted, Exporter, JoinReply, Profile, request};
use crate::secrets::Secrets;
use crate::{ClusterView, JoinToken, MemberState, NodeId, NodeKeys};

mod elections;
mod joining;
mod members;
mod restarts;
pub(in crate::control) mod seeded;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);
const EXPORTER: Exporter = [7; 32];
const START: u64 = 1_800_000_000_000;

/// A node, running or not.
struct Node {
    keys: Arc<NodeKeys>,
    name: String,
    control: Option<Arc<Control>>,
}

/// A cluster and its network. Nodes are numbered in the order in which they came.
struct World {
    net: InMemory,
    dir: TempDir,
    /// Of all nodes.
    clock: Arc<AtomicU64>,
    timings: Timings,
    nodes: Vec<Node>,
}

impl World {
    /// A cluster of one.
    async fn found() -> Self {
        let mut world = Self {
            net: InMemory::default(),
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(AtomicU64::new(START)),
            timings: Timings::LOOPBACK,
            nodes: Vec::new(),
        };
        let mut secrets = Secrets::default();
        secrets.put("identity", b"of all nodes").unwrap();
        secrets.put("token", b"first").unwrap();
        let settings = Settings { name: "home".to_owned(), auto_approve: false, timings: world.timings };
        world.add();
        world.start(0, Beginning::Found(Box::new(Found { settings, secrets }))).await;
        world
    }

    /// A cluster of so many, all active and voting.
    async fn of(members: usize) -> Self {
        let mut world = Self::found().await;
        for _ in 1..members {
            world.join().await;
        }
        world.settle(members).await;
        world
    }

    /// One more node, with keys, that has not begun.
    fn add(&mut self) -> usize {
        let at = self.nodes.len();
        let keys = Arc::new(NodeKeys::generate(&mut rand::rng()).unwrap());
        self.nodes.push(Node { keys, name: format!("node-{at}"), control: None });
        at
    }

    fn profile(&self, at: usize) -> Profile {
        Profile {
            name: self.nodes[at].name.clone(),
            peer_address: format!("node-{at}.example:7443"),
            client_address: format!("node-{at}.example:443"),
            version: "0.1.0".to_owned(),
        }
    }

    fn path(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("control-{at}.db"))
    }

    fn setup(&self, at: usize) -> Setup {
        let clock = Arc::clone(&self.clock);
        Setup {
            path: self.path(at),
            keys: Arc::clone(&self.nodes[at].keys),
            profile: self.profile(at),
            calls: self.net.calls_of(self.id(at)),
            clock: Some(Arc::new(move || UnixMillis::new(clock.load(Ordering::SeqCst)))),
            rotate: Arc::new(|secrets| secrets.put("token", b"another").unwrap()),
            chores: None,
        }
    }

    async fn start(&mut self, at: usize, beginning: Beginning) {
        let control = Control::start(self.setup(at), beginning).await.unwrap();
        let answers: Arc<dyn Answers> = Arc::clone(&control) as Arc<dyn Answers>;
        self.net.attach(self.id(at), &answers);
        self.nodes[at].control = Some(control);
    }

    async fn stop(&mut self, at: usize) {
        self.net.detach(self.id(at));
        self.nodes[at].control.take().unwrap().shutdown().await;
    }

    fn id(&self, at: usize) -> NodeId {
        self.nodes[at].keys.node()
    }

    fn at(&self, at: usize) -> &Arc<Control> {
        self.nodes[at].control.as_ref().unwrap()
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Arc<Control>)> {
        self.nodes.iter().enumerate().filter_map(|(at, node)| Some((at, node.control.as_ref()?)))
    }

    fn view(&self, at: usize) -> ClusterView {
        self.at(at).view().borrow().clone()
    }

    async fn token(&self) -> JoinToken {
        self.at(0).create_token(Duration::from_secs(600), PATIENCE).await.unwrap()
    }

    /// What a member answers to a node that asks with this token.
    async fn ask(&self, seed: usize, at: usize, token: Option<&JoinToken>) -> JoinReply {
        let request = request(&self.nodes[at].keys, &self.profile(at), token, &EXPORTER).unwrap();
        JoinReply::decode(&self.at(seed).answer_join(&request, &EXPORTER).await).unwrap()
    }

    /// Brings one more node in, approved by hand.
    async fn join(&mut self) -> usize {
        let (token, at) = (self.token().await, self.add());
        assert_eq!(self.ask(0, at, Some(&token)).await, JoinReply::Pending);
        self.at(0).approve(self.id(at), PATIENCE).await.unwrap();
        let admitted = self.admitted(0, at, Some(&token)).await;
        self.start(at, Beginning::Join(Box::new(admitted))).await;
        at
    }

    async fn admitted(&self, seed: usize, at: usize, token: Option<&JoinToken>) -> Admitted {
        match self.ask(seed, at, token).await {
            JoinReply::Admitted(admitted) => *admitted,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until `holds` of all running nodes.
    async fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waited = timeout(PATIENCE, async {
            while !holds(self) {
                sleep(LOOK).await;
            }
        });
        if waited.await.is_err() {
            let all: Vec<_> = self.running().map(|(at, node)| (at, node.metrics(), self.view(at).leader)).collect();
            panic!("waited in vain for {what}: {all:#?}");
        }
    }

    /// Waits until so many members are active and vote, and all running nodes know the same.
    async fn settle(&self, members: usize) {
        self.eventually("a settled cluster", |world| {
            let views: Vec<_> = world.running().map(|(at, _)| world.view(at)).collect();
            let first = &views[0];
            let active = first.members.values().filter(|member| member.state == MemberState::Active).count();
            active == members
                && first.voters.len() == members.min(VOTERS_MAX)
                && first.leader.is_some()
                && views.iter().all(|view| (view.index, view.leader) == (first.index, first.leader))
        })
        .await;
    }

    /// The one that all running nodes but these take for the leader.
    fn leader_without(&self, without: &[usize]) -> Option<usize> {
        let mut others = self.running().filter(|(at, _)| !without.contains(at));
        let leader = self.view(others.next()?.0).leader?;
        others.all(|(at, _)| self.view(at).leader == Some(leader)).then_some(())?;
        let at = self.nodes.iter().position(|node| node.keys.node() == leader)?;
        (!without.contains(&at)).then_some(at)
    }

    async fn leader(&self) -> usize {
        self.eventually("a leader", |world| world.leader_without(&[]).is_some()).await;
        self.leader_without(&[]).unwrap()
    }

    /// Something that the others must come to know.
    async fn say(&self, at: usize, name: &str, deadline: Duration) -> Result<Done, ControlError> {
        let settings = Settings { name: name.to_owned(), auto_approve: false, timings: self.timings };
        self.at(at).propose(Command::Configure(settings), deadline).await
    }

    fn name(&self, at: usize) -> String {
        self.at(at).state().settings().unwrap().name.clone()
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// All nodes end, and what each has on disk is the same state.
    async fn end(mut self) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].control.is_some() {
                assert_eq!(self.at(at).fault(), None);
                assert_eq!(self.at(at).state().check_invariants(), Ok(()));
                self.stop(at).await;
            }
        }
    }
}
