//! The audit.

use async_trait::async_trait;
use endtoend_protocol::{DeviceId, UnixMillis};
use sqlx::Row as _;

use super::{Connection, Database, Row};
use crate::columns::{array, number, time, to_column};
use crate::{AuditEnds, AuditEntry, AuditKey, AuditQuery, AuditRow, AuditStore, Pseudonym, StoreError};

#[async_trait]
impl AuditStore for Database {
    async fn append_audit(&self, key: &AuditKey, entries: Vec<AuditEntry>) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        // A write to the one row holds whoever else wants to add, until this is committed.
        let (seq, chain): (i64, Vec<u8>) = sqlx::query_as(
            "UPDATE audit_ends SET last_seq = last_seq + $1 WHERE id = 1 RETURNING last_seq - $1, last_chain",
        )
        .bind(i64::try_from(entries.len()).unwrap_or(i64::MAX))
        .fetch_one(&mut *connection)
        .await?;
        let (mut seq, mut chain) = (number::<u64>(seq, "audit")?, array(&chain, "audit")?);
        for entry in &entries {
            seq += 1;
            chain = key.link(&chain, seq, entry);
            insert(connection, seq, entry, chain).await?;
        }
        sqlx::query("UPDATE audit_ends SET last_chain = $1 WHERE id = 1")
            .bind(chain.to_vec())
            .execute(connection)
            .await?;
        transaction.commit().await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let event = query.event.clone().unwrap_or_default();
        let rows = sqlx::query(
            "SELECT * FROM audit
             WHERE seq > $1 AND at >= $2 AND ($3 IS NULL OR account = $3) AND substr(event, 1, $4) = $5
             ORDER BY seq LIMIT $6",
        )
        .bind(i64::try_from(query.after).unwrap_or(i64::MAX))
        .bind(to_column(query.since))
        .bind(query.account.map(|name| name.0.to_vec()))
        .bind(i32::try_from(event.chars().count()).unwrap_or(i32::MAX))
        .bind(event)
        .bind(i64::from(query.max))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(audit_row).collect()
    }

    async fn audit_ends(&self) -> Result<AuditEnds, StoreError> {
        let (last_seq, last_chain, first_seq, first_chain): (i64, Vec<u8>, i64, Vec<u8>) =
            sqlx::query_as("SELECT last_seq, last_chain, first_seq, first_chain FROM audit_ends WHERE id = 1")
                .fetch_one(&self.readers)
                .await?;
        Ok(AuditEnds {
            before_first: (number(first_seq, "audit")?, array(&first_chain, "audit")?),
            last: (number(last_seq, "audit")?, array(&last_chain, "audit")?),
        })
    }

    async fn prune_audit(&self, before: UnixMillis, max: u32) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.connection();
        // As above: of two who prune, the second sees what the first has left.
        sqlx::query("UPDATE audit_ends SET first_seq = first_seq WHERE id = 1").execute(&mut *connection).await?;
        // The oldest without a gap: clocks may go back, the chain does not.
        let last: Option<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT seq, chain FROM (SELECT seq, at, chain FROM audit ORDER BY seq LIMIT $2) AS oldest
             WHERE seq < coalesce((SELECT min(seq) FROM audit WHERE at >= $1), 9223372036854775807)
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(to_column(before))
        .bind(i64::from(max))
        .fetch_optional(&mut *connection)
        .await?;
        let Some((seq, chain)) = last else {
            transaction.roll_back().await?;
            return Ok(0);
        };
        sqlx::query("UPDATE audit_ends SET first_seq = $1, first_chain = $2 WHERE id = 1")
            .bind(seq)
            .bind(chain)
            .execute(&mut *connection)
            .await?;
        let pruned = sqlx::query("DELETE FROM audit WHERE seq <= $1").bind(seq).execute(connection).await?;
        transaction.commit().await?;
        Ok(pruned.rows_affected())
    }
}

async fn insert(connection: &mut Connection, seq: u64, entry: &AuditEntry, chain: [u8; 32]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit (seq, at, account, device, event, outcome, signals, chain)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(i64::try_from(seq).map_err(|_| StoreError::Damaged { what: "audit" })?)
    .bind(to_column(entry.at))
    .bind(entry.account.map(|name| name.0.to_vec()))
    .bind(entry.device.map(|device| i64::from(device.get())))
    .bind(entry.event.clone())
    .bind(entry.outcome.clone())
    .bind(entry.signals.clone())
    .bind(chain.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

fn audit_row(row: &Row) -> Result<AuditRow, StoreError> {
    let (account, device): (Option<Vec<u8>>, Option<i64>) = (row.try_get("account")?, row.try_get("device")?);
    let device = device
        .map(|column| {
            let number = number(column, "device number")?;
            DeviceId::new(number).map_err(|_| StoreError::Damaged { what: "device number" })
        })
        .transpose()?;
    Ok(AuditRow {
        seq: number(row.try_get("seq")?, "audit")?,
        entry: AuditEntry {
            at: time(row.try_get("at")?)?,
            account: account.map(|name| array(&name, "audit").map(Pseudonym)).transpose()?,
            device,
            event: row.try_get("event")?,
            outcome: row.try_get("outcome")?,
            signals: row.try_get("signals")?,
        },
        chain: array(&row.try_get::<Vec<u8>, _>("chain")?, "audit")?,
    })
}
