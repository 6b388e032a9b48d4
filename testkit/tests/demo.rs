//! `endtoend demo`: what it says, and what it leaves behind.

use std::net::TcpStream;
use std::process::Command;

use endtoend_testkit::{Outcome, PATIENCE, demo, eventually, operate};
use serde_json::Value;

fn events<'a>(outcome: &'a Outcome, name: &str) -> Vec<&'a Value> {
    outcome.lines.iter().filter(|line| line["event"] == name).collect()
}

#[test]
fn the_demo_holds_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = demo(folder.path(), &[]).done();
    let messages = events(&outcome, "message");
    assert!(messages.len() >= 8, "{outcome:?}");
    assert!(messages.iter().all(|message| message["delivered_ms"].is_u64()), "{outcome:?}");
    for from in ["alice", "bob"] {
        assert!(messages.iter().any(|message| message["from"] == from), "{from} says nothing");
    }
    assert!(messages.iter().any(|message| message["text_bytes"] == 60 * 1024), "no long text");
    let promises = events(&outcome, "promise");
    assert!(promises.len() > 8 && promises.iter().all(|promise| promise["kept"] == true), "{outcome:?}");
    let done = events(&outcome, "done")[0];
    let [alice, bob] = &done["safety_numbers"].as_array().unwrap()[..] else { panic!("two numbers: {done}") };
    assert_eq!(alice, bob);
    assert_eq!(done["found"], 0);
    assert!(done["files_searched"].as_u64() > Some(2), "{done}");
    assert!(done["node"].is_null());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn a_kept_node_goes_on_until_it_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let marker = "5ec2e7".repeat(21) + "5e";
    let environment = [("TMPDIR", folder.path().to_str().unwrap()), ("ENDTOEND_SECRET_TOKEN", &marker)];
    let outcome = operate(folder.path(), &["demo", "--keep"], &environment).done();
    let node = &events(&outcome, "done")[0]["node"];
    let address = node["address"].as_str().unwrap();
    let socket = address.strip_prefix("endtoend://").and_then(|rest| rest.split('/').next()).unwrap().to_owned();
    TcpStream::connect(&socket).expect("the node goes on running");
    for command in node["commands"].as_array().unwrap() {
        assert!(command.as_str().unwrap().contains(" chat --with "), "{command}");
    }
    let inherited = std::fs::read(format!("/proc/{}/environ", node["pid"])).unwrap();
    assert!(!String::from_utf8_lossy(&inherited).contains("ENDTOEND_SECRET_"), "a secret was handed on");
    let ended = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &node["pid"].to_string()]).status().unwrap();
    assert!(ended.success());
    eventually(PATIENCE, "the end of the kept node", || TcpStream::connect(&socket).is_err());
}

#[test]
fn the_demo_of_a_cluster_holds_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    // PostgreSQL runs as somebody else when root starts it.
    let passed = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(folder.path(), passed).unwrap();
    let outcome = demo(folder.path(), &["--nodes", "3"]).done();
    let messages = events(&outcome, "message");
    assert!(messages.len() > 8 && messages.iter().all(|message| message["delivered_ms"].is_u64()), "{outcome:?}");
    let promises = events(&outcome, "promise");
    assert!(promises.len() > 8 && promises.iter().all(|promise| promise["kept"] == true), "{outcome:?}");
    let kills = events(&outcome, "scene").iter().filter(|scene| scene["what"].to_string().contains("kill -9")).count();
    assert_eq!(kills, 3);
    assert_eq!(events(&outcome, "done")[0]["found"], 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}
