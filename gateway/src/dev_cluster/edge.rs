//! HAProxy in front of the nodes, and the list of nodes that it follows.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use endtoend_keeper::{Keeper, Kept, Place, is_over};
use serde_json::{Map, Value, json};

use super::error::DevError;
use super::ports::ports;
use super::stop::Stop;

/// HAProxy is the agent's child.
const AGENT: Kept = Kept { name: "the edge", start: "\"$4\" edge run --config \"$0/edge.toml\"", children: true };
/// Enough for trying out, and within what any machine allows of open files.
const CONNECTIONS_MAX: u32 = 400;

/// The edge's agent, which keeps HAProxy.
pub(super) struct Edge {
    place: Place,
    port: u16,
    keeper: Keeper,
    pid: Option<u32>,
    generation: u64,
    members: Map<String, Value>,
}

impl Edge {
    /// Not started. `kept`: where its port is written down.
    pub(super) fn new(kept: Option<&Path>) -> Result<Self, DevError> {
        // Sockets lie there, so it has a short path.
        let place = Place::passing("e2e-edge-")?;
        let own = std::env::current_exe().map_err(DevError::io("find this program"))?;
        let keeper = Keeper::of(&place, AGENT, &[own.into_os_string(), OsString::new()])?;
        let [port] = ports(&kept.unwrap_or(place.folder()).join("edge-port.json"))?;
        let edge = Self { place, port, keeper, pid: None, generation: 0, members: Map::new() };
        let folder = edge.place.folder().display();
        let text = format!(
            "name = \"dev-cluster\"\nlisten = [\"127.0.0.1:{port}\"]\ndirectory = \"{folder}/e\"\nview = \"{folder}/nodes.json\"\n\
             [limits]\nconnections_max = {CONNECTIONS_MAX}\n[times]\ncheck_interval_ms = 500\nslow_start_ms = 1000\n"
        );
        fs::write(edge.config(), text).map_err(DevError::io("write the edge's configuration"))?;
        Ok(edge)
    }

    /// Starts it with these nodes, and waits until HAProxy is so.
    pub(super) fn start(&mut self, members: Map<String, Value>, stop: &Stop) -> Result<(), DevError> {
        if !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join("haproxy").is_file())
        {
            return Err(DevError::NoHaproxy);
        }
        self.tell(members)?;
        self.pid = self.keeper.order("start")?;
        stop.until("the edge has its nodes", || {
            if self.has_ended() {
                let said = fs::read_to_string(self.log()).unwrap_or_default();
                return Err(DevError::Ended { name: "the edge".to_owned(), log: self.log(), said });
            }
            Ok(self.applied().filter(|applied| *applied == self.generation))
        })?;
        Ok(())
    }

    /// The generation that HAProxy has.
    fn applied(&self) -> Option<u64> {
        let mut said = String::new();
        let mut stream = std::os::unix::net::UnixStream::connect(self.place.folder().join("e/status.sock")).ok()?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).ok()?;
        std::io::Read::read_to_string(&mut stream, &mut said).ok()?;
        serde_json::from_str::<Value>(&said).ok()?.get("generation_applied")?.as_u64()
    }

    /// Which nodes there are; nothing is written when that is no news.
    pub(super) fn tell(&mut self, members: Map<String, Value>) -> Result<(), DevError> {
        if self.members == members {
            return Ok(());
        }
        self.generation += 1;
        let text = json!({ "generation": self.generation, "members": members }).to_string();
        self.members = members;
        let (new, file) = (self.place.folder().join("nodes.new"), self.place.folder().join("nodes.json"));
        fs::write(&new, text).and_then(|()| fs::rename(new, file)).map_err(DevError::io("write the list of nodes"))
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
