//! What an edge allows one source, seen from sources with addresses of their own: loopback has no such bounds.
#![expect(clippy::unwrap_used, reason = "test code: an answer that was not expected fails the test")]

use std::io::Write as _;
use std::process::Stdio;

use endtoend_testkit::{Machine, PATIENCE, eventually};
use serde_json::Value;

const EDGES: [(&str, &str); 2] = [("edge-1", "10.9.0.1"), ("edge-2", "10.9.0.2")];

fn install(machine: &Machine) {
    machine.shell("for host in 1 2 9 50 51 52 60 61; do ip address add 10.9.0.$host/24 dev lo; done");
    let node = "[storage]\ndata = \"/root/node\"\n[gateway]\nlisten = \"10.9.0.9:8443\"\nproxy_from = [\"10.9.0.1\", \"10.9.0.2\"]\n\
                [admin]\nlisten = \"10.9.0.9:9464\"\nbeyond_loopback = true\n";
    machine.write("/root/node.toml", node);
    machine.shell("systemd-run --quiet --unit=node endtoend serve --config /root/node.toml");
    let nodes = "generation = 1\n[members.a]\naddress = \"10.9.0.9:8443\"\nready = \"10.9.0.9:9464\"\n";
    machine.write("/root/nodes.toml", nodes);
    let peer = |(name, host)| format!("{{ name = \"{name}\", address = \"{host}:10000\" }}");
    let peers = EDGES.map(peer).join(", ");
    for (name, host) in EDGES {
        let text = format!(
            "name = \"{name}\"\nlisten = [\"{host}:8443\"]\ndirectory = \"/root/{name}\"\nview = \"/root/nodes.toml\"\n\
             peers = [{peers}]\n[limits]\nconnections_max = 300\nsource_connections_max = 3\nsource_rate_max = 20\n\
             exempt = [\"10.9.0.52\"]\n[times]\ncheck_interval_ms = 100\nslow_start_ms = 1\n"
        );
        machine.write(&format!("/root/{name}.toml"), text);
        machine.shell(&format!("systemd-run --quiet --unit={name} endtoend edge run --config /root/{name}.toml"));
    }
    for (name, _) in EDGES {
        eventually(PATIENCE, "an edge before its node", || {
            let mut asking = machine.command("endtoend");
            let asked = asking.args(["edge", "status", "--json", "--config", &format!("/root/{name}.toml")]).output();
            let status: Value = serde_json::from_slice(&asked.unwrap().stdout).unwrap_or_default();
            status.pointer("/servers/0/state").and_then(Value::as_str).is_some_and(|state| state.starts_with("UP"))
        });
    }
}

/// The edges talk with each other. HAProxy tries that every few seconds.
fn are_peers(machine: &Machine) -> bool {
    let ask = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'show peers\\n'); \
               print(s.makefile().read())";
    let established = |(name, _): &(&str, &str)| {
        let mut asking = machine.command("python3");
        let said = asking.args(["-c", ask, &format!("/root/{name}/stats.sock")]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).contains("last_status=ESTA")
    };
    EDGES.iter().all(established)
}

/// How many were served of each line.
fn served(machine: &Machine, lines: &[&str]) -> Vec<u32> {
    let mut command = machine.command("python3");
    command.args(["-c", include_str!("scripts/sources.py")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", machine.journal());
    String::from_utf8(said.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn a_source_has_its_share_and_no_more_and_others_do_not_notice() {
    let Some(machine) = Machine::boot() else { return };
    install(&machine);
    let lines = [
        "10.9.0.50 10.9.0.1 6 stay",
        "10.9.0.51 10.9.0.1 2 stay",
        "10.9.0.52 10.9.0.1 30 stay", // exempt
        "10.9.0.50 10.9.0.1 1 go",    // still all its places taken
        "10.9.0.50 10.9.0.2 3 stay",  // the other edge counts connections by itself
    ];
    assert_eq!(served(&machine, &lines), [3, 2, 30, 0, 3]);

    // New ones in a time: both edges know what one of them has seen.
    eventually(PATIENCE, "edges that know each other", || are_peers(&machine));
    let [mine, others]: [u32; 2] =
        served(&machine, &["10.9.0.60 10.9.0.1 25 go", "10.9.0.61 10.9.0.1 5 go"]).try_into().unwrap();
    assert_eq!((mine, others), (20, 5));
    let mut tried = 0;
    eventually(PATIENCE, "the other edge refuses it too", || {
        tried += 1;
        served(&machine, &["10.9.0.60 10.9.0.2 1 go"]) == [0]
    });
    assert!(tried < 20, "alone it would have had {tried} at the other edge");
}
