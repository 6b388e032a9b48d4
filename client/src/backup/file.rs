//! Files that are whole or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use endtoend_crypto_core::passphrase::Params;
use endtoend_protocol::UnixMillis;
use zeroize::Zeroizing;

use super::gather::gather;
use super::record::{End, Record};
use super::sealed::SealedWriter;
use crate::database::{Database, DatabaseError};
use crate::files::place;

/// What is in a file that was written.
pub type Summary = End;

/// Why there is no file. What was begun is taken away.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Name another file.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// There is nothing to come back to.
    #[error("this profile has no account yet")]
    NotRegistered,
    /// Wait for it.
    #[error("another backup or export is under way")]
    Busy,
    /// The engine ends, or the profile is locked.
    #[error("it was given up before it was whole")]
    GivenUp,
    /// Argon2id refused, most likely for want of memory.
    #[error("the key could not be derived from the passphrase")]
    Derive,
    /// The file or its folder cannot be written.
    #[error("{} cannot be written", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The profile could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Writes a backup of all that a database has, sealed under a passphrase. It is a snapshot: the database may be written meanwhile.
/// `stop` is asked now and then.
///
/// # Errors
/// See [`BackupError`].
pub fn write(
    database: &mut Database,
    path: &Path,
    passphrase: &[u8],
    params: Params,
    now: UnixMillis,
    stop: &dyn Fn() -> bool,
) -> Result<Summary, BackupError> {
    whole(path, |file, unusable| {
        let sealed = SealedWriter::create(BufWriter::new(file), passphrase, params).map_err(unusable)?;
        let mut sealed = sealed.ok_or(BackupError::Derive)?;
        let summary = database.steady(|store| {
            gather(store, true, now, stop, &mut |record| sealed.write(&line(record)?).map_err(unusable))
        })?;
        let out = sealed.finish().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error));
        Ok((out.map_err(unusable)?, summary))
    })
}

/// Writes the people and what was said, readable by anybody. No key is in it.
///
/// # Errors
/// See [`BackupError`].
pub fn export(
    database: &mut Database,
    path: &Path,
    now: UnixMillis,
    stop: &dyn Fn() -> bool,
) -> Result<Summary, BackupError> {
    whole(path, |file, unusable| {
        let mut out = BufWriter::new(file);
        let summary = database.steady(|store| {
            gather(store, false, now, stop, &mut |record| out.write_all(&line(record)?).map_err(unusable))
        })?;
        let out = out.into_inner().map_err(|error| unusable(error.into_error()))?;
        Ok((out, summary))
    })
}

fn line(record: &Record) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let mut line = Zeroizing::new(Vec::new());
    serde_json::to_writer(&mut *line, record).map_err(|_| DatabaseError::Invalid("record"))?;
    line.push(b'\n');
    Ok(line)
}

/// Where a file is made that is not whole yet.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}

type Unusable<'a> = &'a dyn Fn(io::Error) -> BackupError;

/// Only its owner can read it. It has its name when all of it is on the disk, and no other file is replaced.
fn whole<T>(
    path: &Path,
    fill: impl FnOnce(File, Unusable<'_>) -> Result<(File, T), BackupError>,
) -> Result<T, BackupError> {
    let unusable = |source| BackupError::Unusable { path: path.to_owned(), source };
    if path.exists() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    let temporary = unfinished(path);
    // Left by one that was cut short.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        Ok(()) | Err(_) => {}
    }
    let file = place::begin(&temporary).map_err(unusable)?;
    let filled = fill(file, &unusable).and_then(|(file, summary)| {
        place::put(&file, &temporary, path, false).map_err(|error| match error.kind() {
            // Somebody has taken the name meanwhile.
            io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
            _ => unusable(error),
        })?;
        Ok(summary)
    });
    // It may not be there any more: what matters is told.
    let _removed = fs::remove_file(&temporary);
    filled
}
