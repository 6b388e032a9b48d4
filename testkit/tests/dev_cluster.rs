//! `endtoend dev-cluster`: what it says, and what it leaves behind.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code: a failed step fails the test, with its words"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use endtoend_testkit::{Cli, PATIENCE, eventually};
use serde_json::Value;

/// The program, as its users have it.
fn endtoend(arguments: &[&str]) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new(own.ancestors().nth(2).unwrap().join("endtoend"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A running dev-cluster, which is killed with the test.
struct DevCluster {
    child: Child,
    said: BufReader<ChildStdout>,
    ready: Value,
}

impl DevCluster {
    fn start(arguments: &[&str]) -> Self {
        let mut child = endtoend(&["dev-cluster", "--json"]).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut cluster = Self { child, said, ready: Value::Null };
        cluster.ready = cluster.event("ready");
        cluster
    }

    /// The next object about this event.
    fn event(&mut self, event: &str) -> Value {
        let mut before = String::new();
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it ended without {event}, after: {before}");
            let object: Value = serde_json::from_str(&line).unwrap();
            if object["event"] == event {
                return object;
            }
            before.push_str(&line);
        }
    }

    fn nodes(&self) -> &[Value] {
        self.ready["nodes"].as_array().unwrap()
    }

    fn signal(&self, name: &str, pid: u32) {
        let sent = Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", name, &pid.to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Everything of it that can be seen from outside: processes, and folders that go with it.
    fn traces(&self) -> (Vec<u64>, Vec<PathBuf>) {
        let pids = self.nodes().iter().map(|node| node["pid"].as_u64().unwrap()).collect();
        let configs = self.nodes().iter().map(|node| PathBuf::from(node["config"].as_str().unwrap()));
        let mut folders: Vec<PathBuf> = configs.map(|config| config.parent().unwrap().to_owned()).collect();
        let redis = self.ready["redis"].as_str().unwrap().strip_prefix("unix://").unwrap();
        folders.push(Path::new(redis).parent().unwrap().to_owned());
        let postgres = self.ready["postgres"].as_str().unwrap();
        let folder = postgres.split(['@', ':']).nth(2).unwrap().replace("%2F", "/");
        folders.push(folder.into());
        (pids, folders)
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        let _ended_already = (self.child.kill(), self.child.wait());
    }
}

fn gone((pids, folders): &(Vec<u64>, Vec<PathBuf>)) {
    for pid in pids {
        eventually(PATIENCE, "the end of a node", || !Path::new(&format!("/proc/{pid}")).exists());
    }
    for folder in folders {
        eventually(PATIENCE, "the end of a folder", || !folder.exists());
    }
}

#[test]
fn a_cluster_talks_across_nodes_and_survives_one_of_them_and_ends_in_order() {
    let mut cluster = DevCluster::start(&[]);
    assert_eq!(cluster.nodes().len(), 3);
    let addresses: Vec<_> = cluster.nodes().iter().map(|node| node["address"].as_str().unwrap().to_owned()).collect();
    let pins: Vec<_> = addresses.iter().map(|address| address.split_once('#').unwrap().1).collect();
    assert!(pins.iter().all(|pin| *pin == pins[0]), "{pins:?}");
    let homes = tempfile::tempdir().unwrap();
    let alice = Cli::new(homes.path().join("alice"), &*addresses[0]);
    let bob = Cli::new(homes.path().join("bob"), &*addresses[1]);
    alice.register("alice.across").done();
    bob.register("bob.across").done();
    alice.send("bob.across", "to another node").done();
    assert_eq!(bob.listen(1), ["to another node"]);

    let killed = cluster.nodes()[1]["pid"].as_u64().unwrap();
    cluster.signal("KILL", killed.try_into().unwrap());
    assert_eq!(cluster.event("ended")["name"], "node-2");
    alice.send("bob.across", "to a dead node").done();
    assert_eq!(bob.with_server(&addresses[2]).listen(1), ["to a dead node"]);

    let traces = cluster.traces();
    cluster.signal("TERM", cluster.child.id());
    assert!(cluster.child.wait().unwrap().success());
    let mut rest = String::new();
    cluster.said.read_to_string(&mut rest).unwrap();
    gone(&traces);
}

#[test]
fn a_cluster_that_is_killed_leaves_nothing_running() {
    let mut cluster = DevCluster::start(&["--nodes", "1"]);
    let traces = cluster.traces();
    cluster.child.kill().unwrap();
    cluster.child.wait().unwrap();
    gone(&traces);
}

#[test]
fn what_is_kept_is_there_again() {
    let folder = tempfile::Builder::new().prefix("e2e-dev-").tempdir().unwrap();
    // PostgreSQL runs as somebody else when root starts it.
    let passed = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(folder.path(), passed).unwrap();
    let dir = folder.path().join("kept");
    let arguments = ["--nodes", "2", "--dir", dir.to_str().unwrap()];
    let homes = tempfile::tempdir().unwrap();
    let mut addresses = Vec::new();
    for life in 0..2 {
        let mut cluster = DevCluster::start(&arguments);
        let address = cluster.ready["address"].as_str().unwrap().to_owned();
        let alice = Cli::new(homes.path().join("alice"), &address);
        if life == 0 {
            alice.register("alice.kept").done();
        }
        alice.run(&["login"]).done();
        addresses.push(address);
        cluster.signal("INT", cluster.child.id());
        assert!(cluster.child.wait().unwrap().success());
    }
    assert_eq!(addresses[0], addresses[1]);
    assert!(dir.join("postgres/data").is_dir());
}

#[test]
fn clients_reach_the_nodes_over_an_edge_that_follows_the_cluster() {
    let folder = tempfile::Builder::new().prefix("e2e-dev-").tempdir().unwrap();
    let passed = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(folder.path(), passed).unwrap();
    let dir = folder.path().join("kept");
    let homes = tempfile::tempdir().unwrap();
    let mut addresses = Vec::new();
    // Of the second life one node still drains at its beginning.
    for (life, nodes, (before, command, after)) in [(0, "2", (2, "drain", 1)), (1, "3", (2, "undrain", 3))] {
        let mut cluster = DevCluster::start(&["--nodes", nodes, "--edge", "--dir", dir.to_str().unwrap()]);
        let address = cluster.ready["address"].as_str().unwrap().to_owned();
        assert!(cluster.nodes().iter().all(|node| node["address"] != *address));
        let alice = Cli::new(homes.path().join("alice"), &address);
        let bob = Cli::new(homes.path().join("bob"), &address);
        if life == 0 {
            alice.register("alice.behind").done();
            bob.register("bob.behind").done();
        }
        let words = format!("over the edge, {nodes} nodes");
        alice.send("bob.behind", &words).done();
        assert_eq!(bob.listen(1), [words]);
        let edge = PathBuf::from(cluster.ready["edge_config"].as_str().unwrap());
        assert_eq!(servers_up(&edge), before);
        // It hears from the cluster what an operator decides there.
        let config = cluster.nodes()[0]["config"].as_str().unwrap();
        assert!(endtoend(&["cluster", command, "node-2", "--config", config]).status().unwrap().success());
        eventually(PATIENCE, "as the cluster says", || servers_up(&edge) == after);
        let socket = address.strip_prefix("endtoend://").unwrap().split('/').next().unwrap().to_owned();
        cluster.child.kill().unwrap();
        cluster.child.wait().unwrap();
        eventually(PATIENCE, "the end of HAProxy", || TcpStream::connect(&socket).is_err());
        addresses.push(address);
    }
    assert_eq!(addresses[0], addresses[1]);
}

/// Nodes to which the edge of this configuration sends new connections.
fn servers_up(config: &Path) -> usize {
    let asked = endtoend(&["edge", "status", "--json", "--config"]).arg(config).output().unwrap();
    let status: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let servers = status["servers"].as_array().unwrap();
    let takes = |server: &&Value| server["state"].as_str().unwrap().starts_with("UP") && server["weight"] != 0;
    servers.iter().filter(takes).count()
}
