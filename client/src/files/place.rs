//! How a file gets its name: when it is whole and on the disk, and in nobody's place unless that was said.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A new, empty file that only its owner can read, to become another's when it is whole.
///
/// # Errors
/// Those of the disk; `AlreadyExists` where there is one.
pub(crate) fn begin(temporary: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)
}

/// Gives a file that was written to its end the name `to`, for good. With `replace` whatever has that name loses it. Without, it may
/// be that `temporary` is there too afterwards: it is the caller's to take away, as after an error.
///
/// # Errors
/// Those of the disk; `AlreadyExists` without `replace`, and what was there is as it was.
pub(crate) fn put(written: &File, temporary: &Path, to: &Path, replace: bool) -> io::Result<()> {
    written.sync_all()?;
    if replace {
        fs::rename(temporary, to)?;
    } else {
        match fs::hard_link(temporary, to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => without_links(temporary, to)?,
            linked => linked?,
        }
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that may be written and not read, or that cannot be synced, keeps it as it keeps everything.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}

/// Where the file system has no links: takes the name with an empty file, if nobody has taken it, and replaces that. Only whoever is
/// killed in between leaves it.
fn without_links(temporary: &Path, to: &Path) -> io::Result<()> {
    begin(to)?;
    fs::rename(temporary, to).inspect_err(|_| {
        // What matters is told; whatever is left is empty.
        let _removed = fs::remove_file(to);
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn scene() -> (TempDir, PathBuf, PathBuf, File) {
        let folder = tempfile::tempdir().unwrap();
        let (temporary, to) = (folder.path().join("temporary"), folder.path().join("to"));
        let mut file = begin(&temporary).unwrap();
        file.write_all(b"whole").unwrap();
        (folder, temporary, to, file)
    }

    #[test]
    fn a_name_that_somebody_has_stays_his() {
        let (_folder, temporary, to, file) = scene();
        fs::write(&to, b"somebody's").unwrap();
        let kind = |error: io::Error| error.kind();
        assert_eq!(put(&file, &temporary, &to, false).map_err(kind), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(without_links(&temporary, &to).map_err(kind), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&to).unwrap(), b"somebody's");
        put(&file, &temporary, &to, true).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"whole");
    }

    #[test]
    fn a_name_that_was_taken_for_nothing_is_given_back() {
        let (_folder, temporary, to, _file) = scene();
        fs::remove_file(&temporary).unwrap();
        assert_eq!(without_links(&temporary, &to).map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
        assert!(!to.exists(), "an empty file is left");
    }

    #[test]
    fn without_links_it_gets_its_name_too() {
        let (_folder, temporary, to, _file) = scene();
        without_links(&temporary, &to).unwrap();
        assert!(!temporary.exists() && fs::read(&to).unwrap() == b"whole");
    }
}
