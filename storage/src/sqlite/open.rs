//! Opening the file: what is found there is looked at first, and changed only when it is ours.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};

use super::{Sqlite, code, result_code};
use crate::StoreLimits;

/// Written into the file's header by the first migration: "E2E1".
pub(super) const APPLICATION_ID: i64 = 0x4532_4531;
pub(super) const MIGRATIONS: [(i64, &str, &str); 4] = [
    (1, "first", include_str!("../../migrations/sqlite/0001_first.sql")),
    (2, "accounts", include_str!("../../migrations/sqlite/0002_accounts.sql")),
    (3, "queue depths", include_str!("../../migrations/sqlite/0003_queue_depths.sql")),
    (4, "blobs", include_str!("../../migrations/sqlite/0004_blobs.sql")),
];

/// How long a connection waits for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for its connection. Twice the lock, so a lock is reported as one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Reads are short: more of them at once only wait for the same disk.
const READERS: u32 = 4;
/// Of a new file: three short messages to a page, where the default of 4096 has room for one and leaves half of it empty.
const PAGE_BYTES: u32 = 8192;
/// Source: <https://sqlite.org/fileformat2.html>, section 1.3.2.
const PAGE_BYTES_MIN: u64 = 512;

/// Why a store was not opened. What the file holds was left as it was found.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be written.
    #[error(
        "{} cannot be created or written: create its folder, give both to the user that runs the node, or name another place",
        path.display()
    )]
    NotWritable {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Garbage, truncated, damaged, or another program's.
    #[error(
        "{} is not an intact store ({found}); nothing was changed: restore it from a backup, or move it away together \
         with its -wal and -shm files to begin an empty one",
        path.display()
    )]
    NotADatabase {
        /// The file asked for.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// A newer program has migrated the file.
    #[error(
        "{} has schema {version}, this program knows {known}: run the newer program again, or restore a backup from before it",
        path.display()
    )]
    NewerSchema {
        /// The file asked for.
        path: PathBuf,
        /// Its schema.
        version: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Somebody else is writing.
    #[error("{} is locked by another program: stop it (a second node, a backup, an sqlite3 shell) and start again", path.display())]
    Locked {
        /// The file asked for.
        path: PathBuf,
    },
    /// Anything else: a full or failing disk, above all.
    #[error("{} was not opened ({source}): check the disk's free space and the system's log, then start again", path.display())]
    Other {
        /// The file asked for.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Sqlite {
    /// Opens the store in the file `path`, creating and migrating it as needed. The whole file is checked first, which
    /// takes as long as reading it once.
    ///
    /// Only the user that runs the node may read the file: its mode is set to 0600.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open(path: &Path, limits: StoreLimits) -> Result<Self, OpenError> {
        let created = prepare_file(path)?;
        let opened = Self::open_file(path, limits, true).await;
        if created && opened.is_err() {
            discard_empty(path);
        }
        opened
    }

    /// Opens a store that is there without migrating it: for what must work with the file as another version left it.
    /// Reads of tables that its schema lacks fail.
    ///
    /// # Errors
    /// See [`OpenError`], `NewerSchema` excepted.
    pub async fn open_as_found(path: &Path, limits: StoreLimits) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::NotADatabase { path: path.into(), found: "there is no such file".into() });
        }
        Self::open_file(path, limits, false).await
    }

    async fn open_file(path: &Path, limits: StoreLimits, migrated: bool) -> Result<Self, OpenError> {
        // Nothing here reads the file, so a bad one is found by `inspect`, which waits for its connection to close.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .page_size(PAGE_BYTES)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();

        let refused = |refusal: Refusal| refusal.at(path);
        inspect(&options, path).await.map_err(refused)?;
        keep_private(path).map_err(|error| OpenError::NotWritable { path: path.into(), source: error.into() })?;
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("secure_delete", "FAST");
        if migrated {
            migrate(&options).await.map_err(refused)?;
        }
        let writer = pool(1).connect_with(options.clone()).await.map_err(|error| refused(error.into()))?;
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self { writer, readers, limits })
    }
}

