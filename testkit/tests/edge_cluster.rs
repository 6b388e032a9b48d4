//! An edge that follows a real cluster: let in like a node, told what changes, and cut off like one.

use std::sync::OnceLock;

use endtoend_testkit::{Cluster, Edge, Node, PATIENCE, Unsecured, eventually, free_address};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;
use serde_json::{Value, json};

const FAST: &str = "[limits]\nconnections_max = 300\n[times]\ncheck_interval_ms = 100\nslow_start_ms = 1\n";

/// With fsync: a node takes no other.
fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(Settings { durable: true }))
}

fn edges(cluster: &Cluster, asked: usize) -> Vec<Value> {
    cluster.status(asked).get("edges").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn field<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An edge of this cluster, approved.
fn approved(cluster: &Cluster) -> Edge {
    let edge = Edge::follow(FAST, &cluster.edge_token());
    approve(cluster);
    edge.answers();
    edge
}

/// Lets in the edge that asks.
fn approve(cluster: &Cluster) {
    let waits = || edges(cluster, 0).iter().any(|edge| field(edge, "state") == "pending");
    eventually(PATIENCE, "an edge that waits", waits);
    cluster.command(0, &["approve", "edge-1"]).done();
}

fn servers(edge: &Edge) -> Vec<(String, String)> {
    let servers = edge.status().get("servers").and_then(Value::as_array).cloned().unwrap_or_default();
    servers.iter().map(|server| (field(server, "name").to_owned(), field(server, "state").to_owned())).collect()
}

fn fault(edge: &Edge) -> String {
    field(&edge.status(), "source_fault").to_owned()
}

/// Waits until exactly these take connections.
fn until_up(edge: &Edge, names: &[&str]) {
    let up = || servers(edge).into_iter().filter(|(_, state)| state.starts_with("UP")).map(|(name, _)| name);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(PATIENCE, "those nodes and no others", || up().eq(names.iter().map(|name| (*name).to_owned())));
    }));
    assert!(done.is_ok(), "{names:?} are not up: {}\n{}", edge.status(), edge.log());
}

#[tokio::test]
async fn an_edge_is_let_in_hears_of_every_change_from_any_node_and_outlives_the_cluster() {
    let redis = Redis::start();
    let mut cluster = Cluster::found_behind_edges(&postgres().database().await, &redis.url());
    cluster.join();
    let mut edge = approved(&cluster);
    until_up(&edge, &["node-1", "node-2"]);
    Unsecured::reach(edge.listen(), &[]).await.unwrap();

    cluster.join();
    until_up(&edge, &["node-1", "node-2", "node-3"]);
    cluster.command(0, &["drain", "node-3"]).done();
    eventually(PATIENCE, "nothing new for who drains", || edge.server("node-3").get("weight") == Some(&0.into()));
    cluster.command(0, &["undrain", "node-3"]).done();
    until_up(&edge, &["node-1", "node-2", "node-3"]);
    assert_eq!(edge.status().pointer("/counts/reloads"), Some(&0.into()), "{}", edge.status());

    // The node that it follows dies: another one tells it what changes.
    let followed =
        || (0..3).find(|at| edges(&cluster, *at).iter().any(|edge| edge.get("follows") == Some(&true.into())));
    eventually(PATIENCE, "it follows a node", || followed().is_some());
    let dead = followed().unwrap();
    let [one, other] = [1, 2].map(|step| (dead + step) % 3);
    cluster.nodes[dead].kill_9();
    let drained = format!("node-{}", other + 1);
    eventually(PATIENCE, "the others decide", || {
        cluster.command(one, &["drain", &drained, "--wait", "0s"]).code == Some(0)
    });
    eventually(PATIENCE, "news by another node", || edge.server(&drained).get("weight") == Some(&0.into()));
    eventually(PATIENCE, "no fault", || fault(&edge).is_empty());

    // Nobody is left. The agent starts anew, and HAProxy after it.
    for at in [one, other] {
        cluster.nodes[at].kill_9();
    }
    edge.terminate();
    edge.launch();
    eventually(PATIENCE, "the nodes that it has heard of last", || servers(&edge).len() == 3);
    eventually(PATIENCE, "that nobody answers", || fault(&edge).contains("no node of the cluster"));
    for at in [one, other] {
        cluster.nodes[at].restart();
    }
    eventually(PATIENCE, "somebody answers", || fault(&edge).is_empty());
    Unsecured::reach(edge.listen(), &[]).await.unwrap();
}

#[tokio::test]
async fn an_edge_that_is_removed_is_cut_off_and_a_token_is_for_whom_it_was_made() {
    let redis = Redis::start();
    let mut cluster = Cluster::found_behind_edges(&postgres().database().await, &redis.url());
    let (seed, token) = cluster.edge_token();
    let why = Node::try_start(cluster.options("stranger", free_address()).joining(&seed, &token)).unwrap_err();
    assert!(why.stderr.contains("this token is for an edge"), "{why:?}");
    let mut edge = approved(&cluster);
    until_up(&edge, &["node-1"]);
    let drained = cluster.command(0, &["drain", "edge-1"]);
    assert!(drained.code == Some(1) && format!("{drained:?}").contains("is an edge"), "{drained:?}");

    cluster.command(0, &["remove", "edge-1", "--yes"]).done();
    assert_eq!(edges(&cluster, 0), Vec::<Value>::new());
    eventually(PATIENCE, "it knows that it is cut off", || fault(&edge).contains("was rejected or removed"));
    cluster.join();
    // One that is let in now hears of the new node. By then the first one would have, too.
    let other = approved(&cluster);
    until_up(&other, &["node-1", "node-2"]);
    assert_eq!(servers(&edge).len(), 1, "it hears nothing more, and goes on with what it has");
    Unsecured::reach(edge.listen(), &[]).await.unwrap();
    edge.terminate();
    edge.launch();
    eventually(PATIENCE, "it is told so again", || fault(&edge).contains("was rejected or removed"));
    assert_eq!(servers(&edge).len(), 1);
}

#[tokio::test]
async fn an_edge_that_had_a_list_takes_the_clusters_word_though_its_first_start_comes_to_nothing() {
    let redis = Redis::start();
    let cluster = Cluster::found_behind_edges(&postgres().database().await, &redis.url());
    let settings = format!("checks = \"connect\"\n{FAST}");
    let mut edge = Edge::start(&settings);
    let list = json!({ "generation": 1_000_000, "members": { "listed": { "address": cluster.nodes[0].listen() } } });
    std::fs::write(edge.view(), list.to_string()).unwrap();
    edge.applied(1_000_000);
    edge.terminate();

    // It is let in, and there is no HAProxy.
    edge.join(&format!("haproxy = \"/nonexistent/haproxy\"\n{settings}"), &cluster.edge_token());
    approve(&cluster);
    eventually(PATIENCE, "it was let in", || edge.cluster_directory().join("cluster.heard").exists());
    edge.terminate();
    edge.configure(&settings);
    edge.launch();
    until_up(&edge, &["node-1"]);
    assert!(fault(&edge).is_empty(), "{}", edge.status());
}
