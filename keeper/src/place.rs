//! Where a program keeps what it writes.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::error::KeeperError;

/// A folder of one program's own. Whoever keeps the program removes it in the end, if it is a passing one.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    lasts: bool,
}

impl Place {
    /// A new folder below the system's temporary one, with a short path. Nobody removes it until a program is kept there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn passing(prefix: &str) -> Result<Self, KeeperError> {
        let folder = tempfile::Builder::new().prefix(prefix).rand_bytes(8).tempdir();
        Ok(Self { folder: folder.map_err(KeeperError::io("make a temporary folder"))?.keep(), lasts: false })
    }

    /// A folder that stays; it is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn lasting(folder: &Path) -> Result<Self, KeeperError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| folder.canonicalize())
            .map(|folder| Self { folder, lasts: true })
            .map_err(KeeperError::io("make a folder"))
    }

    /// Its path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it stays.
    pub const fn lasts(&self) -> bool {
        self.lasts
    }

    /// A path in it for a socket.
    ///
    /// # Errors
    /// `LongPath`.
    pub(crate) fn socket(&self, name: &str) -> Result<PathBuf, KeeperError> {
        let path = self.folder.join(name);
        match path.as_os_str().len() <= SOCKET_BYTES_MAX {
            true => Ok(path),
            false => Err(KeeperError::LongPath(path)),
        }
    }

    /// As the shells are told.
    pub(crate) const fn word(&self) -> &'static str {
        if self.lasts { "lasting" } else { "passing" }
    }
}

/// Of `sockaddr_un` on Linux, without the zero at its end.
const SOCKET_BYTES_MAX: usize = 107;
