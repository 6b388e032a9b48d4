//! The replicated state: the same on every member after the same commands.
//!
//! A rule type: time and randomness come in commands. What it does not find fit it refuses, with the same words on every
//! member, and is as it was.

use std::collections::BTreeMap;
use std::time::Duration;

use endtoend_crypto_core::sealing;
use endtoend_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

use super::command::{Applicant, Command, Founding, Leadership, Proposal, Refused, Sealed, Settings, TokenId};
use crate::edge::Edge;
use crate::{AuthorityCertificate, ClusterId, KeyHash, Member, MemberState, NodeCertificate, NodeId};

mod check;
mod edges;
mod invariants;
mod members;
#[cfg(test)]
pub(in crate::control) mod random;
mod rekey;
#[cfg(test)]
mod tests;

pub use invariants::Broken;

/// Most members, pending ones included. What a leader keeps for each is some KiB, and a link to everyone is kept by everyone.
pub const MEMBERS_MAX: usize = 128;
/// Most that wait for an operator: who has a token may fill this, and not more.
pub const PENDING_MAX: usize = 16;
/// Most join tokens, used ones included until they expire.
pub const TOKENS_MAX: usize = 64;
/// Most edges, waiting ones included: each is told of every change.
pub const EDGES_MAX: usize = 32;
/// Longest life of a join token.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long an expired token is remembered, to tell *expired* from *unknown*.
pub const TOKEN_KEPT: Duration = Duration::from_secs(30 * 60);
/// A node that nobody approves for so long is forgotten, and may ask again.
pub const PENDING_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Removed nodes that are remembered; the oldest is forgotten. Without a new token it still cannot ask.
pub const REMOVED_MAX: usize = 1024;
/// Most authorities: the newest, and those whose certificates are still in use.
pub const AUTHORITIES_MAX: usize = 4;
/// Longest blob of sealed secrets, in bytes.
pub const BLOB_BYTES_MAX: usize = 72 * 1024;
/// Longest certificate, in bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 2 * 1024;
/// Longest address, in bytes: a DNS name and a port.
pub const ADDRESS_BYTES_MAX: usize = 262;

/// Of the encoding below.
const VERSION: u8 = 1;
/// The same, and the edges after it. Written only when there are some: a node that knows of none reads the rest.
const VERSION_WITH_EDGES: u8 = 2;

/// A member, and what the cluster keeps for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Entry {
    /// What all may know.
    pub member: Member,
    /// Its public keys for sealing.
    pub sealing: Vec<u8>,
    /// Since it was approved.
    pub certificate: Option<NodeCertificate>,
    /// When it asked.
    #[serde(with = "crate::millis")]
    pub since: UnixMillis,
    /// What it showed; the founder had none.
    pub token: Option<TokenId>,
}

/// A join token. Its secret is not here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Token {
    /// Hash of the secret.
    pub check: [u8; 32],
    /// From here on it is worth nothing, and forgotten soon.
    #[serde(with = "crate::millis")]
    pub expires_at: UnixMillis,
    /// Who has asked with it.
    pub used_by: Option<NodeId>,
}

/// A node that is out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Gone {
    /// What it was called.
    pub name: String,
    /// When it was removed or rejected.
    #[serde(with = "crate::millis")]
    pub at: UnixMillis,
}

/// What the members have agreed upon. Empty until [`Command::Found`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ClusterState {
    founded: Option<(ClusterId, Settings)>,
    /// The latest time of a proposal.
    #[serde(with = "crate::millis")]
    clock: UnixMillis,
    members: BTreeMap<NodeId, Entry>,
    gone: BTreeMap<NodeId, Gone>,
    tokens: BTreeMap<TokenId, Token>,
    /// Newest first.
    authorities: Vec<AuthorityCertificate>,
    sealed: Sealed,
    edge_generation: u64,
    #[serde(skip)]
    edges: BTreeMap<NodeId, Edge>,
}

/// Bytes that are no state of a version that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a state of the control plane that this program knows")]
pub struct BadState;

impl ClusterState {
    /// Does what a proposal says that this leader has written into the log. `false` when it was so already.
    ///
    /// # Errors
    /// [`Refused`]: nothing but the clock has changed.
    pub fn apply(&mut self, proposal: &Proposal, by: Leadership) -> Result<bool, Refused> {
        self.clock = self.clock.max(proposal.at);
        if proposal.fence.is_some_and(|fence| fence != by) {
            return Err(Refused::OtherLeader);
        }
        match (&proposal.command, &self.founded) {
            (Command::Found(founding), None) => self.found(founding),
            (Command::Found(founding), Some((cluster, _))) => {
                if *cluster == founding.cluster {
                    Ok(false)
                } else {
                    Err(Refused::AlreadyFounded)
                }
            }
            (_, None) => Err(Refused::NotFounded),
            (command, Some(_)) => self.change(command),
        }
    }

