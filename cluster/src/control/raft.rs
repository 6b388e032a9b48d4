//! The types that raft works with. What changes with another version of openraft is here, in `store` and in `network`.

use std::fmt;
use std::io::Cursor;

use openraft::impls::EmptyNode;
use serde::{Deserialize, Serialize};

use super::command::{Leadership, Outcome};
use crate::NodeId;

/// An encoded [`Proposal`](super::Proposal). Raft carries it unread, so that a node also keeps what only a newer program
/// understands. `Debug` shows the length.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Encoded(pub(super) Vec<u8>);

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.len())
    }
}

/// What came of a log entry; nothing of one that is no command.
pub(super) type Applied = Option<Outcome>;

openraft::declare_raft_types!(
    /// Of the control plane. Nodes are numbers here, as [`NodeId::get`] gives them; where they are is in the state.
    pub(super) Types:
        D = Encoded,
        R = Applied,
        NodeId = u64,
        Node = EmptyNode,
);

pub(super) type Raft = openraft::Raft<Types>;
pub(super) type Entry = openraft::Entry<Types>;
pub(super) type LogId = openraft::LogId<u64>;
pub(super) type Membership = openraft::Membership<u64, EmptyNode>;
pub(super) type Metrics = openraft::RaftMetrics<u64, EmptyNode>;
pub(super) type StorageError = openraft::StorageError<u64>;
pub(super) type StoredMembership = openraft::StoredMembership<u64, EmptyNode>;
pub(super) type Vote = openraft::Vote<u64>;

/// Who has written a log entry.
pub(super) fn leadership(log_id: &LogId) -> Leadership {
    Leadership { term: log_id.leader_id.term, leader: NodeId::new(log_id.leader_id.node_id) }
}
