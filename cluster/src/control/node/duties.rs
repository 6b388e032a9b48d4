//! The leader's duties, by [`plan`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::impls::EmptyNode;
use tokio::time::{Instant, timeout};

use super::{CHORES_EVERY, Inner};
use crate::NodeId;
use crate::calls::AnswerError;
use crate::control::command::{Command, Leadership, Proposal};
use crate::control::plan::{Duty, plan};
use crate::control::wire::Led;

/// Between two looks, when nothing has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a duty that was not done, so that one that cannot be done costs little.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

impl Inner {
    /// Until the end: looks after each change what is to be done, and does it while this node leads.
    pub(super) async fn do_duties(self: Arc<Self>) {
        let (mut known, mut metrics) = (self.known.clone(), self.raft.metrics());
        let mut stop = self.stop.subscribe();
        let mut chores: Option<Instant> = None;
        while !self.is_stopping() {
            let round = async {
                let Some(leadership) = self.leadership() else { return LOOK_EVERY };
                if chores.is_none_or(|last| last.elapsed() >= CHORES_EVERY) {
                    chores = Some(Instant::now());
                    self.do_chores(leadership).await;
                }
                match self.do_next(leadership).await {
                    Ok(true) => Duration::ZERO,
                    Ok(false) => LOOK_EVERY,
                    Err(_) => AFTER_FAILURE,
                }
            };
            let pause = tokio::select! {
                pause = round => pause,
                _ = stop.changed() => return,
            };
            if pause == AFTER_FAILURE {
                let _ = timeout(pause, stop.changed()).await;
                continue;
            }
            tokio::select! {
                _ = tokio::time::sleep(pause) => {}
                changed = known.changed() => if changed.is_err() { return },
                changed = metrics.changed() => if changed.is_err() { return },
                _ = stop.changed() => return,
            }
        }
    }

    async fn do_chores(&self, leadership: Leadership) {
        let Some(chores) = &self.setup.chores else { return };
        // A process that was stopped for a while believes that it leads: a majority knows better.
        if matches!(self.read_index().await, Ok(Led::ReadUpTo(_))) && self.leadership() == Some(leadership) {
            let _ = timeout(CHORES_EVERY, chores.sweep(leadership)).await;
        }
    }

    /// Does the first thing that is to be done. `false` when there is nothing.
    async fn do_next(&self, leadership: Leadership) -> Result<bool, AnswerError> {
        let changing = self.membership.lock().await;
        let (metrics, known) = (self.raft.metrics().borrow().clone(), Arc::clone(&self.known.borrow()));
        let last = metrics.last_log_index.unwrap_or_default();
        let matched: BTreeMap<NodeId, u64> = metrics
            .replication
            .iter()
            .flatten()
            .filter_map(|(node, matched)| Some((NodeId::new(*node), matched.as_ref()?.index)))
            .chain([(self.node(), last)])
            .collect();
        // What raft has not applied yet is not what it has agreed upon.
        let membership = metrics.membership_config.membership();
        let Some(duty) = plan(&known.state, membership, &matched, last, self.now()).into_iter().next() else {
            return Ok(false);
        };
        tracing::info!(term = leadership.term, ?duty, "a leader's duty");
        let ids = |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| node.get()).collect::<BTreeSet<u64>>();
        let command = match duty {
            Duty::Teach(node) => {
                let change = ChangeMembers::AddNodes([(node.get(), EmptyNode {})].into());
                return done(self.change(change).await?);
            }
            Duty::Forget(nodes) => return done(self.change(ChangeMembers::RemoveNodes(ids(&nodes))).await?),
            Duty::Voters(nodes) => return done(self.change_voters(ids(&nodes), membership).await?),
            Duty::Activate(node) => Command::Activate { node },
            Duty::Approve(node) => self.approval(&known.state, node).map_err(|_| AnswerError::Malformed)?,
            Duty::Renew(node) => {
                let opened = self.opened.borrow().clone().ok_or(AnswerError::Malformed)?;
                let entry = known.state.members().get(&node).ok_or(AnswerError::Malformed)?;
                let certificate = opened.authority.issue(&entry.member.key, self.now());
                Command::Renew { node, certificate: Box::new(certificate.map_err(|_| AnswerError::Malformed)?) }
            }
            Duty::ApproveEdge(edge) => self.edge_approval(&known.state, edge).map_err(|_| AnswerError::Malformed)?,
            Duty::RenewEdge(edge) => {
                let known = known.state.edges().get(&edge).ok_or(AnswerError::Malformed)?;
                let certificate = self.certificate_of_edge(known).map_err(|_| AnswerError::Malformed)?;
                Command::RenewEdge { edge, certificate: Box::new(certificate) }
            }
            Duty::ForgetAuthority(key) => Command::ForgetAuthority { key },
            Duty::Expire => Command::Expire,
        };
        drop(changing);
        let proposal = Proposal { at: self.now(), fence: Some(leadership), command };
        let written = self.decide(proposal.encode().map_err(|_| AnswerError::Malformed)?).await?;
        done(matches!(written, Led::Decided(Ok(_))))
    }

    /// Those who stop voting learn on; another duty takes them out, if they are no members.
    async fn change_voters(
        &self,
        voters: BTreeSet<u64>,
        membership: &crate::control::raft::Membership,
    ) -> Result<bool, AnswerError> {
        let learners: BTreeMap<u64, EmptyNode> = voters
            .iter()
            .filter(|voter| membership.get_node(voter).is_none())
            .map(|voter| (*voter, EmptyNode {}))
            .collect();
        if !learners.is_empty() && !self.change(ChangeMembers::AddNodes(learners)).await? {
            return Ok(false);
        }
        self.change(ChangeMembers::ReplaceAllVoters(voters)).await
    }
}

fn done(done: bool) -> Result<bool, AnswerError> {
    if done { Ok(true) } else { Err(AnswerError::Malformed) }
}
