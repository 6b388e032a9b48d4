//! What the program around asks of the cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::{Control, ControlError, Inner, Setup};
use crate::calls::{AnswerError, CALL_BYTES_MAX};
use crate::control::command::{Admission, Applicant, Command, Done, Proposal, Refused};
use crate::control::network::ask;
use crate::control::state::ClusterState;
use crate::control::wire::{Answer, Led, Question};
use crate::edge::{self, EdgeReply};
use crate::join::{Admitted, Exporter, JoinRefusal, JoinReply, Judged, judge, request};
use crate::{ClusterView, For, JoinToken, MemberState, NodeId};

/// How long a member works on a request to join.
pub(super) const JOIN_DEADLINE: Duration = Duration::from_secs(5);

impl Control {
    /// Puts a command into the log, wherever the leader is, and says what came of it. It tries until the deadline; a repeat
    /// of a command changes nothing, so it may reach the log twice.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn propose(&self, command: Command, deadline: Duration) -> Result<Done, ControlError> {
        self.inner.propose(command, deadline).await
    }

    /// The state up to what any member had agreed upon before this was called.
    ///
    /// # Errors
    /// `NoLeader`, `Stopped`.
    pub async fn read(&self, deadline: Duration) -> Result<ClusterState, ControlError> {
        Ok(self.inner.read(deadline).await?.1)
    }

    /// A new join token, good for one node until `life` is over.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn create_token(&self, life: Duration, deadline: Duration) -> Result<JoinToken, ControlError> {
        self.create_token_for(For::Node, life, deadline).await
    }

    /// A new join token for a node or an edge, good for one until `life` is over.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn create_token_for(
        &self,
        whom: For,
        life: Duration,
        deadline: Duration,
    ) -> Result<JoinToken, ControlError> {
        let authority = self.state().authorities().first().map(|authority| authority.key);
        let token = JoinToken::generate_for(whom, &mut rand::rng(), authority.ok_or(Refused::NotFounded)?);
        // Both by one reading of the clock: however short its life, it has not ended before it begins.
        let at = self.inner.now();
        let command = Command::CreateToken { id: token.id(), check: token.check(), expires_at: at.plus(life) };
        self.inner.put(Proposal { at, fence: None, command }, deadline).await?;
        Ok(token)
    }

    /// Lets a pending node in.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn approve(&self, node: NodeId, deadline: Duration) -> Result<Done, ControlError> {
        let end = Instant::now() + deadline;
        loop {
            let left = || end.saturating_duration_since(Instant::now());
            // What is agreed upon: this node may not have heard yet of who has asked a moment ago.
            let (_, state) = self.inner.read(left()).await?;
            let command = self.inner.approval(&state, node)?;
            match self.propose(command, left()).await {
                // Somebody has replaced the secrets meanwhile: once more, with those.
                Err(ControlError::Refused(Refused::Stale)) if Instant::now() < end => self.inner.pause(end).await,
                other => return other,
            }
        }
    }

    /// Takes a member out: it is cut off at once, and what it knew is replaced. If it leads, another does first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn remove(&self, node: NodeId, deadline: Duration) -> Result<Done, ControlError> {
        match self.inner.lead(|| Question::Remove(node), Instant::now() + deadline).await? {
            Led::Decided(outcome) => Ok(outcome?),
            _ => Err(ControlError::NoLeader),
        }
    }

    /// New secrets and a new link authority for the same members.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn rotate(&self, deadline: Duration) -> Result<Done, ControlError> {
        let state = self.read(deadline).await?;
        let rekeying = self.inner.rekeying(&state, None)?;
        self.propose(Command::Rekey(Box::new(rekeying)), deadline).await
    }

    /// Makes another voter the leader. It takes about the silence, in which nothing is decided.
    ///
    /// # Errors
    /// `Refused` when it is no voter, `NoLeader` when it did not happen in time.
    pub async fn transfer_leader(&self, to: NodeId, deadline: Duration) -> Result<(), ControlError> {
        let end = Instant::now() + deadline;
        let mut view = self.view();
        loop {
            let before = view.borrow_and_update().clone();
            if before.leader == Some(to) {
                return Ok(());
            }
            if let Led::Decided(Err(refused)) = self.inner.lead(|| Question::Transfer(to), end).await? {
                return Err(refused.into());
            }
            // Another voter may have been faster: then that one is asked.
            let settled =
                |now: &ClusterView| now.leader == Some(to) || (now.term > before.term && now.leader.is_some());
            let settled = timeout_at(end, view.wait_for(settled)).await;
            settled.map_err(|_| ControlError::NoLeader)?.map(drop).map_err(|_| ControlError::Stopped)?;
        }
    }

    /// A request of this member to be told what has changed, for a connection with this exporter.
    ///
    /// # Errors
    /// `Stopped` when the system's random numbers fail.
    pub fn ask_again(&self, exporter: &Exporter) -> Result<Vec<u8>, ControlError> {
        let Setup { keys, profile, .. } = &self.inner.setup;
        request(keys, profile, None, exporter).map_err(|_| ControlError::Stopped)
    }

    /// Answers a request to join, of a node or an edge: what is to be sent back.
    pub async fn answer_join(&self, request: &[u8], exporter: &Exporter) -> Vec<u8> {
        if request.first() == Some(&edge::VERSION) {
            let reply = timeout(JOIN_DEADLINE * 2, self.inner.answer_edge(request, exporter)).await;
            return reply.unwrap_or(EdgeReply::Later).encode();
        }
        let reply = timeout(JOIN_DEADLINE * 2, self.inner.answer_join(request, exporter)).await;
        let encoded = reply.unwrap_or(JoinReply::Later).encode();
        if encoded.len() <= CALL_BYTES_MAX { encoded } else { JoinReply::Later.encode() }
    }
}

