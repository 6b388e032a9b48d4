//! The server.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use endtoend_keeper::{Keeper, Kept, PATIENCE, Place, eventually};
use tempfile::TempDir;

const HAPROXY: Kept =
    Kept { name: "HAProxy", start: "haproxy -W -S \"$0/master.sock\" -f \"$0/haproxy.cfg\"", children: true };

/// A HAProxy that can be killed, hung up and started again.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    keeper: Mutex<Keeper>,
}

/// A directory with a short name, because the path of a Unix socket has at most 107 bytes.
///
/// # Panics
/// When there is none.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("e2e-edge-").rand_bytes(8).tempdir().expect("a temporary directory")
}

/// What `haproxy -c` has against this configuration; `None` when nothing.
///
/// # Panics
/// When there is no HAProxy.
pub fn complaint(config: &str) -> Option<String> {
    let folder = folder();
    let file = folder.path().join("haproxy.cfg");
    fs::write(&file, config).expect("room for a file");
    let checked = Command::new("haproxy").args(["-c", "-f"]).arg(&file).output();
    let checked = checked.expect("no haproxy in PATH: run scripts/setup");
    let said = String::from_utf8_lossy(&checked.stderr);
    (!checked.status.success() || said.contains("[WARNING]")).then(|| said.into_owned())
}

impl Server {
    /// With the configuration that `config` makes for the socket of its worker.
    ///
    /// # Panics
    /// When there is no HAProxy, or it does not start.
    pub fn start(config: impl FnOnce(&Path) -> String) -> Self {
        // Short: the path of a Unix socket has at most 107 bytes.
        let place = Place::passing("e2e-edge-").expect("a temporary directory");
        let keeper = Mutex::new(Keeper::of(&place, HAPROXY, &[]).expect("a shell"));
        let server = Self { keeper, folder: place.folder().to_owned() };
        server.configure(&config(&server.socket()));
        server.restart();
        server
    }

    /// Writes the file that the next start or reload reads.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, config: &str) {
        fs::write(self.folder.join("haproxy.cfg"), config).expect("room for a file");
    }

    /// Of the worker, if its configuration says so.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("stats.sock")
    }

    /// Of the master.
    pub fn master_socket(&self) -> PathBuf {
        self.folder.join("master.sock")
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it as a crash would. A dead one stays so.
    pub fn kill_9(&self) {
        self.order("end");
    }

    /// Starts it again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.kill_9();
        for socket in [self.socket(), self.master_socket()] {
            let _none_yet = fs::remove_file(socket);
        }
        self.order("start");
        let listens = |socket: PathBuf| UnixStream::connect(socket).is_ok();
        let started = eventually(|| listens(self.socket()) && listens(self.master_socket()));
        assert!(started, "HAProxy was not ready after {PATIENCE:?}: {}", self.log());
    }

    fn order(&self, order: &str) {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).order(order).expect("the shell lives");
    }
}
