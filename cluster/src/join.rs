//! How a node asks to become a member, and how a member judges it. Who carries it over TLS is elsewhere.
//!
//! ```text
//! statement = postcard { token id and secret, or nothing; applicant }
//! signature = ECDSA P-256 SHA-256 by the node's key over "endtoend 2026-11 join request v1" || exporter(32) || statement
//! request   = version(1, = 1) || postcard { statement, signature }
//! ```
//!
//! The exporter is that of the TLS connection on which the request is made, so a request is worth nothing on another one.
//! The server has shown a certificate of the authority that the token names before anything is said to it.

pub(crate) mod request;

use endtoend_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::control::{Applicant, ClusterState, Refused, TokenId};
use crate::keys::{BadKeys, NodeKeys};
use crate::secrets::{ClusterKey, Secrets};
use crate::token::{For, JoinToken};
use crate::{ClusterId, KeyHash, MemberState};
use request::{Kind, Statement, weigh};

const VERSION: u8 = 1;
const KIND: Kind = Kind { version: VERSION, domain: b"endtoend 2026-11 join request v1" };
/// Label of the TLS exporter (RFC 8446, section 7.5) that a request is bound to, without context, 32 bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-endtoend-join-v1";
/// Longest request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024;

/// What the exporter gave.
pub type Exporter = [u8; 32];

/// What a node says of itself when it joins or starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What people call it: 1 to 63 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// `HOST:PORT` that other nodes connect to.
    pub peer_address: String,
    /// `HOST:PORT` that clients and edges connect to.
    pub client_address: String,
    /// Of its program.
    pub version: String,
}

impl Profile {
    /// The node of these keys, as it asks.
    pub fn applicant(&self, keys: &NodeKeys) -> Applicant {
        let Self { name, peer_address, client_address, version } = self.clone();
        let (node, key, sealing) = (keys.node(), keys.key(), keys.sealing().public());
        Applicant { node, name, key, sealing, peer_address, client_address, version }
    }
}

/// What a member says to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum JoinReply {
    /// An operator has to approve it. Ask again, with the same token.
    Pending,
    /// It is a member.
    Admitted(Box<Admitted>),
    /// No.
    Refused(JoinRefusal),
    /// There is no leader at the moment. Ask again.
    Later,
}

/// Why a node may not join.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
pub enum JoinRefusal {
    /// Not a request of a version that this node speaks.
    #[error("not a request to join that this node understands")]
    Malformed,
    /// Not signed by the node's key, or made for another connection: a replay.
    #[error("the request to join is not signed by its node for this connection")]
    BadSignature,
    /// What the members have agreed upon speaks against it.
    #[error(transparent)]
    Refused(Refused),
}

/// What a new member needs to begin.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Admitted {
    /// Position of the log that the state is of.
    pub index: u64,
    /// [`ClusterState`], encoded: the members to speak with, the authorities to believe, the own certificate.
    pub state: Vec<u8>,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Admitted {{ index: {}, {} bytes }}", self.index, self.state.len())
    }
}

/// The answer is not one that an honest member gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAdmission {
    /// Not an answer of a version that this node speaks.
    #[error("not an answer to a request to join that this node understands")]
    Malformed,
    /// Another cluster than the token is for.
    #[error("the answer is of another cluster than the token is for")]
    OtherCluster,
    /// This node is no member of it, or the secrets do not open with its key.
    #[error("this node was not admitted")]
    NotAdmitted,
}

/// A request for this connection: to join with a token, or, without one, to be told as a member what has changed while one
/// was away for so long that the own certificate is void.
///
/// # Errors
/// When the system's random numbers fail.
pub fn request(
    keys: &NodeKeys,
    profile: &Profile,
    token: Option<&JoinToken>,
    exporter: &Exporter,
) -> Result<Vec<u8>, BadKeys> {
    let token = token.map(|token| (token.id(), *token.secret()));
    KIND.encode(keys, exporter, &Statement { token, applicant: profile.applicant(keys) })
}

/// What is to be done about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// To be put into the log as [`Command::Ask`](crate::control::Command::Ask).
    Ask {
        /// Who.
        applicant: Box<Applicant>,
        /// With what.
        token: TokenId,
    },
    /// It has asked before, and stands so. What it says of itself now may be other than what is known.
    Known(MemberState, Box<Applicant>),
}

/// Judges a request by what the members have agreed upon.
///
/// # Errors
/// [`JoinRefusal`].
pub fn judge(
    request: &[u8],
    exporter: &Exporter,
    state: &ClusterState,
    now: UnixMillis,
) -> Result<Judged, JoinRefusal> {
    let Statement { token, applicant } = KIND.decode(request, exporter, |applicant: &Applicant| &applicant.key)?;
    let node = applicant.node;
    let refused = |refused: Refused| Err(JoinRefusal::Refused(refused));
    if state.gone().contains_key(&node) {
        return refused(Refused::Removed(node));
    }
    let member = state.members().get(&node).filter(|entry| entry.member.key == applicant.key);
    let Some(token) = token else {
        // Only who is approved is told anything without a token.
        return match member.map(|entry| entry.member.state) {
            Some(stands) if stands.may_link() => Ok(Judged::Known(stands, Box::new(applicant))),
            _ => refused(Refused::UnknownNode(node)),
        };
    };
    match weigh(state, For::Node, &token, node, member, now) {
        Ok(Some(entry)) => Ok(Judged::Known(entry.member.state, Box::new(applicant))),
        Ok(None) => Ok(Judged::Ask { applicant: Box::new(applicant), token: token.0 }),
        Err(why) => refused(why),
    }
}

impl JoinReply {
    /// `version(1, = 1) || postcard`
    pub fn encode(&self) -> Vec<u8> {
        // Writing into memory does not fail; were it to, the other side would see a malformed answer.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Reads what [`JoinReply::encode`] wrote, and nothing after it.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadAdmission> {
        let [VERSION, rest @ ..] = bytes else { return Err(BadAdmission::Malformed) };
        match postcard::take_from_bytes(rest) {
            Ok((reply, [])) => Ok(reply),
            _ => Err(BadAdmission::Malformed),
        }
    }
}

impl Admitted {
    /// Looks at what a member has given: the state and the secrets.
    ///
    /// `authority` is what the token names. A member that only asks what has changed has none, and compares the cluster.
    ///
    /// # Errors
    /// [`BadAdmission`].
    pub fn check(
        &self,
        keys: &NodeKeys,
        authority: Option<KeyHash>,
        cluster: Option<ClusterId>,
    ) -> Result<(ClusterState, Secrets), BadAdmission> {
        let state = ClusterState::decode(&self.state).map_err(|_| BadAdmission::Malformed)?;
        let found = state.cluster().ok_or(BadAdmission::Malformed)?;
        let believed = |key: KeyHash| state.authorities().iter().any(|known| known.key == key);
        if authority.is_some_and(|key| !believed(key)) || cluster.is_some_and(|wanted| wanted != found) {
            return Err(BadAdmission::OtherCluster);
        }
        let own = state.members().get(&keys.node()).filter(|entry| entry.member.key == keys.key());
        if !own.is_some_and(|entry| entry.member.state.may_link()) {
            return Err(BadAdmission::NotAdmitted);
        }
        let key = ClusterKey::open(state.sealed(), found, keys.node(), keys.sealing());
        let secrets = key.and_then(|key| key.open_blob(&state.sealed().blob)).map_err(|_| BadAdmission::NotAdmitted)?;
        Ok((state, secrets))
    }
}

#[cfg(test)]
mod tests;
