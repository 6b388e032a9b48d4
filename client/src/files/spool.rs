//! The folder in which sealed files lie. Their names are random: they tell nothing, and no peer chooses one.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Below the profile's folder.
pub(crate) const FOLDER: &str = "files";

/// What a sealed file is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LocalName(pub(crate) [u8; 16]);

impl LocalName {
    /// Another one each time.
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    fn read(path: &Path) -> Option<Self> {
        let mut name = [0; 16];
        hex::decode_to_slice(path.file_name()?.to_str()?, &mut name).ok()?;
        Some(Self(name))
    }
}

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Spool(PathBuf);

impl Spool {
    /// That of the profile in `home`.
    pub(crate) fn of(home: &Path) -> Self {
        Self(home.join(FOLDER))
    }

    /// Where a file lies.
    pub(crate) fn path(&self, name: LocalName) -> PathBuf {
        self.0.join(hex::encode(name.0))
    }

    /// A new, empty file that only its owner can read.
    pub(crate) fn create(&self, name: LocalName) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(name))
    }

    /// A file to read and write, which is made if it is missing.
    pub(crate) fn open(&self, name: LocalName) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(self.path(name))
    }

    /// What has come into the folder stays there.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: LocalName) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes the files that nothing knows of: what was begun when a program died. Others than ours are left alone.
    pub(crate) fn keep_only(&self, known: &HashSet<LocalName>) -> io::Result<()> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            if let Some(name) = LocalName::read(&entry?.path())
                && !known.contains(&name)
            {
                self.remove(name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_knows_of_goes_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::of(home.path());
        spool.keep_only(&HashSet::new()).unwrap();
        let [known, begun] = [LocalName([1; 16]), LocalName([2; 16])];
        for name in [known, begun] {
            spool.create(name).unwrap();
        }
        assert_eq!(spool.create(known).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::write(home.path().join(FOLDER).join("a note"), b"somebody's").unwrap();
        spool.keep_only(&HashSet::from([known])).unwrap();
        assert!(spool.path(known).exists() && !spool.path(begun).exists());
        assert!(home.path().join(FOLDER).join("a note").exists());
        spool.remove(known).unwrap();
        spool.remove(known).unwrap();
    }
}
