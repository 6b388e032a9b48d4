//! Files that only their owner can read and that are never half written.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Makes the folder if it is missing, and keeps everybody else out of it.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Makes an empty file.
///
/// Fails when there is one.
pub(super) fn private_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Writes the whole file or leaves what was there: temporary file, fsync, rename, fsync of the folder. Only its owner can read it.
///
/// # Errors
/// When it cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = unfinished(path);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes what [`write_atomically`] leaves behind when it is cut short.
pub(super) fn forget_unfinished(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(unfinished(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Removes a database with its side files.
pub(super) fn remove_database(path: &Path) -> io::Result<()> {
    for side in ["-wal", "-shm", ""] {
        let mut file = path.as_os_str().to_owned();
        file.push(side);
        match std::fs::remove_file(Path::new(&file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Renames the file, if it is there, to the first free `name.orphan-N`. Its side files go with it.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let name = |number: u32, side: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".orphan-{number}{side}"));
        name
    };
    let free = (1..u32::MAX).find(|&number| !Path::new(&name(number, "")).exists());
    let number = free.ok_or(io::ErrorKind::AlreadyExists)?;
    for side in ["-wal", "-shm", ""] {
        let mut from = path.as_os_str().to_owned();
        from.push(side);
        if Path::new(&from).exists() {
            std::fs::rename(&from, name(number, side))?;
        }
    }
    Ok(())
}
