//! The control plane: what the nodes of a cluster agree upon, and how.
//!
//! Rules: [`ClusterState`] (what commands do), `campaign` (when a node asks for votes), `plan` (what a leader does next),
//! `recent` (what is not written twice).
//! [`Control`] carries them out around openraft, whose storage is `store` and whose way to other nodes is `network`.

mod campaign;
mod command;
mod network;
mod node;
mod plan;
mod raft;
mod recent;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod timings;
mod wire;

pub use command::{
    Admission, Applicant, Command, CommandError, Done, EdgeApplicant, Founding, Leadership, Outcome,
    PROPOSAL_BYTES_MAX, Proposal, Refused, Rekeying, Sealed, Settings, TokenId,
};
pub use node::{
    Beginning, CHORES_EVERY, Chores, Clock, Control, ControlError, ControlMetrics, Found, Role, Rotate, SecretsWatch,
    Setup, StartError,
};
pub use plan::VOTERS_MAX;
pub use state::{
    ADDRESS_BYTES_MAX, AUTHORITIES_MAX, BLOB_BYTES_MAX, BadState, Broken, CERTIFICATE_BYTES_MAX, ClusterState,
    EDGES_MAX, Entry, Gone, MEMBERS_MAX, PENDING_LIFE, PENDING_MAX, REMOVED_MAX, TOKEN_KEPT, TOKEN_LIFE_MAX,
    TOKENS_MAX, Token,
};
pub use store::OpenError;
pub use timings::{BadTimings, Timings};
