//! `control.db`: a node's vote, log and snapshot, in one SQLite file.
//!
//! SQLite rather than files of our own: a commit is atomic and synced whatever dies in between, the program has it
//! already, and the control plane writes some bytes an hour. Each record has a check of its own besides, because SQLite
//! notices a damaged page and not a changed value.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::record::{self, BadRecord, Logged, SnapshotHead};
use crate::NodeId;
use crate::control::raft::{Entry, LogId};
#[cfg(test)]
use crate::control::tests::seeded::chance;

/// "E2C1", in the file's header.
const APPLICATION_ID: i32 = 0x4532_4331;
/// Of the tables below.
const SCHEMA: i64 = 1;
/// How long opening waits for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Names of records in `fact`.
pub(super) const VOTE: &str = "vote";
pub(super) const COMMITTED: &str = "committed";
pub(super) const PURGED: &str = "purged";
pub(super) const ADMITTED: &str = "admitted";
const NODE: &str = "node";

/// Why the control plane's file was not opened. What it holds was left as it was found.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be written.
    #[error("{} cannot be created or written: give it and its folder to the user that runs the node", path.display())]
    NotWritable {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Garbage, cut off, or changed by something else than this program.
    #[error(
        "{} is damaged ({found}); nothing was changed. Remove this node from the cluster, move the file away with its -wal, \
         and let the node join again with a new key and token",
        path.display()
    )]
    Damaged {
        /// The file asked for.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// A newer program has written it.
    #[error("{} has schema {found}, this program knows {SCHEMA}: run the newer program again", path.display())]
    Newer {
        /// The file asked for.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// Somebody else has it open.
    #[error("{} is in use by another program: stop it and start again", path.display())]
    Locked {
        /// The file asked for.
        path: PathBuf,
    },
    /// It was written by a node with another key.
    #[error("{} belongs to node {found}, and this node's key names {node}: restore the key, or move the file away", path.display())]
    OtherNode {
        /// The file asked for.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who has asked.
        node: NodeId,
    },
    /// Anything else: a full or failing disk, above all.
    #[error("{} was not opened: check the disk's free space and the system's log, then start again", path.display())]
    Other {
        /// The file asked for.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
}

/// Why a record was not read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("control.db cannot be read or written")]
    Sql(#[from] sqlx::Error),
    #[error("control.db is damaged")]
    Record(#[from] BadRecord),
    #[error("control.db is closed")]
    Closed,
}

/// The open file. One connection: raft writes one thing after another.
pub(in crate::control) struct ControlFile {
    connection: Mutex<Option<SqliteConnection>>,
    /// Of all entries in the log.
    log_bytes: AtomicU64,
}

impl ControlFile {
    /// Opens the file of `node`, and creates it when it is not there. All of it is checked first; it is small.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub(in crate::control) async fn open(path: &Path, node: NodeId) -> Result<Self, OpenError> {
        on_disk(Self::open_now(path, node)).await
    }

    async fn open_now(path: &Path, node: NodeId) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { path: path.into(), source };
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
            .map_err(not_writable)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            // A second program that opens the file would write a second history.
            .locking_mode(SqliteLockingMode::Exclusive)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("secure_delete", "ON")
            .disable_statement_logging();
        let refused = |source| refusal(path, source);
        let mut connection = options.connect().await.map_err(refused)?;
        let opened = async {
            let bytes = check(&mut connection, path, node).await?;
            // Only now: it changes the file, which may be another program's.
            sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await.map_err(refused)?;
            Ok(bytes)
        };
        let log_bytes = match opened.await {
            Ok(bytes) => AtomicU64::new(bytes),
            Err(error) => {
                // The lock goes with the connection, and the caller may want to open it again at once.
                let _ = connection.close().await;
                return Err(error);
            }
        };
        Ok(Self { connection: Mutex::new(Some(connection)), log_bytes })
    }

    async fn lock(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, FileError> {
        MutexGuard::try_map(self.connection.lock().await, Option::as_mut).map_err(|_| FileError::Closed)
    }

    /// Bytes of all entries in the log.
    pub(in crate::control) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FileError> {
        on_disk(async { fact(&mut *self.lock().await?, name).await }).await
    }

    pub(super) async fn write(&self, name: &str, value: &impl Serialize) -> Result<(), FileError> {
        on_disk(async { write(&mut *self.lock().await?, name, value).await }).await
    }

    pub(super) async fn append(&self, entries: Vec<Entry>) -> Result<(), FileError> {
        on_disk(async move {
            let mut connection = self.lock().await?;
            let mut commit = connection.begin().await?;
            let mut bytes = 0;
            for entry in entries {
                let index = signed(entry.log_id.index)?;
                let record = record::encode(&place(index), &Logged::from(&entry))?;
                bytes += record.len() as u64;
                sqlx::query("INSERT INTO log (place, record) VALUES (?, ?)")
                    .bind(index)
                    .bind(record)
                    .execute(&mut *commit)
                    .await?;
            }
            commit.commit().await?;
            self.log_bytes.fetch_add(bytes, Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    /// Entries from `start`, up to `end` and not including it, while they have `bytes_max` together; the first in any case.
    pub(super) async fn entries(&self, start: u64, end: u64, bytes_max: u64) -> Result<Vec<Entry>, FileError> {
        on_disk(async move {
            let mut connection = self.lock().await?;
            let (mut entries, mut bytes) = (Vec::new(), 0);
            let (mut next, end) = (signed(start)?, signed(end)?);
            // A page at a time: the range may be the whole log.
            while next < end {
                let page: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                    "SELECT place, record FROM log WHERE place >= ? AND place < ? ORDER BY place LIMIT 64",
                )
                .bind(next)
                .bind(end)
                .fetch_all(&mut *connection)
                .await?;
                let Some((last, _)) = page.last() else { break };
                next = last + 1;
                for (index, record) in page {
                    bytes += record.len() as u64;
                    if bytes > bytes_max && !entries.is_empty() {
                        return Ok(entries);
                    }
                    entries.push(record::decode::<Logged>(&place(index), &record)?.into());
                }
            }
            Ok(entries)
        })
        .await
    }

    pub(super) async fn last(&self) -> Result<Option<LogId>, FileError> {
        on_disk(async move {
            let mut connection = self.lock().await?;
            let row: Option<(i64, Vec<u8>)> =
                sqlx::query_as("SELECT place, record FROM log ORDER BY place DESC LIMIT 1")
                    .fetch_optional(&mut *connection)
                    .await?;
            row.map(|(index, record)| Ok(Entry::from(record::decode::<Logged>(&place(index), &record)?).log_id))
                .transpose()
        })
        .await
    }

    /// Takes entries from `from` on.
    pub(super) async fn truncate(&self, from: u64) -> Result<(), FileError> {
        on_disk(async move {
            let mut connection = self.lock().await?;
            let mut commit = connection.begin().await?;
            sqlx::query("DELETE FROM log WHERE place >= ?").bind(signed(from)?).execute(&mut *commit).await?;
            let left = log_bytes(&mut commit).await?;
            commit.commit().await?;
            self.log_bytes.store(left, Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    /// Takes entries up to `upto`, and remembers it.
    pub(super) async fn purge(&self, upto: &LogId) -> Result<(), FileError> {
        on_disk(async move {
            let mut connection = self.lock().await?;
            let mut commit = connection.begin().await?;
            write(&mut commit, PURGED, &record::Id::from(upto)).await?;
            sqlx::query("DELETE FROM log WHERE place <= ?").bind(signed(upto.index)?).execute(&mut *commit).await?;
            let left = log_bytes(&mut commit).await?;
            commit.commit().await?;
            self.log_bytes.store(left, Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    pub(super) async fn write_snapshot(&self, head: &SnapshotHead, data: &[u8]) -> Result<(), FileError> {
        on_disk(async move {
            let head = record::encode("snapshot", head)?;
            // The data's check covers the head's, so that one cannot be exchanged without the other.
            let body = record::encode(&snapshot_name(&head), &data)?;
            let mut connection = self.lock().await?;
            sqlx::query("INSERT INTO snapshot (only, head, data) VALUES (1, ?, ?) ON CONFLICT (only) DO UPDATE SET head = excluded.head, data = excluded.data")
                .bind(head)
                .bind(body)
                .execute(&mut *connection)
                .await?;
            Ok(())
        })
        .await
    }

    pub(super) async fn snapshot(&self) -> Result<Option<(SnapshotHead, Vec<u8>)>, FileError> {
        on_disk(async { snapshot(&mut *self.lock().await?).await }).await
    }

    /// Closes the file, so that it can be opened again when this returns.
    pub(in crate::control) async fn close(&self) {
        at_once(async move {
            let connection = self.connection.lock().await.take();
            if let Some(connection) = connection {
                // What was committed is on disk already; what this can say is of no use to anybody.
                let _ = connection.close().await;
            }
        })
        .await;
    }
}

/// What is done to the file. In a seeded world it takes the world's time.
async fn on_disk<T>(operation: impl Future<Output = T>) -> T {
    #[cfg(test)]
    if let Some(time) = chance::disk() {
        tokio::time::sleep(time).await;
    }
    at_once(operation).await
}

/// In a seeded world nothing else happens until it is done: time must not run ahead of the thread that SQLite works on.
async fn at_once<T>(operation: impl Future<Output = T>) -> T {
    #[cfg(test)]
    if chance::is_seeded() {
        return chance::at_once(operation);
    }
    operation.await
}

/// SQLite's integers.
fn signed(index: u64) -> Result<i64, BadRecord> {
    i64::try_from(index).map_err(|_| BadRecord)
}

fn place(index: i64) -> String {
    format!("log {index}")
}

fn snapshot_name(head: &[u8]) -> String {
    format!("snapshot {}", blake3::hash(head))
}

async fn fact<T: DeserializeOwned>(connection: &mut SqliteConnection, name: &str) -> Result<Option<T>, FileError> {
    let row: Option<(Vec<u8>,)> =
        sqlx::query_as("SELECT record FROM fact WHERE name = ?").bind(name).fetch_optional(connection).await?;
    Ok(row.map(|(record,)| record::decode(name, &record)).transpose()?)
}

async fn write(connection: &mut SqliteConnection, name: &str, value: &impl Serialize) -> Result<(), FileError> {
    let record = record::encode(name, value)?;
    sqlx::query(
        "INSERT INTO fact (name, record) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET record = excluded.record",
    )
    .bind(name)
    .bind(record)
    .execute(connection)
    .await?;
    Ok(())
}

async fn log_bytes(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let (bytes,): (i64,) =
        sqlx::query_as("SELECT coalesce(sum(length(record)), 0) FROM log").fetch_one(connection).await?;
    Ok(u64::try_from(bytes).unwrap_or_default())
}

async fn snapshot(connection: &mut SqliteConnection) -> Result<Option<(SnapshotHead, Vec<u8>)>, FileError> {
    let row: Option<(Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT head, data FROM snapshot").fetch_optional(connection).await?;
    let Some((head, body)) = row else { return Ok(None) };
    Ok(Some((record::decode("snapshot", &head)?, record::decode(&snapshot_name(&head), &body)?)))
}

/// Looks at everything before anything is changed, and begins a new file.
async fn check(connection: &mut SqliteConnection, path: &Path, node: NodeId) -> Result<u64, OpenError> {
    let sql = |source| refusal(path, source);
    let damaged = |found: &str| OpenError::Damaged { path: path.into(), found: found.to_owned() };
    let (application,): (i64,) =
        sqlx::query_as("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(sql)?;
    let (schema,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(sql)?;
    let (tables,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await.map_err(sql)?;
    if (application, schema, tables) == (0, 0, 0) {
        begin(connection, node).await.map_err(|error| told(path, error))?;
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(damaged("it is another program's"));
    }
    if schema != SCHEMA {
        return Err(OpenError::Newer { path: path.into(), found: schema });
    }
    let (verdict,): (String,) =
        sqlx::query_as("PRAGMA integrity_check(1)").fetch_one(&mut *connection).await.map_err(sql)?;
    if verdict != "ok" {
        return Err(damaged(&verdict));
    }
    let found: Option<u64> = fact(connection, NODE).await.map_err(|error| told(path, error))?;
    match found.map(NodeId::new) {
        None => Err(damaged("it names no node")),
        Some(found) if found != node => Err(OpenError::OtherNode { path: path.into(), found, node }),
        Some(_) => consistent(connection).await.map_err(|error| told(path, error))?.map_err(damaged),
    }
}

/// Makes the tables of a new file, all in one commit.
async fn begin(connection: &mut SqliteConnection, node: NodeId) -> Result<(), FileError> {
    let mut commit = connection.begin().await?;
    for statement in [
        "CREATE TABLE fact (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE log (place INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT",
        "CREATE TABLE snapshot (only INTEGER PRIMARY KEY CHECK (only = 1), head BLOB NOT NULL, data BLOB NOT NULL) STRICT",
        "PRAGMA application_id = 1160921905",
        "PRAGMA user_version = 1",
    ] {
        sqlx::query(statement).execute(&mut *commit).await?;
    }
    write(&mut commit, NODE, &node.get()).await?;
    commit.commit().await?;
    Ok(())
}

/// Whether vote, log and snapshot fit together: the size of the log, or what is wrong.
async fn consistent(connection: &mut SqliteConnection) -> Result<Result<u64, &'static str>, FileError> {
    fact::<record::Ballot>(connection, VOTE).await?;
    let purged: Option<LogId> = fact::<record::Id>(connection, PURGED).await?.map(LogId::from);
    let committed: Option<LogId> = fact::<record::Id>(connection, COMMITTED).await?.map(LogId::from);
    let kept: Option<LogId> = snapshot(connection).await?.and_then(|(head, _)| head.last).map(LogId::from);
    if purged > kept {
        return Ok(Err("what was purged from the log is in no snapshot"));
    }
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT place, record FROM log ORDER BY place").fetch_all(&mut *connection).await?;
    let (mut next, mut last, mut bytes) = (purged.map_or(0, |id| id.index + 1), purged, 0);
    for (index, record) in rows {
        let id = Entry::from(record::decode::<Logged>(&place(index), &record)?).log_id;
        if signed(next)? != index || id.index != next || last.is_some_and(|last| last.leader_id > id.leader_id) {
            return Ok(Err("the log has a gap"));
        }
        (next, last, bytes) = (next + 1, Some(id), bytes + record.len() as u64);
    }
    if committed.map(|id| id.index) > last.max(kept).map(|id| id.index) {
        return Ok(Err("the log ends before what was agreed upon"));
    }
    Ok(Ok(bytes))
}

fn told(path: &Path, error: FileError) -> OpenError {
    match error {
        FileError::Sql(source) => refusal(path, source),
        FileError::Record(_) | FileError::Closed => OpenError::Damaged { path: path.into(), found: error.to_string() },
    }
}

/// What SQLite says of a file, by its result code (<https://sqlite.org/rescode.html>).
pub(super) fn refusal(path: &Path, source: sqlx::Error) -> OpenError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const CORRUPT: i32 = 11;
    const NOTADB: i32 = 26;
    let code = source.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i32>().ok());
    match (code.map(|code| code & 0xff), &source) {
        (Some(BUSY | LOCKED), _) => OpenError::Locked { path: path.into() },
        (Some(CORRUPT | NOTADB), _) => OpenError::Damaged { path: path.into(), found: source.to_string() },
        // A column or table is not what it was made as.
        (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
            OpenError::Damaged { path: path.into(), found: source.to_string() }
        }
        _ => OpenError::Other { path: path.into(), source },
    }
}
