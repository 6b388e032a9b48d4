//! Tunnels by real programs: what is printed, that the program comes back, and that nothing else is ended.
#![expect(clippy::unwrap_used, reason = "test code: an answer that was not expected fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use endtoend_testkit::{Node, NodeOptions, PATIENCE, eventually, operate, own_program};
use serde_json::Value;

/// `endtoend tunnel start` in the foreground. Dropping it ends it.
struct Tunnel {
    child: Child,
    node: Node,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

impl Tunnel {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(|command| {
            command.args(arguments);
        })
    }

    fn start_with(prepare: impl FnOnce(&mut Command)) -> Self {
        let node = Node::start(NodeOptions::default());
        let mut command = command(&node);
        prepare(&mut command);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, node }
    }

    /// The address that clients are told when the program says this place.
    fn at(&self, place: &str) -> String {
        let (_, pin) = self.node.address().split_once("/#").unwrap();
        format!("endtoend://{place}/#{pin}")
    }

    fn ask(&self, what: &str) -> Option<Value> {
        let data = self.node.data_dir().display().to_string();
        let outcome = operate(self.node.data_dir(), &["tunnel", what, "--data", &data], &[]);
        outcome.lines.into_iter().next().filter(|_| outcome.code == Some(0))
    }

    /// Waits until it is so.
    fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        eventually(PATIENCE, what, || {
            last = self.ask("status");
            last.as_ref().is_some_and(&holds)
        });
        last.unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.node.data_dir().join("tunnel/log")).unwrap_or_default()
    }
}

/// A program of nobody's. Dropping it ends it.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

fn command(node: &Node) -> Command {
    let mut command = own_program("endtoend");
    command.args(["tunnel", "start", "--json", "--data"]).arg(node.data_dir()).stdin(Stdio::null());
    command
}

fn is_over(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|fields| fields.is_empty() || fields.starts_with('Z'))
}

#[test]
fn a_command_that_prints_an_address_is_a_tunnel_that_comes_back_and_ends_alone() {
    // It has a child, whose number it tells.
    let line = "sleep 1000 & echo \"child $!\"; echo \"forwarding tcp://reached.example:7 to tcp://{address}\"; wait";
    let mut tunnel = Tunnel::start(&["--via", "command", "--command", line]);
    let mut other = Other(Command::new("sleep").arg("1000").spawn().unwrap());
    let up = tunnel.wait("the tunnel", |status| status["state"] == "up");
    let address = tunnel.at("reached.example:7");
    assert_eq!((up["address"].as_str(), up["starts"].as_u64()), (Some(&*address), Some(1)), "{up}");
    let second = command(&tunnel.node).args(["--via", "command", "--command", line]).output().unwrap();
    assert!(String::from_utf8_lossy(&second.stdout).contains("a tunnel runs for this node already"), "{second:?}");

    let child = |tunnel: &Tunnel| -> u64 {
        let log = tunnel.log();
        log.lines().find_map(|line| line.strip_prefix("child ")?.parse().ok()).unwrap()
    };
    let (pid, first) = (up["pid"].as_u64().unwrap(), child(&tunnel));
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    let again = tunnel.wait("it comes back", |status| status["state"] == "up" && status["starts"] == 2);
    assert_ne!(again["pid"].as_u64(), Some(pid));
    eventually(PATIENCE, "what the first one had started goes with it", || is_over(first));

    let (pid, second) = (again["pid"].as_u64().unwrap(), child(&tunnel));
    assert!(tunnel.ask("stop").is_some());
    eventually(PATIENCE, "its end", || tunnel.child.try_wait().unwrap().is_some());
    eventually(PATIENCE, "the program's end", || is_over(pid) && is_over(second));
    assert!(other.0.try_wait().unwrap().is_none(), "somebody else's is left alone");
    assert_eq!(tunnel.ask("status"), None, "there is none");
}

