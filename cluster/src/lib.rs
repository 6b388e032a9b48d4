//! What the nodes of a cluster agree upon, and how they talk.
//!
//! It knows no actor, no store and no client: the gateway puts it to use.
#![deny(missing_docs)]

mod authority;
mod calls;
pub mod claims;
mod clock;
pub mod control;
pub mod edge;
mod id;
pub mod join;
mod keys;
pub mod link;
mod member;
mod millis;
pub mod peers;
pub mod redis;
mod rejoin;
mod secrets;
mod token;
mod view;

pub use authority::{Authority, AuthorityError, CERTIFICATE_LIFE, is_due, node_name};
pub use calls::{AnswerError, Answers, CALL_BYTES_MAX, CallError, Calls, InMemory};
pub use id::{BadNodeId, ClusterId, NodeId};
pub use keys::{BadKeys, BadSignature, NodeKeys, verify};
pub use member::{Member, MemberState};
pub use rejoin::{WasRemoved, rejoin, stay_in_touch};
pub use secrets::{
    ClusterKey, LINK_AUTHORITY, SECRET_BYTES_MAX, SECRET_NAME_BYTES_MAX, SECRETS_MAX, Secrets, SecretsError,
};
pub use token::{BadToken, For, JoinToken};
pub use view::{AuthorityCertificate, ClusterView, KeyHash, NodeCertificate};
