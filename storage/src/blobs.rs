//! The index of attachments: which blobs there are in the object store, how much of each, and until when.
//!
//! No row says whose a blob is. What somebody may still leave is counted apart, under a keyed hash of the account.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use endtoend_protocol::{BlobId, UnixMillis};

use crate::StoreError;

/// BLAKE3 of the secret with which a blob is written and removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlobSecretHash(pub [u8; 32]);

impl fmt::Debug for BlobSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobSecretHash(..)")
    }
}

/// Keyed hash of an account: under which its budget is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BudgetHash(pub [u8; 32]);

impl fmt::Debug for BudgetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BudgetHash(..)")
    }
}

/// A blob that is there, whole or in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Names it, in the object store too.
    pub id: BlobId,
    /// What its writer shows.
    pub secret_hash: BlobSecretHash,
    /// Its length, which does not change.
    pub bytes: u64,
    /// So many of them are in the object store, from its beginning.
    pub have: u64,
    /// From then on it is not handed out.
    pub expires_at: UnixMillis,
}

/// What beginning a blob costs. A budget is time: what is taken from it comes back as time passes.
#[derive(Clone, Copy, Debug)]
pub struct Spend {
    /// Whose.
    pub owner: BudgetHash,
    /// How long it takes until this blob's part has come back.
    pub cost: Duration,
    /// How much may be missing at one time.
    pub budget: Duration,
}

/// What came of beginning a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenBlob {
    /// It was begun now, or before with the same length and secret: nothing more was spent.
    Open(Blob),
    /// Another one has the name.
    Taken,
    /// It costs more than is left.
    OverBudget {
        /// When it will not; longer than the budget lasts, if it never will.
        wait: Duration,
    },
}

/// Blobs. Every method is atomic and durable when it returns.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Begins a blob of which nothing is there yet, and spends for it; or finds that it was begun.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn open_blob(&self, blob: Blob, spend: Spend, now: UnixMillis) -> Result<OpenBlob, StoreError>;

    /// A blob that has not expired.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn blob(&self, id: BlobId, now: UnixMillis) -> Result<Option<Blob>, StoreError>;

    /// Notes that a blob, of which `from` bytes were there, has `to` of them. `false`: it is gone, somebody else has
    /// written, or it would be longer than it is.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn blob_grew(&self, id: BlobId, from: u64, to: u64) -> Result<bool, StoreError>;

    /// Forgets a blob. `false`: there is none. What is in the object store goes first, so that nothing stays there unknown.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn forget_blob(&self, id: BlobId) -> Result<bool, StoreError>;

    /// At most `max` blobs that have expired, the earliest first.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn expired_blobs(&self, now: UnixMillis, max: u32) -> Result<Vec<Blob>, StoreError>;

    /// Forgets budgets of which nothing is missing any more; returns how many.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn forget_full_budgets(&self, now: UnixMillis) -> Result<u64, StoreError>;
}
