//! What the nodes of a cluster agree upon, and how they talk.
//!
//! It knows no actor, no store and no client: the gateway puts it to use.
#![deny(missing_docs)]

mod calls;
pub mod claims;
mod clock;
mod id;
pub mod link;
mod member;
mod millis;
pub mod redis;
mod view;

pub use calls::{AnswerError, Answers, CALL_BYTES_MAX, CallError, Calls, InMemory};
pub use id::{BadNodeId, ClusterId, NodeId};
pub use member::{Member, MemberState};
pub use view::{AuthorityCertificate, ClusterView, KeyHash, NodeCertificate};
