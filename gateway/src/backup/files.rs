//! Files that are written once, hashed on the way, and on disk when the call returns.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use blake3::Hasher;
use zeroize::Zeroizing;

use super::manifest::Entry;

/// One piece of a copy.
const PIECE_BYTES: usize = 1024 * 1024;

/// A new directory for its owner only.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// A new file for its owner only.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Copies a file to a new one; tells what was copied, byte for byte. `piece` hears the length of each piece.
pub(super) fn copy(from: &Path, to: &Path, name: &str, piece: impl FnMut(u64)) -> io::Result<Entry> {
    let mut copy = create_private(to)?;
    let entry = read_all(&mut File::open(from)?, name, |bytes| copy.write_all(bytes), piece)?;
    copy.sync_all()?;
    Ok(entry)
}

/// Writes a new file.
pub(super) fn write_new(mut bytes: &[u8], to: &Path, name: &str) -> io::Result<Entry> {
    let mut written = create_private(to)?;
    let entry = read_all(&mut bytes, name, |piece| written.write_all(piece), |_| {})?;
    written.sync_all()?;
    Ok(entry)
}

/// Hashes a file and puts it on disk.
pub(super) fn hash_and_sync(path: &Path, name: &str, piece: impl FnMut(u64)) -> io::Result<Entry> {
    let mut file = File::open(path)?;
    let entry = read_all(&mut file, name, |_| Ok(()), piece)?;
    file.sync_all()?;
    Ok(entry)
}

fn read_all(
    file: &mut impl io::Read,
    name: &str,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
    mut piece: impl FnMut(u64),
) -> io::Result<Entry> {
    // Secrets pass through here.
    let mut buffer = Zeroizing::new(vec![0; PIECE_BYTES]);
    let (mut hasher, mut length) = (Hasher::new(), 0);
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        hasher.update(bytes);
        each(bytes)?;
        length += read as u64;
        piece(read as u64);
    }
    Ok(Entry { name: name.to_owned(), bytes: length, blake3: hasher.finalize().to_hex().to_string() })
}

/// Names in a directory are on disk.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A directory under a temporary name, removed unless it was kept.
pub(super) struct Temporary {
    path: Option<PathBuf>,
}

impl Temporary {
    pub(super) fn make(path: PathBuf) -> io::Result<Self> {
        make_private(&path)?;
        Ok(Self { path: Some(path) })
    }

    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives it its final name, which is free or an empty directory.
    pub(super) fn rename(mut self, to: &Path) -> io::Result<()> {
        sync_dir(self.path())?;
        fs::rename(self.path(), to)?;
        self.path = None;
        to.parent().map_or(Ok(()), sync_dir)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays lies under a name that nobody takes for a backup.
            let _ = fs::remove_dir_all(path);
        }
    }
}
