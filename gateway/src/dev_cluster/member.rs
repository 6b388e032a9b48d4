//! One node of the cluster.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use endtoend_keeper::{Keeper, Kept, Place, is_over};
use serde_json::{Value, json};

use super::error::DevError;
use super::operate::operate;
use super::ports::ports;
use super::stop::Stop;

const FOUNDS: Kept = Kept {
    name: "a node",
    start: "\"$4\" serve --json --config \"$0/endtoend.toml\" >\"$0/said\" 2>>\"$0/log\"",
    children: false,
};
const JOINS: Kept = Kept {
    name: "a node",
    start: "\"$4\" serve --json --config \"$0/endtoend.toml\" --join \"$5\" --token-file \"$0/token\" >\"$0/said\" 2>>\"$0/log\"",
    children: false,
};
/// A file of this name says that the node got into its cluster.
const MEMBER: &str = "member";
/// Lines of a log that say why a node has ended.
const LAST_LINES: usize = 10;

/// A node, and where it is.
pub(crate) struct Member {
    name: String,
    place: Place,
    /// For clients, for other nodes, for those who watch it.
    ports: [u16; 3],
    keeper: Keeper,
    pid: Option<u32>,
    /// Once it was ready.
    address: String,
}

/// What all nodes share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) store: String,
    pub(super) redis: String,
    /// An edge is before them.
    pub(super) edge: bool,
    /// What they log.
    pub(super) log: &'static str,
}

impl Member {
    /// With its configuration, not started. `seed`: where it asks to be let in, with a token; nowhere for one that has a cluster
    /// or founds it.
    pub(super) fn new(name: &str, place: Place, shared: &Shared, seed: Option<(&str, &str)>) -> Result<Self, DevError> {
        let (seed, token) = seed.unzip();
        let own = std::env::current_exe().map_err(DevError::io("find this program"))?;
        let arguments = [own.into_os_string(), OsString::from(seed.unwrap_or_default())];
        // From here on the place is removed with the member.
        let keeper = Keeper::of(&place, if seed.is_some() { JOINS } else { FOUNDS }, &arguments)?;
        let ports = ports(&place.folder().join("ports.json"))?;
        let member = Self { name: name.to_owned(), place, ports, keeper, pid: None, address: String::new() };
        let text = toml::to_string(&member.settings(shared))
            .map_err(|error| DevError::Io { what: "write a configuration", source: std::io::Error::other(error) })?;
        member.write("endtoend.toml", &text)?;
        if let Some(token) = token {
            member.write("token", token)?;
        }
        Ok(member)
    }

    fn settings(&self, shared: &Shared) -> Value {
        let [clients, nodes, watch] = self.ports.map(|port| format!("127.0.0.1:{port}"));
        let edges = if shared.edge { vec!["127.0.0.1"] } else { Vec::new() };
        json!({
            "storage": { "data": self.place.folder().join("data"), "url": shared.store },
            "gateway": { "listen": clients, "proxy_from": edges, "drain_seconds": DRAIN_SECONDS },
            "redis": { "url": shared.redis },
            "log": { "filter": shared.log },
            "admin": { "listen": watch },
            "cluster": { "listen": nodes, "name": self.name },
        })
    }

    /// Secrets may stand there.
    fn write(&self, name: &str, text: &str) -> Result<(), DevError> {
        let mut options = fs::File::options();
        options.create(true).truncate(true).write(true).mode(0o600);
        let written = options.open(self.place.folder().join(name)).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(DevError::io("write the files of a node"))
    }

    /// From now on it is a member whenever it starts in this place.
    pub(super) fn is_in(&self) -> Result<(), DevError> {
        self.write(MEMBER, "")
    }

    /// Whether a node of this place is a member, as far as it got at an earlier start.
    pub(super) fn is_known(place: &Path) -> bool {
        place.join(MEMBER).is_file()
    }

    /// Starts it, and does not wait until it is ready.
    pub(crate) fn launch(&mut self) -> Result<(), DevError> {
        let _none_yet = fs::remove_file(self.said());
        self.keeper.order("end")?;
        self.pid = self.keeper.order("start")?;
        Ok(())
    }

    /// Waits until it takes clients.
    pub(crate) fn ready(&mut self, stop: &Stop) -> Result<(), DevError> {
        let what = format!("{} is ready", self.name);
        self.address = stop.until(&what, || match self.announced() {
            None if !self.lives() => Err(self.ended()),
            announced => Ok(announced),
        })?;
        Ok(())
    }

    /// The address that it prints when it is ready.
    fn announced(&self) -> Option<String> {
        let said = fs::read_to_string(self.said()).ok()?;
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ready = lines.rfind(|line| line.get("event").is_some_and(|event| event == "ready"))?;
        ready.get("address").and_then(Value::as_str).map(str::to_owned)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill_9(&mut self) -> Result<(), DevError> {
        self.pid = None;
        self.keeper.order("end").map(drop).map_err(Into::into)
    }

    /// Tells it to end in order.
    pub(super) fn terminate(&mut self) -> Result<(), DevError> {
        if self.lives() {
            self.keeper.order("TERM")?;
        }
        Ok(())
    }

    /// Whether its process is there.
    pub(crate) fn lives(&self) -> bool {
        self.pid.is_some_and(|pid| !is_over(pid))
    }

    /// Whether it was started and has ended by itself, told once.
    pub(super) fn has_ended(&mut self) -> bool {
        let ended = self.pid.is_some() && !self.lives();
        if ended {
            self.pid = None;
        }
        ended
    }

    fn ended(&self) -> DevError {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let said = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n");
        DevError::Ended { name: self.name.clone(), log: self.log(), said }
    }

    /// Runs an operator's command at this node.
    pub(crate) fn operate(&self, arguments: &[&str]) -> Result<Value, DevError> {
        operate(&self.config(), arguments)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
    /// For clients, with the pin.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
    pub(crate) const fn pid(&self) -> Option<u32> {
        self.pid
    }
    /// Where other nodes reach it.
    pub(super) fn peer_address(&self) -> String {
        let [_, nodes, _] = self.ports;
        format!("127.0.0.1:{nodes}")
    }
    pub(crate) fn folder(&self) -> &Path {
        self.place.folder()
    }
    pub(crate) fn config(&self) -> PathBuf {
        self.folder().join("endtoend.toml")
    }
    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join("log")
    }
    fn said(&self) -> PathBuf {
        self.folder().join("said")
    }
}

/// People who try things out do not wait.
const DRAIN_SECONDS: u32 = 3;
