//! The node of the demo, and the programs that it is made of.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use crate::child::command;

/// A node must be ready within this time.
const START_SECONDS: u64 = 15;

/// Lines of JSON that a child prints, read on a thread so that waiting for one has a deadline.
pub(super) struct Lines(Receiver<Value>);

impl Lines {
    pub(super) fn of(child: &mut Child) -> Result<Self, DemoError> {
        let stdout = child.stdout.take().ok_or_else(|| DemoError::Unexpected("no output".to_owned()))?;
        let (sender, receiver) = mpsc::sync_channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Ok(Self(receiver))
    }

    /// The next line; `None` when the child closed its output.
    pub(super) fn next(&self, what: &str, seconds: u64) -> Result<Option<Value>, DemoError> {
        match self.0.recv_timeout(Duration::from_secs(seconds)) {
            Ok(value) => Ok(Some(value)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(DemoError::TooLong { what: what.to_owned(), seconds }),
        }
    }
}

/// A running node. Killed when dropped, unless it was kept.
pub(super) struct NodeProcess {
    child: Option<Child>,
    /// Where it runs: no settings lie there.
    dir: PathBuf,
    /// Whether Ctrl-C in this terminal leaves it alone.
    detached: bool,
    data: PathBuf,
    log: PathBuf,
    listen: SocketAddr,
    address: String,
}

impl NodeProcess {
    /// Starts a node on a free loopback port. Only a detached one may be kept.
    pub(super) fn start(dir: &Path, detached: bool) -> Result<Self, DemoError> {
        let mut node = Self {
            child: None,
            dir: dir.to_owned(),
            detached,
            data: dir.join("node"),
            log: dir.join("node.log"),
            listen: ([127, 0, 0, 1], 0).into(),
            address: String::new(),
        };
        node.run()?;
        Ok(node)
    }

    /// `kill -9`, and a start on the same port and data.
    pub(super) fn kill_and_restart(&mut self) -> Result<(), DemoError> {
        self.kill()?;
        self.run()
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }
    pub(super) fn log(&self) -> &Path {
        &self.log
    }
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Leaves the node running; gives its process id.
    pub(super) fn keep(mut self) -> Option<u32> {
        self.child.take().map(|child| child.id())
    }

    fn run(&mut self) -> Result<(), DemoError> {
        let log =
            OpenOptions::new().create(true).append(true).open(&self.log).map_err(DemoError::io("open the log"))?;
        let mut command = command(&std::env::current_exe().map_err(DemoError::io("find this program"))?);
        command
            .args(["serve", "--json", "--listen", &self.listen.to_string(), "--data"])
            .arg(&self.data)
            .current_dir(&self.dir)
            .env("ENDTOEND_LOG__FILTER", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        if self.detached {
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(DemoError::io("start the node"))?;
        let lines = Lines::of(&mut child);
        self.child = Some(child);
        let ready = lines?.next("starting the node", START_SECONDS)?;
        let field = |name: &str| ready.as_ref().and_then(|ready| ready.get(name)).and_then(Value::as_str);
        match (field("listen").and_then(|listen| listen.parse().ok()), field("address")) {
            (Some(listen), Some(address)) => {
                self.listen = listen;
                self.address = address.to_owned();
                Ok(())
            }
            _ => Err(DemoError::NodeFailed { log: tail(&self.log) }),
        }
    }

    fn kill(&mut self) -> Result<(), DemoError> {
        match self.child.take() {
            Some(mut child) => {
                child.kill().and_then(|()| child.wait()).map(|_| ()).map_err(DemoError::io("kill the node"))
            }
            None => Ok(()),
        }
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Nothing can be done about a child that will not die.
        let _ = self.kill();
    }
}

/// The program beside this one.
pub(super) fn beside(name: &str) -> Result<PathBuf, DemoError> {
    let path = std::env::current_exe().map_err(DemoError::io("find this program"))?.with_file_name(name);
    if path.is_file() { Ok(path) } else { Err(DemoError::NoProgram(path)) }
}

fn tail(path: &Path) -> String {
    let Ok(file) = File::open(path) else { return String::new() };
    let lines: Vec<_> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
}
