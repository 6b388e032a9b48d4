//! From a sealed file to one of a person's: whole or not at all, and never in place of another unless that was said.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use endtoend_protocol as protocol;
use zeroize::Zeroizing;

use super::open::{OpenError, copy_out};

/// Why a file was not saved. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Name another, or say that it may be replaced.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// The place does not take it.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The sealed file on this device is damaged: fetch it again.
    #[error("the file on this device is damaged")]
    Damaged,
    /// The profile was locked, or the program ended.
    #[error("given up")]
    GivenUp,
}

/// A file beside its place, which goes unless it is put there.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // It is not there any more once it was put in its place.
        let _gone = fs::remove_file(&self.0);
    }
}

/// Opens the sealed file at `from`, and puts it to `to`. Written under another name first, so that a crash leaves nothing half written
/// under this one.
pub(crate) fn save(
    file: &protocol::File,
    from: &Path,
    to: &Path,
    replace: bool,
    stop: &dyn Fn() -> bool,
) -> Result<(), SaveError> {
    let unwritable = |source| SaveError::Unwritable { path: to.to_owned(), source };
    // A link that leads nowhere is something, too.
    if !replace && fs::symlink_metadata(to).is_ok() {
        return Err(SaveError::Exists(to.to_owned()));
    }
    let sealed = File::open(from).map_err(|_| SaveError::Damaged)?;
    let mut name = to.file_name().ok_or_else(|| unwritable(io::ErrorKind::InvalidInput.into()))?.to_owned();
    name.push(format!(".{:08x}.part", rand::random::<u32>()));
    let beside = Beside(to.with_file_name(name));
    let mut out = OpenOptions::new().write(true).create_new(true).open(&beside.0).map_err(unwritable)?;
    copy_out(file, sealed, &mut out, stop).map_err(|error| match error {
        OpenError::Forged => SaveError::Damaged,
        OpenError::Io(error) => unwritable(error),
        OpenError::GivenUp => SaveError::GivenUp,
    })?;
    out.sync_all().map_err(unwritable)?;
    drop(out);
    if !replace {
        // Takes the name, if nobody has taken it meanwhile.
        OpenOptions::new().write(true).create_new(true).open(to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => SaveError::Exists(to.to_owned()),
            _ => unwritable(error),
        })?;
    }
    fs::rename(&beside.0, to).map_err(unwritable)
}

/// Opens the sealed file at `from` in memory. Whoever asks bounds its length.
pub(crate) fn read(
    file: &protocol::File,
    from: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Zeroizing<Vec<u8>>, SaveError> {
    let sealed = File::open(from).map_err(|_| SaveError::Damaged)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(file.bytes).unwrap_or(0)));
    copy_out(file, sealed, &mut *bytes, stop).map_err(|error| match error {
        OpenError::Forged | OpenError::Io(_) => SaveError::Damaged,
        OpenError::GivenUp => SaveError::GivenUp,
    })?;
    Ok(bytes)
}
