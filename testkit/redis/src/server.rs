//! The server.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use endtoend_testkit_keeper::{Keeper, Kept, PATIENCE, eventually};

const REDIS: Kept = Kept {
    name: "Redis",
    start: "redis-server --port 0 --unixsocket \"$0/socket\" --unixsocketperm 700 --dir \"$0\" --save '' --appendonly no \
            --daemonize no",
    children: false,
};

/// A Redis that can be killed, hung up and started again on the same address. It keeps nothing from one life to the next.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    keeper: Mutex<Keeper>,
}

impl Server {
    /// # Panics
    /// When there is no Redis, or it does not start.
    pub fn start() -> Self {
        let found = Command::new("redis-server").arg("--version").output();
        assert!(found.is_ok(), "no redis-server in PATH: run scripts/setup");
        // Short: the path of a Unix socket has at most 107 bytes. The keeper removes it.
        let folder = tempfile::Builder::new().prefix("e2e-redis-").tempdir().expect("a temporary directory").keep();
        let keeper = Mutex::new(Keeper::of(&folder, REDIS));
        let server = Self { folder, keeper };
        server.restart();
        server
    }

    /// Leads to it: `unix:///path`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.folder.join("socket").display())
    }

    /// Where it has its socket and its log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it as a crash would: with everything that it held. A dead one stays so.
    pub fn kill_9(&self) {
        self.order("end");
    }

    /// Starts it again, empty, on the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.kill_9();
        let _none_yet = fs::remove_file(self.folder.join("socket"));
        self.order("start");
        assert!(eventually(|| self.answers()), "Redis was not ready after {PATIENCE:?}: {}", self.log());
    }

    /// From now on it takes what is sent to it, and answers nothing, until [`Self::go_on`].
    pub fn hang(&self) {
        self.order("STOP");
    }

    /// After [`Self::hang`].
    pub fn go_on(&self) {
        self.order("CONT");
    }

    fn order(&self, order: &str) {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).order(order);
    }

    fn answers(&self) -> bool {
        let ping = || {
            let mut socket = UnixStream::connect(self.folder.join("socket"))?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            socket.read_exact(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        ping().is_ok_and(|answer| &answer == b"+PONG\r\n")
    }
}
