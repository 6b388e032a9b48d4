//! What an operator asks of a store.

use std::path::Path;

use async_trait::async_trait;
use endtoend_protocol::UnixMillis;

use crate::{StoreError, TransferError};

/// A store in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Number of the newest migration that was applied.
    pub schema: i64,
    /// Accounts.
    pub accounts: u64,
    /// Devices of all accounts.
    pub devices: u64,
    /// Envelopes that wait for a device, expired ones among them until they are forgotten.
    pub queued_envelopes: u64,
    /// When the oldest of them was accepted; `None` when there is none.
    pub oldest_accepted_at: Option<UnixMillis>,
    /// What a copy has at most.
    pub bytes: u64,
}

/// Why there is no copy. What was written of it may be there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// SQLite takes no other.
    #[error("the path of the copy is not UTF-8: name another place")]
    BadPath,
    /// From another database into a file.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// Anything else.
    #[error("cannot copy the database: look at the free space of both disks")]
    Store(#[from] StoreError),
}

/// Numbers and copies, while the store is in use.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Counts. Reads whole indexes: for a person, not for a timer.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// When the envelope was accepted that has waited longest for its device, or has expired and is not forgotten; `None` when none
    /// waits. Reads one row at the beginning of an index, however many there are: it may be asked by a timer.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn oldest_accepted_at(&self) -> Result<Option<UnixMillis>, StoreError>;

    /// Makes a commit like any other, on disk when this returns, which changes nothing: whether the store can be written.
    /// Waits for its turn, and for locks, as any write does.
    ///
    /// # Errors
    /// When the store did not confirm.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Writes the state of one moment to the SQLite file `to`, which must not exist. Hinders no writer. The copy is not fsynced.
    ///
    /// # Errors
    /// See [`CopyError`].
    async fn copy_to(&self, to: &Path) -> Result<(), CopyError>;
}
