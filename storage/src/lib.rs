//! The durable plane: accounts, devices, published keys and queued envelopes.
//!
//! [`AccountStore`] and [`QueueStore`] say what a store must do; [`Sqlite`] does it for one node. The behaviour that
//! every implementation must show is one suite of tests, `conformance`.
//!
//! A store holds tags, public keys and ciphertext: no handle, no password, no sender, no address of a client.
#![deny(missing_docs)]

mod accounts;
mod maintenance;
mod queue;
mod sqlite;

#[cfg(test)]
mod conformance;

pub use accounts::{AccountStore, CreateAccountError, NewAccount, PublishKeysError};
pub use maintenance::{CopyError, Maintenance, StoreStats};
pub use queue::{Append, AppendOutcome, Page, PageLimits, QueueBatch, QueueStore, Queued, Seq};
pub use sqlite::{OpenError, Sqlite};

/// Bounds of a store. The defaults are those of `endtoend_protocol::limits`; tests use smaller ones.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Envelopes that may wait for one device.
    pub queue_envelopes_max: u32,
    /// One-time keys of one kind kept for one device.
    pub one_time_keys_max: u32,
}

impl Default for StoreLimits {
    fn default() -> Self {
        use endtoend_protocol::limits;
        Self {
            queue_envelopes_max: limits::QUEUE_ENVELOPES_MAX,
            one_time_keys_max: limits::ONE_TIME_KEYS_STORED_MAX as u32,
        }
    }
}

/// The store did not confirm. What was asked may have happened: every operation here may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again: the database was busy, its disk was full, or the connection to it was lost.
    #[error("store did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row breaks a rule that the store itself keeps: a damaged file, or one changed by hand.
    #[error("store holds a damaged {what}")]
    Damaged {
        /// Which kind of row.
        what: &'static str,
    },
}
