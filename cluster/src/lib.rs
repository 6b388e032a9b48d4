//! What the nodes of a cluster agree upon, and how they talk.
//!
//! It knows no actor, no store and no client: the gateway puts it to use.
#![deny(missing_docs)]

mod id;
mod member;

pub use id::{BadNodeId, NodeId};
pub use member::{ClusterView, Member, MemberState};
