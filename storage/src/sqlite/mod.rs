//! One node's store in one SQLite file.
//!
//! One connection writes, a few read. Every write is one `BEGIN IMMEDIATE` transaction, on disk (WAL, fsync) when the
//! call returns. A call that fails or is dropped half-way is rolled back whole, because its connection is given up.

mod maintenance;
mod open;
mod queue;
#[cfg(test)]
mod tests;

#[path = "../statements/accounts.rs"]
mod accounts;
#[path = "../statements/audit.rs"]
mod audit;
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

use endtoend_protocol::{AccountTag, Address};
use sqlx::SqlitePool;
use sqlx::pool::PoolConnection;

pub use open::OpenError;

use crate::{StoreError, StoreLimits};

// What `statements/` is compiled with.
use Sqlite as Database;
use sqlx::SqliteConnection as Connection;
use sqlx::sqlite::SqliteRow as Row;

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
        let mut transaction = WriteTransaction { connection: self.writer.acquire().await?, open: true };
        sqlx::query("BEGIN IMMEDIATE").execute(transaction.connection()).await?;
        Ok(transaction)
    }
}

/// The writer's connection inside a transaction. Dropped without an end, it is closed, and SQLite rolls back: so
/// nothing of a failed or cancelled call is ever found by the next one, whatever state the failure left.
struct WriteTransaction {
    connection: PoolConnection<sqlx::Sqlite>,
    open: bool,
}

impl WriteTransaction {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    async fn roll_back(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement).execute(self.connection()).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if self.open {
            self.connection.close_on_drop();
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged { what: "column" },
            _ => match result_code(&error) {
                Some(code::CORRUPT | code::NOT_A_DATABASE) => Self::Damaged { what: "file" },
                _ => Self::Unavailable(Box::new(error)),
            },
        }
    }
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

/// The primary result code, when the error comes from SQLite: the low byte of the extended one.
fn result_code(error: &sqlx::Error) -> Option<u32> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
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

/// A device's row number.
async fn device_row(connection: &mut Connection, device: Address) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query_scalar("SELECT id FROM devices WHERE tag = $1 AND device = $2")
        .bind(device.account.as_bytes().to_vec())
        .bind(i64::from(device.device.get()))
        .fetch_optional(connection)
        .await?;
    Ok(row)
}