    fn change(&mut self, command: &Command) -> Result<bool, Refused> {
        match command {
            Command::Found(_) => Err(Refused::AlreadyFounded),
            Command::CreateToken { id, check, expires_at } => self.create_token(*id, *check, *expires_at),
            Command::RevokeToken { id } => self.revoke_token(id),
            Command::Ask { applicant, token } => self.ask(applicant, *token),
            Command::Approve { node, admission } => self.approve(*node, admission),
            Command::Reject { node } => self.reject(*node),
            Command::Activate { node } => self.activate(*node),
            Command::Drain { node } => self.turn(*node, MemberState::Active, MemberState::Draining),
            Command::Undrain { node } => self.turn(*node, MemberState::Draining, MemberState::Active),
            Command::Remove { node, rekeying } => self.remove(*node, rekeying),
            Command::Rekey(rekeying) => self.rekey(rekeying),
            Command::Renew { node, certificate } => self.renew(*node, certificate),
            Command::ForgetAuthority { key } => self.forget_authority(key),
            Command::Announce { node, peer_address, client_address, version } => {
                self.announce(*node, peer_address, client_address, version)
            }
            Command::Configure(settings) => self.configure(settings),
            Command::Expire => Ok(self.expire()),
            Command::AskEdge { applicant, token } => self.ask_edge(applicant, *token),
            Command::ApproveEdge { edge, certificate } => self.approve_edge(*edge, certificate),
            Command::RenewEdge { edge, certificate } => self.renew_edge(*edge, certificate),
            Command::RemoveEdge { edge } => self.remove_edge(*edge),
        }
    }

    fn found(&mut self, founding: &Founding) -> Result<bool, Refused> {
        let Founding { cluster, settings, founder, certificate, authority, sealed } = founding;
        check::settings(settings)?;
        check::applicant(founder)?;
        check::authority(authority)?;
        check::certificate(certificate, authority)?;
        check::sealed(sealed, 1, [founder.node].into_iter())?;
        let member = Member { state: MemberState::Active, ..founder.member() };
        let (sealing, certificate) = (founder.sealing.clone(), Some(certificate.clone()));
        let entry = Entry { member, sealing, certificate, since: self.clock, token: None };
        self.founded = Some((*cluster, settings.clone()));
        self.members = BTreeMap::from([(founder.node, entry)]);
        self.authorities = vec![authority.clone()];
        self.sealed = sealed.clone();
        self.edge_generation = 1;
        Ok(true)
    }

    fn create_token(&mut self, id: TokenId, check: [u8; 32], expires_at: UnixMillis) -> Result<bool, Refused> {
        if self.tokens.get(&id).is_some_and(|token| token.check == check && token.expires_at == expires_at) {
            return Ok(false);
        }
        if expires_at <= self.clock || expires_at.since(self.clock) > TOKEN_LIFE_MAX {
            return Err(Refused::BadExpiry);
        }
        // An id is drawn at random and used once: a member shows for good what it came with.
        let shown = |entry: &Entry| entry.token == Some(id);
        if self.tokens.contains_key(&id)
            || self.members.values().any(shown)
            || self.edges.values().any(|edge| edge.token == id)
        {
            return Err(Refused::Stale);
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(too_many("join tokens", TOKENS_MAX));
        }
        self.tokens.insert(id, Token { check, expires_at, used_by: None });
        Ok(true)
    }

    fn revoke_token(&mut self, id: &TokenId) -> Result<bool, Refused> {
        match self.tokens.get(id) {
            None => Ok(false),
            Some(Token { used_by: Some(_), .. }) => Err(Refused::TokenUsed),
            Some(_) => Ok(self.tokens.remove(id).is_some()),
        }
    }

    fn configure(&mut self, settings: &Settings) -> Result<bool, Refused> {
        check::settings(settings)?;
        match &mut self.founded {
            Some((_, current)) if current == settings => Ok(false),
            Some((_, current)) => {
                *current = settings.clone();
                Ok(true)
            }
            None => Err(Refused::NotFounded),
        }
    }

    /// Takes out what the time has ended. A used token stays until it would have expired, to tell *used* from *unknown*.
    fn expire(&mut self) -> bool {
        let (clock, before) = (self.clock, [self.tokens.len(), self.members.len(), self.edges.len()]);
        self.tokens.retain(|_, token| clock < token.expires_at);
        self.members
            .retain(|_, entry| entry.member.state != MemberState::Pending || clock.since(entry.since) < PENDING_LIFE);
        self.edges.retain(|_, edge| edge.is_approved() || clock.since(edge.since) < PENDING_LIFE);
        before != [self.tokens.len(), self.members.len(), self.edges.len()]
    }

