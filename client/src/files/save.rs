//! From a sealed file to one of a person's: whole or not at all, and never in place of another unless that was said.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use endtoend_protocol as protocol;
use zeroize::Zeroizing;

use super::open::{OpenError, copy_out};
use super::place;

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
    /// The sealed file on this device is damaged, or not there: fetch it again.
    #[error("the file on this device is damaged")]
    Damaged,
    /// This disk does not give the sealed file at the moment. Nothing is known against it, and nothing becomes of it.
    #[error("the file on this device cannot be read")]
    Unreadable(#[source] io::Error),
    /// The profile was locked, or the program ended.
    #[error("given up")]
    GivenUp,
}

/// A file beside its place, which goes from there in any case.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // It may not be there any more once it has its name.
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
    let sealed = open(from)?;
    let mut name = to.file_name().ok_or_else(|| unwritable(io::ErrorKind::InvalidInput.into()))?.to_owned();
    name.push(format!(".{:08x}.part", rand::random::<u32>()));
    let beside = Beside(to.with_file_name(name));
    let mut out = place::begin(&beside.0).map_err(unwritable)?;
    copy_out(file, sealed, &mut out, stop).map_err(|error| match error {
        OpenError::Forged => SaveError::Damaged,
        OpenError::Io(error) => SaveError::Unreadable(error),
        OpenError::Out(error) => unwritable(error),
        OpenError::GivenUp => SaveError::GivenUp,
    })?;
    place::put(&out, &beside.0, to, replace).map_err(|error| match error.kind() {
        // Somebody has taken the name meanwhile.
        io::ErrorKind::AlreadyExists if !replace => SaveError::Exists(to.to_owned()),
        _ => unwritable(error),
    })
}

fn open(from: &Path) -> Result<File, SaveError> {
    File::open(from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SaveError::Damaged,
        _ => SaveError::Unreadable(error),
    })
}

/// Opens the sealed file at `from` in memory. Whoever asks bounds its length.
pub(crate) fn read(
    file: &protocol::File,
    from: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Zeroizing<Vec<u8>>, SaveError> {
    let sealed = open(from)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(file.bytes).unwrap_or(0)));
    copy_out(file, sealed, &mut *bytes, stop).map_err(|error| match error {
        OpenError::Forged => SaveError::Damaged,
        // Memory takes whatever is written into it.
        OpenError::Io(error) | OpenError::Out(error) => SaveError::Unreadable(error),
        OpenError::GivenUp => SaveError::GivenUp,
    })?;
    Ok(bytes)
}
