//! Redis.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{PATIENCE, eventually};
use crate::error::KeeperError;
use crate::keeper::{Keeper, Kept};
use crate::place::Place;
use crate::program::find;

const REDIS: Kept = Kept {
    name: "Redis",
    start: "redis-server --port 0 --unixsocket \"$0/socket\" --unixsocketperm 700 --dir \"$0\" --save '' --appendonly no \
            --daemonize no",
    children: false,
};

/// A Redis on a Unix socket that can be killed, hung up and started again on the same address. It keeps nothing from one life to
/// the next.
#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    socket: PathBuf,
    keeper: Mutex<Keeper>,
}

impl Redis {
    /// In this place.
    ///
    /// # Errors
    /// When there is no Redis, or it does not start.
    pub fn start(place: &Place) -> Result<Self, KeeperError> {
        let keeper = Keeper::of(place, REDIS, &[])?;
        if find("redis-server").is_none() {
            return Err(KeeperError::Missing { program: "redis-server", package: "redis-server" });
        }
        let (folder, socket) = (place.folder().to_owned(), place.socket("socket")?);
        let redis = Self { folder, socket, keeper: Mutex::new(keeper) };
        redis.restart()?;
        Ok(redis)
    }

    /// Leads to it: `unix:///path`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
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
    ///
    /// # Errors
    /// When it is not kept any more.
    pub fn kill_9(&self) -> Result<(), KeeperError> {
        self.order("end").map(drop)
    }

    /// Starts it again, empty, on the same address.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self) -> Result<(), KeeperError> {
        self.kill_9()?;
        let _none_yet = fs::remove_file(&self.socket);
        self.order("start")?;
        match eventually(|| self.asked("PING").is_ok_and(|answer| answer == "+PONG")) {
            true => Ok(()),
            false => {
                let said = format!("it was not ready after {PATIENCE:?}: {}", self.log());
                Err(KeeperError::NotStarted { name: "Redis", said })
            }
        }
    }

    /// From now on it takes what is sent to it, and answers nothing, until [`Self::go_on`].
    ///
    /// # Errors
    /// When it is not kept any more.
    pub fn hang(&self) -> Result<(), KeeperError> {
        self.order("STOP").map(drop)
    }

    /// After [`Self::hang`].
    ///
    /// # Errors
    /// When it is not kept any more.
    pub fn go_on(&self) -> Result<(), KeeperError> {
        self.order("CONT").map(drop)
    }

    /// Forgets everything that it holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn flush(&self) -> Result<(), KeeperError> {
        self.asked("FLUSHALL").map(drop).map_err(KeeperError::io("flush Redis"))
    }

    /// Its process; `None` when it was killed.
    ///
    /// # Errors
    /// When it is not kept any more.
    pub fn pid(&self) -> Result<Option<u32>, KeeperError> {
        self.order("pid")
    }

    fn order(&self, order: &str) -> Result<Option<u32>, KeeperError> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).order(order)
    }

    /// One command in the simplest form of the protocol; the answer, which has to be short.
    fn asked(&self, command: &str) -> std::io::Result<String> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n") && answer.len() < 128 {
            let mut byte = [0];
            socket.read_exact(&mut byte)?;
            answer.extend(byte);
        }
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }
}
