//! What a node knows of its cluster.

use std::collections::{BTreeMap, BTreeSet};

use endtoend_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::edge::Edge;
use crate::{ClusterId, Member, NodeId};

/// SHA-256 of a DER-encoded `SubjectPublicKeyInfo`: names the key of an authority.
pub type KeyHash = [u8; 32];

/// The certificate of the link authority itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AuthorityCertificate {
    /// X.509.
    pub der: Vec<u8>,
    /// Of its key.
    pub key: KeyHash,
}

/// What a member shows to others on a link.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeCertificate {
    /// X.509, for the member's own key.
    pub der: Vec<u8>,
    /// Of the authority that has issued it.
    pub authority: KeyHash,
    /// From here on it is void.
    #[serde(with = "crate::millis")]
    pub not_after: UnixMillis,
}

/// What this node knows of its cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// Which cluster it is.
    pub cluster: ClusterId,
    /// Position in the replicated log: grows with every change.
    pub index: u64,
    /// Grows with every election.
    pub term: u64,
    /// Who leads, as far as this node knows. A leader that no majority has answered for an election's time is none.
    pub leader: Option<NodeId>,
    /// Everybody who is not removed.
    pub members: BTreeMap<NodeId, Member>,
    /// Those of them who vote.
    pub voters: BTreeSet<NodeId>,
    /// Whose certificates are believed on a link, newest first: two while an authority is being replaced.
    pub authorities: Vec<AuthorityCertificate>,
    /// The newest certificate of each member that has one.
    pub certificates: BTreeMap<NodeId, NodeCertificate>,
    /// Grows when edges have something to change: who serves clients, and where.
    pub edge_generation: u64,
    /// Those that follow the cluster, and those that wait for an operator.
    pub edges: BTreeMap<NodeId, Edge>,
}
