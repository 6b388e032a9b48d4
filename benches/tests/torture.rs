//! A node under a dozen faults: the small version of `make torture`.

use std::process::Command;

use endtoend_benches::run_json;
use serde_json::Value;

/// Seeds whose dozen has kills, disks that fail and clients that end in the wrong moment.
fn assert_keeps_its_promises(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
    command.args(["--json", "--faults", "12", "--messages", "3000", "--seconds-max", "300"]).args(arguments);
    let (ledger, success) = run_json(&mut command);
    assert!(success, "{ledger}");
    let number = |at: &str| ledger.pointer(at).and_then(Value::as_u64);
    assert_eq!(number("/violations/all"), Some(0), "{ledger}");
    assert_eq!((number("/accepted"), number("/shown")), (Some(3000), Some(3000)), "{ledger}");
    let faults = ledger.pointer("/faults").and_then(Value::as_object).into_iter().flatten();
    let struck: u64 = faults.filter_map(|(_, fault)| fault.get("times")?.as_u64()).sum();
    assert_eq!(struck, 12, "{ledger}");
    assert!(number("/pair/written") > Some(1), "{ledger}");
}

#[test]
fn on_sqlite_nothing_is_lost_doubled_or_out_of_order() {
    assert_keeps_its_promises(&["--seed", "1"]);
}

#[test]
fn on_postgres_nothing_is_lost_doubled_or_out_of_order() {
    assert_keeps_its_promises(&["--seed", "2", "--postgres"]);
}
