//! What this node answers to others.

use async_trait::async_trait;
use bytes::Bytes;
use openraft::ServerState;
use openraft::error::{CheckIsLeaderError, ClientWriteError, InstallSnapshotError, RaftError};
use openraft::raft::AppendEntriesResponse;
use tokio::time::{Duration, Instant, timeout};

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Control, Inner, Known, Ordering, Recent};
use crate::NodeId;
use crate::calls::{AnswerError, Answers};
use crate::control::command::{Command, Proposal};
use crate::control::raft::Encoded;
use crate::control::recent::Met;
use crate::control::wire::{Answer, Led, Question, SnapshotAnswer, decode, encode};
use crate::join::Exporter;
use crate::link::Welcomes;

/// Longest snapshot that is received, in bytes. One of the most members that there can be is half as long.
const SNAPSHOT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// How long a leader works on what another node wants of it. Whoever wanted it has less patience, or asks again.
pub(super) const LEAD_DEADLINE: Duration = Duration::from_secs(10);

#[async_trait]
impl Answers for Control {
    async fn answer(&self, from: NodeId, question: Bytes) -> Result<Bytes, AnswerError> {
        if self.inner.is_stopping() {
            return Err(AnswerError::Stopped);
        }
        if !self.inner.is_member(from) {
            return Err(AnswerError::NotAMember(from));
        }
        let question = decode(&question).map_err(|_| AnswerError::Malformed)?;
        let answer = self.inner.answer(from, question).await?;
        encode(&answer).map(Bytes::from).map_err(|_| AnswerError::Malformed)
    }
}

#[async_trait]
impl Welcomes for Control {
    async fn welcome(&self, exporter: Exporter, question: Bytes) -> Option<Bytes> {
        Some(self.answer_join(&question, &exporter).await.into())
    }
}

impl Inner {
    async fn answer(&self, from: NodeId, question: Question) -> Result<Answer, AnswerError> {
        // Each node speaks for itself alone: a member that lies in another's name is no better than a stranger.
        let named = |node: u64| if node == from.get() { Ok(()) } else { Err(AnswerError::Malformed) };
        let stopped = |_| AnswerError::Stopped;
        match question {
            Question::Append(request) => {
                named(request.vote.leader_id().node_id)?;
                let answer = self.raft.append_entries(request).await.map_err(stopped)?;
                if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                    self.heard();
                }
                Ok(Answer::Append(answer))
            }
            Question::Vote(request) => {
                named(request.vote.leader_id().node_id)?;
                let answer = self.raft.vote(request).await.map_err(stopped)?;
                if answer.vote_granted {
                    self.heard();
                }
                Ok(Answer::Vote(answer))
            }
            Question::Snapshot(request) => {
                named(request.vote.leader_id().node_id)?;
                if request.offset.saturating_add(request.data.len() as u64) > SNAPSHOT_BYTES_MAX {
                    return Err(AnswerError::Malformed);
                }
                let vote = request.vote;
                match self.raft.install_snapshot(request).await {
                    Ok(answer) => {
                        if answer.vote == vote {
                            self.heard();
                        }
                        Ok(Answer::Snapshot(SnapshotAnswer::Taken(answer.vote)))
                    }
                    Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(_))) => {
                        Ok(Answer::Snapshot(SnapshotAnswer::OutOfPlace))
                    }
                    Err(RaftError::Fatal(_)) => Err(AnswerError::Stopped),
                }
            }
            Question::Canvass { last } => {
                let metrics = self.raft.metrics().borrow().clone();
                let mine = self.last_log(&metrics).await;
                let leads = self.has_quorum(&metrics);
                Ok(Answer::Canvass(!leads && self.campaigns().would_vote(Instant::now(), last, mine)))
            }
            Question::Campaign => {
                let metrics = self.raft.metrics().borrow().clone();
                let leads = metrics.current_leader == Some(from.get());
                if leads {
                    self.campaigns().called(Instant::now());
                }
                Ok(Answer::Campaign(leads))
            }
            Question::Propose(proposal) => Ok(Answer::Led(self.decide(proposal).await?)),
            Question::Read => Ok(Answer::Led(self.read_index().await?)),
            Question::Remove(node) => Ok(Answer::Led(self.remove(node).await?)),
            Question::Transfer(node) => Ok(Answer::Led(self.transfer(node).await?)),
        }
    }

    /// Puts a proposal into the log, if this node leads.
    pub(super) async fn decide(&self, proposal: Vec<u8>) -> Result<Led, AnswerError> {
        // What cannot be read would stop every member when it is applied.
        let Proposal { command, .. } = Proposal::decode(&proposal).map_err(|_| AnswerError::Malformed)?;
        if self.passing.load(Ordering::SeqCst) {
            return Ok(Led::Passing);
        }
        // A removal changes raft's membership first: only `remove` does both.
        if matches!(command, Command::Remove { .. }) {
            return Err(AnswerError::Malformed);
        }
        let metrics = self.raft.metrics().borrow().clone();
        if metrics.state != ServerState::Leader {
            return Ok(self.not_leading());
        }
        // It must know what was decided before it led, not to decide that once more.
        let (mut known, term) = (self.known.clone(), metrics.current_term);
        let own = |known: &Arc<Known>| known.last.is_some_and(|id| id.leader_id.term >= term);
        match timeout(LEAD_DEADLINE, known.wait_for(own)).await.map(|known| known.is_ok()) {
            Ok(true) => {}
            Ok(false) => return Err(AnswerError::Stopped),
            Err(_) => return Ok(Led::NotNow),
        }
        let met = self.recent().meet(&proposal, term);
        let name = match met {
            Met::Done(outcome) => return Ok(Led::Decided(outcome)),
            Met::Written => return Ok(Led::NotNow),
            Met::New(name) => name,
        };
        let led = self.write(proposal).await;
        // Without an answer it may be in the log all the same.
        if matches!(led, Ok(Led::NotLeader(_))) {
            self.recent().not_written(&name);
        }
        led
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts it into the log without asking what it is.
    pub(super) async fn write(&self, proposal: Vec<u8>) -> Result<Led, AnswerError> {
        match timeout(LEAD_DEADLINE, self.raft.client_write(Encoded(proposal))).await {
            Err(_) => Ok(Led::NotNow),
            Ok(Ok(written)) => Ok(written.data.map_or(Led::NotNow, Led::Decided)),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Ok(Led::NotLeader(forward.leader_id.map(NodeId::new)))
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(_)))) => Ok(Led::NotNow),
            Ok(Err(RaftError::Fatal(_))) => Err(AnswerError::Stopped),
        }
    }

    /// Up to where to read, if this node leads, which a majority confirms.
    pub(super) async fn read_index(&self) -> Result<Led, AnswerError> {
        match timeout(self.timings.silence, self.raft.ensure_linearizable()).await {
            Err(_) => Ok(Led::NotNow),
            Ok(Ok(id)) => Ok(Led::ReadUpTo(id.map_or(0, |id| id.index))),
            Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)))) => {
                Ok(Led::NotLeader(forward.leader_id.map(NodeId::new)))
            }
            Ok(Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)))) => Ok(Led::NotNow),
            Ok(Err(RaftError::Fatal(_))) => Err(AnswerError::Stopped),
        }
    }
}
