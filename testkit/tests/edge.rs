//! A real HAProxy before real nodes, kept by a real agent.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code: an answer that was not expected fails the test"
)]

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use endtoend_protocol::AccountTag;
use endtoend_testkit::{Behind, Edge, Node, NodeOptions, PATIENCE, Unsecured, Wire, eventually};
use serde_json::Value;

const FAST: &str = "[limits]\nconnections_max = 300\n[times]\ncheck_interval_ms = 100\nslow_start_ms = 1\n";

fn fast_connect() -> String {
    format!("checks = \"connect\"\n{FAST}")
}

/// A node that believes the edge.
fn node() -> Node {
    let mut options = NodeOptions::without_limits().behind_an_edge();
    let wide = "{ burst = 4000000000, every_ms = 1 }".to_owned();
    options.environment.push(("ENDTOEND_LIMITS__STRANGER_LOOKUP", wide));
    Node::start(options)
}

async fn registered(edge: &Edge, number: u8) -> Wire {
    Wire::register(edge.listen(), AccountTag::new([number; 32])).await.0
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| unreachable!("no {pointer} in {value}"))
}

fn is_up(edge: &Edge, name: &str) -> bool {
    edge.server(name)["state"].as_str().is_some_and(|state| state.starts_with("UP"))
}

fn total(edge: &Edge, name: &str) -> u64 {
    edge.server(name)["sessions_total"].as_u64().unwrap_or(0)
}

#[tokio::test]
async fn nodes_come_drain_go_and_fail_and_clients_notice_nothing() {
    let (mut a, b, c) = (node(), node(), node());
    let mut edge = Edge::start(FAST);
    let all = [Behind::node("a", &a), Behind::node("b", &b), Behind::node("c", &c)];
    edge.apply(&all);
    let mut talk = Vec::new();
    for number in 0..6 {
        talk.push(registered(&edge, number).await);
    }
    eventually(PATIENCE, "two each", || ["a", "b", "c"].iter().all(|name| edge.server(name)["sessions"] == 2));

    // b drains: those it has stay, new ones go elsewhere.
    let draining = [all[0].clone(), Behind { draining: true, ..all[1].clone() }, all[2].clone()];
    edge.apply(&draining);
    let before = total(&edge, "b");
    for number in 10..14 {
        talk.push(registered(&edge, number).await);
    }
    assert_eq!(edge.server("b")["weight"], 0);
    eventually(PATIENCE, "the others have them", || total(&edge, "a") + total(&edge, "c") >= 8);
    assert_eq!(total(&edge, "b"), before);

    // What no order can: the agent dies, comes back with another setting, and takes HAProxy over.
    edge.kill_agent();
    edge.configure(&format!("{FAST}connect_ms = 1900\n"));
    edge.launch();
    edge.apply(&all);
    let status = edge.status();
    assert_eq!((number(&status, "/counts/reloads"), &status["haproxy"]["kept"]), (1, &"taken_over".into()));
    for wire in &mut talk {
        assert!(wire.talks().await, "it outlives changes, the agent and a reload");
    }

    // a is killed: nobody is sent there any more, and everybody who comes is served.
    a.kill_9();
    for _ in 0..12 {
        Unsecured::reach(edge.listen(), &[]).await.unwrap();
    }
    eventually(PATIENCE, "a is seen to be down", || {
        edge.server("a")["state"].as_str().is_some_and(|s| s.starts_with("DOWN"))
    });
    a.restart();
    let back = [Behind::node("a", &a), all[1].clone(), all[2].clone()];
    edge.apply(&back);
    eventually(PATIENCE, "a is back", || is_up(&edge, "a"));

    // c is removed with what it has; that it is gone is seen when that is gone.
    edge.apply(&back[..2]);
    eventually(PATIENCE, "c is let go", || matches!(edge.server("c")["state"].as_str(), None | Some("MAINT")));
    Unsecured::reach(edge.listen(), &[]).await.unwrap();
    drop(talk);
    eventually(PATIENCE, "c is deleted", || edge.server("c").is_null());
    let status = edge.status();
    assert_eq!((number(&status, "/counts/reloads"), number(&status, "/counts/mended")), (1, 0), "{status}");
}