    /// Whether it is time for [`Command::Expire`].
    pub fn is_expiring(&self, now: UnixMillis) -> bool {
        // Until then somebody who comes too late is told so, unless others need the room.
        let kept = if self.tokens.len() < TOKENS_MAX / 2 { TOKEN_KEPT } else { Duration::ZERO };
        self.tokens.values().any(|token| now >= token.expires_at.plus(kept))
            || self.pending().any(|(_, entry)| now.since(entry.since) >= PENDING_LIFE)
            || self.edges.values().any(|edge| !edge.is_approved() && now.since(edge.since) >= PENDING_LIFE)
    }

    /// Which cluster it is, once it is founded.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.founded.as_ref().map(|(cluster, _)| *cluster)
    }
    /// What is decided for all, once the cluster is founded.
    pub fn settings(&self) -> Option<&Settings> {
        self.founded.as_ref().map(|(_, settings)| settings)
    }
    /// Everybody who is not gone.
    pub fn members(&self) -> &BTreeMap<NodeId, Entry> {
        &self.members
    }
    /// Who was removed or rejected, as far as it is remembered.
    pub fn gone(&self) -> &BTreeMap<NodeId, Gone> {
        &self.gone
    }
    /// Tokens that have not been forgotten.
    pub fn tokens(&self) -> &BTreeMap<TokenId, Token> {
        &self.tokens
    }
    /// Newest first.
    pub fn authorities(&self) -> &[AuthorityCertificate] {
        &self.authorities
    }
    /// The secrets, for those who have a key to them.
    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }
    /// Grows when edges have something to change.
    pub fn edge_generation(&self) -> u64 {
        self.edge_generation
    }
    /// The latest time of a proposal.
    pub fn clock(&self) -> UnixMillis {
        self.clock
    }

    /// Who waits for an operator.
    pub fn pending(&self) -> impl Iterator<Item = (NodeId, &Entry)> {
        self.members
            .iter()
            .filter(|(_, entry)| entry.member.state == MemberState::Pending)
            .map(|(node, entry)| (*node, entry))
    }

    /// Who may have links: everybody that is approved.
    pub fn approved(&self) -> impl Iterator<Item = (NodeId, &Entry)> {
        self.members.iter().filter(|(_, entry)| entry.member.state.may_link()).map(|(node, entry)| (*node, entry))
    }

    /// As it stands in a snapshot: `version(1) || postcard`, and the edges after it in version 2.
    ///
    /// # Errors
    /// Cannot happen: everything in it can be written.
    pub fn encode(&self) -> Result<Vec<u8>, BadState> {
        if self.edges.is_empty() {
            return postcard::to_extend(self, vec![VERSION]).map_err(|_| BadState);
        }
        let bytes = postcard::to_extend(self, vec![VERSION_WITH_EDGES]).map_err(|_| BadState)?;
        postcard::to_extend(&self.edges, bytes).map_err(|_| BadState)
    }

    /// Reads what [`ClusterState::encode`] wrote, and nothing after it. What is no state that commands can lead to is
    /// refused.
    ///
    /// # Errors
    /// [`BadState`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadState> {
        let (version, rest) = bytes.split_first().ok_or(BadState)?;
        let (mut state, mut rest) = postcard::take_from_bytes::<Self>(rest).map_err(|_| BadState)?;
        match *version {
            VERSION => {}
            VERSION_WITH_EDGES => (state.edges, rest) = postcard::take_from_bytes(rest).map_err(|_| BadState)?,
            _ => return Err(BadState),
        }
        if !rest.is_empty() || (*version == VERSION_WITH_EDGES && state.edges.is_empty()) {
            return Err(BadState);
        }
        state.check_invariants().map_err(|_| BadState)?;
        Ok(state)
    }
}

fn too_many(what: &str, max: usize) -> Refused {
    Refused::TooMany { what: what.to_owned(), max: max as u64 }
}

/// The authority that issues now.
fn newest(authorities: &[AuthorityCertificate]) -> Option<&AuthorityCertificate> {
    authorities.first()
}

/// What one key of the cluster is sealed to: longer than a key would be no key.
const SEALED_KEY_BYTES: usize = 32 + sealing::OVERHEAD;

/// Names the authority of a certificate.
fn authority_of(entry: &Entry) -> Option<KeyHash> {
    entry.certificate.as_ref().map(|certificate| certificate.authority)
}
