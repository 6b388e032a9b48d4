//! One node's part in the control plane: raft and what runs around it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use endtoend_protocol::UnixMillis;
use openraft::ServerState;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::campaign::{Campaigns, draw, is_majority};
use super::command::{CommandError, Leadership, Refused};
use super::network::Acks;
use super::raft::{Membership, Metrics, Raft};
use super::recent::Recent;
use super::state::ClusterState;
use super::store::{ControlFile, Known, OpenError};
use super::timings::Timings;
use crate::calls::Calls;
use crate::join::Profile;
use crate::secrets::{ClusterKey, Secrets};
use crate::{Authority, ClusterView, NodeCertificate, NodeId, NodeKeys};

mod answers;
mod asks;
mod campaigner;
mod duties;
mod edges;
mod follow;
mod membership;
mod start;

pub use start::{Beginning, Found, StartError};

/// Reads the wall clock.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;
/// Replaces what a removed node knew and what can be replaced, but the link authority.
pub type Rotate = Arc<dyn Fn(&mut Secrets) + Send + Sync>;

/// What a leader does for the program around, besides its own duties.
#[async_trait]
pub trait Chores: Send + Sync + 'static {
    /// Called at most every [`CHORES_EVERY`], by a node that was the leader a moment ago, with a majority behind it. A call
    /// that takes longer than that is dropped.
    async fn sweep(&self, leadership: Leadership);
}

/// Between two chores of a leader.
pub const CHORES_EVERY: Duration = Duration::from_secs(10);

/// What a node's control plane is made of.
pub struct Setup {
    /// `control.db`, of this node alone.
    pub path: PathBuf,
    /// The node's own keys.
    pub keys: Arc<NodeKeys>,
    /// What it says of itself: a change is announced when it starts.
    pub profile: Profile,
    /// The way to other nodes.
    pub calls: Arc<dyn Calls>,
    /// Wall clock: for expiry, never for leases. `None` is the system's.
    pub clock: Option<Clock>,
    /// What a removal replaces.
    pub rotate: Rotate,
    /// What a leader does besides.
    pub chores: Option<Arc<dyn Chores>>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The members have agreed not to. Do not repeat.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No leader with a majority was reached in time. It may still happen; a repeat does no harm.
    #[error("no leader with a majority of the voters was reached in time")]
    NoLeader,
    /// This node has no key to the cluster's secrets, or not yet.
    #[error("this node does not have the cluster's secrets")]
    NoSecrets,
    /// Longer than the log takes.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// This node is about to end, or its log is damaged: see its own log.
    #[error("the control plane of this node has stopped")]
    Stopped,
}

/// How this node stands in raft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlMetrics {
    /// Its part.
    pub role: Role,
    /// Grows with elections.
    pub term: u64,
    /// Whether a leader with a majority is known.
    pub has_quorum: bool,
    /// End of the log.
    pub last_index: u64,
    /// Up to where the state is.
    pub applied_index: u64,
    /// Up to where the snapshot is.
    pub snapshot_index: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// For a leader: how far each other node is behind, in entries.
    pub lag: std::collections::BTreeMap<NodeId, u64>,
}

/// A node's part in raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It decides.
    Leader,
    /// It votes.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It has the log, and no vote.
    Learner,
    /// It has ended.
    Stopped,
}

/// The cluster's secrets, opened.
struct Opened {
    generation: u64,
    key: ClusterKey,
    secrets: Arc<Secrets>,
    authority: Authority,
}

/// What a member has told that admitted this node: until the log has come so far.
struct Hint {
    index: u64,
    state: ClusterState,
}

/// The control plane of one node.
pub struct Control {
    inner: Arc<Inner>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

struct Inner {
    setup: Setup,
    timings: Timings,
    raft: Raft,
    file: Arc<ControlFile>,
    known: watch::Receiver<Arc<Known>>,
    recent: Arc<Mutex<Recent>>,
    hint: watch::Sender<Option<Arc<Hint>>>,
    campaigns: Mutex<Campaigns>,
    view: watch::Sender<ClusterView>,
    opened: watch::Sender<Option<Arc<Opened>>>,
    /// Issued by this node for itself, when nobody renews its certificate.
    own: Mutex<Option<NodeCertificate>>,
    /// Who holds it changes raft's membership.
    membership: tokio::sync::Mutex<()>,
    /// The leadership is about to pass to another: nothing new goes into the log.
    passing: AtomicBool,
    /// This leader must not be heard.
    muted: Arc<AtomicBool>,
    acks: Arc<Acks>,
    stop: watch::Sender<bool>,
}

impl Inner {
    fn node(&self) -> NodeId {
        self.setup.keys.node()
    }

    fn now(&self) -> UnixMillis {
        self.setup.clock.as_ref().map_or_else(crate::clock::now, |clock| clock())
    }

    fn campaigns(&self) -> MutexGuard<'_, Campaigns> {
        self.campaigns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A leader was heard from, or this node leads or has voted.
    fn heard(&self) {
        self.campaigns().heard(Instant::now(), draw());
    }

    /// The newest that this node knows: of the log, or of who has admitted it.
    fn newest(&self) -> (u64, Arc<Known>, Option<Arc<Hint>>) {
        let known = Arc::clone(&self.known.borrow());
        let index = known.last.map_or(0, |id| id.index);
        let hint = self.hint.borrow().clone().filter(|hint| hint.index > index);
        (hint.as_ref().map_or(index, |hint| hint.index), known, hint)
    }

    /// The state to judge others by.
    fn state(&self) -> ClusterState {
        match self.newest() {
            (_, _, Some(hint)) => hint.state.clone(),
            (_, known, None) => known.state.clone(),
        }
    }

