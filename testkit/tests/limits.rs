//! Limits of real nodes that share a real Redis.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code: an answer that was not expected fails the test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use endtoend_crypto_core::oprf::Blinding;
use endtoend_protocol::{Answer, Request, ServerFrame};
use endtoend_testkit::{Node, NodeOptions, PATIENCE, Wire, eventually};
use endtoend_testkit_redis::Server;

fn node(redis: &Server) -> Node {
    let environment = vec![
        ("ENDTOEND_REDIS__URL", redis.url()),
        ("ENDTOEND_LIMITS__STRANGER_LOOKUP", "{ burst = 30, every_ms = 3600000 }".to_owned()),
        // Nodes of one cluster have the same store, and with it the same key.
        ("ENDTOEND_SECRET_STORE", "5c".repeat(32)),
    ];
    Node::start(NodeOptions { environment, ..NodeOptions::default() })
}

/// How often the node has logged that.
fn said(node: &Node, text: &str) -> usize {
    std::fs::read_to_string(node.log_path()).unwrap().matches(text).count()
}

fn says(node: &Node, text: &str, times: usize) {
    eventually(PATIENCE, text, || said(node, text) >= times);
    assert_eq!(said(node, text), times, "told once for each change");
}

/// A stranger's question, for which the limit of his address is asked.
async fn look_up(node: &Node) {
    let mut wire = Wire::connect(node.listen()).await;
    wire.hello().await;
    let (_, blinded) = Blinding::start(&mut rand::rng(), &"alice".parse().unwrap()).unwrap();
    match wire.ask(Request::Evaluate { blinded }).await {
        ServerFrame::Answer { answer: Answer::Evaluated { .. }, .. } => {}
        other => panic!("not evaluated: {other:?}"),
    }
}

/// The first line of Redis' answer.
fn ask(redis: &Server, command: &str) -> String {
    let mut socket = UnixStream::connect(redis.folder().join("socket")).unwrap();
    socket.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

const AWAY: &str = "Redis is away";
const SHARED: &str = "limits are shared";

#[tokio::test]
async fn nodes_of_one_store_count_together_and_go_on_without_redis() {
    let redis = Server::start();
    let nodes = [node(&redis), node(&redis)];
    for node in &nodes {
        says(node, SHARED, 1);
        look_up(node).await;
    }
    // One entry for the one address on two nodes. What their connections were tried with is gone after a millisecond.
    eventually(PATIENCE, "one entry", || ask(&redis, "DBSIZE") == ":1");
    redis.kill_9();
    for node in &nodes {
        look_up(node).await;
        look_up(node).await;
        says(node, AWAY, 1);
    }
    redis.restart();
    for node in &nodes {
        says(node, SHARED, 2);
        look_up(node).await;
        assert_eq!(said(node, AWAY), 1);
    }
}
