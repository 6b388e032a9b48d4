//! A tunnel by `ssh -R` to a real sshd, which its own unit has started.
#![expect(clippy::unwrap_used, reason = "test code: an answer that was not expected fails the test")]

use std::fs;

use endtoend_testkit::{Cli, Machine, PATIENCE, eventually, other_programs};
use serde_json::Value;

/// The machine that everybody reaches: its sshd lets a key of this test's in.
fn install_sshd(machine: &Machine, packages: &std::path::Path) {
    for package in fs::read_dir(packages).unwrap().map(|entry| entry.unwrap()) {
        machine.write(&format!("/root/packages/{}", package.file_name().display()), fs::read(package.path()).unwrap());
    }
    machine.shell("DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install /root/packages/*.deb >&2");
    machine.shell("mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/tunnel");
    machine.shell("cat /root/.ssh/tunnel.pub >/root/.ssh/authorized_keys");
    machine.write("/etc/ssh/sshd_config.d/tunnel.conf", "GatewayPorts yes\nPermitRootLogin prohibit-password\n");
    let own = "IdentityFile /root/.ssh/tunnel\nStrictHostKeyChecking accept-new\nUserKnownHostsFile /root/.ssh/known\n";
    machine.write("/root/ssh.conf", own);
    machine.shell("systemctl restart ssh");
    machine.becomes("ssh", "active");
}

fn tunnel(machine: &Machine) -> Value {
    let mut asking = machine.command("endtoend");
    let asked = asking.args(["tunnel", "status", "--json", "--data", "/root/data"]).output().unwrap();
    serde_json::from_slice(&asked.stdout).unwrap_or_default()
}

fn up(machine: &Machine, starts: u64) -> Value {
    let mut last = Value::Null;
    eventually(PATIENCE, "the tunnel", || {
        last = tunnel(machine);
        last.get("state") == Some(&"up".into()) && last.get("starts") == Some(&starts.into())
    });
    last
}

#[test]
fn people_come_through_a_port_of_another_machine() {
    let Some(packages) = other_programs("sshd") else { return };
    let Some(machine) = Machine::boot() else { return };
    install_sshd(&machine, &packages);
    machine.shell("systemd-run --quiet --unit=node endtoend serve --data /root/data --listen 127.0.0.1:8443");
    eventually(PATIENCE, "the node", || {
        machine.command("endtoend").args(["status", "--data", "/root/data"]).output().unwrap().status.success()
    });
    let way = "--via ssh --to root@localhost --port 9443 --ssh-config /root/ssh.conf";
    machine.shell(&format!("systemd-run --quiet --unit=tunnel endtoend tunnel start {way} --data /root/data"));

    let first = up(&machine, 1);
    let address = first.get("address").and_then(Value::as_str).unwrap();
    assert!(address.starts_with("endtoend://localhost:9443/#"), "{first}");
    let alice = Cli::new("/root/alice", address).inside(&machine);
    alice.register("alice").done();

    // ssh is killed: another one has the same port, and people come as before.
    machine.shell(&format!("kill -KILL {}", first.get("pid").unwrap()));
    let again = up(&machine, 2);
    assert_eq!(again.get("address").and_then(Value::as_str), Some(address));
    Cli::new("/root/bob", address).inside(&machine).register("bob").done();

    machine.shell("endtoend tunnel stop --data /root/data");
    machine.becomes("tunnel", "inactive");
    assert_eq!(Cli::new("/root/carol", address).inside(&machine).register("carol").code, Some(4), "nobody is there");
}
