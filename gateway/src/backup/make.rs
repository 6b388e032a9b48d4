//! Making a backup.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use endtoend_protocol::UnixMillis;
use endtoend_storage::{CopyError, Sqlite, StoreError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::files::{Temporary, copy, hash_and_sync, write_new};
use super::manifest::{FORMAT, MANIFEST, Manifest};
use crate::admin::{AdminContext, Progress, Reporter};
use crate::clock;
use crate::node::{DATABASE, OWN, SECRETS, all_secrets};

/// How often the growing copy is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A backup that is complete and on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupDone {
    pub(crate) path: PathBuf,
    pub(crate) created_at_ms: u64,
    pub(crate) schema: i64,
    pub(crate) files: Vec<String>,
    pub(crate) bytes: u64,
    /// Secrets that are not in it, because they do not lie in the data directory.
    pub(crate) secrets_elsewhere: Vec<String>,
}

/// Why there is no backup. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error("{} is there already: name a new directory with --to, or the one that it shall be made in", .0.display())]
    Exists(PathBuf),
    #[error("{} is no name for a directory: name one with --to", .0.display())]
    NoName(PathBuf),
    #[error(
        "cannot write {}: its folder must be there, have room, and be writable for the user that runs the node",
        path.display()
    )]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{} is left from a backup that was cut short, and has files that no backup has: move it away first",
        .0.display()
    )]
    Leftover(PathBuf),
    #[error("{} is missing: restore it from an older backup before the node is stopped ({loss})", path.display())]
    LostSecret { path: PathBuf, loss: &'static str },
    #[error("another backup of this node is being made: wait for it")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("the copy of the database is damaged: look at the disks, then try again")]
    BadCopy(#[from] endtoend_storage::OpenError),
    #[error("the work was given up")]
    GivenUp,
}

/// Makes a backup in `to`, or in a new directory within it if it is there. Nobody waits for it: the database is copied as
/// of one moment while others write. Until it is complete it has another name.
///
/// # Errors
/// See [`BackupError`].
pub(crate) async fn make(context: &AdminContext, to: &Path, reporter: &Reporter) -> Result<BackupDone, BackupError> {
    let Ok(_permit) = context.backups.try_acquire() else { return Err(BackupError::Busy) };
    let created = clock::now();
    let path = final_path(to, created)?;
    let folder = temporary(&path)?;
    let database = folder.path().join(DATABASE);
    let bytes = context.store.stats().await?.bytes;
    copy_database(context, &database, bytes, reporter).await?;
    let schema = Sqlite::look_at(&database).await?;

    let (secrets, elsewhere) = secrets(context)?;
    let data = context.data.clone();
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        created_at_ms: created.get(),
        files: Vec::new(),
        secrets_elsewhere: elsewhere,
    };
    let reporter = reporter.clone();
    let finished = tokio::task::spawn_blocking(move || finish(folder, &data, &path, &secrets, manifest, &reporter));
    finished.await.map_err(|_| BackupError::GivenUp)?
}

/// The name that the backup gets when it is complete.
fn final_path(to: &Path, created: UnixMillis) -> Result<PathBuf, BackupError> {
    let path = match fs::symlink_metadata(to) {
        Err(_) => to.to_owned(),
        Ok(_) if to.is_dir() => {
            let at = UNIX_EPOCH + Duration::from_millis(created.get());
            let at = humantime::format_rfc3339_seconds(at).to_string().replace([':', '-'], "");
            to.join(format!("endtoend-{at}"))
        }
        Ok(_) => return Err(BackupError::Exists(to.to_owned())),
    };
    match path.exists() {
        true => Err(BackupError::Exists(path)),
        false => Ok(path),
    }
}

