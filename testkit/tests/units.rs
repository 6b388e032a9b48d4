//! The units of `deploy/systemd`, installed as docs/operating.md and docs/edge.md say, in a system that systemd has booted.
#![expect(clippy::unwrap_used, reason = "test code: an answer that was not expected fails the test")]

use endtoend_testkit::{Cli, Machine, PATIENCE, eventually};
use serde_json::Value;

const UNITS: [(&str, &str); 5] = [
    ("endtoend.service", include_str!("../../deploy/systemd/endtoend.service")),
    ("endtoend.socket", include_str!("../../deploy/systemd/endtoend.socket")),
    ("endtoend-admin.socket", include_str!("../../deploy/systemd/endtoend-admin.socket")),
    ("endtoend-edge.service", include_str!("../../deploy/systemd/endtoend-edge.service")),
    ("endtoend-haproxy.service", include_str!("../../deploy/systemd/endtoend-haproxy.service")),
];

/// The example, with lines of it exchanged.
fn edited(example: &str, lines: &[(&str, &str)]) -> String {
    lines.iter().fold(example.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the example has no {from}");
        text.replacen(from, to, 1)
    })
}

/// A node by its units, and an edge by its own before it.
fn install(machine: &Machine) {
    for (name, text) in UNITS {
        machine.write(&format!("/etc/systemd/system/{name}"), text);
    }
    let admin = ("listen = \"\"", "listen = \"systemd\"");
    let node = include_str!("../../deploy/node.example.toml");
    let names = [("names = []", "names = [\"localhost\"]"), ("proxy_from = []", "proxy_from = [\"127.0.0.1\"]"), admin];
    machine.write("/etc/endtoend/endtoend.toml", edited(node, &names));
    let edge = include_str!("../../deploy/haproxy/edge.example.toml");
    let listen = ("[\"0.0.0.0:8443\", \"[::]:8443\"]", "[\"127.0.0.1:443\"]");
    // Root of a container may not have the descriptors for as many connections as an edge has.
    let few = ("connections_max = 20000", "connections_max = 300");
    let edge = edited(edge, &[listen, few, ("supervision = \"own\"", "supervision = \"other\"")]);
    machine.write("/etc/endtoend/edge.toml", edge);
    let nodes = "generation = 1\n[members.node-1]\naddress = \"127.0.0.1:8443\"\nready = \"127.0.0.1:9464\"\n";
    machine.write("/etc/endtoend/nodes.toml", nodes);
    machine.shell("useradd --system --home-dir / --shell /usr/sbin/nologin endtoend-edge");
    machine.shell("chmod -R go+rX /etc/endtoend && systemctl daemon-reload");
    machine.shell("systemctl enable --now endtoend.socket endtoend-admin.socket endtoend.service");
    machine.shell("systemctl enable --now endtoend-edge endtoend-haproxy");
}

fn edge(machine: &Machine) -> Value {
    let mut asking = machine.command("endtoend");
    let asked = asking.args(["edge", "status", "--json", "--config", "/etc/endtoend/edge.toml"]).output();
    serde_json::from_slice(&asked.unwrap().stdout).unwrap_or_default()
}

fn serves(machine: &Machine) -> bool {
    let status = edge(machine);
    let up = status.pointer("/servers/0/state").and_then(Value::as_str).is_some_and(|state| state.starts_with("UP"));
    status.get("generation_applied") == Some(&1.into()) && up
}

/// How many connections the edge has brought the node, in all.
fn brought(machine: &Machine) -> u64 {
    edge(machine).pointer("/servers/0/sessions_total").and_then(Value::as_u64).unwrap()
}

#[test]
fn a_node_and_an_edge_are_started_watched_over_and_stopped_by_their_units() {
    let Some(machine) = Machine::boot() else { return };
    install(&machine);
    for unit in ["endtoend.service", "endtoend-edge.service", "endtoend-haproxy.service"] {
        machine.becomes(unit, "active");
    }
    eventually(PATIENCE, "a node that the edge sends people to", || serves(&machine));

    // Clients know the edge's address, with the node's pins.
    let status = machine.shell("endtoend status --json --data /var/lib/endtoend");
    let status: Value = serde_json::from_str(&status).unwrap();
    let address = status.get("address").and_then(Value::as_str).unwrap().replace(":8443", ":443");
    let [alice, bob] = ["/root/alice", "/root/bob"].map(|home| Cli::new(home, &*address).inside(&machine));
    alice.register("alice").done();
    bob.register("bob").done();
    let listener = bob.spawn_listen();
    alice.send("bob", "one").done();
    assert_eq!(listener.next_text(), "one");

    // Each has registered, Bob listens, Alice has sent. The agent tells what it has seen last, so it may tell it a little later.
    const CAME: u64 = 4;
    eventually(PATIENCE, "an agent that has seen all four connections", || brought(&machine) == CAME);

    // The agent is restarted, and killed: HAProxy and its connections are another unit's.
    let haproxy = machine.property("endtoend-haproxy", "MainPID");
    machine.shell("systemctl restart endtoend-edge");
    machine.shell("systemctl kill --signal=KILL endtoend-edge");
    eventually(PATIENCE, "an agent that systemd has started again", || {
        machine.property("endtoend-edge", "NRestarts") == "1" && serves(&machine)
    });
    assert_eq!(machine.property("endtoend-haproxy", "MainPID"), haproxy);
    assert_eq!(brought(&machine), CAME, "nobody has had to come anew");
    alice.send("bob", "two").done();
    assert_eq!(listener.next_text(), "two");

    // HAProxy is killed: systemd starts it with what the agent has written, and people come back by themselves.
    machine.shell("systemctl kill --signal=KILL endtoend-haproxy");
    eventually(PATIENCE, "another HAProxy that serves", || {
        machine.property("endtoend-haproxy", "MainPID") != haproxy && serves(&machine)
    });
    alice.send("bob", "three").done();
    assert_eq!(listener.next_text(), "three");

    // The node is restarted: its sockets stay, so it is no failure.
    machine.shell("systemctl restart endtoend.service");
    eventually(PATIENCE, "the node behind the edge", || serves(&machine));
    alice.send("bob", "four").done();
    assert_eq!(listener.next_text(), "four");

    machine.shell("systemctl stop endtoend-edge endtoend-haproxy endtoend.socket endtoend.service");
    for (unit, _) in UNITS {
        assert_eq!(machine.state(unit), "inactive", "{unit}: {}", machine.journal());
    }
    assert_eq!(machine.shell("systemctl list-units --failed --no-legend --plain 'endtoend*'"), "");
}