fn pool(connections: u32) -> sqlx::pool::PoolOptions<sqlx::Sqlite> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// Sees to it that there is a file; says whether it made it. Opens no file that is there: closing it again would drop
/// the locks that SQLite holds on it in this process.
fn prepare_file(path: &Path) -> Result<bool, OpenError> {
    let not_writable = |error: io::Error| OpenError::NotWritable { path: path.into(), source: error.into() };
    let damaged = |found: &str| OpenError::NotADatabase { path: path.into(), found: found.into() };
    match std::fs::metadata(path) {
        Ok(file) if !file.is_file() => Err(damaged("not a regular file")),
        // SQLite would take these for new databases.
        Ok(file) if file.len() < PAGE_BYTES_MIN => Err(damaged("an empty file, or the beginning of one")),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // SQLite would delete this log, and with it the newest rows, as soon as it finds no database beside it.
            if log_of(path).exists() {
                return Err(damaged("the file is gone, its write-ahead log is there"));
            }
            create_private(path).map_err(not_writable)?;
            Ok(true)
        }
        Err(error) => Err(not_writable(error)),
    }
}

/// Takes back a file that this start made and could not fill, on a full disk for one: the next start would take it for
/// a truncated store. Nobody else uses it, since an empty file is refused. If it stays, that refusal says what to do.
fn discard_empty(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        let _ = std::fs::remove_file(path);
    }
}

/// The write-ahead log of the file.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// SQLite gives the log the mode of the file.
#[cfg(unix)]
fn keep_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(path)?.permissions().mode() & 0o777 {
        0o600 => Ok(()),
        _ => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)),
    }
}

#[cfg(not(unix))]
fn keep_private(_: &Path) -> io::Result<()> {
    Ok(())
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Looks for damage and for another program's tables. Changes nothing.
pub(super) async fn inspect(options: &SqliteConnectOptions, path: &Path) -> Result<(), Refusal> {
    // A last page cut short is filled with zeros by SQLite. Beside a log that is what a full disk leaves: harmless,
    // because the log has the page. An empty log has nothing.
    let logged = std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0);
    let whole = if logged { None } else { Some(std::fs::metadata(path).map_err(sqlx::Error::Io)?.len()) };
    let mut connection = options.connect().await?;
    let found = inspect_open(&mut connection, whole).await;
    connection.close().await?;
    found
}

/// `whole` is the file's length when it must be whole pages.
async fn inspect_open(connection: &mut SqliteConnection, whole: Option<u64>) -> Result<(), Refusal> {
    let page: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *connection).await?;
    if whole.is_some_and(|length| !length.is_multiple_of(page.unsigned_abs())) {
        return Err(Refusal::Damaged("its last page is cut short".into()));
    }
    let problem: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
    if problem != "ok" {
        return Err(Refusal::Damaged(problem));
    }
    let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    // A first start that was interrupted leaves no more than the migrator's own table.
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await?;
    if id != APPLICATION_ID && tables > 0 {
        return Err(Refusal::Damaged("a database of another program".into()));
    }
    Ok(())
}

/// Brings the schema up to date, and finds out whether the file can be written at all.
async fn migrate(options: &SqliteConnectOptions) -> Result<(), Refusal> {
    let mut connection = options.connect().await?;
    let migrated = migrate_open(&mut connection).await;
    connection.close().await?;
    migrated
}

async fn migrate_open(connection: &mut SqliteConnection) -> Result<(), Refusal> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    sqlx::query("ROLLBACK").execute(&mut *connection).await?;
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    // `run` would do the same, in a future that cannot go from thread to thread.
    Migrator::with_migrations(migrations.into()).run_direct(None, connection, false).await?;
    Ok(())
}

/// An [`OpenError`] that does not know its file yet.
pub(super) enum Refusal {
    Damaged(String),
    Newer(i64),
    Other(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error)
    }
}

impl From<MigrateError> for Refusal {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::Other(error),
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => Self::Newer(version),
            MigrateError::VersionMismatch(version) => {
                Self::Damaged(format!("schema {version} is not the one of that number in this program"))
            }
            other => Self::Other(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}

impl Refusal {
    pub(super) fn at(self, path: &Path) -> OpenError {
        let path = path.to_path_buf();
        match self {
            Self::Damaged(found) => OpenError::NotADatabase { path, found },
            Self::Newer(version) => {
                let known = MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default();
                OpenError::NewerSchema { path, version, known }
            }
            Self::Other(error) => match result_code(&error) {
                Some(code::BUSY | code::LOCKED) => OpenError::Locked { path },
                Some(code::CORRUPT | code::NOT_A_DATABASE) => {
                    OpenError::NotADatabase { path, found: error.to_string() }
                }
                Some(code::PERMISSION | code::READ_ONLY | code::CANNOT_OPEN) => {
                    OpenError::NotWritable { path, source: error.into() }
                }
                _ => OpenError::Other { path, source: error.into() },
            },
        }
    }
}