#[tokio::test]
async fn many_changes_fail_no_handshake_and_end_no_connection() {
    let nodes = [node(), node(), node()];
    let mut edge = Edge::start(FAST);
    let mut all: Vec<Behind> = nodes.iter().zip(["a", "b", "c"]).map(|(node, name)| Behind::node(name, node)).collect();
    edge.apply(&all);
    let mut stays = Vec::new();
    for number in 0..4 {
        stays.push(registered(&edge, number).await);
    }
    let listen = edge.listen();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let constant = tokio::spawn(async move {
        let (mut reached, mut failed) = (0_u32, 0_u32);
        while stopped.try_recv().is_err() {
            match Unsecured::reach(listen, &[]).await {
                Ok(_) => reached += 1,
                Err(_) => failed += 1,
            }
        }
        (reached, failed)
    });
    for round in 0..30_usize {
        // Of b and c one is always there, a never goes: nobody's connection has to end.
        let at = 1 + round % 2;
        match round % 5 {
            0 => all[at].draining = true,
            1 => all.iter_mut().for_each(|node| node.draining = false),
            2 => all[at].weight = 1 + u16::try_from(round).unwrap(),
            3 => all.iter_mut().skip(1).for_each(|node| node.weight = 100),
            _ => all[0].weight = 50 + u16::try_from(round).unwrap(),
        }
        edge.apply(&all);
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    let (reached, failed) = constant.await.unwrap();
    assert!(reached > 0 && failed == 0, "{failed} of {} handshakes failed", reached + failed);
    for wire in &mut stays {
        assert!(wire.talks().await);
    }
    let status = edge.status();
    assert_eq!((number(&status, "/counts/reloads"), number(&status, "/counts/failures")), (0, 0), "{status}");
    assert_eq!(number(&status, "/counts/by_orders"), 30, "{status}");
}

/// Something that accepts.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        for stream in served.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut &stream, &mut &stream);
            });
        }
    });
    (listener, address)
}

/// Somebody is served: what is said comes back, after the edge's header.
fn serves(edge: &Edge) -> bool {
    let talk = || {
        let mut stream = TcpStream::connect(edge.listen())?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.read_exact(&mut [0; 28])
    };
    talk().is_ok()
}

