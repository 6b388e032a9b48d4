//! How an edge asks to follow a cluster, and how a member judges it.
//!
//! As a node asks to join (`crate::join`), with a statement of its own, so that neither passes for the other:
//!
//! ```text
//! statement = postcard { token id and secret, or nothing; applicant }
//! signature = ECDSA P-256 SHA-256 by the edge's key over "endtoend 2026-11 edge request v1" || exporter(32) || statement
//! request   = version(1, = 0xe1) || postcard { statement, signature }
//! ```
//!
//! A token is for a node or for an edge: what the cluster keeps of it says which.

use endtoend_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

use super::{BadNews, EdgeNews, EdgeProfile};
use crate::control::{ClusterState, EdgeApplicant, Refused, TokenId};
use crate::join::request::{Kind, Statement, weigh};
use crate::join::{Exporter, JoinRefusal};
use crate::keys::{BadKeys, NodeKeys};
use crate::token::{For, JoinToken};

/// The first byte of a request of an edge: those of nodes count from 1.
pub(crate) const VERSION: u8 = 0xe1;
const KIND: Kind = Kind { version: VERSION, domain: b"endtoend 2026-11 edge request v1" };

/// What a member says to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum EdgeReply {
    /// An operator has to approve it. Ask again, with the same token.
    Pending,
    /// It may follow.
    Admitted(Box<EdgeNews>),
    /// No.
    Refused(JoinRefusal),
    /// There is no leader at the moment. Ask again.
    Later,
}

/// A request for this connection: to be let in by a token, or, without one, to be told as an edge what has changed while it was
/// away for so long that its certificate is void.
///
/// # Errors
/// When the system's random numbers fail.
pub fn request(
    keys: &NodeKeys,
    profile: &EdgeProfile,
    token: Option<&JoinToken>,
    exporter: &Exporter,
) -> Result<Vec<u8>, BadKeys> {
    let token = token.map(|token| (token.id(), *token.secret()));
    KIND.encode(keys, exporter, &Statement { token, applicant: profile.applicant(keys) })
}

/// What is to be done about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// To be put into the log as [`Command::AskEdge`](crate::control::Command::AskEdge).
    Ask {
        /// Who.
        applicant: Box<EdgeApplicant>,
        /// With what.
        token: TokenId,
    },
    /// It waits for an operator.
    Pending,
    /// It may follow.
    Approved(crate::NodeId),
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
    let Statement { token, applicant } = KIND.decode(request, exporter, |applicant: &EdgeApplicant| &applicant.key)?;
    let edge = applicant.edge;
    let refused = |refused: Refused| Err(JoinRefusal::Refused(refused));
    if state.gone().contains_key(&edge) {
        return refused(Refused::Removed(edge));
    }
    let known = state.edges().get(&edge).filter(|known| known.key == applicant.key);
    let stands = |known: &super::Edge| if known.is_approved() { Judged::Approved(edge) } else { Judged::Pending };
    let Some(token) = token else {
        // Only who is approved is told anything without a token.
        return match known.filter(|known| known.is_approved()) {
            Some(known) => Ok(stands(known)),
            None => refused(Refused::UnknownNode(edge)),
        };
    };
    match weigh(state, For::Edge, &token, edge, known, now) {
        Ok(Some(known)) => Ok(stands(known)),
        Ok(None) => Ok(Judged::Ask { applicant: Box::new(applicant), token: token.0 }),
        Err(why) => refused(why),
    }
}

impl EdgeReply {
    /// `version(1, = 0xe1) || postcard`
    pub fn encode(&self) -> Vec<u8> {
        // Writing into memory does not fail; were it to, the other side would see a malformed answer.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Reads what [`EdgeReply::encode`] wrote, and nothing after it.
    ///
    /// # Errors
    /// [`BadNews`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadNews> {
        let [VERSION, rest @ ..] = bytes else { return Err(BadNews) };
        match postcard::take_from_bytes(rest) {
            Ok((reply, [])) => Ok(reply),
            _ => Err(BadNews),
        }
    }
}
