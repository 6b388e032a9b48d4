//! Raft's way to other nodes, over [`Calls`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::SnapshotSegmentId;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, SnapshotMismatch, Unreachable,
};
use openraft::impls::EmptyNode;
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};

use tokio::time::Instant;

use super::raft::Types;
use super::wire::{Answer, Question, SnapshotAnswer, decode, encode};
use crate::NodeId;
use crate::calls::{CallError, Calls};

/// Who has lately taken this node's word as its leader's, and votes for no other for so long after it was sent.
///
/// openraft says this too, but in metrics, which are as old as its last round: it makes none while it waits for the disk.
pub(super) struct Acks {
    silence: Duration,
    /// When what they took was sent.
    sent: Mutex<BTreeMap<u64, Instant>>,
}

impl Acks {
    pub(super) const fn new(silence: Duration) -> Self {
        Self { silence, sent: Mutex::new(BTreeMap::new()) }
    }

    fn taken(&self, by: NodeId, sent: Instant) {
        let mut all = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        // What is over is of no use, and those who are gone must not stay here.
        all.retain(|_, sent| sent.elapsed() < self.silence);
        let last = all.entry(by.get()).or_insert(sent);
        *last = sent.max(*last);
    }

    /// Those who wait for no other leader at this moment.
    pub(super) fn of(&self, now: Instant) -> BTreeSet<u64> {
        let all = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |sent: &Instant| now.saturating_duration_since(*sent) < self.silence;
        all.iter().filter(|(_, sent)| fresh(sent)).map(|(node, _)| *node).collect()
    }
}

/// Makes the ways to single nodes.
pub(super) struct Network {
    pub(super) calls: Arc<dyn Calls>,
    /// How long raft leaves a node alone that it has not reached: longer than a heartbeat, so that heartbeats look for it.
    pub(super) pause: Duration,
    /// Set while this leader must not be heard ([`may_speak`](super::campaign::may_speak)).
    pub(super) muted: Arc<AtomicBool>,
    /// What others have taken.
    pub(super) acks: Arc<Acks>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Way {
        let (calls, muted, acks) = (Arc::clone(&self.calls), Arc::clone(&self.muted), Arc::clone(&self.acks));
        Way { calls, to: NodeId::new(target), pause: self.pause, muted, acks }
    }
}

/// The way to one node.
pub(super) struct Way {
    calls: Arc<dyn Calls>,
    to: NodeId,
    pause: Duration,
    muted: Arc<AtomicBool>,
    acks: Arc<Acks>,
}

/// Asks, and reads the answer.
pub(super) async fn ask(
    calls: &dyn Calls,
    to: NodeId,
    question: &Question,
    deadline: Duration,
) -> Result<Answer, CallError> {
    let question = encode(question).map_err(|_| CallError::Refused(to))?;
    let answer = calls.call(to, question.into(), deadline).await?;
    decode(&answer).map_err(|_| CallError::Refused(to))
}

impl Way {
    async fn ask<E: std::error::Error>(
        &self,
        question: Question,
        deadline: Duration,
    ) -> Result<Answer, RPCError<u64, EmptyNode, E>> {
        // A request for votes is no leader's word.
        if self.muted.load(Ordering::SeqCst) && !matches!(question, Question::Vote(_)) {
            return Err(RPCError::Unreachable(Unreachable::new(&CallError::NoLink(self.to))));
        }
        ask(&*self.calls, self.to, &question, deadline).await.map_err(|error| match error {
            CallError::NoLink(_) | CallError::Refused(_) => RPCError::Unreachable(Unreachable::new(&error)),
            CallError::Unanswered(_) | CallError::TooLong { .. } => RPCError::Network(NetworkError::new(&error)),
        })
    }

    fn odd<E: std::error::Error>(&self) -> RPCError<u64, EmptyNode, E> {
        RPCError::Unreachable(Unreachable::new(&CallError::Refused(self.to)))
    }
}

type Failure<E = openraft::error::Infallible> = RPCError<u64, EmptyNode, RaftError<u64, E>>;

impl RaftNetwork<Types> for Way {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failure> {
        let sent = Instant::now();
        match self.ask(Question::Append(request), option.hard_ttl()).await? {
            Answer::Append(answer) => {
                if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                    self.acks.taken(self.to, sent);
                }
                Ok(answer)
            }
            _ => Err(self.odd()),
        }
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Failure<InstallSnapshotError>> {
        let segment = || SnapshotSegmentId { id: String::new(), offset: 0 };
        let (sent, mine) = (Instant::now(), request.vote);
        match self.ask(Question::Snapshot(request), option.hard_ttl()).await? {
            Answer::Snapshot(SnapshotAnswer::Taken(vote)) => {
                if vote == mine {
                    self.acks.taken(self.to, sent);
                }
                Ok(InstallSnapshotResponse { vote })
            }
            Answer::Snapshot(SnapshotAnswer::OutOfPlace) => {
                let mismatch = SnapshotMismatch { expect: segment(), got: segment() };
                let error = RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch));
                Err(RPCError::RemoteError(RemoteError::new(self.to.get(), error)))
            }
            _ => Err(self.odd()),
        }
    }

    async fn vote(&mut self, request: VoteRequest<u64>, option: RPCOption) -> Result<VoteResponse<u64>, Failure> {
        match self.ask(Question::Vote(request), option.hard_ttl()).await? {
            Answer::Vote(answer) => Ok(answer),
            _ => Err(self.odd()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.pause))
    }
}
