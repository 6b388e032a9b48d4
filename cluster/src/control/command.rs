//! What nodes agree upon, one command at a time.
//!
//! Commands stay in logs for a long time, and nodes of two versions read the same log: variants and fields are only ever
//! added at the end, and a change of meaning is a new variant. `cluster/vectors` has a log that every version must read.

use std::collections::BTreeMap;

use endtoend_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

use super::timings::Timings;
use crate::{AuthorityCertificate, ClusterId, KeyHash, Member, NodeCertificate, NodeId};

/// Of the encoding below. A node stops rather than skip a command of another one.
const VERSION: u8 = 1;
/// Longest encoded proposal, in bytes: a key for each of [`MEMBERS_MAX`](super::MEMBERS_MAX) members, and the secrets. Two
/// fit into a call.
pub const PROPOSAL_BYTES_MAX: usize = 448 * 1024;

/// Names a join token.
pub type TokenId = [u8; 16];

/// What is decided for all members.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Settings {
    /// What people call the cluster: 1 to 63 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Whether a node with a valid token is let in without an operator.
    pub auto_approve: bool,
    /// How soon a silent leader is replaced. A node reads it when it starts.
    pub timings: Timings,
}

/// A node that wants to be a member, or is the first one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Applicant {
    /// Named by `key`.
    pub node: NodeId,
    /// What people call it: as a cluster's name, and nobody else's.
    pub name: String,
    /// Its TLS key, a DER-encoded `SubjectPublicKeyInfo`.
    pub key: Vec<u8>,
    /// Its public keys for sealing (`endtoend_crypto_core::sealing`).
    pub sealing: Vec<u8>,
    /// `HOST:PORT` that other nodes connect to.
    pub peer_address: String,
    /// `HOST:PORT` that clients and edges connect to.
    pub client_address: String,
    /// Of its program.
    pub version: String,
}

/// An edge that wants to follow the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct EdgeApplicant {
    /// Named by `key`, as a node is.
    pub edge: NodeId,
    /// What people call it: as a node, and as no other node or edge.
    pub name: String,
    /// Its TLS key, a DER-encoded `SubjectPublicKeyInfo`.
    pub key: Vec<u8>,
    /// Of its program.
    pub version: String,
}

/// What an approved member gets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Admission {
    /// By the newest authority.
    pub certificate: NodeCertificate,
    /// Of the cluster key that is sealed here.
    pub generation: u64,
    /// The cluster key, sealed for this member.
    pub sealed_key: Vec<u8>,
}

/// The secrets of the cluster, under a cluster key that each approved member has. `Debug` shows lengths.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Sealed {
    /// Of the cluster key: grows by one with each new one.
    pub generation: u64,
    /// All secrets, under the cluster key.
    pub blob: Vec<u8>,
    /// The cluster key, sealed for each approved member.
    pub keys: BTreeMap<NodeId, Vec<u8>>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { generation, blob, keys } = self;
        write!(f, "Sealed {{ generation: {generation}, {} bytes, {} keys }}", blob.len(), keys.len())
    }
}

/// A cluster's first state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Founding {
    /// Drawn at random.
    pub cluster: ClusterId,
    /// As the first node was configured.
    pub settings: Settings,
    /// The first node, active at once.
    pub founder: Applicant,
    /// Its certificate.
    pub certificate: NodeCertificate,
    /// The first link authority.
    pub authority: AuthorityCertificate,
    /// Generation 1, sealed for the founder.
    pub sealed: Sealed,
}

/// New secrets: what somebody who was a member knew is worth nothing after it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rekeying {
    /// Of the next generation, for each member that stays and is approved.
    pub sealed: Sealed,
    /// The new link authority, if it is replaced too.
    pub authority: Option<AuthorityCertificate>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Command {
    /// The first command of a cluster.
    Found(Box<Founding>),
    /// A token that lets one node ask.
    CreateToken {
        /// Its name.
        id: TokenId,
        /// Hash of its secret.
        check: [u8; 32],
        /// From here on it is worth nothing. At most [`TOKEN_LIFE_MAX`](super::TOKEN_LIFE_MAX) away.
        #[serde(with = "crate::millis")]
        expires_at: UnixMillis,
    },
    /// A token that was not used is worth nothing any more.
    RevokeToken {
        /// Its name.
        id: TokenId,
    },
    /// A node asks to join; its token has been checked by who proposes this.
    Ask {
        /// Who.
        applicant: Box<Applicant>,
        /// What it showed.
        token: TokenId,
    },
    /// pending -> joining
    Approve {
        /// Who.
        node: NodeId,
        /// What it needs.
        admission: Box<Admission>,
    },
    /// pending -> gone; its key may not ask again.
    Reject {
        /// Who.
        node: NodeId,
    },
    /// joining -> active: it has the whole log.
    Activate {
        /// Who.
        node: NodeId,
    },
    /// active -> draining
    Drain {
        /// Who.
        node: NodeId,
    },
    /// draining -> active
    Undrain {
        /// Who.
        node: NodeId,
    },
    /// Gone, and what it knew is replaced. Its key may not ask again.
    Remove {
        /// Who.
        node: NodeId,
        /// For those who stay.
        rekeying: Box<Rekeying>,
    },
    /// New secrets without a removal.
    Rekey(Box<Rekeying>),
    /// A new certificate for a member.
    Renew {
        /// Who.
        node: NodeId,
        /// By the newest authority.
        certificate: Box<NodeCertificate>,
    },
    /// The end of a roll-over: certificates of this authority are not believed any more.
    ForgetAuthority {
        /// Not the newest.
        key: KeyHash,
    },
    /// A member started with another address or program.
    Announce {
        /// Who.
        node: NodeId,
        /// As in [`Member`].
        peer_address: String,
        /// As in [`Member`].
        client_address: String,
        /// As in [`Member`].
        version: String,
    },
    /// Other settings.
    Configure(Settings),
    /// Tokens and applicants whose time is over go.
    Expire,
    /// An edge asks to follow the cluster; its token has been checked by who proposes this.
    AskEdge {
        /// Who.
        applicant: Box<EdgeApplicant>,
        /// What it showed.
        token: TokenId,
    },
    /// A waiting edge may follow.
    ApproveEdge {
        /// Who.
        edge: NodeId,
        /// By the newest authority.
        certificate: Box<NodeCertificate>,
    },
    /// A new certificate for an edge.
    RenewEdge {
        /// Who.
        edge: NodeId,
        /// By the newest authority.
        certificate: Box<NodeCertificate>,
    },
    /// An edge is turned away or cut off. It knew no secret, so none is replaced. Its key may not ask again.
    RemoveEdge {
        /// Who.
        edge: NodeId,
    },
}

