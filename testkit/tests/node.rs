//! When a node does not start: it says what to do and leaves the data as it was.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test code: what fails here fails the test")]

use std::fs;
use std::path::Path;

use endtoend_protocol::AccountTag;
use endtoend_testkit::{Node, NodeOptions, NotStarted, Wire};

fn refusal(options: NodeOptions) -> NotStarted {
    Node::try_start(options).expect_err("such a node does not start")
}

fn assert_says(why: &NotStarted, words: &str) {
    assert_eq!(why.code, Some(1), "{why:?}");
    assert!(why.stderr.contains(words), "{words:?} is not in {why:?}");
    assert!(!why.stderr.contains("panicked"), "{why:?}");
}

#[test]
fn a_port_in_use_is_refused_with_the_way_out() {
    let first = Node::start(NodeOptions::default());
    let why = refusal(NodeOptions { port: first.listen().port(), ..NodeOptions::default() });
    assert_says(&why, "--listen");
}

#[test]
fn a_data_directory_has_one_node() {
    let first = Node::start(NodeOptions::default());
    let why = refusal(NodeOptions { data: Some(first.data_dir().to_owned()), ..NodeOptions::default() });
    assert_says(&why, "another endtoend process");
}

#[test]
fn a_place_that_cannot_be_written_is_refused_with_the_way_out() {
    // Works for root too, whom permissions do not stop.
    let file = tempfile::NamedTempFile::new().unwrap();
    let why = refusal(NodeOptions { data: Some(file.path().join("data")), ..NodeOptions::default() });
    assert_says(&why, "--data");
}

#[test]
fn a_node_keeps_its_pin_over_restarts() {
    let mut node = Node::start(NodeOptions::default());
    node.terminate();
    node.restart(); // compares the addresses
}

/// A node with one account and nothing in its write-ahead log, which has ended.
async fn ended_node() -> Node {
    let mut node = Node::start(NodeOptions::default());
    Wire::register(node.listen(), AccountTag::new([1; 32])).await;
    assert!(node.terminate().success());
    node
}

fn assert_not_touched(data: &Path, damage: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let database = data.join("endtoend.db");
    let damaged = damage(fs::read(&database).unwrap());
    fs::write(&database, &damaged).unwrap();
    let why = refusal(NodeOptions { data: Some(data.to_owned()), ..NodeOptions::default() });
    assert_says(&why, "backup");
    assert!(fs::read(&database).unwrap() == damaged, "a damaged database was changed");
}

#[tokio::test]
async fn a_truncated_database_is_refused_and_not_replaced() {
    let node = ended_node().await;
    assert_not_touched(node.data_dir(), |bytes| bytes[..bytes.len() / 2].to_vec());
    assert_not_touched(node.data_dir(), |bytes| bytes[..1000].to_vec());
}

#[tokio::test]
async fn an_empty_database_beside_old_keys_is_refused_and_not_replaced() {
    let node = ended_node().await;
    assert_not_touched(node.data_dir(), |_| Vec::new());
}

#[tokio::test]
async fn a_database_of_something_else_is_refused_and_not_replaced() {
    let node = ended_node().await;
    assert_not_touched(node.data_dir(), |bytes| vec![0x5a; bytes.len()]);
}

#[tokio::test]
async fn a_locked_database_is_refused_with_the_way_out() {
    let node = ended_node().await;
    let other = rusqlite::Connection::open(node.data_dir().join("endtoend.db")).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let why = refusal(NodeOptions { data: Some(node.data_dir().to_owned()), ..NodeOptions::default() });
    assert_says(&why, "locked by another program");
}

#[tokio::test]
async fn a_lost_key_is_refused_and_not_replaced() {
    let node = ended_node().await;
    for key in ["ca.key", "opaque.key", "token.key"] {
        let (place, aside) = (node.data_dir().join(key), node.data_dir().join("aside"));
        fs::rename(&place, &aside).unwrap();
        assert_says(
            &refusal(NodeOptions { data: Some(node.data_dir().to_owned()), ..NodeOptions::default() }),
            "backup",
        );
        assert!(!place.exists());
        fs::rename(&aside, &place).unwrap();
    }
}
