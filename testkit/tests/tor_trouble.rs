//! What keeps Tor from starting, as people are told it: programs of bridges that do not work, and clocks that are wrong.
//!
//! The network is a private one of real relays. A stand-in plays the program of Snowflake, as a whole chain of that cannot be run here.
#![expect(clippy::expect_used, reason = "test code: what is missing fails the test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use endtoend_testkit::{Cli, Node, NodeOptions, monotonic};
use endtoend_testkit_tor::Network;
use tempfile::TempDir;

const ALICE: &str = "alice.behind.tor";
/// Where debug builds of clients find the network that is not the public one.
const NETWORK: &str = "ENDTOEND_PRIVATE_TOR_NETWORK";
/// So soon after its start a client has said what hinders it: docs/tor.md. A program that says nothing is given half a minute.
const TOLD_WITHIN: Duration = Duration::from_secs(45);

static TOR: LazyLock<Network> = LazyLock::new(Network::start);

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test")
}

/// Somebody who has an account, at a server on this machine.
fn somebody() -> (TempDir, Node, Cli) {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(NodeOptions::without_limits());
    let arti = TOR.arti_toml().display().to_string();
    let cli = Cli::new(folder.path().join("profile"), node.address()).with_variable(NETWORK, arti);
    cli.register(ALICE).done();
    (folder, node, cli)
}

/// What a client says of Tor that is started so, and within what time.
fn trouble(cli: &Cli, options: &[&str]) -> String {
    let began = monotonic();
    let told = cli.run(&[&["tor", "status", "--network", "tor", "--timeout", "110s"], options].concat());
    let took = began.elapsed();
    assert!(took < TOLD_WITHIN, "{took:?}: {told:?}");
    told.field("trouble").as_str().unwrap_or_default().to_owned()
}

/// A bridge as Tor Browser has it, but for its address and its places, which are nobody's.
const SNOWFLAKE: &str = "snowflake 192.0.2.3:80 2B280B23E1107BB62ABFC40DDCC8824814F80A72 \
                         fingerprint=2B280B23E1107BB62ABFC40DDCC8824814F80A72 url=https://broker.invalid/ \
                         fronts=front.invalid,other.invalid ice=stun:stun.invalid:3478 utls-imitate=hellorandomizedalpn";

/// The address of a server that is not there.
fn nobody() -> String {
    format!("endtoend://chat.test:8443/#pin={}", "0f".repeat(64))
}

/// A program of that name which writes down how it was started, and goes on with this script of the shell.
fn stand_in(folder: &Path, script: &str) -> PathBuf {
    let (program, told) = (folder.join("snowflake-client"), folder.join("told"));
    let text = format!("#!/bin/sh\n{{ env | grep ^TOR_PT_; echo \"arguments:$*\"; }} >{}\n{script}\n", told.display());
    fs::write(&program, text).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
    told
}

/// A profile with that bridge, whose PATH has the stand-in alone and what a shell needs.
fn with_snowflake(folder: &Path, address: &str) -> (Cli, String) {
    let bridges = folder.join("bridges");
    fs::write(&bridges, format!("{SNOWFLAKE}\n")).expect("a file");
    let arti = TOR.arti_toml().display().to_string();
    let cli = Cli::new(folder.join("profile"), address).with_variable(NETWORK, arti);
    (cli.with_variable("PATH", format!("{}:/usr/bin:/bin", folder.display())), text(&bridges).to_owned())
}