/// Who leads, and when. One term can have two leaders, one after the other, so the term alone does not tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Leadership {
    /// Grows with elections.
    pub term: u64,
    /// Who has won.
    pub leader: NodeId,
}

/// A command, when it was proposed, and under which condition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Proposal {
    /// By the clock of who proposes. The state's own time is the latest of these.
    #[serde(with = "crate::millis")]
    pub at: UnixMillis,
    /// Refused when another leader writes it into the log: what a leader decides holds while it leads.
    pub fence: Option<Leadership>,
    /// What is to change.
    pub command: Command,
}

/// Why a proposal did not become a command of the log, or a command could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A newer program has written it.
    #[error("a command of version {version}, of which this program knows {VERSION}: run the newer program")]
    NewerVersion {
        /// Of the command.
        version: u8,
    },
    /// Damaged, or a command that a newer program has added.
    #[error("a command that this program does not know: run the newer program, or restore control.db")]
    Unknown,
    /// Longer than [`PROPOSAL_BYTES_MAX`].
    #[error("a command of {len} bytes is too long")]
    TooLong {
        /// Encoded.
        len: usize,
    },
}

impl Proposal {
    /// As it stands in the log: `version(1) || postcard`.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn encode(&self) -> Result<Vec<u8>, CommandError> {
        let encoded = postcard::to_extend(self, vec![VERSION]).map_err(|_| CommandError::Unknown)?;
        match encoded.len() {
            ..=PROPOSAL_BYTES_MAX => Ok(encoded),
            len => Err(CommandError::TooLong { len }),
        }
    }

    /// Reads what [`Proposal::encode`] wrote, and nothing after it.
    ///
    /// # Errors
    /// `NewerVersion`, `Unknown`, `TooLong`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CommandError> {
        match bytes {
            [] => Err(CommandError::Unknown),
            _ if bytes.len() > PROPOSAL_BYTES_MAX => Err(CommandError::TooLong { len: bytes.len() }),
            [VERSION, rest @ ..] => match postcard::take_from_bytes(rest) {
                Ok((proposal, [])) => Ok(proposal),
                _ => Err(CommandError::Unknown),
            },
            [version, ..] => Err(CommandError::NewerVersion { version: *version }),
        }
    }
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Done {
    /// Its position in the log.
    pub index: u64,
    /// `false` when it was so already: a repeat.
    pub changed: bool,
}

/// Why a command changed nothing. All members refuse the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
pub enum Refused {
    /// The cluster has not been founded yet.
    #[error("the cluster has not begun")]
    NotFounded,
    /// It has been founded already.
    #[error("the cluster has begun already")]
    AlreadyFounded,
    /// Another leader, or the same one in a later term, decides now.
    #[error("another leader decides now")]
    OtherLeader,
    /// Nobody has created this token, or it has expired and is forgotten.
    #[error("the join token is not known")]
    UnknownToken,
    /// Its time is over.
    #[error("the join token has expired")]
    TokenExpired,
    /// Another node has joined with it.
    #[error("the join token has been used")]
    TokenUsed,
    /// Longer than a token may live, or over already.
    #[error("a join token cannot expire then")]
    BadExpiry,
    /// There are as many as there may be.
    #[error("there are {max} {what} already")]
    TooMany {
        /// Of what.
        what: String,
        /// The bound.
        max: u64,
    },
    /// No member has this name.
    #[error("node {0} is no member")]
    UnknownNode(NodeId),
    /// It was removed or rejected. With a new key it is another node.
    #[error("node {0} was removed: give it a new key and a new token")]
    Removed(NodeId),
    /// It is a member already.
    #[error("node {0} is a member already")]
    AlreadyMember(NodeId),
    /// Where it stands, this cannot be done.
    #[error("node {0} is {1}")]
    WrongState(NodeId, String),
    /// Nobody would be left to serve.
    #[error("node {0} is the last active one")]
    LastMember(NodeId),
    /// Another node is called so.
    #[error("another node is called {0}")]
    NameTaken(String),
    /// A name, address, key or certificate that cannot be one.
    #[error("not a valid {0}")]
    Invalid(String),
    /// It was made for other members, secrets or another authority than there are now: make it again.
    #[error("the cluster has changed meanwhile")]
    Stale,
    /// The newest authority cannot go, and none while a member has a certificate of it.
    #[error("the authority is in use")]
    AuthorityInUse,
}

/// What came of a proposal.
pub type Outcome = Result<Done, Refused>;

impl Applicant {
    /// The member that it becomes, pending.
    pub(super) fn member(&self) -> Member {
        Member {
            name: self.name.clone(),
            state: crate::MemberState::Pending,
            key: self.key.clone(),
            peer_address: self.peer_address.clone(),
            client_address: self.client_address.clone(),
            version: self.version.clone(),
        }
    }
}
