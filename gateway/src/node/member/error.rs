//! Why a node is no member, or no longer.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use endtoend_cluster::claims::ClaimsError;
use endtoend_cluster::control::StartError;
use endtoend_cluster::{BadKeys, NodeId, SecretsError};

use super::joining::JoinError;

/// Why a node is no member of its cluster. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error(
        "{0} is the data directory of a member of a cluster, and [cluster] listen is not set: set it again, or name another \
         directory with --data DIR"
    )]
    NotAlone(PathBuf),
    #[error("--join needs [cluster] listen: the address and port that other nodes connect to")]
    NoListen,
    #[error("cannot listen on {address}: free it, or change [cluster] listen")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot make the keys of this node")]
    Keys(#[from] BadKeys),
    #[error(
        "--join needs a data directory of its own, and {0} has a store or secrets already: name an empty one with --data DIR, \
         or start without --join"
    )]
    NotEmpty(PathBuf),
    #[error(
        "this node is a member of cluster {ours}, and the token is for another one: start without --join, or name another \
         directory with --data DIR"
    )]
    OtherToken { ours: String },
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(
        "the database {place} is that of cluster {cluster}: join it with --join, or name another database in [storage] url"
    )]
    DatabaseTaken { place: String, cluster: String },
    #[error("the database {place} is that of cluster {theirs}, and this node is of {ours}: correct [storage] url")]
    DatabaseOfOther { place: String, theirs: String, ours: String },
    #[error("the database {place} is that of no cluster: name the one that the other nodes use, in [storage] url")]
    DatabaseOfNobody { place: String },
    #[error(
        "the database {place} is that of the nodes of cluster {cluster}, and this node has no [cluster] listen: set it and join \
         them with --join, or name another database"
    )]
    DatabaseOfCluster { place: String, cluster: String },
    #[error("[redis] is that of another cluster: name another one, or another database of it")]
    Redis(#[from] ClaimsError),
    #[error("the control plane does not start")]
    Start(#[from] StartError),
    #[error("the cluster's secrets are not known to this node: see its log")]
    NoSecrets,
    #[error("the secrets of this node do not fit into the cluster's")]
    Secrets(#[from] SecretsError),
    #[error("the cluster's secret {0} makes no sense: this program is older than the one that wrote it")]
    BadSecret(&'static str),
    #[error(
        "node {0} was removed from its cluster and is not let in again: to come back it needs an empty data directory and a new \
         token"
    )]
    Removed(NodeId),
    #[error("the control plane has ended: {0}")]
    Ended(String),
}

impl MemberError {
    /// Whether the cluster does not want this node: starting it again changes nothing.
    pub(crate) const fn is_refusal(&self) -> bool {
        match self {
            Self::Join(error) => error.is_refusal(),
            Self::Removed(_) | Self::OtherToken { .. } => true,
            _ => false,
        }
    }
}
