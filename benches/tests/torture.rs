//! Nodes under a dozen faults: the small version of `make torture` and of `make cluster-torture`.

use std::process::Command;

use endtoend_benches::run_json;
use serde_json::Value;

/// So many faults strike, and the promises are kept. Gives the ledger.
fn keeps_its_promises(faults: u64, messages: u64, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
    command.args(["--faults", &faults.to_string(), "--messages", &messages.to_string()]);
    command.args(["--json", "--seconds-max", "400"]).args(arguments);
    let (ledger, success) = run_json(&mut command);
    assert!(success, "{ledger}");
    let number = |at: &str| ledger.pointer(at).and_then(Value::as_u64);
    assert_eq!(number("/violations/all"), Some(0), "{ledger}");
    assert_eq!((number("/accepted"), number("/shown")), (Some(messages), Some(messages)), "{ledger}");
    let struck = ledger.pointer("/faults").and_then(Value::as_object).into_iter().flatten();
    let struck: u64 = struck.filter_map(|(_, fault)| fault.get("times")?.as_u64()).sum();
    assert_eq!(struck, faults, "{ledger}");
    assert!(number("/pair/written") > Some(1), "{ledger}");
    ledger
}

/// Seeds whose dozen has kills, disks that fail and clients that end in the wrong moment.
#[test]
fn on_sqlite_nothing_is_lost_doubled_or_out_of_order() {
    keeps_its_promises(12, 3_000, &["--seed", "1"]);
}

#[test]
fn on_postgres_nothing_is_lost_doubled_or_out_of_order() {
    keeps_its_promises(12, 3_000, &["--seed", "2", "--postgres"]);
}

#[test]
fn on_three_nodes_nothing_is_lost_doubled_or_out_of_order() {
    let ledger = keeps_its_promises(9, 1_800, &["--seed", "1274", "--nodes", "3"]);
    for kind in ["leader killed", "owner killed", "node paused beyond its lease", "node cut off", "Redis flushed"] {
        assert!(ledger["faults"].get(kind).is_some(), "another seed has {kind}: {ledger}");
    }
    // One leader was killed, and another one wrote a proposal.
    assert!(ledger["proposals_again_ms"][0].as_f64() > Some(0.0), "{ledger}");
}

/// Nodes, the leader, HAProxy, its agent, Redis and PostgreSQL are killed, each once.
#[test]
fn through_an_edge_nothing_is_lost_doubled_or_out_of_order() {
    let ledger = keeps_its_promises(7, 1_400, &["--seed", "1", "--nodes", "3", "--edge", "--only", "killed"]);
    for kind in ["node killed", "HAProxy killed", "the edge's agent killed"] {
        assert!(ledger["faults"].get(kind).is_some(), "{kind}: {ledger}");
    }
}

/// An operator lets a node in and takes it out, replaces the secrets, and restarts all nodes, under messages.
#[test]
fn while_an_operator_works_on_three_nodes_nothing_is_lost_doubled_or_out_of_order() {
    let ledger = keeps_its_promises(4, 1_200, &["--seed", "3", "--nodes", "3", "--only", "member"]);
    let kinds = ledger["faults"].as_object().map_or(0, |kinds| kinds.len());
    assert_eq!(kinds, 4, "each once: {ledger}");
}
