//! Envelopes that wait for their device.

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::{Address, EnvelopeId, UnixMillis};

use crate::StoreError;

/// Place of an envelope in the store. Grows with every commit; for one device it is the order of acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub i64);

/// Which part of a device's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tray {
    /// From somebody whom the recipient has accepted.
    #[default]
    Contacts,
    /// From a stranger: a small part, so that strangers can fill no queue.
    Requests,
}

/// An envelope to keep.
#[derive(Clone, Debug)]
pub struct Append {
    /// Whose device.
    pub to: Address,
    /// Which part of its queue.
    pub tray: Tray,
    /// A device has each id once: an append of an id that waits is a repeat.
    pub id: EnvelopeId,
    /// Ciphertext.
    pub body: Bytes,
    /// By the node's clock.
    pub accepted_at: UnixMillis,
    /// From here on the store may forget it.
    pub expires_at: UnixMillis,
}

/// What became of an [`Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Committed.
    Stored(Seq),
    /// Was committed before, at this place, and has time and end of a new row from there on, if those are later: it may have
    /// expired already, and whoever repeats it counts on it.
    Repeat(Seq),
    /// The device's queue, or the tray in it, is at its limit.
    Full,
    /// No such device.
    UnknownDevice,
}

/// What one commit writes: deletions first, then appends in their order.
#[derive(Clone, Debug, Default)]
pub struct QueueBatch {
    /// Rows that their devices have. A row that is gone already is fine.
    pub deletes: Vec<(Address, Seq)>,
    /// Rows to add; those of one device keep their order.
    pub appends: Vec<Append>,
}

/// A row of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its place.
    pub seq: Seq,
    /// The sender's name for it.
    pub id: EnvelopeId,
    /// By the node's clock.
    pub accepted_at: UnixMillis,
    /// Ciphertext.
    pub body: Bytes,
}

/// How much one read may return. At least one row is returned when there is one, whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    /// Rows.
    pub rows: u32,
    /// Bytes of bodies.
    pub bytes: usize,
}

/// A piece of one device's queue.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the order of `Seq`.
    pub rows: Vec<Queued>,
    /// There were rows beyond the limits when this was read.
    pub more: bool,
}

/// Rows of one device beyond a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Whose.
    pub to: Address,
    /// The last of them.
    pub last: Seq,
}

/// Queued ciphertext.
#[async_trait]
pub trait QueueStore: Send + Sync {
    /// Writes the batch in one commit and returns once it is on disk (fsync), with one outcome per append, in order.
    /// A `Full` or `UnknownDevice` append does not hinder the others.
    ///
    /// # Errors
    /// Nothing may be assumed about any row; repeating the batch is harmless.
    async fn commit(&self, batch: QueueBatch) -> Result<Vec<AppendOutcome>, StoreError>;

    /// The device's oldest rows after `after` that had not expired at `now`. Sees every commit that returned before.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn load(&self, to: Address, after: Seq, limits: PageLimits, now: UnixMillis) -> Result<Page, StoreError>;

    /// For each device that has rows after the place beside it, expired ones among them, the last of these. In any order. Sees every commit that returned before. Reads the index of so many devices: callers bound them.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn newer(&self, after: &[(Address, Seq)]) -> Result<Vec<Newer>, StoreError>;

    /// Forgets up to `rows_max` rows that expired before `now`; returns how many.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn delete_expired(&self, now: UnixMillis, rows_max: u32) -> Result<u64, StoreError>;
}
