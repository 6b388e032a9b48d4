//! Numbers of a database, and its copy in a SQLite file.

use std::path::Path;

use async_trait::async_trait;
use endtoend_protocol::UnixMillis;

use super::Postgres;
use super::queue::within_deadline;
use crate::StoreError;
use crate::columns::{number, time};
use crate::maintenance::{CopyError, Maintenance, StoreStats};

#[async_trait]
impl Maintenance for Postgres {
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        // One statement: the numbers are of one moment.
        let (schema, accounts, devices, queued, oldest, bytes): (i64, i64, i64, i64, Option<i64>, i64) =
            sqlx::query_as(
                "SELECT (SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success),
                 (SELECT count(*) FROM accounts), (SELECT count(*) FROM devices), (SELECT count(*) FROM queue),
                 (SELECT accepted_at FROM queue ORDER BY seq LIMIT 1), pg_database_size(current_database())",
            )
            .fetch_one(&self.readers)
            .await?;
        Ok(StoreStats {
            schema,
            accounts: number(accounts, "count of accounts")?,
            devices: number(devices, "count of devices")?,
            queued_envelopes: number(queued, "queue depth")?,
            oldest_accepted_at: oldest.map(time).transpose()?,
            bytes: number(bytes, "size")?,
        })
    }

    async fn oldest_accepted_at(&self) -> Result<Option<UnixMillis>, StoreError> {
        within_deadline(async {
            let oldest: Option<i64> = sqlx::query_scalar("SELECT accepted_at FROM queue ORDER BY seq LIMIT 1")
                .fetch_optional(&self.readers)
                .await?;
            oldest.map(time).transpose()
        })
        .await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        within_deadline(async {
            let mut transaction = self.begin().await?;
            // A record in the write-ahead log that nobody reads, so that the commit is one that has to reach the disk.
            sqlx::query("SELECT pg_logical_emit_message(true, 'endtoend.probe', '')")
                .execute(transaction.connection())
                .await?;
            transaction.commit().await
        })
        .await
    }

    async fn copy_to(&self, to: &Path) -> Result<(), CopyError> {
        self.transfer_to(to, &mut |_| {}).await?;
        Ok(())
    }
}
