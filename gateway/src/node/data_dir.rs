//! The directory of a node: one process at a time, secrets readable by its owner only, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use endtoend_storage::AuditKey;
use zeroize::Zeroizing;

use super::secrets::{self, Outside, OutsideFault, STORE_KEY, Secret};

/// The database.
pub(crate) const DATABASE: &str = "endtoend.db";
/// There when the node's database is a PostgreSQL one: says which, without the password.
pub(crate) const ELSEWHERE: &str = "endtoend.postgres";
/// Held by the process that uses the directory.
pub(crate) const LOCK: &str = "lock";
/// There while a restore moves files into place: a node that started now would find half of them.
pub(crate) const UNFINISHED: &str = "restore.unfinished";

/// An open data directory. No other process opens it until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    outside: Outside,
    /// Accounts are known to depend on the secrets.
    depended_upon: bool,
    _lock: File,
}

/// Whether a node was ever started in the directory, so that a store depends on its secrets.
pub(crate) fn has_store(data: &Path) -> bool {
    data.join(DATABASE).exists() || data.join(ELSEWHERE).exists()
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
    #[error("{path} is missing, but accounts that depend on it exist: restore it from a backup ({loss})")]
    Lost { path: PathBuf, loss: &'static str },
    #[error("{path} is missing: restore it from a backup, or remove {trace} to have a new one ({loss})")]
    Gone { path: PathBuf, trace: PathBuf, loss: &'static str },
    #[error("{path} is damaged: restore it from a backup")]
    Damaged { path: PathBuf },
    #[error("the secret in {place} {fault}")]
    Outside { place: String, fault: OutsideFault },
    #[error("a restore into {0} was cut short: run it again with --force, which moves aside what is there")]
    Unfinished(PathBuf),
}

impl DataDir {
    /// Opens the directory, and makes it with mode 0700 if it is not there.
    ///
    /// # Errors
    /// `NotWritable`, `InUse`, or `Unfinished`.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let data = Self::open_unfinished(path)?;
        match path.join(UNFINISHED).exists() {
            true => Err(DataDirError::Unfinished(path.to_owned())),
            false => Ok(data),
        }
    }

    /// Like [`DataDir::open`], for a restore that mends one which was cut short.
    pub(crate) fn open_unfinished(path: &Path) -> Result<Self, DataDirError> {
        let not_writable = |source| DataDirError::NotWritable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(not_writable)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join(LOCK)).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {
                Ok(Self { path: path.to_owned(), outside: Outside::default(), depended_upon: false, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(not_writable(source)),
        }
    }

    /// Secrets that come from outside are used instead of files.
    #[must_use]
    pub fn with_outside(self, outside: Outside) -> Self {
        Self { outside, ..self }
    }

    /// A database that is not in the directory has accounts: no secret is made any more.
    #[must_use]
    pub(super) fn with_accounts(self, accounts: u64) -> Self {
        Self { depended_upon: accounts > 0, ..self }
    }

    /// Writes down that the database is there, and nowhere in the directory.
    ///
    /// # Errors
    /// When the directory takes no files.
    pub(super) fn mark_elsewhere(&self, place: &str) -> io::Result<()> {
        let (path, line) = (self.path.join(ELSEWHERE), format!("{place}\n"));
        if fs::read(&path).is_ok_and(|written| written == line.as_bytes()) {
            return Ok(());
        }
        self.write(&path, line.as_bytes())
    }

    /// Where secrets may come from besides the directory.
    pub(super) const fn outside(&self) -> &Outside {
        &self.outside
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The secret, from outside or from its file. On the first run, before there is a database, `make` makes it.
    ///
    /// # Errors
    /// `Outside`, `Damaged`; `Lost` when it is gone while the database that depends on it is there; `Unreadable`,
    /// `NotWritable`.
    pub fn secret(
        &self,
        secret: &Secret,
        make: impl FnOnce() -> Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, DataDirError> {
        if let Some(found) = secrets::find(&self.path, &self.outside, secret)? {
            tracing::info!(secret = secret.file, from = %found.origin, "found a secret");
            return Ok(found.bytes);
        }
        let path = self.path.join(secret.file);
        if self.depended_upon || has_store(&self.path) {
            return Err(DataDirError::Lost { path, loss: secret.loss });
        }
        let bytes = make();
        self.write(&path, &bytes).map_err(|source| DataDirError::NotWritable { path, source })?;
        Ok(bytes)
    }

    /// A secret that nothing in the store depends on: from outside, from its file, or made by `make`. Where there is `trace`, it was
    /// there before.
    ///
    /// # Errors
    /// As [`Self::secret`].
    pub(crate) fn own_secret(
        &self,
        secret: &Secret,
        trace: &str,
        make: impl FnOnce() -> Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, DataDirError> {
        if let Some(found) = secrets::find(&self.path, &self.outside, secret)? {
            return Ok(found.bytes);
        }
        let path = self.path.join(secret.file);
        if self.path.join(trace).exists() {
            return Err(DataDirError::Gone { path, trace: self.path.join(trace), loss: secret.loss });
        }
        let bytes = make();
        self.write(&path, &bytes).map_err(|source| DataDirError::NotWritable { path, source })?;
        Ok(bytes)
    }

    /// The key of the audit, if its secret is here or comes from outside: an operator's shell need not have what the node
    /// has. None is made.
    ///
    /// # Errors
    /// `Outside`, `Damaged`, `Unreadable`.
    pub(crate) fn audit_key(&self) -> Result<Option<AuditKey>, DataDirError> {
        let Some(found) = secrets::find(&self.path, &self.outside, &STORE_KEY)? else { return Ok(None) };
        let bytes: &[u8; 32] = found.bytes.as_slice().try_into().map_err(|_| self.damaged(&STORE_KEY))?;
        Ok(Some(AuditKey::new(bytes)))
    }

    /// The error for a secret that was read but makes no sense.
    pub fn damaged(&self, secret: &Secret) -> DataDirError {
        DataDirError::Damaged { path: self.path.join(secret.file) }
    }

    /// Writes a file of the directory whole or not at all, for its owner only.
    ///
    /// # Errors
    /// When the directory takes no files.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
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
    use super::super::secrets::TOKEN_KEY;
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn secret(byte: u8) -> impl FnOnce() -> Zeroizing<Vec<u8>> {
        move || Zeroizing::new(vec![byte; 64])
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        assert_eq!(*data.secret(&TOKEN_KEY, secret(1)).unwrap(), [1; 64]);
        assert_eq!(*data.secret(&TOKEN_KEY, secret(2)).unwrap(), [1; 64]);
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path().join("data/token.key")), 0o600);
        assert_eq!(mode(dir.path().join("data")), 0o700);
    }

    #[test]
    fn a_lost_secret_is_not_replaced_while_accounts_depend_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |data: &DataDir| {
            let lost = data.secret(&TOKEN_KEY, secret(1)).unwrap_err();
            assert!(matches!(lost, DataDirError::Lost { loss, .. } if loss == TOKEN_KEY.loss));
            assert!(!dir.path().join("token.key").exists());
        };
        let data = DataDir::open(dir.path()).unwrap().with_accounts(1);
        refused(&data);
        let data = data.with_accounts(0);
        for (name, there) in [(DATABASE, "rows"), (ELSEWHERE, "postgres://endtoend@db:5432/endtoend\n")] {
            fs::write(dir.path().join(name), there).unwrap();
            refused(&data);
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        data.mark_elsewhere("postgres://endtoend@db:5432/endtoend").unwrap();
        refused(&data);
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
    fn a_damaged_secret_is_refused_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        fs::write(dir.path().join("token.key"), [1; 63]).unwrap();
        assert!(matches!(data.secret(&TOKEN_KEY, secret(1)), Err(DataDirError::Damaged { .. })));
        assert_eq!(fs::read(dir.path().join("token.key")).unwrap(), [1; 63]);
    }

    #[test]
    fn a_directory_with_half_a_restore_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(UNFINISHED), []).unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Unfinished(_))));
        DataDir::open_unfinished(dir.path()).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inside = file.path().join("data");
        assert!(matches!(DataDir::open(&inside), Err(DataDirError::NotWritable { .. })));
    }
}