impl Inner {
    pub(super) async fn propose(&self, command: Command, deadline: Duration) -> Result<Done, ControlError> {
        self.put(Proposal { at: self.now(), fence: None, command }, deadline).await
    }

    async fn put(&self, proposal: Proposal, deadline: Duration) -> Result<Done, ControlError> {
        let proposal = proposal.encode()?;
        match self.lead(|| Question::Propose(proposal.clone()), Instant::now() + deadline).await? {
            Led::Decided(outcome) => Ok(outcome?),
            _ => Err(ControlError::NoLeader),
        }
    }

    /// The state, and up to where it is.
    pub(super) async fn read(&self, deadline: Duration) -> Result<(u64, ClusterState), ControlError> {
        let end = Instant::now() + deadline;
        let Led::ReadUpTo(index) = self.lead(|| Question::Read, end).await? else { return Err(ControlError::NoLeader) };
        let mut known = self.known.clone();
        let reached = timeout_at(end, known.wait_for(|known| known.last.is_some_and(|id| id.index >= index))).await;
        let known = reached.map_err(|_| ControlError::NoLeader)?.map_err(|_| ControlError::Stopped)?;
        Ok((known.last.map_or(0, |id| id.index), known.state.clone()))
    }

    /// Has the leader do something, here or elsewhere, until it is done or the time is over.
    async fn lead(&self, question: impl Fn() -> Question, end: Instant) -> Result<Led, ControlError> {
        let mut guess = None;
        while Instant::now() < end {
            if self.is_stopping() {
                return Err(ControlError::Stopped);
            }
            let leader = guess.take().or_else(|| self.raft.metrics().borrow().current_leader.map(NodeId::new));
            let left = end.saturating_duration_since(Instant::now());
            let led = match leader {
                None => Led::NotLeader(None),
                Some(leader) if leader == self.node() => match timeout(left, self.lead_here(question())).await {
                    Ok(Ok(led)) => led,
                    Ok(Err(AnswerError::Malformed | AnswerError::NotAMember(_))) | Err(_) => Led::NotNow,
                    Ok(Err(AnswerError::Stopped)) => return Err(ControlError::Stopped),
                },
                // It may have lost its leadership in this moment, so it gets a part of the time.
                Some(leader) => match ask(&*self.setup.calls, leader, &question(), left.min(self.patience())).await {
                    Ok(Answer::Led(led)) => led,
                    _ => Led::NotNow,
                },
            };
            match led {
                Led::Decided(_) | Led::ReadUpTo(_) | Led::Passed => return Ok(led),
                Led::NotLeader(Some(other)) if Some(other) != leader => guess = Some(other),
                Led::NotLeader(_) | Led::NotNow | Led::Passing => self.pause(end).await,
            }
        }
        Err(ControlError::NoLeader)
    }

    /// How long another node is waited for before one asks whether it still leads.
    fn patience(&self) -> Duration {
        self.timings.silence * 4
    }