/// The directory while it is being written, beside its final place.
fn temporary(path: &Path) -> Result<Temporary, BackupError> {
    let Some(name) = path.file_name() else { return Err(BackupError::NoName(path.to_owned())) };
    let temporary = path.with_file_name(format!(".{}.partial", name.to_string_lossy()));
    let write = |source| BackupError::Write { path: path.to_owned(), source };
    if temporary.exists() {
        // Of a node that was killed: it holds secrets, so it must not stay.
        for entry in fs::read_dir(&temporary).map_err(write)? {
            let name = entry.map_err(write)?.file_name();
            let beside = ["", "-journal", "-wal", "-shm"].map(|ending| format!("{DATABASE}{ending}"));
            let ours =
                beside.iter().map(String::as_str).chain([MANIFEST]).chain(all_secrets().map(|secret| secret.file));
            if !ours.into_iter().any(|ours| name == ours) {
                return Err(BackupError::Leftover(temporary));
            }
        }
        fs::remove_dir_all(&temporary).map_err(write)?;
    }
    Temporary::make(temporary).map_err(write)
}

async fn copy_database(
    context: &AdminContext,
    to: &Path,
    bytes_total: u64,
    reporter: &Reporter,
) -> Result<(), BackupError> {
    let mut copying = context.store.copy_to(to);
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            copied = &mut copying => return Ok(copied?),
            _ = interval.tick() => {
                let bytes = fs::metadata(to).map_or(0, |file| file.len());
                reporter.send_replace(Progress { what: "copying the database".to_owned(), bytes, bytes_total });
            }
        }
    }
}

/// A secret that goes into a backup.
enum ToKeep {
    /// From the file of this name.
    File(&'static str),
    /// Into the file of this name: a member of a cluster has it from the others.
    Shared(&'static str, Zeroizing<Vec<u8>>),
}

/// Secrets to keep, and those that are elsewhere.
fn secrets(context: &AdminContext) -> Result<(Vec<ToKeep>, Vec<String>), BackupError> {
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    let shared = context.shared();
    for secret in SECRETS {
        if let Some(bytes) = shared.as_ref().and_then(|shared| shared.get(secret.name())) {
            here.push(ToKeep::Shared(secret.file, Zeroizing::new(bytes.to_vec())));
            continue;
        }
        let path = context.data.join(secret.file);
        if context.outside.contains(&secret.file) {
            elsewhere.push(secret.file.to_owned());
        } else if path.exists() {
            here.push(ToKeep::File(secret.file));
        } else if context.running.is_some() {
            return Err(BackupError::LostSecret { path, loss: secret.loss });
        } else {
            // A stopped node may get it from where this command does not: the manifest tells.
            elsewhere.push(secret.file.to_owned());
        }
    }
    for secret in OWN {
        if context.outside.contains(&secret.file) {
            elsewhere.push(secret.file.to_owned());
        } else if context.data.join(secret.file).exists() {
            here.push(ToKeep::File(secret.file));
        }
    }
    Ok((here, elsewhere))
}

fn finish(
    folder: Temporary,
    data: &Path,
    path: &Path,
    secrets: &[ToKeep],
    mut manifest: Manifest,
    reporter: &Reporter,
) -> Result<BackupDone, BackupError> {
    let write = |source| BackupError::Write { path: path.to_owned(), source };
    let database = folder.path().join(DATABASE);
    fs::set_permissions(&database, Permissions::from_mode(0o600)).map_err(write)?;
    let bytes_total = fs::metadata(&database).map_err(write)?.len();
    let mut bytes = 0;
    let hashed = hash_and_sync(&database, DATABASE, |piece| {
        bytes += piece;
        reporter.send_replace(Progress { what: "hashing the database".to_owned(), bytes, bytes_total });
    });
    manifest.files.push(hashed.map_err(write)?);
    for secret in secrets {
        let copied = match secret {
            ToKeep::File(name) => copy(&data.join(name), &folder.path().join(name), name, |_| {}),
            ToKeep::Shared(name, bytes) => write_new(bytes, &folder.path().join(name), name),
        };
        manifest.files.push(copied.map_err(write)?);
    }
    manifest.write(folder.path()).map_err(write)?;
    folder.rename(path).map_err(write)?;
    Ok(BackupDone {
        path: path.to_owned(),
        created_at_ms: manifest.created_at_ms,
        schema: manifest.schema,
        bytes: manifest.files.iter().map(|entry| entry.bytes).sum(),
        files: manifest.files.into_iter().map(|entry| entry.name).collect(),
        secrets_elsewhere: manifest.secrets_elsewhere,
    })
}
