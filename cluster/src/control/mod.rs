//! The control plane: what the nodes of a cluster agree upon, and how.
//!
//! Rules: [`ClusterState`] (what commands do).

mod command;
mod state;
mod timings;

pub use command::{
    Admission, Applicant, Command, CommandError, Done, Founding, Leadership, Outcome, PROPOSAL_BYTES_MAX, Proposal,
    Refused, Rekeying, Sealed, Settings, TokenId,
};
pub use state::{
    ADDRESS_BYTES_MAX, AUTHORITIES_MAX, BLOB_BYTES_MAX, BadState, Broken, CERTIFICATE_BYTES_MAX, ClusterState, Entry,
    Gone, MEMBERS_MAX, PENDING_LIFE, PENDING_MAX, REMOVED_MAX, TOKEN_LIFE_MAX, TOKENS_MAX, Token,
};
pub use timings::{BadTimings, Timings};
