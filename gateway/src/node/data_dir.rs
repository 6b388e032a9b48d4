//! The directory of a node: one process at a time, secrets readable by its owner only, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A secret file is at most this long: the largest, OPAQUE's, has some hundred bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// An open data directory. No other process opens it until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("cannot use the data directory {path}: choose one that this user may write to, with --data DIR")]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("another endtoend process uses {0}: stop it first, or choose another directory with --data DIR")]
    InUse(PathBuf),
    #[error("cannot read {path}: restore it from a backup, the node cannot go on without it")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is missing, but accounts that depend on it exist: restore it from a backup")]
    Lost { path: PathBuf },
    #[error("{path} is damaged: restore it from a backup")]
    Damaged { path: PathBuf },
}

impl DataDir {
    /// Opens the directory, and makes it with mode 0700 if it is not there.
    ///
    /// # Errors
    /// `NotWritable` or `InUse`.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let not_writable = |source| DataDirError::NotWritable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(not_writable)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(not_writable(source)),
        }
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("endtoend.db")
    }

    /// Reads the secret of this name. On the first run, before there is a database, `make` makes it.
    ///
    /// # Errors
    /// `Lost` when it is gone while the database that depends on it is there; `Unreadable`, `NotWritable`.
    pub fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, DataDirError> {
        let path = self.path.join(name);
        match File::open(&path) {
            Ok(file) => {
                let mut bytes = Zeroizing::new(Vec::new());
                file.take(SECRET_BYTES_MAX)
                    .read_to_end(&mut bytes)
                    .map_err(|source| DataDirError::Unreadable { path, source })?;
                Ok(bytes)
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DataDirError::Unreadable { path, source: error })
            }
            Err(_) if self.database().exists() => Err(DataDirError::Lost { path }),
            Err(_) => {
                let bytes = make();
                self.write(&path, &bytes).map_err(|source| DataDirError::NotWritable { path, source })?;
                Ok(bytes)
            }
        }
    }

    /// The error for a secret that was read but makes no sense.
    pub fn damaged(&self, name: &str) -> DataDirError {
        DataDirError::Damaged { path: self.path.join(name) }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn secret(byte: u8) -> impl FnOnce() -> Zeroizing<Vec<u8>> {
        move || Zeroizing::new(vec![byte; 32])
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        assert_eq!(*data.secret("key", secret(1)).unwrap(), [1; 32]);
        assert_eq!(*data.secret("key", secret(2)).unwrap(), [1; 32]);
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path().join("data/key")), 0o600);
        assert_eq!(mode(dir.path().join("data")), 0o700);
    }

    #[test]
    fn a_lost_secret_is_not_replaced_while_accounts_depend_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        fs::write(data.database(), b"rows").unwrap();
        assert!(matches!(data.secret("key", secret(1)), Err(DataDirError::Lost { .. })));
        assert!(!dir.path().join("key").exists());
    }

    #[test]
    fn a_directory_has_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::InUse(_))));
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inside = file.path().join("data");
        assert!(matches!(DataDir::open(&inside), Err(DataDirError::NotWritable { .. })));
    }
}
