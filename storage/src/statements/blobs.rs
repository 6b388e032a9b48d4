//! The index of attachments.

use std::time::Duration;

use async_trait::async_trait;
use endtoend_protocol::{BlobId, UnixMillis};

use super::{Connection, Database};
use crate::columns::{array, number, time, to_column};
use crate::{Blob, BlobSecretHash, BlobStore, OpenBlob, Spend, StoreError};

/// Columns of `blobs`, in the order of the table.
type BlobRow = (Vec<u8>, Vec<u8>, i64, i64, i64);

/// Lengths are bounded far below what a column holds.
fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// In milliseconds, rounded up: a budget gives nothing away.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn blob((id, secret_hash, bytes, have, expires_at): BlobRow) -> Result<Blob, StoreError> {
    const WHAT: &str = "blob";
    Ok(Blob {
        id: BlobId(array(&id, WHAT)?),
        secret_hash: BlobSecretHash(array(&secret_hash, WHAT)?),
        bytes: number(bytes, WHAT)?,
        have: number(have, WHAT)?,
        expires_at: time(expires_at)?,
    })
}

async fn find(connection: &mut Connection, id: BlobId) -> Result<Option<Blob>, StoreError> {
    sqlx::query_as("SELECT id, secret_hash, bytes, have, expires_at FROM blobs WHERE id = $1")
        .bind(id.0.to_vec())
        .fetch_optional(connection)
        .await?
        .map(blob)
        .transpose()
}

/// Spends, and says until when that takes to come back.
async fn spend(connection: &mut Connection, spend: Spend, now: UnixMillis) -> Result<i64, StoreError> {
    let cost = millis(spend.cost);
    let spent_until = sqlx::query_scalar(
        "INSERT INTO budgets (owner, spent_until) VALUES ($1, $2)
         ON CONFLICT (owner) DO UPDATE SET spent_until =
             CASE WHEN budgets.spent_until > $3 THEN budgets.spent_until + $4 ELSE $2 END
         RETURNING spent_until",
    )
    .bind(spend.owner.0.to_vec())
    .bind(to_column(now).saturating_add(cost))
    .bind(to_column(now))
    .bind(cost)
    .fetch_one(connection)
    .await?;
    Ok(spent_until)
}

#[async_trait]
impl BlobStore for Database {
    async fn open_blob(&self, blob: Blob, cost: Spend, now: UnixMillis) -> Result<OpenBlob, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        let added = sqlx::query(
            "INSERT INTO blobs (id, secret_hash, bytes, have, expires_at) VALUES ($1, $2, $3, 0, $4)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(blob.id.0.to_vec())
        .bind(blob.secret_hash.0.to_vec())
        .bind(length(blob.bytes))
        .bind(to_column(blob.expires_at))
        .execute(&mut *connection)
        .await?;
        if added.rows_affected() == 0 {
            let known = find(connection, blob.id).await?;
            transaction.roll_back().await?;
            let same = |known: &Blob| {
                now < known.expires_at && (known.secret_hash, known.bytes) == (blob.secret_hash, blob.bytes)
            };
            return Ok(known.filter(same).map_or(OpenBlob::Taken, OpenBlob::Open));
        }
        let missing = spend(connection, cost, now).await?.saturating_sub(to_column(now));
        let over = missing.saturating_sub(millis(cost.budget));
        if over > 0 {
            transaction.roll_back().await?;
            return Ok(OpenBlob::OverBudget { wait: Duration::from_millis(over.unsigned_abs()) });
        }
        transaction.commit().await?;
        Ok(OpenBlob::Open(Blob { have: 0, ..blob }))
    }

    async fn blob(&self, id: BlobId, now: UnixMillis) -> Result<Option<Blob>, StoreError> {
        let found = find(&mut *self.readers.acquire().await?, id).await?;
        Ok(found.filter(|blob| now < blob.expires_at))
    }

    async fn blob_grew(&self, id: BlobId, from: u64, to: u64) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let grew = sqlx::query("UPDATE blobs SET have = $3 WHERE id = $1 AND have = $2 AND $3 BETWEEN have AND bytes")
            .bind(id.0.to_vec())
            .bind(length(from))
            .bind(length(to))
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(grew.rows_affected() > 0)
    }

    async fn forget_blob(&self, id: BlobId) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let gone = sqlx::query("DELETE FROM blobs WHERE id = $1")
            .bind(id.0.to_vec())
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(gone.rows_affected() > 0)
    }

    async fn expired_blobs(&self, now: UnixMillis, max: u32) -> Result<Vec<Blob>, StoreError> {
        let rows: Vec<BlobRow> = sqlx::query_as(
            "SELECT id, secret_hash, bytes, have, expires_at FROM blobs WHERE expires_at <= $1
             ORDER BY expires_at LIMIT $2",
        )
        .bind(to_column(now))
        .bind(i64::from(max))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(blob).collect()
    }

    async fn forget_full_budgets(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let forgotten = sqlx::query("DELETE FROM budgets WHERE spent_until <= $1")
            .bind(to_column(now))
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(forgotten.rows_affected())
    }
}
