//! The server.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use endtoend_keeper::{Keeper, Kept, PATIENCE, Place, eventually};

const S3: Kept = Kept {
    name: "S3",
    start: "env RUST_LOG=info \"$4\" --host 127.0.0.1 --port 0 --access-key \"$5\" --secret-key \"$6\" \"$0/objects\"",
    children: false,
};

/// What it says when it listens, in front of its address.
const LISTENS: &str = "server is running at ";

/// A server on a port of its own. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    endpoint: String,
    keeper: Mutex<Keeper>,
}

impl Server {
    /// What it lets in.
    pub const ACCESS_KEY: &str = "AKIAOFATEST";
    /// With it requests are signed.
    pub const SECRET_KEY: &str = "the/secret+of+a/test";

    /// With these buckets, which are empty.
    ///
    /// # Panics
    /// When it was not built, or does not start.
    pub fn start(buckets: &[&str]) -> Self {
        let place = Place::passing("e2e-s3-").expect("a temporary directory");
        let folder = place.folder().to_owned();
        for bucket in buckets {
            fs::create_dir_all(folder.join("objects").join(bucket)).expect("a folder");
        }
        let program = program();
        assert!(program.is_file(), "{} is missing: run scripts/s3-server first", program.display());
        let words = [program.into_os_string(), OsString::from(Self::ACCESS_KEY), OsString::from(Self::SECRET_KEY)];
        let mut keeper = Keeper::of(&place, S3, &words).expect("a shell");
        keeper.order("start").expect("kept");
        let mut endpoint = None;
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        let listens = eventually(|| {
            endpoint = address(&log());
            endpoint.is_some()
        });
        assert!(listens, "no address after {PATIENCE:?}: {}", log());
        Self { endpoint: endpoint.unwrap_or_default(), keeper: Mutex::new(keeper), folder }
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Where it keeps objects: a folder for each bucket.
    pub fn folder(&self) -> PathBuf {
        self.folder.join("objects")
    }

    /// How many objects there are in all buckets.
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub fn objects(&self) -> usize {
        let buckets = fs::read_dir(self.folder()).expect("a folder").map(|entry| entry.expect("an entry").path());
        buckets.filter(|bucket| bucket.is_dir()).map(|bucket| files(&bucket)).sum()
    }

    /// From now on it takes what is sent to it, and answers nothing, until [`Self::go_on`].
    ///
    /// # Panics
    /// When somebody has ended the shell that keeps it.
    pub fn hang(&self) {
        self.order("STOP");
    }

    /// After [`Self::hang`].
    ///
    /// # Panics
    /// When somebody has ended the shell that keeps it.
    pub fn go_on(&self) {
        self.order("CONT");
    }

    fn order(&self, order: &str) {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).order(order).expect("kept");
    }
}

/// Where `scripts/s3-server` puts it.
fn program() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).unwrap_or_default();
    cache.join("endtoend/tools/bin/s3s-fs")
}

/// The address in what it has said.
fn address(log: &str) -> Option<String> {
    let (_, rest) = log.split_once(LISTENS)?;
    let (address, _) = rest.split_once(char::is_whitespace)?;
    Some(address.trim_end_matches('/').to_owned())
}

/// Files below a folder that are objects: what begins with a dot is the server's own.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let objects = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    objects.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_when_it_is_there_as_a_whole() {
        let log = "INFO s3s_fs: server is running at http://127.0.0.1:43021\n  at main.rs";
        assert_eq!(address(log).as_deref(), Some("http://127.0.0.1:43021"));
        assert_eq!(address("INFO s3s_fs: server is running at http://127.0.0.1:43"), None);
        assert_eq!(address("INFO s3s_fs: authentication is enabled"), None);
    }

    #[test]
    fn it_starts_empty_and_leaves_nothing_behind() {
        let server = Server::start(&["one", "other"]);
        let folder = server.folder();
        assert_eq!((server.objects(), folder.join("other").is_dir()), (0, true));
        drop(server);
        assert!(!folder.exists());
    }
}
