//! `manifest.json`: what a backup consists of.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::create_private;
use crate::node::{DATABASE, all_secrets};

/// The file.
pub(super) const MANIFEST: &str = "manifest.json";
/// Version of the layout of a backup.
pub(super) const FORMAT: u64 = 1;
/// A manifest has some hundred bytes.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// What a backup consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: u64,
    /// Version of the program that made it.
    pub(crate) program: String,
    /// Schema of the database.
    pub(crate) schema: i64,
    pub(crate) created_at_ms: u64,
    /// All files but the manifest.
    pub(crate) files: Vec<Entry>,
    /// Secrets that did not lie in the data directory: they are kept where they come from.
    pub(crate) secrets_elsewhere: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Hexadecimal.
    pub(crate) blake3: String,
}

/// Why a directory is no backup that can be restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("{} is not a backup: name a directory that `endtoend backup` made", folder.display())]
    Missing { folder: PathBuf, source: io::Error },
    #[error("the manifest in {} is damaged: use another backup", folder.display())]
    Damaged { folder: PathBuf, source: serde_json::Error },
    #[error("the manifest in {} names {name:?}, which belongs into no backup, or twice: use another backup", folder.display())]
    Strange { folder: PathBuf, name: String },
    #[error("the manifest in {} names no database: use another backup", folder.display())]
    NoDatabase { folder: PathBuf },
    #[error("{} has backup format {found}, this program knows {FORMAT}: restore it with a newer program", folder.display())]
    NewerFormat { folder: PathBuf, found: u64 },
}

impl Manifest {
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = create_private(&folder.join(MANIFEST))?;
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()
    }

    /// Reads and checks all but the files themselves.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub(super) fn read(folder: &Path) -> Result<Self, ManifestError> {
        /// All that every format has.
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let mut text = String::new();
        let read =
            File::open(folder.join(MANIFEST)).and_then(|file| file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text));
        read.map_err(|source| ManifestError::Missing { folder: folder.to_owned(), source })?;
        let damaged = |source| ManifestError::Damaged { folder: folder.to_owned(), source };
        let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
        if format > FORMAT {
            return Err(ManifestError::NewerFormat { folder: folder.to_owned(), found: format });
        }
        let manifest: Self = serde_json::from_str(&text).map_err(damaged)?;
        for (index, entry) in manifest.files.iter().enumerate() {
            let known = entry.name == DATABASE || all_secrets().any(|secret| secret.file == entry.name);
            let twice = manifest.files.iter().skip(index + 1).any(|other| other.name == entry.name);
            if !known || twice {
                return Err(ManifestError::Strange { folder: folder.to_owned(), name: entry.name.clone() });
            }
        }
        if !manifest.files.iter().any(|entry| entry.name == DATABASE) {
            return Err(ManifestError::NoDatabase { folder: folder.to_owned() });
        }
        Ok(manifest)
    }
}