    async fn lead_here(&self, question: Question) -> Result<Led, AnswerError> {
        match question {
            Question::Propose(proposal) => self.decide(proposal).await,
            Question::Read => self.read_index().await,
            Question::Remove(node) => self.remove(node).await,
            Question::Transfer(node) => self.transfer(node).await,
            Question::Append(_)
            | Question::Vote(_)
            | Question::Snapshot(_)
            | Question::Canvass { .. }
            | Question::Campaign => Err(AnswerError::Malformed),
        }
    }

    /// Until something has changed that may help, a heartbeat at most.
    pub(super) async fn pause(&self, end: Instant) {
        let until = end.min(Instant::now() + self.timings.heartbeat);
        let mut view = self.view.subscribe();
        // Both ends of it are as good.
        let _ = timeout_at(until, view.changed()).await;
    }

    /// What lets a node in: its certificate, and the cluster key sealed for it.
    pub(super) fn approval(&self, state: &ClusterState, node: NodeId) -> Result<Command, ControlError> {
        if state.gone().contains_key(&node) {
            return Err(Refused::Removed(node).into());
        }
        let entry = state.members().get(&node).ok_or(Refused::UnknownNode(node))?;
        let opened = self.opened.borrow().clone().ok_or(ControlError::NoSecrets)?;
        let sealed_key = opened.key.seal_for(&mut rand::rng(), node, &entry.sealing);
        let certificate = opened.authority.issue(&entry.member.key, self.now());
        let invalid = || ControlError::Refused(Refused::Invalid("key".to_owned()));
        let admission = Admission {
            certificate: certificate.map_err(|_| invalid())?,
            generation: opened.generation,
            sealed_key: sealed_key.map_err(|_| invalid())?,
        };
        Ok(Command::Approve { node, admission: Box::new(admission) })
    }

    async fn answer_join(&self, request: &[u8], exporter: &Exporter) -> JoinReply {
        // What is agreed upon, not what this node has heard of it: a token may be new, or used a moment ago.
        let Ok((index, state)) = self.read(JOIN_DEADLINE).await else { return JoinReply::Later };
        match judge(request, exporter, &state, self.now()) {
            Err(refusal) => JoinReply::Refused(refusal),
            Ok(Judged::Known(MemberState::Pending, _)) => JoinReply::Pending,
            Ok(Judged::Known(_, applicant)) => {
                // It may have moved to where nobody finds it: then nobody but itself could tell.
                if let Some(command) = announcement(&state, &applicant) {
                    // What is refused or not decided now, the node tries once more itself when it has links.
                    let _ = self.propose(command, JOIN_DEADLINE).await;
                }
                match state.encode() {
                    Ok(state) => JoinReply::Admitted(Box::new(Admitted { index, state })),
                    Err(_) => JoinReply::Later,
                }
            }
            Ok(Judged::Ask { applicant, token }) => {
                match self.propose(Command::Ask { applicant, token }, JOIN_DEADLINE).await {
                    Ok(_) => JoinReply::Pending,
                    Err(ControlError::Refused(refused)) => JoinReply::Refused(JoinRefusal::Refused(refused)),
                    Err(_) => JoinReply::Later,
                }
            }
        }
    }

    /// Tells the others when this node has another address or program than they know.
    pub(super) async fn announce(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        while !self.is_stopping() {
            let Some(command) = announcement(&self.state(), &self.setup.profile.applicant(&self.setup.keys)) else {
                return;
            };
            tokio::select! {
                told = self.propose(command, Duration::from_secs(10)) => match told {
                    Ok(_) | Err(ControlError::Stopped) => return,
                    Err(ControlError::Refused(refused)) => {
                        tracing::error!("the cluster does not take this node's addresses: {refused}");
                        return;
                    }
                    Err(_) => {}
                },
                _ = stop.changed() => return,
            }
        }
    }
}

/// What tells that a member has other addresses or another program than is known, if that is so.
fn announcement(state: &ClusterState, applicant: &Applicant) -> Option<Command> {
    let Applicant { node, peer_address, client_address, version, .. } = applicant.clone();
    let known = &state.members().get(&node)?.member;
    let same =
        (&known.peer_address, &known.client_address, &known.version) == (&peer_address, &client_address, &version);
    (!same).then_some(Command::Announce { node, peer_address, client_address, version })
}
