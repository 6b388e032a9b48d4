//! The store of one or several nodes in a PostgreSQL database.
//!
//! Every write is one READ COMMITTED transaction, on the server's disk when the call returns. Whatever must not change
//! meanwhile is locked first: an account, or devices in the order of their rows, an account before devices. So writers
//! wait for each other, and never in a circle. A call that fails or is dropped half-way is rolled back whole, because
//! its connection is given up; nothing inside of a transaction is tried a second time.
//!
//! Readers and writers share one pool, which is sqlx's own: its connections and their prepared statements belong to it,
//! and another pool (bb8) would only wrap it. No call holds a connection while it waits for a second one.

mod maintenance;
mod open;
mod owner;
mod queue;
#[cfg(test)]
mod tests;
mod transfer;
mod url;

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
use sqlx::PgPool;
use sqlx::postgres::PgDatabaseError;

pub use open::{OpenError, PostgresOptions};
pub use url::{ConnectionUrl, InvalidUrl};

use crate::{StoreError, StoreLimits};

// What `statements/` is compiled with.
use Postgres as Database;
use devices::device_row;
use sqlx::PgConnection as Connection;
use sqlx::Postgres as Driver;
use sqlx::postgres::PgRow as Row;
use transaction::WriteTransaction;

/// A store in a PostgreSQL database. Clones share the connections.
#[derive(Clone)]
pub struct Postgres {
    /// Readers and writers.
    readers: PgPool,
    limits: StoreLimits,
    place: String,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Postgres({})", self.place)
    }
}

impl Postgres {
    /// Waits for running calls and closes the connections. Later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
    }

    async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        WriteTransaction::begin(self.readers.acquire().await?, "BEGIN").await
    }
}

/// What the server reports of tables and indexes that are not whole. Source:
/// <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
pub(crate) fn is_damage(error: &PgDatabaseError) -> bool {
    matches!(error.code(), "XX001" | "XX002")
}

/// Until the transaction ends nobody else changes the account, its relations, or its list of devices.
async fn lock_account(connection: &mut Connection, tag: AccountTag) -> Result<(), StoreError> {
    sqlx::query("SELECT 1 FROM accounts WHERE tag = $1 FOR UPDATE")
        .bind(tag.as_bytes().to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Until the transaction ends nobody else changes the devices' queues.
async fn lock_devices(connection: &mut Connection, rows: &[i64]) -> Result<(), StoreError> {
    sqlx::query("SELECT 1 FROM devices WHERE id = ANY($1) ORDER BY id FOR UPDATE")
        .bind(rows)
        .execute(connection)
        .await?;
    Ok(())
}

/// Until the transaction ends nobody else begins a meeting: they are counted.
async fn lock_links(connection: &mut Connection) -> Result<(), StoreError> {
    /// "E2E", links. sqlx's migrator takes numbers from 0x3d32ad9e times a checksum, far above.
    const LINKS: i64 = 0x4532_4501;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LINKS).execute(connection).await?;
    Ok(())
}