    fn is_member(&self, node: NodeId) -> bool {
        let links =
            |state: &ClusterState| state.members().get(&node).is_some_and(|entry| entry.member.state.may_link());
        match self.newest() {
            (_, _, Some(hint)) => links(&hint.state),
            (_, known, None) => links(&known.state),
        }
    }

    /// Who leads, as far as this node knows: a leader that is not heard from, or that no majority answers, is none.
    fn leader(&self, metrics: &Metrics) -> Option<NodeId> {
        let leader = metrics.current_leader.map(NodeId::new)?;
        let fresh =
            if leader == self.node() { self.has_quorum(metrics) } else { !self.campaigns().is_silent(Instant::now()) };
        fresh.then_some(leader)
    }

    /// Whether a majority has taken this leader's word within the silence: then nobody else leads.
    fn has_quorum(&self, metrics: &Metrics) -> bool {
        if metrics.state != ServerState::Leader {
            return false;
        }
        let mut behind = self.acks.of(Instant::now());
        behind.insert(self.node().get());
        is_majority(metrics.membership_config.membership(), &behind)
    }

    /// The own leadership, if a majority stands behind it.
    fn leadership(&self) -> Option<Leadership> {
        let metrics = self.raft.metrics().borrow().clone();
        self.has_quorum(&metrics).then(|| Leadership { term: metrics.vote.leader_id().term, leader: self.node() })
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }
}

impl Control {
    /// This node.
    pub fn node(&self) -> NodeId {
        self.inner.node()
    }

    /// What this node knows of the cluster, and what comes after.
    pub fn view(&self) -> watch::Receiver<ClusterView> {
        self.inner.view.subscribe()
    }

    /// The state at this moment, as this node knows it. Others may be ahead: see [`Control::read`].
    pub fn state(&self) -> ClusterState {
        self.inner.state()
    }

    /// The cluster's secrets as far as this node can open them, and what comes after.
    pub fn secrets(&self) -> SecretsWatch {
        SecretsWatch(self.inner.opened.subscribe())
    }

    /// The own leadership, if this node leads and a majority has answered it lately. For a leader's duties: those that
    /// change the state are fenced with it besides.
    pub fn leadership(&self) -> Option<Leadership> {
        self.inner.leadership()
    }

    /// How this node stands.
    pub fn metrics(&self) -> ControlMetrics {
        let metrics = self.inner.raft.metrics().borrow().clone();
        let last = metrics.last_log_index.unwrap_or_default();
        let behind = |matched: Option<openraft::LogId<u64>>| last.saturating_sub(matched.map_or(0, |id| id.index));
        let replication = metrics.replication.as_ref();
        let lag = replication.map(|all| all.iter().map(|(node, at)| (NodeId::new(*node), behind(*at))).collect());
        ControlMetrics {
            role: match metrics.state {
                ServerState::Leader => Role::Leader,
                ServerState::Follower => Role::Follower,
                ServerState::Candidate => Role::Candidate,
                ServerState::Learner => Role::Learner,
                ServerState::Shutdown => Role::Stopped,
            },
            term: metrics.current_term,
            has_quorum: self.inner.leader(&metrics).is_some(),
            last_index: last,
            applied_index: metrics.last_applied.map_or(0, |id| id.index),
            snapshot_index: metrics.snapshot.map_or(0, |id| id.index),
            log_bytes: self.inner.file.log_bytes(),
            lag: lag.unwrap_or_default(),
        }
    }

    /// Why raft has ended by itself, if it has: the disk, or a command that this program does not know.
    pub fn fault(&self) -> Option<String> {
        let metrics = self.inner.raft.metrics();
        let fault = metrics.borrow().running_state.as_ref().err().map(ToString::to_string);
        fault.filter(|_| !self.inner.is_stopping())
    }

    /// Whether it was told to end.
    pub fn has_stopped(&self) -> bool {
        self.inner.is_stopping()
    }

    /// Ends raft and all tasks, and closes the file, which can be opened again afterwards.
    pub async fn shutdown(&self) {
        self.inner.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        // Its error is that raft has ended before, by itself.
        let _ = self.inner.raft.shutdown().await;
        self.inner.file.close().await;
    }

    /// Ends as a process does that is killed: from now on nothing is written.
    #[cfg(test)]
    pub(in crate::control) async fn crash(&self) {
        self.inner.file.close().await;
        self.tasks.lock().await.abort_all();
        self.inner.stop.send_replace(true);
        // Whatever it says of its end.
        let _ = self.inner.raft.shutdown().await;
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control({})", self.node())
    }
}

/// The cluster's secrets, as they change.
#[derive(Clone)]
pub struct SecretsWatch(watch::Receiver<Option<Arc<Opened>>>);

impl SecretsWatch {
    /// Those of this moment, and their generation.
    pub fn get(&self) -> Option<(u64, Arc<Secrets>)> {
        self.0.borrow().as_ref().map(|opened| (opened.generation, Arc::clone(&opened.secrets)))
    }

    /// Waits for others. `false` when the control plane has ended.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl std::fmt::Debug for SecretsWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretsWatch(..)")
    }
}

/// Who votes, by name: while that is changing, those who vote before and after.
fn voters(membership: &Membership) -> BTreeSet<NodeId> {
    let halves = membership.get_joint_config();
    let always = |voter: &u64| halves.iter().all(|half| half.contains(voter));
    membership.voter_ids().filter(always).map(NodeId::new).collect()
}

/// A flag that is set while this lives.
struct Flag<'a>(&'a AtomicBool);

impl<'a> Flag<'a> {
    /// `None` when it is set already.
    fn set(flag: &'a AtomicBool) -> Option<Self> {
        (!flag.swap(true, Ordering::SeqCst)).then_some(Self(flag))
    }
}

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
