//! An edge whose HAProxy is of another version than this machine's, or becomes one.
#![expect(clippy::unwrap_used, reason = "test code: an answer that was not expected fails the test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use endtoend_keeper::find;
use endtoend_protocol::AccountTag;
use endtoend_testkit::{Behind, Edge, Node, NodeOptions, PATIENCE, Unsecured, Wire, eventually, other_programs};
use serde_json::Value;

fn node() -> Node {
    Node::start(NodeOptions::without_limits().behind_an_edge())
}

fn version(edge: &Edge) -> String {
    edge.status().pointer("/haproxy/version").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn count(edge: &Edge, what: &str) -> u64 {
    edge.status().pointer(&format!("/counts/{what}")).and_then(Value::as_u64).unwrap()
}

fn state(edge: &Edge, name: &str) -> String {
    edge.server(name).get("state").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Puts another program where HAProxy is, as an upgrade of its package does.
fn becomes(place: &Path, program: &Path) {
    let new = place.with_extension("new");
    symlink(program, &new).unwrap();
    fs::rename(&new, place).unwrap();
}

fn settings(place: &Path, further: &str) -> String {
    // Checks have as long as the interval: on a busy machine a node that lives takes more than a tenth of a second.
    let times = "[times]\ncheck_interval_ms = 1000\nslow_start_ms = 1\n";
    format!("haproxy = \"{}\"\n[limits]\nconnections_max = 300\n{times}{further}", place.display())
}

/// Nodes drain, come back, go and come, all by orders.
fn changes_without_a_reload(edge: &mut Edge, all: &[Behind; 2]) {
    let reloads = count(edge, "reloads");
    edge.apply(&[all[0].clone(), Behind { draining: true, ..all[1].clone() }]);
    assert_eq!(edge.server("b").get("weight"), Some(&0.into()));
    edge.apply(all);
    edge.apply(&all[..1]);
    eventually(PATIENCE, "b is let go", || matches!(&*state(edge, "b"), "" | "MAINT"));
    edge.apply(all);
    eventually(PATIENCE, "b is back", || state(edge, "b").starts_with("UP"));
    assert_eq!(count(edge, "reloads"), reloads, "{}", edge.status());
}

#[tokio::test]
async fn haproxy_is_replaced_by_another_version_and_back_and_connections_stay() {
    let Some(other) = other_programs("haproxy") else { return };
    let own = find("haproxy").unwrap_or_else(|| "/usr/sbin/haproxy".into());
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("haproxy");
    becomes(&place, &own);
    let (a, b) = (node(), node());
    let all = [Behind::node("a", &a), Behind::node("b", &b)];
    let mut edge = Edge::start(&settings(&place, ""));
    edge.apply(&all);
    let first = version(&edge);
    let mut talk = vec![Wire::register(edge.listen(), AccountTag::new([0; 32])).await.0];

    // The new program is in its place; what no order can do brings it in, here another bound.
    for (step, (program, connect_ms)) in [(&other, 1900), (&own, 1800)].into_iter().enumerate() {
        let before = version(&edge);
        becomes(&place, program);
        edge.kill_agent();
        edge.configure(&settings(&place, &format!("connect_ms = {connect_ms}\n")));
        edge.launch();
        edge.apply(&all);
        eventually(PATIENCE, "the other version", || version(&edge) != before);
        let status = edge.status();
        assert_eq!((count(&edge, "reloads"), count(&edge, "starts")), (1, 0), "{status}");
        talk.push(Wire::register(edge.listen(), AccountTag::new([1 + u8::try_from(step).unwrap(); 32])).await.0);
        changes_without_a_reload(&mut edge, &all);
    }
    assert_eq!(version(&edge), first);
    for wire in &mut talk {
        assert!(wire.talks().await, "it outlives what carried it");
    }
}

#[tokio::test]
async fn another_version_serves_loses_a_node_and_is_started_again() {
    let Some(other) = other_programs("haproxy") else { return };
    let (mut a, b) = (node(), node());
    let all = [Behind::node("a", &a), Behind::node("b", &b)];
    let mut edge = Edge::start(&settings(&other, ""));
    edge.apply(&all);
    changes_without_a_reload(&mut edge, &all);
    // In its first second a node that has come back gets one connection at a time, and there is no third one.
    let changed = |name| edge.server(name).get("changed_seconds").and_then(Value::as_u64);
    eventually(PATIENCE, "b is past its first second", || changed("b") > Some(1));
    a.kill_9();
    for _ in 0..6 {
        Unsecured::reach(edge.listen(), &[]).await.unwrap();
    }
    eventually(PATIENCE, "a is seen to be down", || state(&edge, "a").starts_with("DOWN"));
    let before = edge.worker();
    edge.signal_worker("KILL");
    eventually(PATIENCE, "another worker", || {
        edge.status().pointer("/haproxy/pid").and_then(Value::as_u64).is_some_and(|pid| pid != before)
            && state(&edge, "b").starts_with("UP")
    });
    let mut wire = Wire::register(edge.listen(), AccountTag::new([9; 32])).await.0;
    assert!(wire.talks().await);
}