fn alarm(edge: &Edge) -> String {
    edge.status()["alarm"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn haproxy_that_is_killed_hung_or_has_lost_its_socket_is_back_by_itself() {
    let (_node, address) = listener();
    let mut edge = Edge::start(&fast_connect());
    edge.apply(&[Behind::new("a", address)]);
    eventually(PATIENCE, "service", || serves(&edge));
    for fault in ["KILL", "STOP", "socket", "socket again"] {
        let before = edge.worker();
        match fault {
            "socket" => fs::remove_file(edge.directory().join("stats.sock")).unwrap(),
            "socket again" => fs::remove_file(edge.directory().join("stats-2.sock")).unwrap(),
            signal => edge.signal_worker(signal),
        }
        eventually(PATIENCE, &format!("another worker after {fault}"), || {
            edge.status().pointer("/haproxy/pid").and_then(Value::as_u64).is_some_and(|pid| pid != before)
        });
        eventually(PATIENCE, "service again", || serves(&edge));
        eventually(PATIENCE, "no alarm", || alarm(&edge).is_empty());
    }
    assert_eq!(
        number(&edge.status(), "/counts/reloads"),
        2,
        "for the socket; the others were starts: {}",
        edge.status()
    );
}

#[test]
fn sockets_and_a_pid_of_before_end_nobody_and_stop_no_start() {
    let (_node, address) = listener();
    let mut edge = Edge::start(&fast_connect());
    edge.apply(&[Behind::new("a", address)]);
    eventually(PATIENCE, "service", || serves(&edge));
    let worker = edge.worker().to_string();
    edge.kill_agent();
    // Its master ends with it, and the sockets of both stay.
    assert!(Command::new("sh").args(["-c", "kill -KILL \"$0\"", &worker]).status().unwrap().success());
    eventually(PATIENCE, "the end of HAProxy", || !serves(&edge));
    assert!(edge.directory().join("master.sock").exists() && edge.directory().join("stats.sock").exists());
    // The number of a process that has ended is somebody else's in time.
    let mut innocent = Command::new("sleep").arg("1000").spawn().unwrap();
    for name in ["haproxy.pid", "haproxy.cfg.pid"] {
        fs::write(edge.directory().join(name), innocent.id().to_string()).unwrap();
    }
    edge.launch();
    eventually(PATIENCE, "service again", || serves(&edge));
    let lives = innocent.try_wait().unwrap().is_none();
    innocent.kill().unwrap();
    innocent.wait().unwrap();
    assert!(lives, "it was none of the edge's");
}

#[test]
fn garbage_on_disk_or_in_the_list_of_nodes_changes_nothing() {
    let (_node, address) = listener();
    let mut edge = Edge::start(&fast_connect());
    let nodes = [Behind::new("a", address)];
    edge.apply(&nodes);
    eventually(PATIENCE, "service", || serves(&edge));
    let fault = |edge: &Edge| edge.status()["source_fault"].as_str().unwrap_or_default().to_owned();
    let good = fs::read(edge.view()).unwrap();
    for bad in [
        "garbage",
        r#"{ "generation": 99, "members": { "b\n  bind :1": { "address": "127.0.0.1:1" } } }"#,
        r#"{ "generation": 99, "members": { "b": { "address": "0.0.0.0:1" } } }"#,
        r#"{ "generation": 0, "members": {} }"#,
    ] {
        fs::write(edge.view(), bad).unwrap();
        eventually(PATIENCE, "a fault", || !fault(&edge).is_empty());
        assert!(serves(&edge), "{bad}");
        fs::write(edge.view(), &good).unwrap();
        eventually(PATIENCE, "no fault", || fault(&edge).is_empty());
    }
    eventually(PATIENCE, "it is written down", || edge.directory().join("applied.json").is_file());
    // The agent starts between garbage, without a list of nodes, before a HAProxy that goes on.
    edge.kill_agent();
    fs::write(edge.directory().join("haproxy.cfg"), "garbage").unwrap();
    fs::remove_file(edge.view()).unwrap();
    edge.launch();
    eventually(PATIENCE, "what was applied last", || edge.status()["generation_applied"] == 1);
    assert!(serves(&edge) && fault(&edge).contains("cannot read"));
    let config = || fs::read_to_string(edge.directory().join("haproxy.cfg")).unwrap();
    eventually(PATIENCE, "a configuration again", || config().contains("server a "));
    // What was applied last is garbage too: the list of nodes says it.
    edge.terminate();
    assert!(!serves(&edge), "an edge that is told to end takes HAProxy with it");
    for file in ["haproxy.cfg", "applied.json"] {
        fs::write(edge.directory().join(file), "garbage").unwrap();
    }
    edge.launch();
    edge.apply(&nodes);
    eventually(PATIENCE, "service", || serves(&edge));
}

#[test]
fn a_full_disk_stops_no_change_that_needs_none() {
    let (_one, first) = listener();
    let (_two, second) = listener();
    let mut edge = Edge::start(&fast_connect());
    edge.apply(&[Behind::new("a", first)]);
    let candidate = edge.directory().join("haproxy.cfg.new");
    std::os::unix::fs::symlink("/dev/full", &candidate).unwrap();
    edge.apply(&[Behind::new("b", second)]);
    eventually(PATIENCE, "it is said that it cannot be written", || alarm(&edge).contains("cannot write"));
    eventually(PATIENCE, "service by the new one alone", || total(&edge, "b") > 0 || !serves(&edge));
    let config = || fs::read_to_string(edge.directory().join("haproxy.cfg")).unwrap();
    assert!(config().contains("server a "), "the file is what it was");
    assert!(alarm(&edge).contains("applied, and not written down: "), "{}", alarm(&edge));
    // HAProxy that has ended is there again all the same, and is what is wanted.
    let before = edge.worker();
    edge.signal_worker("KILL");
    eventually(PATIENCE, "another worker that has the new one", || {
        edge.status().pointer("/haproxy/pid").and_then(Value::as_u64).is_some_and(|pid| pid != before)
            && is_up(&edge, "b")
            && !is_up(&edge, "a")
    });
    assert!(config().contains("server a ") && serves(&edge), "{}", edge.status());
    fs::remove_file(&candidate).unwrap();
    eventually(PATIENCE, "it is written when there is room", || config().contains("server b "));
    eventually(PATIENCE, "no alarm", || alarm(&edge).is_empty());
}

#[test]
fn what_haproxy_refuses_or_does_not_become_changes_nothing_and_alarms() {
    let (_node, address) = listener();
    let mut edge = Edge::start(&fast_connect());
    edge.apply(&[Behind::new("a", address)]);
    eventually(PATIENCE, "service", || serves(&edge));
    let config = |edge: &Edge| fs::read_to_string(edge.directory().join("haproxy.cfg")).unwrap();
    eventually(PATIENCE, "it is written down", || config(&edge).contains("server a "));
    let (good, worker) = (config(&edge), edge.worker());

    // What `haproxy -c` does not accept.
    edge.kill_agent();
    let missing = "certificate = \"/nonexistent.pem\"\nnode_authority = \"/nonexistent.pem\"\nnode_name = \"a\"\n";
    edge.configure(&format!("{}[terminate]\n{missing}", fast_connect()));
    edge.launch();
    eventually(PATIENCE, "an alarm", || alarm(&edge).contains("HAProxy refuses the configuration"));
    assert!(serves(&edge) && config(&edge) == good, "it goes on with what it had");

    // What it accepts, and cannot be: somebody else has that address, and shares it with nobody.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    edge.kill_agent();
    edge.configure_listening_too(taken.local_addr().unwrap(), &fast_connect());
    edge.launch();
    eventually(PATIENCE, "an alarm", || alarm(&edge).contains("HAProxy is not what it was told to be"));
    assert!(serves(&edge) && config(&edge) == good, "{}", edge.status());
    // When that is free again it comes by itself; connections were there all the time.
    drop(taken);
    eventually(PATIENCE, "it is what is wanted", || {
        edge.status()["generation_applied"] == 1 && alarm(&edge).is_empty()
    });
    assert!(serves(&edge) && edge.worker() != worker);
}

#[test]
fn a_second_agent_is_refused_and_commands_tell() {
    let (_node, address) = listener();
    let mut edge = Edge::start(&fast_connect());
    edge.apply(&[Behind::new("a", address)]);
    let second = edge.ask("run", &[]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && said.contains("another `endtoend edge run`"), "{said}");

    let status = edge.ask("status", &["--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["event"], &status["edge"]), (&"edge_status".into(), &"edge-1".into()));
    let text = String::from_utf8(edge.ask("status", &[]).stdout).unwrap();
    assert!(text.contains("generation 1 wanted, 1 applied") && text.contains(&address.to_string()), "{text}");

    let render = |arguments: &[&str]| String::from_utf8(edge.ask("render", arguments).stdout).unwrap();
    assert!(render(&[]).contains(&format!("server a {address}")));
    eventually(PATIENCE, "nothing differs", || render(&["--diff"]).trim().is_empty());
    let other = edge.directory().join("other.toml");
    fs::write(&other, "generation = 2\n[members.z]\naddress = \"192.0.2.9:1\"\n").unwrap();
    let diff = render(&["--diff", "--view", other.to_str().unwrap()]);
    assert!(diff.contains("+    server z 192.0.2.9:1") && diff.contains("-    server a "), "{diff}");

    edge.terminate();
    let nobody = edge.ask("status", &["--json"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stdout).contains("no edge runs"));
}
