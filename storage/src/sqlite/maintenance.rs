//! Numbers and copies of a SQLite file, and a look at one that is not to be changed.

use std::path::Path;

use async_trait::async_trait;
use endtoend_protocol::UnixMillis;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use super::open::{APPLICATION_ID, MIGRATIONS, OpenError, inspect};
use super::{Sqlite, StoreError};
use crate::columns::time;
use crate::maintenance::{CopyError, Maintenance, StoreStats};

#[async_trait]
impl Maintenance for Sqlite {
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let mut connection = self.readers.acquire().await?;
        let schema = schema(&mut connection).await?;
        // One statement: the numbers are of one moment.
        let (accounts, devices, queued, oldest, pages, page): (i64, i64, i64, Option<i64>, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM devices), (SELECT count(*) FROM queue),
                 (SELECT accepted_at FROM queue ORDER BY seq LIMIT 1), page_count, page_size
             FROM pragma_page_count, pragma_page_size",
        )
        .fetch_one(&mut *connection)
        .await?;
        Ok(StoreStats {
            schema,
            accounts: accounts.unsigned_abs(),
            devices: devices.unsigned_abs(),
            queued_envelopes: queued.unsigned_abs(),
            oldest_accepted_at: oldest.map(time).transpose()?,
            bytes: pages.unsigned_abs().saturating_mul(page.unsigned_abs()),
        })
    }

    async fn oldest_accepted_at(&self) -> Result<Option<UnixMillis>, StoreError> {
        let oldest: Option<i64> = sqlx::query_scalar("SELECT accepted_at FROM queue ORDER BY seq LIMIT 1")
            .fetch_optional(&self.readers)
            .await?;
        oldest.map(time).transpose()
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        // Says again what the first migration said, so a page is written, and stays what it was.
        let pragma = format!("PRAGMA application_id = {APPLICATION_ID}");
        sqlx::raw_sql(AssertSqlSafe(pragma)).execute(transaction.connection()).await?;
        transaction.commit().await
    }

    async fn copy_to(&self, to: &Path) -> Result<(), CopyError> {
        let Some(to) = to.to_str() else {
            return Err(CopyError::BadPath);
        };
        // A connection of its own: the readers may not write, and the writer has other things to do.
        let mut connection = self.writer.connect_options().connect().await.map_err(StoreError::from)?;
        let copied = sqlx::query("VACUUM INTO ?1").bind(to).execute(&mut connection).await;
        let closed = connection.close().await;
        copied.map_err(StoreError::from)?;
        closed.map_err(StoreError::from)?;
        Ok(())
    }
}

impl Sqlite {
    /// The newest schema that this program knows.
    pub fn newest_schema() -> i64 {
        MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default()
    }

    /// Checks the whole file, which must be there, and tells its schema, which may be newer than ours. Nothing is changed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn look_at(path: &Path) -> Result<i64, OpenError> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).disable_statement_logging();
        let schema_of = async || {
            inspect(&options, path).await?;
            let mut connection = options.connect().await?;
            let schema = schema(&mut connection).await?;
            connection.close().await?;
            Ok(schema)
        };
        schema_of().await.map_err(|refusal: super::open::Refusal| refusal.at(path))
    }
}

/// Zero when nothing was ever migrated.
async fn schema(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await?;
    if tables == 0 {
        return Ok(0);
    }
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(connection).await?;
    Ok(newest.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreLimits;

    #[tokio::test]
    async fn a_copy_is_an_intact_store_of_the_same_schema() {
        let folder = tempfile::tempdir().unwrap();
        let (original, copy) = (folder.path().join("original.db"), folder.path().join("copy.db"));
        let store = Sqlite::open(&original, StoreLimits::default()).await.unwrap();
        store.copy_to(&copy).await.unwrap();
        assert!(matches!(store.copy_to(&copy).await, Err(CopyError::Store(_))), "a file is not written over");
        let of_original = store.stats().await.unwrap();
        assert_eq!(of_original.schema, Sqlite::newest_schema());
        assert!(of_original.bytes > 0);
        assert_eq!(Sqlite::look_at(&copy).await.unwrap(), of_original.schema);
        let copied = Sqlite::open(&copy, StoreLimits::default()).await.unwrap();
        assert_eq!(copied.stats().await.unwrap().accounts, of_original.accounts);
    }

    #[tokio::test]
    async fn the_envelope_that_has_waited_longest_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("store.db"), StoreLimits::default()).await.unwrap();
        crate::conformance::the_oldest_is_known(&store).await;
        // Bodies and other rows are not read.
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as("EXPLAIN QUERY PLAN SELECT accepted_at FROM queue ORDER BY seq LIMIT 1")
                .fetch_all(&store.readers)
                .await
                .unwrap();
        assert!(plan.iter().all(|(.., step)| !step.contains("TEMP B-TREE")), "{plan:?}");
    }

    #[tokio::test]
    async fn a_look_changes_nothing_and_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Sqlite::look_at(&path).await.unwrap_err();
        assert!(!path.exists());
        let garbage = vec![0x5a; 4096];
        std::fs::write(&path, &garbage).unwrap();
        assert!(matches!(Sqlite::look_at(&path).await, Err(OpenError::NotADatabase { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), garbage);
    }

    #[tokio::test]
    async fn a_store_is_opened_as_it_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Sqlite::open_as_found(&path, StoreLimits::default()).await.unwrap_err();
        assert!(!path.exists());
        Sqlite::open(&path, StoreLimits::default()).await.unwrap().close().await;
        let store = Sqlite::open_as_found(&path, StoreLimits::default()).await.unwrap();
        assert_eq!(store.stats().await.unwrap().schema, Sqlite::newest_schema());
        // A newer program's file: told, not refused.
        sqlx::query("INSERT INTO _sqlx_migrations VALUES (99, 'newer', 0, 1, x'00', 0)")
            .execute(&store.writer)
            .await
            .unwrap();
        assert_eq!(store.stats().await.unwrap().schema, 99);
        store.copy_to(&folder.path().join("copy.db")).await.unwrap();
        store.close().await;
        assert_eq!(Sqlite::look_at(&path).await.unwrap(), 99);
        assert!(matches!(Sqlite::open(&path, StoreLimits::default()).await, Err(OpenError::NewerSchema { .. })));
    }
}
