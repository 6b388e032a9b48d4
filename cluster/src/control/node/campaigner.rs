//! Carries out what [`Campaigns`](super::Campaigns) decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use openraft::storage::RaftLogStorage as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::Inner;
use crate::NodeId;
use crate::control::campaign::{draw, is_majority, may_speak};
use crate::control::network::ask;
use crate::control::raft::{Metrics, StoredMembership};
use crate::control::store::LogStore;
use crate::control::wire::{Answer, Question};

impl Inner {
    /// Until the end.
    pub(super) async fn campaign(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let mut ticks = tokio::time::interval(self.timings.heartbeat / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leads_since = None;
        while !self.is_stopping() {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.changed() => return,
            }
            let metrics = self.raft.metrics().borrow().clone();
            if metrics.state != ServerState::Leader {
                leads_since = None;
                self.speak(true);
            }
            let stood = match metrics.state {
                ServerState::Leader => {
                    self.lead_on(&metrics, *leads_since.get_or_insert_with(Instant::now));
                    false
                }
                ServerState::Follower | ServerState::Candidate => tokio::select! {
                    stood = self.stand_when_due(&metrics) => stood,
                    _ = stop.changed() => return,
                },
                ServerState::Learner => false,
                ServerState::Shutdown => return,
            };
            // Its error is that raft has ended.
            if stood && self.raft.trigger().elect().await.is_err() {
                return;
            }
        }
    }

    /// Lets others hear this leader, or not.
    fn lead_on(&self, metrics: &Metrics, since: Instant) {
        // One that leads for the first time was answered when it was elected.
        let answered = metrics.millis_since_quorum_ack.map_or(Duration::MAX, Duration::from_millis);
        let alone = metrics.membership_config.membership().voter_ids().eq([self.node().get()]);
        let unanswered = if alone { Duration::ZERO } else { answered.min(since.elapsed()) };
        if unanswered < self.timings.silence {
            self.heard();
        }
        self.speak(may_speak(unanswered, self.timings));
    }

    fn speak(&self, speak: bool) {
        if self.muted.swap(!speak, Ordering::SeqCst) == speak {
            tracing::info!(speak, "whether others may hear this leader");
        }
        self.raft.runtime_config().heartbeat(speak && !self.passing.load(Ordering::SeqCst));
    }

    /// Whether it is time to stand, and a majority would vote for this node.
    async fn stand_when_due(&self, metrics: &Metrics) -> bool {
        let membership = Arc::clone(&metrics.membership_config);
        let me = self.node().get();
        if !membership.membership().voter_ids().any(|voter| voter == me) {
            return false;
        }
        if membership.membership().voter_ids().eq([me]) {
            // Nobody else can lead. A candidate of one has its vote on the way to the disk.
            return metrics.state == ServerState::Follower || self.campaigns().is_due(Instant::now());
        }
        if !self.campaigns().is_due(Instant::now()) {
            return false;
        }
        let support = self.canvass(&membership, metrics).await;
        let stands = is_majority(membership.membership(), &support) && self.campaigns().is_due(Instant::now());
        self.campaigns().tried(Instant::now(), draw());
        if stands {
            tracing::info!(term = metrics.current_term + 1, "no leader is heard: this node stands for election");
        }
        stands
    }

    /// Who would vote for this node.
    async fn canvass(&self, membership: &StoredMembership, metrics: &Metrics) -> BTreeSet<u64> {
        let me = self.node().get();
        let mut support = BTreeSet::from([me]);
        let last = self.last_log(metrics).await;
        let mut asked = JoinSet::new();
        for voter in membership.membership().voter_ids().filter(|voter| *voter != me) {
            let (calls, deadline) = (Arc::clone(&self.setup.calls), self.timings.silence / 2);
            asked.spawn(async move {
                let answer = ask(&*calls, NodeId::new(voter), &Question::Canvass { last }, deadline).await;
                matches!(answer, Ok(Answer::Canvass(true))).then_some(voter)
            });
        }
        while let Some(answer) = asked.join_next().await {
            support.extend(answer.ok().flatten());
            if is_majority(membership.membership(), &support) {
                break;
            }
        }
        support
    }

    /// The end of the own log.
    pub(super) async fn last_log(&self, metrics: &Metrics) -> Option<openraft::LogId<u64>> {
        let read = LogStore::new(Arc::clone(&self.file)).get_log_state().await;
        // A file that cannot be read has ended raft: what is known to be applied is the least that there is.
        read.map_or(metrics.last_applied, |state| state.last_log_id)
    }
}
