//! A PostgreSQL database as a side of a transfer.

use std::path::Path;

use async_trait::async_trait;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::Postgres;
use super::open::UNHURRIED;
use crate::sqlite::receive_file;
use crate::transfer::{Record, Side, Table, Target, TransferError, TransferReport, Transferred, transfer};
use crate::{Maintenance as _, StoreError};

#[path = "../statements/transfer.rs"]
mod statements;

/// `statements` is compiled with these.
use super::{Connection, Driver, Row};

impl Postgres {
    /// Copies everything, as of one moment, into a new SQLite file. Hinders nobody.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_to(&self, to: &Path, report: TransferReport<'_>) -> Result<Vec<Transferred>, TransferError> {
        let (found, known) = (self.stats().await.map_err(TransferError::Read)?.schema, Self::newest_schema());
        if found != known {
            return Err(TransferError::Schema { found, known });
        }
        let mut connection = self.unhurried().await.map_err(TransferError::Read)?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        sqlx::query(begin).execute(&mut connection).await.map_err(|error| TransferError::Read(error.into()))?;
        let transferred = receive_file(&mut InDatabase(&mut connection), to, report).await;
        // Nothing was written to it.
        let _ = connection.close().await;
        transferred
    }

    /// Takes over everything from the other side, or nothing.
    pub(crate) async fn receive(
        &self,
        from: &mut dyn Side,
        report: TransferReport<'_>,
    ) -> Result<Vec<Transferred>, TransferError> {
        let write = |error: sqlx::Error| TransferError::Write(error.into());
        let mut connection = self.unhurried().await.map_err(TransferError::Write)?;
        sqlx::query("BEGIN").execute(&mut connection).await.map_err(write)?;
        // A node that was started meanwhile waits, or fails with a lock that is held too long.
        let lock = "LOCK TABLE accounts, devices, one_time_pre_keys, queue, queue_depths, families, invites, relations,
                    links, audit, audit_ends IN EXCLUSIVE MODE";
        sqlx::query(lock).execute(&mut connection).await.map_err(write)?;
        let transferred = transfer(from, &mut InDatabase(&mut connection), report).await?;
        sqlx::query("COMMIT").execute(&mut connection).await.map_err(write)?;
        // It is committed: how the connection ends does not matter.
        let _ = connection.close().await;
        // Until now the planner took every table for empty.
        let _ = sqlx::query("ANALYZE").execute(&self.readers).await;
        Ok(transferred)
    }

    /// A connection of its own, without the deadlines of short calls.
    async fn unhurried(&self) -> Result<PgConnection, StoreError> {
        let options = (*self.readers.connect_options()).clone();
        Ok(options.options(UNHURRIED).connect().await?)
    }
}

/// A connection inside of a transaction.
struct InDatabase<'a>(&'a mut PgConnection);

#[async_trait]
impl Side for InDatabase<'_> {
    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<Record>,
        rows: u32,
    ) -> Result<Vec<Record>, StoreError> {
        statements::page(self.0, table, after, rows).await
    }

    async fn last_number(&mut self, table: &'static Table) -> Result<i64, StoreError> {
        let last = sqlx::query_scalar("SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence($1, $2)), 0)")
            .bind(table.name)
            .bind(table.number_name())
            .fetch_one(&mut *self.0)
            .await?;
        Ok(last)
    }
}

#[async_trait]
impl Target for InDatabase<'_> {
    async fn clear(&mut self, table: &'static Table) -> Result<(), StoreError> {
        statements::clear(self.0, table).await
    }

    async fn insert(&mut self, table: &'static Table, rows: Vec<Record>) -> Result<(), StoreError> {
        statements::insert(self.0, table, rows).await
    }

    async fn set_last_number(&mut self, table: &'static Table, last: i64) -> Result<(), StoreError> {
        // Not undone by a rollback: an empty store whose first number is a large one is as good as another.
        sqlx::query("SELECT setval(pg_get_serial_sequence($1, $2), greatest($3, 1), $3 > 0)")
            .bind(table.name)
            .bind(table.number_name())
            .bind(last)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}
