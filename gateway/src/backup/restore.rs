//! Restoring a backup.
//!
//! Everything is copied into the data directory under a temporary name and checked there, before anything that was there
//! is touched. Then old files are moved aside and new ones into place; a marker keeps a node from starting in between.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use endtoend_protocol::UnixMillis;
use endtoend_storage::{OpenError, Sqlite};

use super::files::{Temporary, copy, create_private, make_private, sync_dir};
use super::manifest::{Entry, Manifest, ManifestError};
use crate::admin::{Progress, SOCKET};
use crate::node::{DATABASE, DataDir, DataDirError, LOCK, UNFINISHED};

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) data: PathBuf,
    pub(crate) manifest: Manifest,
    /// Where the old content is, if there was any.
    pub(crate) aside: Option<PathBuf>,
}

/// Why nothing was restored. The data directory is as it was, unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(
        "the backup has schema {schema}, this program knows {known}: restore it with the program that made it, or a newer one"
    )]
    NewerSchema { schema: i64, known: i64 },
    #[error("{} is not as the backup's manifest says: it is damaged, use another backup", path.display())]
    Differs { path: PathBuf },
    #[error("the database in the backup has schema {found} and the manifest says {written}: use another backup")]
    SchemaDiffers { found: i64, written: i64 },
    #[error("the database in the backup cannot be used: take another backup")]
    Database(#[from] OpenError),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write to {}: it needs room for the whole backup", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{} is not empty (it has {found:?}): restore into another --data DIR, or move its content aside with --force",
        path.display()
    )]
    NotEmpty { path: PathBuf, found: OsString },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot move files within {}: correct this and run the restore again with --force", path.display())]
    Unfinished { path: PathBuf, source: io::Error },
}

/// Turns the backup in `from` into the data directory `data`. With `force`, what is there is moved aside.
///
/// # Errors
/// See [`RestoreError`].
pub(crate) async fn restore(
    from: &Path,
    data: &Path,
    force: bool,
    now: UnixMillis,
    report: &mut impl FnMut(&Progress),
) -> Result<Restored, RestoreError> {
    let manifest = Manifest::read(from)?;
    let known = Sqlite::newest_schema();
    if manifest.schema > known {
        return Err(RestoreError::NewerSchema { schema: manifest.schema, known });
    }
    let held = DataDir::open_unfinished(data)?;
    let old = content(held.path())?;
    if let Some(found) = old.first()
        && !force
    {
        return Err(RestoreError::NotEmpty { path: data.to_owned(), found: found.clone() });
    }
    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(now.get()));
    let at = at.to_string().replace([':', '-'], "");

    let write = |source| RestoreError::Write { path: data.to_owned(), source };
    let staged = Temporary::make(data.join(format!("restoring-{at}"))).map_err(write)?;
    copy_verified(from, staged.path(), &manifest.files, report)?;
    let found = Sqlite::look_at(&staged.path().join(DATABASE)).await?;
    if found != manifest.schema {
        return Err(RestoreError::SchemaDiffers { found, written: manifest.schema });
    }
    let aside = (!old.is_empty()).then(|| data.join(format!("before-restore-{at}")));
    exchange(data, &old, aside.as_deref(), staged.path(), &manifest.files)
        .map_err(|source| RestoreError::Unfinished { path: data.to_owned(), source })?;
    Ok(Restored { data: data.to_owned(), manifest, aside })
}

/// What lies in the directory, but for what every process that uses it leaves there.
fn content(data: &Path) -> Result<Vec<OsString>, RestoreError> {
    let read = |source| RestoreError::Read { path: data.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(data).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        if name != LOCK && name != SOCKET {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What is checked is what was written, not what is read a second time.
fn copy_verified(
    from: &Path,
    to: &Path,
    entries: &[Entry],
    report: &mut impl FnMut(&Progress),
) -> Result<(), RestoreError> {
    let bytes_total = entries.iter().map(|entry| entry.bytes).sum();
    let mut bytes = 0;
    for entry in entries {
        let path = from.join(&entry.name);
        if let Err(source) = File::open(&path) {
            return Err(match source.kind() {
                io::ErrorKind::NotFound => RestoreError::Differs { path },
                _ => RestoreError::Read { path, source },
            });
        }
        let copied = copy(&path, &to.join(&entry.name), &entry.name, |piece| {
            bytes += piece;
            report(&Progress { what: "copying and checking".to_owned(), bytes, bytes_total });
        });
        let copied = copied.map_err(|source| RestoreError::Write { path: to.to_owned(), source })?;
        if copied != *entry {
            return Err(RestoreError::Differs { path });
        }
    }
    sync_dir(to).map_err(|source| RestoreError::Write { path: to.to_owned(), source })
}

/// Old files out, new ones in, and no start in between.
fn exchange(data: &Path, old: &[OsString], aside: Option<&Path>, staged: &Path, new: &[Entry]) -> io::Result<()> {
    let marker = data.join(UNFINISHED);
    if !marker.exists() {
        create_private(&marker)?.sync_all()?;
    }
    sync_dir(data)?;
    if let Some(aside) = aside {
        make_private(aside)?;
        // The marker of an older attempt stays where it works.
        for name in old.iter().filter(|name| *name != UNFINISHED) {
            fs::rename(data.join(name), aside.join(name))?;
        }
        sync_dir(aside)?;
    }
    for entry in new {
        fs::rename(staged.join(&entry.name), data.join(&entry.name))?;
    }
    sync_dir(data)?;
    fs::remove_file(marker)?;
    sync_dir(data)
}
