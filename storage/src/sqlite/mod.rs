//! One node's store in one SQLite file.
//!
//! One connection writes, a few read. Every write is one `BEGIN IMMEDIATE` transaction, on disk (WAL, fsync) when the
//! call returns. A call that fails or is dropped half-way is rolled back whole, because its connection is given up.

mod maintenance;
mod open;
mod queue;
#[cfg(test)]
mod tests;
mod transfer;

#[path = "../statements/accounts.rs"]
mod accounts;
#[path = "../statements/audit.rs"]
mod audit;
#[path = "../statements/blobs.rs"]
mod blobs;
#[path = "../statements/devices.rs"]
mod devices;
#[path = "../statements/invites.rs"]
mod invites;
#[path = "../statements/keys.rs"]
mod keys;
#[path = "../statements/links.rs"]
mod links;
#[path = "../statements/relations.rs"]
mod relations;
#[path = "../statements/tokens.rs"]
mod tokens;
#[path = "../statements/transaction.rs"]
mod transaction;

use endtoend_protocol::AccountTag;
use sqlx::SqlitePool;
use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;

pub use open::OpenError;
use open::log_of;
pub(crate) use transfer::receive_file;

use crate::{StoreError, StoreLimits};

// What `statements/` is compiled with.
use Sqlite as Database;
use devices::device_row;
use sqlx::Sqlite as Driver;
use sqlx::SqliteConnection as Connection;
use sqlx::sqlite::SqliteRow as Row;
use transaction::WriteTransaction;

/// A store in one SQLite file, to be opened by one node at a time. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
    limits: StoreLimits,
}

impl Sqlite {
    /// Waits for running calls and closes the file; its write-ahead log is folded into it. Later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        WriteTransaction::begin(self.writer.acquire().await?, "BEGIN IMMEDIATE").await
    }
}

/// The file is damaged, or none.
pub(crate) fn is_damage(error: &SqliteError) -> bool {
    matches!(primary(error), Some(code::CORRUPT | code::NOT_A_DATABASE))
}

/// Primary result codes of SQLite. Source: <https://sqlite.org/rescode.html>.
mod code {
    pub(super) const PERMISSION: u32 = 3;
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const READ_ONLY: u32 = 8;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const CANNOT_OPEN: u32 = 14;
    pub(super) const NOT_A_DATABASE: u32 = 26;
}

/// The primary result code, when the error comes from SQLite.
fn result_code(error: &sqlx::Error) -> Option<u32> {
    primary(error.as_database_error()?.try_downcast_ref()?)
}

/// The low byte of the extended code.
fn primary(error: &SqliteError) -> Option<u32> {
    let extended: u32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// One writer has the file: nobody else changes the account meanwhile.
async fn lock_account(_: &mut Connection, _: AccountTag) -> Result<(), StoreError> {
    Ok(())
}

/// As above.
async fn lock_devices(_: &mut Connection, _: &[i64]) -> Result<(), StoreError> {
    Ok(())
}

/// As above.
async fn lock_links(_: &mut Connection) -> Result<(), StoreError> {
    Ok(())
}
