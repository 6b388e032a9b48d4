//! HAProxy in front of the nodes, and the agent that follows their cluster.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use endtoend_keeper::{Keeper, Kept, Place, find, is_over};
use serde_json::Value;

use super::cluster::{Group, STATUS, state, text};
use super::error::DevError;
use super::member::Member;
use super::ports::ports;
use super::stop::Stop;

/// HAProxy is the agent's child. With a further argument it asks there to be let in.
const AGENT: Kept = Kept {
    name: "the edge",
    start: "\"$4\" edge run --config \"$0/edge.toml\" ${5:+--join \"$5\" --token-file \"$0/token\"}",
    children: true,
};
/// What it is called.
const NAME: &str = "edge-1";
/// A file of this name says that the edge got into its cluster.
const FOLLOWS: &str = "follows";
/// What an edge keeps of itself and of its cluster.
const KEPT: [&str; 4] = ["edge.key", "cluster.heard", "cluster.addresses", "cluster.anew"];
/// Enough for trying out, and within what any machine allows of open files.
const CONNECTIONS_MAX: u32 = 400;

/// The edge's agent, which keeps HAProxy.
pub(super) struct Edge {
    place: Place,
    port: u16,
    keeper: Keeper,
    pid: Option<u32>,
    /// What it keeps of itself and of its cluster.
    own: PathBuf,
}

impl Edge {
    /// Not started. `kept`: where everything is that stays. `seed`: where it asks to be let in when it was not yet.
    ///
    /// # Errors
    /// `NoHaproxy`, and when files cannot be written.
    pub(super) fn new(kept: Option<&Path>, seed: &Member) -> Result<Self, DevError> {
        if find("haproxy").is_none() {
            return Err(DevError::NoHaproxy);
        }
        // Sockets lie there, so it has a short path.
        let place = Place::passing("e2e-edge-")?;
        let own = kept.unwrap_or(place.folder()).join("edge");
        let seed = if own.join(FOLLOWS).is_file() { String::new() } else { seed.peer_address() };
        let program = std::env::current_exe().map_err(DevError::io("find this program"))?;
        let keeper = Keeper::of(&place, AGENT, &[program.into_os_string(), OsString::from(seed)])?;
        let [port] = ports(&kept.unwrap_or(place.folder()).join("edge-port.json"))?;
        let edge = Self { place, port, keeper, pid: None, own };
        let (folder, own) = (edge.place.folder().display(), edge.own.display());
        let text = format!(
            "name = \"{NAME}\"\nlisten = [\"127.0.0.1:{port}\"]\ndirectory = \"{folder}/e\"\n[cluster]\ndirectory = \"{own}\"\n\
             [limits]\nconnections_max = {CONNECTIONS_MAX}\n[times]\ncheck_interval_ms = 500\nslow_start_ms = 1000\n"
        );
        fs::write(edge.config(), text).map_err(DevError::io("write the edge's configuration"))?;
        Ok(edge)
    }

    /// Starts it, lets it in where it is new, and waits until these nodes take connections over it. `seed` is one of them.
    pub(super) fn start(&mut self, seed: &Member, nodes: &[Member], stop: &Stop) -> Result<(), DevError> {
        let is_new = !self.own.join(FOLLOWS).is_file();
        if is_new {
            self.begin_anew(seed)?;
        }
        self.pid = self.keeper.order("start")?;
        if is_new {
            stop.until("the edge asks to be let in", || {
                let asks = state(&seed.operate(STATUS)?, Group::Edges, NAME);
                self.alive(asks.filter(|state| state == "pending"))
            })?;
            seed.operate(&["cluster", "approve", NAME])?;
        }
        stop.until("the edge has its nodes", || self.alive(self.has_all(nodes).then_some(())))?;
        fs::write(self.own.join(FOLLOWS), "").map_err(DevError::io("write the files of the edge"))
    }

    /// Nothing is left of one that was not let in to its end, here or in the cluster; and a token for a new one.
    fn begin_anew(&self, seed: &Member) -> Result<(), DevError> {
        // One by one: whose the folder is, nobody knows.
        for name in KEPT {
            match fs::remove_file(self.own.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DevError::io("remove what is left of an edge")(error));
                }
                _ => {}
            }
        }
        match state(&seed.operate(STATUS)?, Group::Edges, NAME).as_deref() {
            Some("pending") => drop(seed.operate(&["cluster", "reject", NAME])?),
            Some("active") => drop(seed.operate(&["cluster", "remove", NAME, "--yes"])?),
            _ => {}
        }
        let created = seed.operate(&["cluster", "token", "create", "--edge"])?;
        let token = text(&created, "token")?;
        let mut options = fs::File::options();
        let file = options.create(true).truncate(true).write(true).mode(0o600).open(self.place.folder().join("token"));
        let written = file.and_then(|mut file| io::Write::write_all(&mut file, token.as_bytes()));
        written.map_err(DevError::io("write the edge's token"))
    }

    /// `found`, unless it has ended.
    fn alive<T>(&self, found: Option<T>) -> Result<Option<T>, DevError> {
        if self.has_ended() {
            let said = fs::read_to_string(self.log()).unwrap_or_default();
            return Err(DevError::Ended { name: "the edge".to_owned(), log: self.log(), said });
        }
        Ok(found)
    }

    /// Whether HAProxy has all of these, and each takes connections, or is one that drains and gets none.
    fn has_all(&self, nodes: &[Member]) -> bool {
        let status = self.status().unwrap_or_default();
        let servers = status.get("servers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is = |server: &Value, field: &str, begin: &str| {
            server.get(field).and_then(Value::as_str).is_some_and(|text| text.starts_with(begin))
        };
        let serves = |server: &Value| is(server, "state", "UP") || server.get("weight") == Some(&0.into());
        nodes.iter().all(|node| servers.iter().any(|server| is(server, "name", node.name()) && serves(server)))
    }

    fn status(&self) -> Option<Value> {
        let mut said = String::new();
        let mut stream = std::os::unix::net::UnixStream::connect(self.place.folder().join("e/status.sock")).ok()?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).ok()?;
        io::Read::read_to_string(&mut stream, &mut said).ok()?;
        serde_json::from_str(&said).ok()
    }

    pub(super) fn terminate(&mut self) -> Result<(), DevError> {
        self.keeper.order("TERM").map(drop).map_err(Into::into)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.pid.is_some_and(is_over)
    }

    /// A node's address, as it is reached over the edge: pins are the nodes'.
    pub(super) fn address(&self, of_node: &str) -> String {
        let pin = of_node.split_once("/#").map_or("", |(_, pin)| pin);
        format!("endtoend://127.0.0.1:{}/#{pin}", self.port)
    }

    pub(super) fn config(&self) -> PathBuf {
        self.place.folder().join("edge.toml")
    }

    fn log(&self) -> PathBuf {
        self.place.folder().join("log")
    }
}