#[test]
fn snowflake_is_started_as_it_has_to_be_and_told_what_the_bridge_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let at = listener.local_addr().expect("an address");
    // It speaks SOCKS in the place of the program, and hears what is meant for it: RFC 1929.
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("Tor comes");
        let mut head = [0; 2];
        stream.read_exact(&mut head).expect("methods");
        stream.read_exact(&mut vec![0; usize::from(head[1])]).expect("methods");
        stream.write_all(&[5, 2]).expect("an answer");
        let mut parts = Vec::new();
        stream.read_exact(&mut [0; 1]).expect("a version");
        for _ in 0..2 {
            let mut length = [0; 1];
            stream.read_exact(&mut length).expect("a length");
            let mut part = vec![0; usize::from(length[0])];
            stream.read_exact(&mut part).expect("a part");
            parts.extend(part);
        }
        String::from_utf8_lossy(&parts).into_owned()
    });
    let script =
        format!("echo 'VERSION 1'\necho 'CMETHOD snowflake socks5 {at}'\necho 'CMETHODS DONE'\nexec cat >/dev/null");
    let told = stand_in(folder.path(), &script);
    let (cli, bridges) = with_snowflake(folder.path(), &nobody());
    let running = cli.start(&["register", "--handle", ALICE, "--bridges", &bridges]);
    let heard = heard.join().expect("it was heard");
    for part in ["url=https://broker.invalid/", "fronts=front.invalid,other.invalid", "ice=stun:stun.invalid:3478"] {
        assert!(heard.contains(part), "{heard}");
    }
    drop(running);
    let told = fs::read_to_string(&told).expect("it was started");
    for line in ["TOR_PT_MANAGED_TRANSPORT_VER=1", "TOR_PT_CLIENT_TRANSPORTS=snowflake", "arguments:"] {
        assert!(told.lines().any(|found| found == line), "{told}");
    }
    let state = told.lines().find_map(|line| line.strip_prefix("TOR_PT_STATE_LOCATION=")).expect("a folder for it");
    assert!(Path::new(state).starts_with(folder.path()), "what it keeps is in the profile: {state}");
}

#[test]
fn a_transports_program_that_does_not_work_is_said_within_its_time() {
    let (_folder, _node, cli) = somebody();
    let programs =
        ["exit 1", "exec cat >/dev/null", "echo 'VERSION-ERROR no-version'", "echo 'CMETHOD-ERROR snowflake no'"];
    thread::scope(|scope| {
        for (number, script) in programs.iter().enumerate() {
            let cli = &cli;
            scope.spawn(move || {
                let folder = tempfile::tempdir().expect("a folder");
                let told = stand_in(folder.path(), script);
                let (fresh, bridges) = with_snowflake(folder.path(), &nobody());
                copy(cli.home(), fresh.home());
                let fresh = fresh.with_password(cli.password());
                assert_eq!(trouble(&fresh, &["--bridges", &bridges]), "program_failed", "{number}: {script}");
                assert!(told.is_file(), "it was started");
            });
        }
    });
}

#[test]
fn a_bridge_that_is_gone_is_said() {
    let (folder, _node, cli) = somebody();
    // Somebody had the port until now.
    let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|port| port.local_addr()).expect("a port");
    let bridges = folder.path().join("bridges");
    fs::write(&bridges, format!("{at} 2B280B23E1107BB62ABFC40DDCC8824814F80A72\n")).expect("a file");
    assert_eq!(trouble(&cli.with_server(&nobody()), &["--bridges", text(&bridges)]), "bridge_refused");
}

#[test]
fn a_transports_program_that_is_missing_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cli, bridges) = with_snowflake(folder.path(), &nobody());
    let missing = cli.with_variable("PATH", folder.path().display().to_string());
    let register = ["register", "--handle", ALICE, "--bridges", &bridges];
    let refused = missing.run(&register);
    assert!(refused.code != Some(0) && format!("{refused:?}").contains("no program speaks snowflake"), "{refused:?}");
}

/// A profile that is as this one is.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).expect("it is ours");
    for entry in fs::read_dir(from).expect("a profile").map_while(Result::ok).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

#[test]
fn a_clock_that_is_slow_or_fast_is_said() {
    let (folder, _node, cli) = somebody();
    thread::scope(|scope| {
        for off_by in ["-3d", "+10d"] {
            let (cli, home) = (&cli, folder.path().join(off_by));
            scope.spawn(move || {
                copy(cli.home(), &home);
                let arti = TOR.arti_toml().display().to_string();
                let shifted = Cli::new(home, nobody()).with_clock(off_by).with_variable(NETWORK, arti);
                assert_eq!(trouble(&shifted.with_password(cli.password()), &[]), "clock_wrong", "{off_by}");
            });
        }
    });
}
