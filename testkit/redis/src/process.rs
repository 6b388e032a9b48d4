//! One process of several.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use endtoend_keeper::{Keeper, Kept, PATIENCE, Place, eventually};
use redis::{Client, Connection, FromRedisValue};

const REDIS: Kept = Kept { name: "Redis", start: "redis-server \"$0/conf\" $4", children: false };

/// A server or a sentinel that can be killed, hung up and started again on the same address, with the configuration that it has
/// written meanwhile and nothing else.
#[derive(Debug)]
pub struct Process {
    at: SocketAddr,
    folder: PathBuf,
    keeper: Mutex<Keeper>,
}

impl Process {
    /// With these lines of configuration.
    pub(crate) fn start(at: SocketAddr, lines: &[String], sentinel: bool) -> Self {
        let place = Place::passing("e2e-redis-").expect("a temporary directory");
        let folder = place.folder().to_owned();
        let common = [
            format!("bind {}", at.ip()),
            format!("port {}", at.port()),
            format!("dir {}", folder.display()),
            "protected-mode no".to_owned(),
        ];
        let servers = ["save \"\"", "appendonly no"].map(str::to_owned);
        let servers = if sentinel { &[][..] } else { &servers[..] };
        let lines: Vec<&str> = common.iter().chain(servers).chain(lines).map(String::as_str).collect();
        fs::write(folder.join("conf"), lines.join("\n") + "\n").expect("a file");
        let word = if sentinel { "--sentinel" } else { "" };
        let keeper = Keeper::of(&place, REDIS, &[word.into()]).expect("a shell");
        let process = Self { at, folder, keeper: Mutex::new(keeper) };
        process.restart();
        process
    }

    /// Where it listens.
    pub const fn at(&self) -> SocketAddr {
        self.at
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts it, again if it was started before.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.order("end");
        self.order("start");
        let answers = eventually(|| self.try_ask::<String>(&["PING"]).is_ok());
        assert!(answers, "no answer after {PATIENCE:?}: {}", self.log());
    }

    /// Ends it as a crash would.
    ///
    /// # Panics
    /// When somebody has ended the shell that keeps it.
    pub fn kill_9(&self) {
        self.order("end");
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

    /// What it answers to a command.
    ///
    /// # Panics
    /// When that is an error.
    pub fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).expect("an answer")
    }

    /// The same, when it may be away.
    ///
    /// # Errors
    /// Of Redis, or of the way to it.
    pub fn try_ask<T: FromRedisValue>(&self, command: &[&str]) -> Result<T, redis::RedisError> {
        ask(&mut Client::open(format!("redis://{}", self.at))?.get_connection()?, command)
    }

    /// Waits until it answers so.
    pub(crate) fn until(&self, what: &str, command: &[&str], is_so: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let came = eventually(|| {
            last = self.try_ask(command).unwrap_or_else(|error| error.to_string());
            is_so(&last)
        });
        assert!(came, "{what} not after {PATIENCE:?}: {last}\n{}", self.log());
    }

    fn order(&self, order: &str) {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).order(order).expect("kept");
    }
}

pub(crate) fn ask<T: FromRedisValue>(connection: &mut Connection, command: &[&str]) -> Result<T, redis::RedisError> {
    let (name, arguments) = command.split_first().expect("a command");
    redis::cmd(name).arg(arguments).query(connection)
}
