//! Where the socket lies, also when its path is longer than the system takes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// In the data directory.
pub(crate) const SOCKET: &str = "admin.sock";
/// Bytes of a path in `sockaddr_un`, without the zero that ends it. Source: unix(7).
const PATH_BYTES_MAX: usize = 107;

/// A path to the socket that fits, for as long as this value lives.
pub(super) struct Reachable {
    pub(super) path: PathBuf,
    _folder: Option<File>,
}

impl Reachable {
    /// # Errors
    /// When the directory cannot be opened.
    pub(super) fn within(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
            return Ok(Self { path, _folder: None });
        }
        // The kernel follows this link to the open directory, however long its own name is.
        let folder = File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET);
        Ok(Self { path, _folder: Some(folder) })
    }
}
