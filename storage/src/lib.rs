//! The durable plane: accounts, devices, published keys, tokens, and queued envelopes.
//!
//! The traits say what a store must do. [`Sqlite`] does it for one node, [`Postgres`] for one or several. The behaviour
//! that every implementation must show is one suite of tests, `conformance`.
//!
//! Statements that any SQL database can run are in `statements/`, which an implementation includes with its own types.
//! Opening, locking and the queue are its own. `transfer/` copies a whole store from one kind of database to the other.
//!
//! A store holds tags, public keys, hashes and ciphertext: no handle, no password, no sender, no address of a client.
#![deny(missing_docs)]
#![expect(clippy::duplicate_mod, reason = "`statements/` is compiled once for each database")]

mod accounts;
mod audit;
mod batch;
mod blobs;
mod columns;
mod devices;
mod failure;
mod invites;
mod keys;
mod links;
mod maintenance;
mod postgres;
mod queue;
mod relations;
mod sqlite;
mod tokens;
mod transfer;

#[cfg(test)]
mod conformance;

pub use accounts::{AccountStore, AccountSummary, CreateAccountError, NewAccount};
pub use audit::{
    AuditEnds, AuditEntry, AuditKey, AuditQuery, AuditRow, AuditStore, AuditVerdict, Pseudonym, verify_audit,
};
pub use blobs::{Blob, BlobSecretHash, BlobStore, BudgetHash, OpenBlob, Spend};
pub use devices::{AddDevice, AddDeviceError, DeviceRecord, DeviceStore, ListedDevice};
pub use invites::{Invite, InviteHash, InviteStore};
pub use keys::{KeyStore, PublishKeysError};
pub use links::{LinkAnswer, LinkId, LinkStore};
pub use maintenance::{CopyError, Maintenance, StoreStats};
pub use postgres::{ConnectionUrl, InvalidUrl, OpenError as PostgresOpenError, Postgres, PostgresOptions};
pub use queue::{Append, AppendOutcome, Newer, Page, PageLimits, QueueBatch, QueueStore, Queued, Seq, Tray};
pub use relations::{PeerHash, Relation, RelationStore, Standing};
pub use sqlite::{OpenError, Sqlite};
pub use tokens::{Family, FamilyId, TokenStore};
pub use transfer::{TransferError, TransferProgress, TransferReport, Transferred};

/// Everything that a store must do.
pub trait Store:
    AccountStore
    + AuditStore
    + BlobStore
    + DeviceStore
    + InviteStore
    + KeyStore
    + LinkStore
    + QueueStore
    + RelationStore
    + TokenStore
{
}

impl<T> Store for T where
    T: AccountStore
        + AuditStore
        + BlobStore
        + DeviceStore
        + InviteStore
        + KeyStore
        + LinkStore
        + QueueStore
        + RelationStore
        + TokenStore
{
}

/// Bounds of a store. The defaults are those of `endtoend_protocol::limits`; tests use smaller ones.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Envelopes that may wait for one device.
    pub queue_envelopes_max: u32,
    /// Of those, envelopes from somebody who is not accepted.
    pub queue_requests_max: u32,
    /// One-time keys of one kind kept for one device.
    pub one_time_keys_max: u32,
    /// Devices of one account.
    pub devices_max: u32,
    /// Relations of one account.
    pub relations_max: u32,
    /// Meetings of devices at one time.
    pub links_max: u32,
}

impl Default for StoreLimits {
    fn default() -> Self {
        use endtoend_protocol::limits;
        Self {
            queue_envelopes_max: limits::QUEUE_ENVELOPES_MAX,
            queue_requests_max: limits::QUEUE_REQUESTS_MAX,
            one_time_keys_max: limits::ONE_TIME_KEYS_STORED_MAX as u32,
            devices_max: limits::DEVICES_MAX as u32,
            relations_max: limits::RELATIONS_MAX,
            links_max: limits::LINKS_MAX,
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
