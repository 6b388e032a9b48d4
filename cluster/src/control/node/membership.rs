//! What only a leader can do with members: take one out, and give the leadership away.

use std::collections::BTreeSet;
use std::sync::Arc;

use openraft::ChangeMembers;
use openraft::error::{ClientWriteError, RaftError};
use tokio::time::{Instant, timeout, timeout_at};

use super::answers::LEAD_DEADLINE;
use super::{ControlError, Flag, Inner, Opened};
use crate::authority::AuthorityError;
use crate::calls::AnswerError;
use crate::control::command::{Command, Leadership, Proposal, Refused, Rekeying};
use crate::control::network::ask;
use crate::control::plan::LAG_MAX;
use crate::control::state::ClusterState;
use crate::control::wire::{Answer, Led, Question};
use crate::secrets::{ClusterKey, LINK_AUTHORITY, Secrets, SecretsError};
use crate::{Authority, NodeId};

/// Why new secrets were not made.
#[derive(Debug, thiserror::Error)]
enum RekeyError {
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Inner {
    /// New secrets for all approved members but `without`.
    pub(super) fn rekeying(&self, state: &ClusterState, without: Option<NodeId>) -> Result<Rekeying, ControlError> {
        let opened: Arc<Opened> = self.opened.borrow().clone().ok_or(ControlError::NoSecrets)?;
        let cluster = state.cluster().ok_or(Refused::NotFounded)?;
        if opened.generation != state.sealed().generation {
            return Err(Refused::Stale.into());
        }
        let made = || -> Result<Rekeying, RekeyError> {
            let rng = &mut rand::rng();
            let mut secrets = Secrets::clone(&opened.secrets);
            (self.setup.rotate)(&mut secrets);
            let pkcs8 = Authority::new_key()?;
            secrets.put(LINK_AUTHORITY, &pkcs8)?;
            let members = state
                .approved()
                .filter(|(node, _)| Some(*node) != without)
                .map(|(node, entry)| (node, entry.sealing.as_slice()));
            let key = ClusterKey::generate(rng, cluster, opened.generation + 1);
            let sealed = key.seal(rng, &secrets, members)?;
            Ok(Rekeying { sealed, authority: Some(Authority::from_key(&pkcs8)?.certificate().clone()) })
        };
        made().map_err(|error| {
            tracing::error!("no new secrets were made: {error}");
            ControlError::NoSecrets
        })
    }

    /// Takes a member out of raft, and then out of the cluster. In this order: with two voters the removal needs both, and
    /// a node that is cut off cannot agree to anything. If this ends in between, the member is taught again, and nothing
    /// has happened.
    pub(super) async fn remove(&self, node: NodeId) -> Result<Led, AnswerError> {
        let Some(leadership) = self.leadership() else { return Ok(self.not_leading()) };
        if node == self.node() {
            return self.give_away().await;
        }
        let changing = self.membership.lock().await;
        let state = self.known.borrow().state.clone();
        let rekeying = match self.rekeying(&state, Some(node)) {
            Ok(rekeying) => rekeying,
            Err(ControlError::Refused(Refused::NotFounded)) => return Ok(Led::Decided(Err(Refused::NotFounded))),
            Err(_) => return Ok(Led::NotNow),
        };
        let command = Command::Remove { node, rekeying: Box::new(rekeying) };
        let proposal = Proposal { at: self.now(), fence: Some(leadership), command };
        // What would be refused must not change raft's membership before.
        match state.clone().apply(&proposal, leadership) {
            Ok(true) => {}
            Ok(false) => {
                let index = self.known.borrow().last.map_or(0, |id| id.index);
                return Ok(Led::Decided(Ok(crate::control::Done { index, changed: false })));
            }
            Err(Refused::Stale) => return Ok(Led::NotNow),
            Err(refused) => return Ok(Led::Decided(Err(refused))),
        }
        if !self.leave_raft(node).await? {
            return Ok(Led::NotNow);
        }
        let written = self.write(proposal.encode().map_err(|_| AnswerError::Malformed)?).await;
        drop(changing);
        match written? {
            // The state has changed meanwhile: once more.
            Led::Decided(Err(Refused::Stale | Refused::OtherLeader)) => Ok(Led::NotNow),
            led => Ok(led),
        }
    }

    /// Takes a node out of raft's membership. `false` when that is not possible now.
    async fn leave_raft(&self, node: NodeId) -> Result<bool, AnswerError> {
        let stored = Arc::clone(&self.raft.metrics().borrow().membership_config);
        let id = node.get();
        let gone = BTreeSet::from([id]);
        let change = if stored.membership().voter_ids().any(|voter| voter == id) {
            ChangeMembers::RemoveVoters(gone)
        } else if stored.membership().get_node(&id).is_some() {
            ChangeMembers::RemoveNodes(gone)
        } else {
            return Ok(true);
        };
        self.change(change).await
    }

    /// Changes raft's membership, by joint consensus. `false` when that is not possible now.
    pub(super) async fn change(
        &self,
        change: ChangeMembers<u64, openraft::impls::EmptyNode>,
    ) -> Result<bool, AnswerError> {
        match timeout(LEAD_DEADLINE, self.raft.change_membership(change, false)).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(RaftError::Fatal(_))) => Err(AnswerError::Stopped),
            Ok(Err(RaftError::APIError(
                ClientWriteError::ForwardToLeader(_) | ClientWriteError::ChangeMembershipError(_),
            )))
            | Err(_) => Ok(false),
        }
    }

    /// Lets the voter lead that has most of the log.
    async fn give_away(&self) -> Result<Led, AnswerError> {
        let metrics = self.raft.metrics().borrow().clone();
        let me = self.node().get();
        let best = metrics.replication.as_ref().and_then(|replication| {
            let voters = metrics.membership_config.membership().voter_ids().filter(|voter| *voter != me);
            voters.max_by_key(|voter| replication.get(voter).copied().flatten())
        });
        match best {
            Some(voter) => match self.transfer(NodeId::new(voter)).await? {
                Led::Passed => Ok(Led::NotLeader(Some(NodeId::new(voter)))),
                led => Ok(led),
            },
            None => Ok(Led::Decided(Err(Refused::LastMember(self.node())))),
        }
    }

    /// Gives the leadership to a voter that has the log: nothing new is decided, followers hear nothing more, and the
    /// voter is told to stand as soon as they may vote for it.
    pub(super) async fn transfer(&self, to: NodeId) -> Result<Led, AnswerError> {
        let Some(Leadership { term, .. }) = self.leadership() else { return Ok(self.not_leading()) };
        if to == self.node() {
            return Ok(Led::Passed);
        }
        let metrics = self.raft.metrics().borrow().clone();
        let last = metrics.last_log_index.unwrap_or_default();
        let matched = metrics.replication.as_ref().and_then(|all| all.get(&to.get()).copied().flatten());
        let votes = metrics.membership_config.membership().voter_ids().any(|voter| voter == to.get());
        if !votes {
            return Ok(Led::Decided(Err(Refused::WrongState(to, "no voter".to_owned()))));
        }
        let Some(_passing) = Flag::set(&self.passing) else { return Ok(Led::Passing) };
        if matched.is_none_or(|id| id.index + LAG_MAX < last) {
            return Ok(Led::NotNow);
        }
        self.raft.runtime_config().heartbeat(false);
        let end = Instant::now() + self.timings.silence * 4;
        let called = ask(&*self.setup.calls, to, &Question::Campaign, self.timings.silence).await;
        let mut passed = self.raft.server_metrics();
        let gone = matches!(called, Ok(Answer::Campaign(true)))
            && timeout_at(end, passed.wait_for(|metrics| metrics.vote.leader_id().term > term)).await.is_ok();
        // The campaigner lets this node speak again, when the flag is down.
        Ok(if gone { Led::Passed } else { Led::NotNow })
    }

    pub(super) fn not_leading(&self) -> Led {
        let leader = self.raft.metrics().borrow().current_leader.map(NodeId::new);
        Led::NotLeader(leader.filter(|leader| *leader != self.node()))
    }
}
