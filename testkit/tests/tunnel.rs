//! Tunnels by real programs: what is printed, that the program comes back, and that nothing else is ended.
#![expect(clippy::unwrap_used, reason = "test code: an answer that was not expected fails the test")]

use std::fs;
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
        let node = Node::start(NodeOptions::default());
        let child = command(&node).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, node }
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
    let line = "sleep 1000 & echo \"child $!\"; echo \"forwarding tcp://{address}\"; wait";
    let mut tunnel = Tunnel::start(&["--via", "command", "--command", line]);
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let up = tunnel.wait("the tunnel", |status| status["state"] == "up");
    assert_eq!((up["address"].as_str(), up["starts"].as_u64()), (Some(tunnel.node.address()), Some(1)), "{up}");
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
    assert!(other.try_wait().unwrap().is_none(), "somebody else's is left alone");
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(tunnel.ask("status"), None, "there is none");
}

#[test]
fn a_tunnel_that_is_killed_leaves_nothing_behind_and_one_that_fails_says_why() {
    let mut tunnel = Tunnel::start(&["--via", "command", "--command", "echo tcp://127.0.0.1:1; sleep 1000"]);
    let up = tunnel.wait("the tunnel", |status| status["state"] == "up");
    tunnel.child.kill().unwrap();
    tunnel.child.wait().unwrap();
    eventually(PATIENCE, "the program's end", || is_over(up["pid"].as_u64().unwrap()));

    let fails = Tunnel::start(&["--via", "command", "--command", "echo no luck today; exit 1"]);
    let status =
        fails.wait("it is tried again", |status| status["starts"].as_u64() > Some(1) && status["state"] == "waiting");
    assert_eq!(status["fault"], "no luck today", "{status}");
    // Nobody listens on port 1: a real ssh says so.
    let ssh = Tunnel::start(&["--via", "ssh", "--to", "ssh://nobody@127.0.0.1:1"]);
    let status = ssh.wait("ssh gives up", |status| status["state"] == "waiting");
    assert!(status["fault"].as_str().unwrap().contains("Connection refused"), "{status}");
}

#[test]
fn an_onion_service_keeps_its_name_and_tor_ends_with_the_tunnel() {
    let mut tunnel = Tunnel::start(&["--via", "onion"]);
    let hostname = tunnel.node.data_dir().join("tunnel/onion/hostname");
    eventually(PATIENCE, "the service's name", || hostname.is_file());
    let name = fs::read_to_string(&hostname).unwrap();
    assert!(name.trim().ends_with(".onion") && name.trim().len() == 62, "{name}");
    let status = tunnel.wait("tor runs", |status| status["state"] == "starting" && status["pid"].is_u64());
    let pid = status["pid"].as_u64().unwrap();
    let torrc = fs::read_to_string(tunnel.node.data_dir().join("tunnel/torrc")).unwrap();
    assert!(torrc.contains(&format!("HiddenServicePort {} ", tunnel.node.listen().port())), "{torrc}");
    assert!(tunnel.ask("stop").is_some());
    eventually(PATIENCE, "its end", || tunnel.child.try_wait().unwrap().is_some());
    eventually(PATIENCE, "tor's end", || is_over(pid));

    let child = command(&tunnel.node).args(["--via", "onion"]).stdout(Stdio::null()).spawn().unwrap();
    tunnel.child = child;
    tunnel.wait("tor runs again", |status| status["pid"].is_u64());
    eventually(PATIENCE, "it is read", || tunnel.log().contains("Opening") || tunnel.log().contains("Bootstrapped"));
    assert_eq!(fs::read_to_string(&hostname).unwrap(), name, "the key stays");
}
