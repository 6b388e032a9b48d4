//! One process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{ProfileError, unusable};

/// An exclusive lock on a file, let go by the system when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct ProfileLock(#[expect(dead_code, reason = "the lock lasts as long as the open file")] File);

impl ProfileLock {
    pub(super) fn take(path: &Path) -> Result<Self, ProfileError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(unusable(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(ProfileError::Locked(path.parent().unwrap_or(path).to_owned())),
            Err(TryLockError::Error(source)) => Err(unusable(path)(source)),
        }
    }
}
