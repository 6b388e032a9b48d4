//! What an edge keeps of itself and its cluster.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use endtoend_cluster::NodeKeys;
use endtoend_cluster::edge::EdgeNews;

use crate::edge::files::read_bounded;

/// Its name in the cluster. Mode 0600.
const KEY: &str = "edge.key";
/// The news that it has heard last.
const HEARD: &str = "cluster.heard";
/// The addresses of the nodes' names, as they were found last.
const ADDRESSES: &str = "cluster.addresses";
/// There until it is written down that the cluster's generations have nothing to do with those of before.
const ANEW: &str = "cluster.anew";

/// The directory, with the edge's key.
pub(crate) struct Kept {
    path: PathBuf,
    pub(super) keys: NodeKeys,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error("cannot use {}: choose a [cluster] directory that this user may write to", path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("{} is damaged: remove the edge from the cluster, empty its [cluster] directory, and let it join anew", .0.display())]
    Damaged(PathBuf),
    #[error("cannot make a key")]
    NoKey(#[from] endtoend_cluster::BadKeys),
}

impl Kept {
    /// Opens it; makes it, and a key, where there is none.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub(crate) fn open(path: &Path) -> Result<Self, KeptError> {
        let not_writable = |source| KeptError::NotWritable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(not_writable)?;
        let key = path.join(KEY);
        let keys = match read_bounded(&key) {
            Ok(bytes) => NodeKeys::from_bytes(&zeroize::Zeroizing::new(bytes)).map_err(|_| KeptError::Damaged(key))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let keys = NodeKeys::generate(&mut rand::rng())?;
                write(path, KEY, &keys.to_bytes()).map_err(not_writable)?;
                keys
            }
            Err(error) => return Err(not_writable(error)),
        };
        Ok(Self { path: path.to_owned(), keys })
    }

    /// What it has heard last. Damaged is as good as none: the edge asks to be let in again, with a token.
    pub(super) fn heard(&self) -> Option<EdgeNews> {
        EdgeNews::decode(&read_bounded(&self.path.join(HEARD)).ok()?).ok()
    }

    pub(super) fn keep(&self, news: &EdgeNews) -> io::Result<()> {
        write(&self.path, HEARD, &news.encode())
    }

    /// What it is told first. Until [`Anew::is_over`] each start is a first one, whatever ended those before.
    pub(super) fn keep_first(&self, news: &EdgeNews) -> io::Result<()> {
        write(&self.path, ANEW, &[])?;
        self.keep(news)
    }

    pub(super) fn anew(&self) -> Anew {
        Anew(self.path.join(ANEW))
    }

    /// The addresses of names; none when they were not kept, or what was is damaged.
    pub(super) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let read = || serde_json::from_slice(&read_bounded(&self.path.join(ADDRESSES)).ok()?).ok();
        read().unwrap_or_default()
    }

    pub(super) fn keep_addresses(&self, addresses: &BTreeMap<String, SocketAddr>) -> io::Result<()> {
        write(&self.path, ADDRESSES, &serde_json::to_vec(addresses).map_err(io::Error::other)?)
    }
}

/// Whether the cluster is new to this edge.
pub(super) struct Anew(PathBuf);

impl Anew {
    pub(super) fn is_so(&self) -> bool {
        self.0.exists()
    }

    pub(super) fn is_over(&self) -> io::Result<()> {
        fs::remove_file(&self.0)
    }
}

/// Whole or not at all.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, folder.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_edge_keeps_its_key_and_what_it_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge");
        let kept = Kept::open(&path).unwrap();
        let id = kept.keys.node();
        assert_eq!(Kept::open(&path).unwrap().keys.node(), id);
        assert_eq!(fs::metadata(path.join(KEY)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(kept.heard(), None);
        let news = super::super::members::tests::news();
        kept.keep(&news).unwrap();
        assert_eq!(kept.heard(), Some(news));
        fs::write(path.join(HEARD), b"garbage").unwrap();
        assert_eq!(kept.heard(), None);
        let addresses = [("a.example:1".to_owned(), "192.0.2.1:1".parse().unwrap())].into();
        kept.keep_addresses(&addresses).unwrap();
        assert_eq!(kept.addresses(), addresses);
        assert_eq!(fs::metadata(path.join(ADDRESSES)).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(path.join(ADDRESSES), b"garbage").unwrap();
        assert_eq!(kept.addresses(), BTreeMap::new());
        fs::write(path.join(KEY), b"garbage").unwrap();
        assert!(matches!(Kept::open(&path), Err(KeptError::Damaged(_))), "a key is never replaced");
    }
}