#[test]
fn a_tunnel_that_is_killed_leaves_nothing_behind_and_one_that_fails_says_why() {
    let mut tunnel = Tunnel::start(&["--via", "command", "--command", "echo tcp://127.0.0.1:1; sleep 1000"]);
    let up = tunnel.wait("the tunnel", |status| status["state"] == "up");
    tunnel.child.kill().unwrap();
    tunnel.child.wait().unwrap();
    eventually(PATIENCE, "the program's end", || is_over(up["pid"].as_u64().unwrap()));

    let folder = tempfile::tempdir().unwrap();
    let [ends, config] = ["ends", "config"].map(|name| folder.path().join(name).display().to_string());
    let line =
        format!("echo https://ends.example; until [ -e {ends} ]; do sleep 0.05; done; echo no luck today; exit 1");
    let fails = Tunnel::start(&["--via", "command", "--command", &line]);
    let up = fails.wait("the tunnel", |status| status["state"] == "up");
    assert!(up["address"].is_string() && up["notice"].as_str().unwrap().contains("ends TLS"), "{up}");
    fs::write(&ends, "").unwrap();
    let status =
        fails.wait("it is tried again", |status| status["starts"].as_u64() > Some(1) && status["state"] == "waiting");
    assert_eq!(status["fault"], "no luck today", "{status}");
    assert!(status["address"].is_null() && status["notice"].is_null(), "nobody is reached there: {status}");
    // Nobody listens on port 1: a real ssh says so, whatever this machine's user has set.
    fs::write(&config, "").unwrap();
    let ssh = Tunnel::start(&["--via", "ssh", "--to", "ssh://nobody@127.0.0.1:1", "--ssh-config", &config]);
    let status = ssh.wait("ssh gives up", |status| status["state"] == "waiting");
    assert!(status["fault"].as_str().unwrap().contains("Connection refused"), "{status}");
}

#[test]
fn an_address_that_changes_is_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let moves = folder.path().join("moves").display().to_string();
    let line = format!(
        "echo see https://terms.example/x; echo tcp://one.example:1; until [ -e {moves} ]; do sleep 0.05; done; \
         echo tcp://two.example:2; echo https://news.example; sleep 1000"
    );
    let tunnel = Tunnel::start(&["--via", "command", "--command", &line]);
    let [one, two] = ["one.example:1", "two.example:2"].map(|place| tunnel.at(place));
    tunnel.wait("the first one", |status| status["address"] == one.as_str());
    fs::write(&moves, "").unwrap();
    let moved = tunnel.wait("the second one", |status| status["address"] == two.as_str());
    assert!(moved["starts"] == 1 && moved["state"] == "up" && moved["notice"].is_null(), "{moved}");
}

/// A folder with a `tor` that asks nobody: the real one would look for the network.
fn alone(folder: &Path) -> String {
    let path = std::env::var("PATH").unwrap();
    let folders = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    let real = folders.map(|folder| folder.join("tor")).find(|path| path.is_file()).unwrap();
    let script = folder.join("tor");
    fs::write(&script, format!("#!/bin/sh\nexec '{}' \"$@\" --DisableNetwork 1\n", real.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{path}", folder.display())
}

#[test]
fn an_onion_service_keeps_its_name_and_tor_ends_with_the_tunnel() {
    let folder = tempfile::tempdir().unwrap();
    let path = alone(folder.path());
    let mut tunnel = Tunnel::start_with(|command| {
        command.env("PATH", &path).args(["--via", "onion"]);
    });
    let hostname = tunnel.node.data_dir().join("tunnel/onion/hostname");
    eventually(PATIENCE, "the service's name", || hostname.is_file());
    let name = fs::read_to_string(&hostname).unwrap();
    assert!(name.trim().ends_with(".onion") && name.trim().len() == 62, "{name}");
    let status = tunnel.wait("tor runs", |status| status["pid"].is_u64());
    let pid = status["pid"].as_u64().unwrap();
    let torrc = fs::read_to_string(tunnel.node.data_dir().join("tunnel/torrc")).unwrap();
    assert!(torrc.contains(&format!("HiddenServicePort {} ", tunnel.node.listen().port())), "{torrc}");
    assert!(tunnel.ask("stop").is_some());
    eventually(PATIENCE, "its end", || tunnel.child.try_wait().unwrap().is_some());
    eventually(PATIENCE, "tor's end", || is_over(pid));

    tunnel.child = command(&tunnel.node)
        .env("PATH", &path)
        .args(["--via", "onion"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    tunnel.wait("tor runs again", |status| status["pid"].is_u64());
    eventually(PATIENCE, "it is read", || tunnel.log().contains("Opening") || tunnel.log().contains("Bootstrapped"));
    assert_eq!(fs::read_to_string(&hostname).unwrap(), name, "the key stays");
}
