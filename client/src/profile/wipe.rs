//! The end of a profile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rand::Rng as _;

use super::lock::ProfileLock;
use super::{DATABASE_FILE, LOCK_FILE, ProfileError, VAULT_FILE, unusable, vault};
use crate::files::spool::FOLDER;
use crate::transport::TOR_FOLDER;

/// How a database begins that is not encrypted. No profile has one, but a node does, under the same name.
const PLAIN_DATABASE: &[u8] = b"SQLite format 3\0";

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
/// `Missing` when the folder is not a profile's, `Locked`, `Unusable`.
pub fn wipe(home: &Path) -> Result<Wiped, ProfileError> {
    let lock_path = home.join(LOCK_FILE);
    let missing = || ProfileError::Missing(home.to_owned());
    if !is_profile(home).map_err(unusable(home))? {
        return Err(missing());
    }
    let lock = ProfileLock::take(&lock_path)?;
    // Another wipe may have ended meanwhile.
    let (ours, mut left) = files(home).map_err(unusable(home))?;
    let mut removed = Vec::new();
    for step in steps(home, ours) {
        step.carry_out().map_err(unusable(step.path()))?;
        if let Step::Remove(path) | Step::RemoveFolder(path) = step {
            removed.push(path);
        }
    }
    drop(lock);
    if left.is_empty() {
        fs::remove_dir(home).map_err(unusable(home))?;
    }
    removed.sort();
    left.sort();
    Ok(Wiped { removed, left })
}

/// One step, done or not done when a wipe is cut short.
#[derive(Debug)]
pub(super) enum Step {
    /// Random bytes in place of the old ones, on disk when it is done.
    Overwrite(PathBuf),
    Remove(PathBuf),
    /// An empty folder.
    RemoveFolder(PathBuf),
    /// What was removed from this folder stays removed.
    Sync(PathBuf),
}

impl Step {
    fn path(&self) -> &Path {
        let (Self::Overwrite(path) | Self::Remove(path) | Self::RemoveFolder(path) | Self::Sync(path)) = self;
        path
    }

    pub(super) fn carry_out(&self) -> io::Result<()> {
        match self {
            Self::Overwrite(path) => overwrite(path),
            Self::Remove(path) => fs::remove_file(path),
            Self::RemoveFolder(path) => fs::remove_dir(path),
            Self::Sync(folder) => File::open(folder)?.sync_all(),
        }
    }
}

/// Keys first, and what they open only when they are surely gone. The lock is last: until then the folder is known for
/// one whose wipe has begun.
pub(super) fn steps(home: &Path, ours: Vec<PathBuf>) -> Vec<Step> {
    let (keys, rest): (Vec<_>, Vec<_>) = ours.into_iter().partition(|path| name(path).starts_with(VAULT_FILE));
    let rest = rest.into_iter().filter(|path| name(path) != LOCK_FILE);
    let sync = || Step::Sync(home.to_owned());
    let mut steps: Vec<_> = keys.iter().cloned().map(Step::Overwrite).collect();
    steps.extend(keys.into_iter().map(Step::Remove));
    steps.push(sync());
    let tor = home.join(TOR_FOLDER);
    steps.extend(rest.map(|path| match name(&path) == FOLDER || (path.starts_with(&tor) && is_folder(&path)) {
        true => Step::RemoveFolder(path),
        false => Step::Remove(path),
    }));
    steps.extend([sync(), Step::Remove(home.join(LOCK_FILE)), sync()]);
    steps
}

/// The files of the profile, the vault before all others, and those that are not ours.
pub(super) fn files(home: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let paths = fs::read_dir(home)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let (mut ours, mut left): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| is_ours(path));
    // What lies in Tor's folder, Tor has put there.
    let tor = home.join(TOR_FOLDER);
    let mut of_tor = Vec::new();
    if is_folder(&tor) {
        left.retain(|path| *path != tor);
        everything_in(&tor, &mut of_tor)?;
    }
    // The folder of files goes after what is in it, and stays with what is not ours.
    let folder = home.join(FOLDER);
    if is_folder(&folder) {
        let inside = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        let (mut sealed, others): (Vec<_>, Vec<_>) = inside.into_iter().partition(|path| is_sealed_file(path));
        left.retain(|path| *path != folder);
        if others.is_empty() {
            sealed.push(folder);
        }
        left.extend(others);
        sealed.sort_by_key(|path| (is_folder(path), path.clone()));
        ours.sort_by_key(|path| (name(path) != VAULT_FILE, path.clone()));
        ours.extend(sealed);
    } else {
        ours.sort_by_key(|path| (name(path) != VAULT_FILE, path.clone()));
    }
    ours.extend(of_tor);
    Ok((ours, left))
}

/// What is in a folder, and the folder after it. A link is taken for itself.
fn everything_in(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut inside = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    inside.sort();
    for path in inside {
        if is_folder(&path) {
            everything_in(&path, into)?;
        } else {
            into.push(path);
        }
    }
    into.push(folder.to_owned());
    Ok(())
}

/// Whether the folder holds a profile or what a wipe has left of one. Names are not enough: a node's data directory has a
/// database and a lock too, and many a folder has something called `vault`.
fn is_profile(home: &Path) -> io::Result<bool> {
    if begins_with(&home.join(DATABASE_FILE), PLAIN_DATABASE)? {
        return Ok(false);
    }
    if begins_with(&home.join(VAULT_FILE), vault::MAGIC)? {
        return Ok(true);
    }
    // Damaged, overwritten or gone. The lock is there for as long as anything is.
    match fs::metadata(home.join(LOCK_FILE)) {
        Ok(lock) => Ok(lock.is_file() && lock.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
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

/// A folder, and no link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// By name: 32 hexadecimal digits.
fn is_sealed_file(path: &Path) -> bool {
    let name = name(path);
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the file is there and begins so.
fn begins_with(path: &Path, beginning: &[u8]) -> io::Result<bool> {
    let mut read = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(beginning.len() as u64).read_to_end(&mut read)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(read == beginning)
}

fn overwrite(path: &Path) -> io::Result<()> {
    let length = usize::try_from(fs::metadata(path)?.len()).unwrap_or(usize::MAX).min(64 * 1024);
    let mut noise = vec![0; length];
    rand::rng().fill_bytes(&mut noise);
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&noise)?;
    file.sync_all()
}
