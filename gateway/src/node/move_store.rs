//! From a SQLite file to a PostgreSQL database, and back: the copy, and what the data directory remembers of it.
//!
//! The copy is committed first. What stops after that leaves two complete stores, and no node starts before the operator has
//! said which of them counts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use endtoend_storage::{
    AuditKey, AuditStore, AuditVerdict, ConnectionUrl, Maintenance as _, Postgres, PostgresOpenError, Sqlite,
    StoreError, StoreLimits, TransferError, TransferProgress, Transferred, verify_audit,
};

use super::data_dir::{DATABASE, DataDir, DataDirError, ELSEWHERE};
use super::store::postgres_options;
use crate::clock;
use crate::config::StorageConfig;

/// A file that is being written. One that a killed copy left is written anew.
const UNFINISHED_COPY: &str = "endtoend.db.copying";

/// A store that is now in the other kind of database.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) tables: Vec<Transferred>,
    /// How its audit was found there; `None` without its key.
    pub(crate) audit: Option<AuditVerdict>,
    /// The database, without a password.
    pub(crate) to: String,
    /// Where the old file is now.
    pub(crate) aside: Option<PathBuf>,
}

/// Why a store was not moved. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
    #[error("{} is not there: the node's database is no SQLite file; see `endtoend db status`", .0.display())]
    NoFile(PathBuf),
    #[error(transparent)]
    Sqlite(#[from] endtoend_storage::OpenError),
    #[error(transparent)]
    Postgres(#[from] PostgresOpenError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("the audit cannot be read")]
    Audit(#[from] StoreError),
    #[error("the copy's audit is not the original's: look at the disks, empty the new database, and copy again")]
    OtherAudit,
    #[error("the copy is complete and counts, but {} could not be changed to say so: {what}", data.display())]
    Unfinished { data: PathBuf, what: &'static str, source: io::Error },
}

/// Copies the store of a stopped node into the other kind of database, and has the directory remember it. `report` hears of
/// progress and of about how many bytes there are in all.
///
/// # Errors
/// See [`MoveError`]. But for `Unfinished` and `OtherAudit`, everything is as it was.
pub(crate) async fn move_store(
    data: &DataDir,
    storage: &StorageConfig,
    url: ConnectionUrl,
    to_postgres: bool,
    report: &mut (impl FnMut(TransferProgress, u64) + Send),
) -> Result<Moved, MoveError> {
    let options = postgres_options(url, storage);
    let audit_key = data.audit_key()?;
    let file = data.database();
    if to_postgres {
        if !file.exists() {
            return Err(MoveError::NoFile(file));
        }
        let from = Sqlite::open(&file, StoreLimits::default()).await?;
        let to = Postgres::open(&options).await?;
        let moved = into_postgres(&from, &to, audit_key.as_ref(), report).await;
        from.close().await;
        to.close().await;
        let (tables, audit) = moved?;
        let place = options.url.to_string();
        let aside = data.mark_elsewhere(&place).and_then(|()| put_aside(data.path()));
        let aside = aside.map_err(|source| MoveError::Unfinished {
            data: data.path().to_owned(),
            what: "move endtoend.db away, and start the node with the new database",
            source,
        })?;
        return Ok(Moved { tables, audit, to: place, aside: Some(aside) });
    }
    if file.exists() {
        return Err(TransferError::FileThere(file).into());
    }
    let from = Postgres::open(&options).await?;
    let moved = into_file(data, &from, audit_key.as_ref(), report).await;
    from.close().await;
    let (tables, audit) = moved?;
    Ok(Moved { tables, audit, to: file.display().to_string(), aside: None })
}

type Copied = (Vec<Transferred>, Option<AuditVerdict>);

async fn into_postgres(
    from: &Sqlite,
    to: &Postgres,
    key: Option<&AuditKey>,
    report: &mut (impl FnMut(TransferProgress, u64) + Send),
) -> Result<Copied, MoveError> {
    let before = verdict(from, key).await?;
    let bytes_total = from.stats().await?.bytes.saturating_mul(2);
    let tables = from.transfer_to(to, &mut |progress| report(progress, bytes_total)).await?;
    same(before, verdict(to, key).await?).map(|audit| (tables, audit))
}

async fn into_file(
    data: &DataDir,
    from: &Postgres,
    key: Option<&AuditKey>,
    report: &mut (impl FnMut(TransferProgress, u64) + Send),
) -> Result<Copied, MoveError> {
    let copy = data.path().join(UNFINISHED_COPY);
    for ending in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(with_ending(&copy, ending));
    }
    let before = verdict(from, key).await?;
    let bytes_total = from.stats().await?.bytes.saturating_mul(2);
    let tables = from.transfer_to(&copy, &mut |progress| report(progress, bytes_total)).await?;
    let to = Sqlite::open(&copy, StoreLimits::default()).await?;
    let after = verdict(&to, key).await;
    to.close().await;
    let audit = same(before, after?)?;
    let renamed = fs::rename(&copy, data.database())
        .and_then(|()| fs::remove_file(data.path().join(ELSEWHERE)))
        .and_then(|()| sync(data.path()));
    renamed.map_err(|source| MoveError::Unfinished {
        data: data.path().to_owned(),
        what: "rename endtoend.db.copying to endtoend.db, and move endtoend.postgres away",
        source,
    })?;
    Ok((tables, audit))
}

async fn verdict(store: &dyn AuditStore, key: Option<&AuditKey>) -> Result<Option<AuditVerdict>, StoreError> {
    match key {
        Some(key) => verify_audit(store, key).await.map(Some),
        None => Ok(None),
    }
}

fn same(before: Option<AuditVerdict>, after: Option<AuditVerdict>) -> Result<Option<AuditVerdict>, MoveError> {
    if before == after { Ok(after) } else { Err(MoveError::OtherAudit) }
}

/// Gives the file, and what SQLite may have left beside it, another name.
fn put_aside(data: &Path) -> io::Result<PathBuf> {
    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(clock::now().get()));
    let at = at.to_string().replace([':', '-'], "");
    let (file, aside) = (data.join(DATABASE), data.join(format!("{DATABASE}.copied-{at}")));
    fs::rename(&file, &aside)?;
    for ending in ["-wal", "-shm"] {
        let beside = with_ending(&file, ending);
        if beside.exists() {
            fs::rename(beside, with_ending(&aside, ending))?;
        }
    }
    sync(data)?;
    Ok(aside)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn sync(data: &Path) -> io::Result<()> {
    File::open(data)?.sync_all()
}
