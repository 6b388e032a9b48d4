//! The end of a profile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rand::Rng as _;

use super::lock::ProfileLock;
use super::{DATABASE_FILE, LOCK_FILE, ProfileError, VAULT_FILE, unusable};

/// What was destroyed, and what was not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiped {
    /// Files that are gone.
    pub removed: Vec<PathBuf>,
    /// Files in the folder that this program did not make. The folder stays because of them.
    pub left: Vec<PathBuf>,
}

/// Destroys the profile in `home`. Needs no password.
///
/// The vault comes first: it is overwritten in place, and from then on nobody can open the database, whatever happens to
/// the rest. What was begun is finished by calling this again. Storage that keeps old blocks (flash, snapshots) may keep
/// the old vault, which is worth what the password is worth.
///
/// # Errors
/// `Missing`, `Locked`, `Unusable`.
pub fn wipe(home: &Path) -> Result<Wiped, ProfileError> {
    let mut wiped = Wiped::default();
    let entries = match fs::read_dir(home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ProfileError::Missing(home.to_owned())),
        entries => entries.map_err(unusable(home))?,
    };
    let mut ours = Vec::new();
    for entry in entries {
        let path = entry.map_err(unusable(home))?.path();
        if is_ours(&path) { ours.push(path) } else { wiped.left.push(path) }
    }
    if ours.is_empty() {
        return Err(ProfileError::Missing(home.to_owned()));
    }
    let lock_path = home.join(LOCK_FILE);
    let lock = ProfileLock::take(&lock_path)?;

    // Keys first, and what they open only when they are surely gone.
    let (keys, rest): (Vec<_>, Vec<_>) = ours.into_iter().partition(|path| name(path).starts_with(VAULT_FILE));
    for path in keys {
        overwrite(&path).and_then(|()| fs::remove_file(&path)).map_err(unusable(&path))?;
        wiped.removed.push(path);
    }
    sync(home).map_err(unusable(home))?;
    for path in rest.into_iter().filter(|path| *path != lock_path) {
        fs::remove_file(&path).map_err(unusable(&path))?;
        wiped.removed.push(path);
    }
    fs::remove_file(&lock_path).map_err(unusable(&lock_path))?;
    sync(home).map_err(unusable(home))?;
    drop(lock);
    if wiped.left.is_empty() {
        fs::remove_dir(home).map_err(unusable(home))?;
    }
    wiped.removed.sort();
    wiped.left.sort();
    Ok(wiped)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// By name: the vault, the database with its side files, those that were set aside, the lock.
fn is_ours(path: &Path) -> bool {
    let name = name(path);
    let of_database = name.strip_prefix(DATABASE_FILE);
    [VAULT_FILE, "vault.new", LOCK_FILE].contains(&&*name)
        || of_database
            .is_some_and(|rest| matches!(rest, "" | "-wal" | "-shm" | "-journal") || rest.starts_with(".orphan-"))
}

/// Random bytes in place of the old ones, on disk before this returns.
fn overwrite(path: &Path) -> io::Result<()> {
    let length = usize::try_from(fs::metadata(path)?.len()).unwrap_or(usize::MAX).min(64 * 1024);
    let mut noise = vec![0; length];
    rand::rng().fill_bytes(&mut noise);
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&noise)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
