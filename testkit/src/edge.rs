//! `endtoend edge run`, and the HAProxy that it keeps.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use endtoend_testkit_haproxy::{Port, folder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clock::{PATIENCE, eventually};
use crate::node::Node;
use crate::program;

/// A node behind an edge, as the list of nodes has it.
#[derive(Clone, Debug)]
pub struct Behind {
    /// What it is called.
    pub name: String,
    /// Where it takes clients.
    pub address: SocketAddr,
    /// Its admin listener.
    pub ready: Option<SocketAddr>,
    /// It gets nothing new.
    pub draining: bool,
    /// 1 to 256.
    pub weight: u16,
}

impl Behind {
    /// One that gets its share.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self { name: name.to_owned(), address, ready: None, draining: false, weight: 100 }
    }

    /// This node, as it is now.
    pub fn node(name: &str, node: &Node) -> Self {
        Self { ready: node.admin(), ..Self::new(name, node.listen()) }
    }
}

/// An edge with its agent. Dropping it ends both.
#[derive(Debug)]
pub struct Edge {
    port: Port,
    folder: TempDir,
    settings: String,
    generation: u64,
    agent: Option<Child>,
    /// It follows a cluster, and not the file.
    follows: bool,
}

impl Edge {
    /// With further lines for its configuration.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(settings: &str) -> Self {
        let mut edge = Self::new(settings, false);
        edge.launch();
        edge
    }

    /// With further lines for its configuration, one that asks a node to follow its cluster: it waits until it is approved,
    /// and then [`Self::answers`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn follow(settings: &str, token: &(String, String)) -> Self {
        let mut edge = Self::new(settings, true);
        edge.join(settings, token);
        edge
    }

    /// As [`Self::follow`], for one that had a list of nodes and does not run.
    ///
    /// # Panics
    /// As there.
    pub fn join(&mut self, settings: &str, (seed, token): &(String, String)) {
        self.follows = true;
        self.configure(settings);
        let mut command = self.running();
        command.args(["--join", seed]).env("ENDTOEND_JOIN_TOKEN", token);
        self.agent = Some(command.spawn().expect("endtoend starts"));
    }

    fn new(settings: &str, follows: bool) -> Self {
        let (port, folder) = (Port::reserve(), folder());
        let mut edge = Self { port, folder, settings: String::new(), generation: 0, agent: None, follows };
        edge.configure(settings);
        edge
    }

    /// Writes the configuration that its next start reads.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&mut self, settings: &str) {
        self.write_configuration(&format!("\"{}\"", self.listen()), settings);
    }

    /// As [`Self::configure`], with one more address on which it is to listen.
    ///
    /// # Panics
    /// As there.
    pub fn configure_listening_too(&mut self, more: SocketAddr, settings: &str) {
        self.write_configuration(&format!("\"{}\", \"{more}\"", self.listen()), settings);
    }

    fn write_configuration(&mut self, listen: &str, settings: &str) {
        self.settings = settings.to_owned();
        let folder = self.folder.path().display();
        let (view, cluster) = match self.follows {
            false => (format!("view = \"{folder}/nodes.json\"\n"), String::new()),
            true => (String::new(), format!("\n[cluster]\ndirectory = \"{folder}/c\"\n")),
        };
        let text =
            format!("name = \"edge-1\"\nlisten = [{listen}]\ndirectory = \"{folder}/e\"\n{view}{settings}{cluster}");
        fs::write(self.config(), text).expect("room for a file");
    }

    /// Starts the agent, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn launch(&mut self) {
        self.agent = Some(self.running().spawn().expect("endtoend starts"));
        self.answers();
    }

    /// Waits until its agent answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn answers(&self) {
        eventually(PATIENCE, "the edge's agent", || UnixStream::connect(self.directory().join("status.sock")).is_ok());
    }

    fn running(&self) -> Command {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = self.command("run");
        command.args(["--log", "debug"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    fn command(&self, which: &str) -> Command {
        let mut command = program::command("endtoend");
        command.args(["edge", which, "--config"]).arg(self.config());
        command
    }

    /// What another command of `endtoend edge` says.
    ///
    /// # Panics
    /// When it does not run.
    pub fn ask(&self, which: &str, arguments: &[&str]) -> Output {
        self.command(which).args(arguments).output().expect("endtoend starts")
    }

    /// Ends the agent as a crash would. HAProxy goes on.
    pub fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            program::kill(&mut agent);
        }
    }

    /// Ends agent and HAProxy in order.
    pub fn terminate(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            program::terminate(&agent);
            program::wait(&mut agent, "the edge's agent");
        }
    }

    /// Where clients connect.
    pub const fn listen(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its own directory.
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("e")
    }

    /// What it keeps of its cluster.
    pub fn cluster_directory(&self) -> PathBuf {
        self.folder.path().join("c")
    }

    /// The list of nodes.
    pub fn view(&self) -> PathBuf {
        self.folder.path().join("nodes.json")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("edge.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What agent and HAProxy have said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Writes the list of nodes, as news. Gives its generation.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&mut self, nodes: &[Behind]) -> u64 {
        self.generation += 1;
        let members: serde_json::Map<String, Value> = nodes
            .iter()
            .map(|Behind { name, address, ready, draining, weight }| {
                let state = if *draining { "draining" } else { "active" };
                let mut member = json!({ "address": address, "state": state, "weight": weight });
                if let (Some(ready), Some(fields)) = (ready, member.as_object_mut()) {
                    fields.insert("ready".to_owned(), json!(ready));
                }
                (name.clone(), member)
            })
            .collect();
        let text = json!({ "generation": self.generation, "members": members }).to_string();
        replace(&self.view(), &text);
        self.generation
    }

    /// As [`Self::write`], and waits until HAProxy is so.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn apply(&mut self, nodes: &[Behind]) {
        let generation = self.write(nodes);
        self.applied(generation);
    }

    /// Waits for it.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn applied(&self, generation: u64) {
        let mut last = Value::Null;
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(PATIENCE, "the generation to be applied", || {
                last = self.status();
                last.get("generation_applied").and_then(Value::as_u64) == Some(generation)
            });
        }));
        assert!(done.is_ok(), "generation {generation} is not applied: {last}\n{}", self.log());
    }

    /// How it is.
    ///
    /// # Panics
    /// When it does not say.
    pub fn status(&self) -> Value {
        let mut text = String::new();
        let mut stream = UnixStream::connect(self.directory().join("status.sock")).expect("an agent");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        std::io::Read::read_to_string(&mut stream, &mut text).expect("its status");
        serde_json::from_str(&text).expect("JSON")
    }

    /// What it says of a server; `null` when there is none.
    pub fn server(&self, name: &str) -> Value {
        let status = self.status();
        let servers = status.get("servers").and_then(Value::as_array).cloned().unwrap_or_default();
        servers.into_iter().find(|server| server.get("name") == Some(&name.into())).unwrap_or_default()
    }

    /// HAProxy's worker.
    ///
    /// # Panics
    /// When there is none.
    pub fn worker(&self) -> u64 {
        self.status().pointer("/haproxy/pid").and_then(Value::as_u64).expect("a worker")
    }

    /// Sends HAProxy's worker a signal.
    ///
    /// # Panics
    /// When there is none.
    pub fn signal_worker(&self, name: &str) {
        let pid = self.worker().to_string();
        let sent = Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", name, &pid]).status();
        assert!(sent.expect("sh runs").success(), "no worker {pid}");
    }
}

/// Replaces a file as a whole.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("room for a file");
    fs::rename(new, path).expect("one file system");
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Without an agent HAProxy would go on: the next one takes it over, and ends it.
        if self.agent.is_none() && self.directory().join("master.sock").exists() {
            let agent = self.command("run").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            self.agent = agent.ok();
            let answers = || UnixStream::connect(self.directory().join("status.sock")).is_ok();
            eventually(PATIENCE, "an agent for the end", answers);
        }
        self.terminate();
    }
}
