//! What a program cannot do because it does not contain the code.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code: cargo's answer has the form that it documents"
)]

use std::collections::{HashMap, HashSet};
use std::process::Command;

use serde_json::Value;

/// Names of all crates that `package` is built with, tests aside.
fn built_with(package: &str) -> HashSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: HashMap<_, _> =
        metadata["packages"].as_array().unwrap().iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let nodes: HashMap<_, _> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|n| (text(&n["id"]), &n["deps"])).collect();

    let start = names.iter().find(|(_, name)| *name == package).map(|(id, _)| id.clone());
    let (mut left, mut seen) = (vec![start.unwrap()], HashSet::new());
    while let Some(id) = left.pop() {
        if seen.contains(&id) {
            continue;
        }
        for dependency in nodes[&id].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                left.push(text(&dependency["pkg"]));
            }
        }
        seen.insert(id);
    }
    seen.iter().map(|id| names[id].clone()).collect()
}

fn opens_messages(name: &str) -> bool {
    name == "endtoend-crypto-e2e" || name.starts_with("libsignal")
}

#[test]
fn a_server_holds_no_code_that_opens_messages() {
    let server = built_with("endtoend-gateway");
    let openers: Vec<_> = server.iter().filter(|name| opens_messages(name)).collect();
    assert_eq!(openers, Vec::<&String>::new());
    // The search sees what is there.
    assert!(server.contains("endtoend-crypto-core") && server.contains("actix"));
    let client = built_with("endtoend-client");
    assert!(client.contains("endtoend-crypto-e2e") && client.contains("libsignal-protocol-syft"));
}
