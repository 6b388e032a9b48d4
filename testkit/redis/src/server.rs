//! The server.

use std::path::Path;

use endtoend_keeper::{Place, Redis};

/// A Redis that can be killed, hung up and started again on the same address. It keeps nothing from one life to the next.
#[derive(Debug)]
pub struct Server(Redis);

impl Server {
    /// # Panics
    /// When there is no Redis, or it does not start.
    pub fn start() -> Self {
        // Short: the path of a Unix socket has at most 107 bytes.
        let place = Place::passing("e2e-redis-").expect("a temporary directory");
        Self(Redis::start(&place).expect("Redis starts; scripts/setup installs it"))
    }

    /// Leads to it: `unix:///path`.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Where it has its socket and its log.
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        self.0.log()
    }

    /// Its process; `None` when it was killed.
    ///
    /// # Panics
    /// When somebody has ended the shell that keeps it.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid().expect("kept")
    }

    /// Ends it as a crash would: with everything that it held. A dead one stays so.
    ///
    /// # Panics
    /// When somebody has ended the shell that keeps it.
    pub fn kill_9(&self) {
        self.0.kill_9().expect("killed");
    }

    /// Starts it again, empty, on the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.0.restart().expect("Redis starts");
    }

    /// From now on it takes what is sent to it, and answers nothing, until [`Self::go_on`].
    ///
    /// # Panics
    /// When somebody has ended the shell that keeps it.
    pub fn hang(&self) {
        self.0.hang().expect("stopped");
    }

    /// After [`Self::hang`].
    ///
    /// # Panics
    /// When somebody has ended the shell that keeps it.
    pub fn go_on(&self) {
        self.0.go_on().expect("continued");
    }

    /// Has it forget everything.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn flush(&self) {
        self.0.flush().expect("flushed");
    }
}
