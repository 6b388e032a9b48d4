//! A SQLite file as a side of a transfer.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::{Sqlite, log_of};
use crate::transfer::{Record, Side, Table, Target, TransferError, TransferReport, Transferred, transfer};
use crate::{Maintenance as _, Postgres, StoreError, StoreLimits};

#[path = "../statements/transfer.rs"]
mod statements;

/// `statements` is compiled with these.
use super::{Connection, Driver, Row};

impl Sqlite {
    /// Copies everything into an empty PostgreSQL store. Others may read this one meanwhile; what they write comes too late.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_to(
        &self,
        to: &Postgres,
        report: TransferReport<'_>,
    ) -> Result<Vec<Transferred>, TransferError> {
        let (found, known) = (self.stats().await.map_err(TransferError::Read)?.schema, Self::newest_schema());
        if found != known {
            return Err(TransferError::Schema { found, known });
        }
        let mut connection = self.snapshot().await.map_err(TransferError::Read)?;
        let transferred = to.receive(&mut InFile(&mut connection), report).await;
        // Nothing was written to it.
        let _ = connection.close().await;
        transferred
    }

    /// A connection that sees the state of one moment.
    async fn snapshot(&self) -> Result<SqliteConnection, StoreError> {
        // Of its own: the readers are for short calls, the writer has other things to do.
        let mut connection = self.writer.connect_options().connect().await?;
        sqlx::query("BEGIN").execute(&mut connection).await?;
        Ok(connection)
    }
}

/// Makes a store in the file `to` of all that is on the other side, or leaves no file.
pub(crate) async fn receive_file(
    from: &mut dyn Side,
    to: &Path,
    report: TransferReport<'_>,
) -> Result<Vec<Transferred>, TransferError> {
    if to.exists() || log_of(to).exists() {
        return Err(TransferError::FileThere(to.to_owned()));
    }
    let received = fill(from, to, report).await;
    if received.is_err() {
        for path in [to.to_owned(), log_of(to), beside(to, "-shm"), beside(to, "-journal")] {
            // What stays is no store, because nothing in it was committed.
            let _ = std::fs::remove_file(path);
        }
    }
    received
}

async fn fill(from: &mut dyn Side, to: &Path, report: TransferReport<'_>) -> Result<Vec<Transferred>, TransferError> {
    Sqlite::open(to, StoreLimits::default()).await?.close().await;
    // One transaction as large as the file: in a write-ahead log it would be there twice. The next one who opens the file
    // turns that on again.
    let options = SqliteConnectOptions::new()
        .filename(to)
        .create_if_missing(false)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let write = |error: sqlx::Error| TransferError::Write(error.into());
    let mut connection = options.connect().await.map_err(write)?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(write)?;
    let transferred = transfer(from, &mut InFile(&mut connection), report).await?;
    sqlx::query("COMMIT").execute(&mut connection).await.map_err(write)?;
    connection.close().await.map_err(write)?;
    Ok(transferred)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A connection inside of a transaction.
struct InFile<'a>(&'a mut SqliteConnection);

#[async_trait]
impl Side for InFile<'_> {
    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<Record>,
        rows: u32,
    ) -> Result<Vec<Record>, StoreError> {
        statements::page(self.0, table, after, rows).await
    }

    async fn last_number(&mut self, table: &'static Table) -> Result<i64, StoreError> {
        // Of a table whose numbers are given again the largest one counts.
        let sql = sqlx::QueryBuilder::<Driver>::new(format!(
            "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{name}'), 0),
                        coalesce((SELECT max({number}) FROM {name}), 0))",
            name = table.name,
            number = table.number_name(),
        ))
        .into_sql();
        Ok(sqlx::query_scalar(sql).fetch_one(&mut *self.0).await?)
    }
}

#[async_trait]
impl Target for InFile<'_> {
    async fn clear(&mut self, table: &'static Table) -> Result<(), StoreError> {
        statements::clear(self.0, table).await
    }

    async fn insert(&mut self, table: &'static Table, rows: Vec<Record>) -> Result<(), StoreError> {
        statements::insert(self.0, table, rows).await
    }

    async fn set_last_number(&mut self, table: &'static Table, last: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sqlite_sequence WHERE name = $1").bind(table.name).execute(&mut *self.0).await?;
        // Where SQLite keeps no account of the numbers it does not read this.
        sqlx::query("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)")
            .bind(table.name)
            .bind(last)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}
