//! The edge's directory: one agent at a time, files written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use endtoend_haproxy::Membership;

/// What HAProxy reads.
pub(crate) const CONFIG: &str = "haproxy.cfg";
/// What is to become that, while it is checked.
const CANDIDATE: &str = "haproxy.cfg.new";
/// HAProxy's socket for orders. A reload hands sockets over, so one whose name is gone stays without: it gets the other name.
pub(super) const SOCKETS: [&str; 2] = ["stats.sock", "stats-2.sock"];
/// Its master's.
pub(super) const MASTER: &str = "master.sock";
/// Where the agent says how it is.
pub(super) const STATUS: &str = "status.sock";
/// The nodes that were applied last.
const APPLIED: &str = "applied.json";
const LOCK: &str = "lock";
/// No list of nodes is longer.
pub(super) const VIEW_BYTES_MAX: u64 = 1024 * 1024;

/// An open directory. No other agent opens it until this value is dropped.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    _lock: File,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("cannot use the directory {path}: choose one that this user may write to")]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("another `endtoend edge run` uses {0}: stop it first, or give this edge a directory of its own")]
    InUse(PathBuf),
}

impl Files {
    /// Opens it, and makes it with mode 0700 if it is not there.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub(super) fn open(path: &Path) -> Result<Self, FilesError> {
        let not_writable = |source| FilesError::NotWritable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(not_writable)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join(LOCK)).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FilesError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(not_writable(source)),
        }
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// Whether somebody listens at HAProxy's second name.
    pub(super) fn second_socket_answers(&self) -> bool {
        let [_, second] = SOCKETS;
        UnixStream::connect(self.path.join(second)).is_ok()
    }

    pub(super) fn master(&self) -> PathBuf {
        self.path.join(MASTER)
    }

    pub(super) fn status(&self) -> PathBuf {
        self.path.join(STATUS)
    }

    /// Writes what HAProxy is to read, beside what it reads. Gives where.
    pub(super) fn write_candidate(&self, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(CANDIDATE);
        self.write(&path, text.as_bytes())?;
        Ok(path)
    }

    /// From now on HAProxy reads the candidate when it starts.
    pub(super) fn take_candidate(&self) -> io::Result<()> {
        fs::rename(self.path.join(CANDIDATE), self.config())
    }

    /// From now on it reads nothing.
    pub(super) fn remove_config(&self) -> io::Result<()> {
        match fs::remove_file(self.config()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What HAProxy reads when it starts, if there is something.
    pub(super) fn config_text(&self) -> Option<String> {
        String::from_utf8(read_bounded(&self.config()).ok()?).ok()
    }

    /// Whether HAProxy reads this when it starts.
    pub(super) fn has_config(&self, text: &str) -> bool {
        read_bounded(&self.config()).is_ok_and(|has| has == text.as_bytes())
    }

    pub(super) fn write_applied(&self, membership: &Membership) -> io::Result<()> {
        let path = self.path.join(format!("{APPLIED}.new"));
        self.write(&path, &serde_json::to_vec(membership).map_err(io::Error::other)?)?;
        fs::rename(path, self.path.join(APPLIED))
    }

    /// The nodes that were applied last; `None` when none were, or what was written of it is damaged.
    pub(super) fn applied(&self) -> Option<Membership> {
        applied(&self.path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all().or_else(|error| match error.kind() {
            // What cannot be synchronised, such as a device, was written all the same.
            io::ErrorKind::InvalidInput => Ok(()),
            _ => Err(error),
        })
    }
}

/// The nodes that were applied last in this directory, as [`Files::applied`] says.
pub(crate) fn applied(directory: &Path) -> Option<Membership> {
    serde_json::from_slice(&read_bounded(&directory.join(APPLIED)).ok()?).ok()
}

/// A file of which a program of ours is to know all, or nothing.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(VIEW_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= VIEW_BYTES_MAX => Ok(bytes),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}
