//! Several real nodes on a real PostgreSQL and a real Redis: they join, carry messages, drain, lose their leader, and go.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::path::Path;
use std::sync::OnceLock;

use endtoend_testkit::{
    Cli, Cluster, Node, NodeOptions, PATIENCE, cluster_command, eventually, free_address, nodes, operate, text,
};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;
use serde_json::Value;
use tempfile::TempDir;

/// With fsync: a node takes no other.
fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(Settings { durable: true }))
}

/// So many nodes, and what they stand on.
async fn cluster(nodes: usize) -> (Cluster, Redis) {
    let redis = Redis::start();
    let cluster = Cluster::of(nodes, &postgres().database().await, &redis.url());
    (cluster, redis)
}

/// Somebody who is registered on a node.
fn person(homes: &TempDir, name: &str, node: &Node) -> Cli {
    let cli = Cli::new(homes.path().join(name), node.address());
    cli.register(name).done();
    cli
}

fn states(status: &Value) -> Vec<String> {
    nodes(status).iter().map(|node| text(node, "state")).collect()
}

/// What clients pin.
fn pin(node: &Node) -> String {
    node.address().split('#').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_node_joins_and_people_on_two_nodes_talk_under_one_pin() {
    let (cluster, _redis) = cluster(2).await;
    assert_eq!(pin(&cluster.nodes[0]), pin(&cluster.nodes[1]));
    assert_ne!(cluster.nodes[0].listen(), cluster.nodes[1].listen());
    let homes = tempfile::tempdir().unwrap();
    let alice = person(&homes, "alice.on.one", &cluster.nodes[0]);
    let bob = person(&homes, "bob.on.two", &cluster.nodes[1]);
    // Somebody who is away, and then is elsewhere.
    alice.send("bob.on.two", "it waits").done();
    assert_eq!(bob.listen(1), ["it waits"]);
    let listening = bob.spawn_listen();
    eventually(PATIENCE, "bob on the second node", || {
        let seen = nodes(&cluster.status(0));
        seen.iter().any(|node| text(node, "name") == "node-2" && node["connections"] == 1)
    });
    for n in 0..5 {
        alice.send("bob.on.two", &format!("across {n}")).done();
        assert_eq!(listening.next_text(), format!("across {n}"));
    }
    drop(listening);
    bob.send("alice.on.one", "and back").done();
    assert_eq!(alice.listen(1), ["and back"]);
    // The same device on the other node, under the same pin.
    let moved = bob.with_server(cluster.nodes[0].address());
    alice.send("bob.on.two", "you have moved").done();
    assert_eq!(moved.listen(1), ["you have moved"]);

    let status = cluster.status(1);
    assert_eq!(states(&status), ["active", "active"]);
    let mut roles: Vec<_> = nodes(&status).iter().map(|node| text(node, "role")).collect();
    roles.sort();
    assert_eq!(roles, ["leader", "voter"]);
    for node in nodes(&status) {
        assert!(["self", "up"].contains(&&*text(&node, "health")), "{node}");
        assert!(node["certificate_expires_at"].is_u64() && node["connections"].is_u64(), "{node}");
        assert_eq!(text(&node, "version"), env!("CARGO_PKG_VERSION"));
    }
    let scrape = cluster.nodes[0].scrape();
    assert_eq!(scrape.value("endtoend_links{state=\"living\"}"), 1.0);
    assert_eq!(scrape.value("endtoend_cluster_members{state=\"active\"}"), 2.0);
    assert!(scrape.value("endtoend_forwards_total") + cluster.nodes[0].scrape().sum("endtoend_wakes_total") > 0.0);
}

#[tokio::test]
async fn a_node_that_dies_while_it_waits_asks_again_with_the_same_token() {
    let (cluster, _redis) = cluster(1).await;
    let (seed, token) = cluster.token();
    let data = tempfile::tempdir().unwrap();
    let listen = free_address();
    let begin = || {
        let mut options = cluster.options("node-2", listen).joining(&seed, &token);
        options.data = Some(data.path().to_owned());
        Node::begin(options)
    };
    let first = begin();
    let id = first.pending();
    first.kill_9();
    let again = begin();
    assert_eq!(again.pending(), id);
    cluster.command(0, &["approve", &id[..6]]).done();
    let mut node = again.ready().unwrap();
    assert!(!data.path().join("ca.key").exists(), "what the nodes share is in no file");
    // And in no log.
    let secret = token.rsplit(':').next().unwrap();
    let said = std::fs::read_to_string(node.log_path()).unwrap();
    assert!(said.contains("approve") && !said.contains(&secret[32..96]), "{said}");
    // Once it has joined, it needs no `--join`, and one that is still there does no harm.
    assert!(node.terminate().success());
    node.restart();
    assert!(node.terminate().success());
    let node = begin().ready().unwrap();
    assert_eq!(text(&cluster_command(node.data_dir(), &["status"]).done().lines[0], "me"), id);
}

#[tokio::test]
async fn a_drained_node_sends_its_clients_away_and_serves_again_when_it_is_told() {
    let (cluster, _redis) = cluster(2).await;
    let homes = tempfile::tempdir().unwrap();
    let alice = person(&homes, "alice.who.moves", &cluster.nodes[1]);
    let listening = alice.spawn_listen();
    let connected = |count: u64| {
        let status = cluster.status(1);
        let me = text(&status, "me");
        nodes(&status).iter().any(|node| text(node, "id") == me && node["connections"] == count)
    };
    eventually(PATIENCE, "alice on the node", || connected(1));
    let drained = cluster.command(0, &["drain", "node-2", "--wait", "30s"]).done();
    assert_eq!((drained.field("event"), drained.field("state")), (&"drained".into(), &"draining".into()));
    assert_eq!(drained.field("connections"), 0);
    cluster.wait(1, "a draining node", |status| states(status).contains(&"draining".to_owned()));
    assert_eq!(cluster.nodes[1].not_ready(), ["draining"]);
    drop(listening);
    // The other one takes her.
    let elsewhere = alice.with_server(cluster.nodes[0].address());
    elsewhere.run(&["status"]).done();

    let undrained = cluster.command(1, &["undrain", "node-2"]).done();
    assert_eq!(undrained.field("state"), "active");
    eventually(PATIENCE, "a node that serves again", || cluster.nodes[1].not_ready().is_empty());
    let _listening = alice.spawn_listen();
    eventually(PATIENCE, "alice back on the node", || connected(1));
}

#[tokio::test]
async fn a_removed_node_is_cut_off_says_why_and_cannot_return() {
    let (mut cluster, _redis) = cluster(2).await;
    let id = cluster.id(1);
    let asked = cluster.command(0, &["remove", "node-2"]);
    assert!(asked.code == Some(1) && format!("{asked:?}").contains("--yes"), "{asked:?}");
    let itself = cluster.command(1, &["remove", "node-2", "--yes"]);
    let said = format!("{itself:?}");
    assert!(itself.code == Some(1) && said.contains("`endtoend cluster remove node-2` on node-1 (127."), "{said}");
    let before = cluster.status(0)["secrets"].as_u64().unwrap();
    let removed = cluster.command(0, &["remove", &id, "--yes"]).done();
    assert_eq!((removed.field("event"), removed.field("state")), (&"removed".into(), &Value::Null));
    cluster.wait(0, "a cluster of one", |status| nodes(status).len() == 1);
    assert_eq!(cluster.status(0)["secrets"].as_u64().unwrap(), before + 1, "what it knew is replaced");
    let mut gone = cluster.nodes.remove(1);
    assert_eq!(gone.ended().code(), Some(3));
    let said = |node: &Node| std::fs::read_to_string(node.log_path()).unwrap();
    assert!(said(&gone).contains(&format!("node {id} was removed from its cluster")), "{}", said(&gone));
    let back = gone.try_restart().unwrap_err();
    assert!(back.code == Some(3) && back.stderr.contains("needs an empty data directory"), "{back:?}");
    // Another one takes its place, and its name.
    assert_eq!(cluster.join(), 1);
}

#[tokio::test]
async fn three_nodes_go_on_without_their_leader_and_it_comes_back() {
    let (mut cluster, _redis) = cluster(3).await;
    cluster.wait(0, "three that vote", |status| {
        nodes(status).iter().filter(|node| ["leader", "voter"].contains(&&*text(node, "role"))).count() == 3
    });
    let term = cluster.status(0)["term"].as_u64().unwrap();
    let leader = cluster.leader(0).unwrap();
    let other = (leader + 1) % 3;
    cluster.nodes[leader].kill_9();
    eventually(PATIENCE, "proposals that flow again", || cluster.command(other, &["token", "create"]).code == Some(0));
    let status = cluster.status(other);
    assert!(status["term"].as_u64().unwrap() > term);
    cluster.wait(other, "a dead node that is seen to be dead", |status| {
        nodes(status).iter().filter(|node| text(node, "health") == "down").count() == 1
    });
    cluster.nodes[leader].restart();
    cluster.wait(leader, "three that are linked again", |status| {
        let health = |node: &Value| ["up", "self"].contains(&&*text(node, "health"));
        nodes(status).iter().all(health) && !text(status, "leader").is_empty()
    });
    // Given away, and by itself when the one that leads is stopped.
    let to = cluster.id(leader);
    cluster.command(other, &["transfer-leader", &to]).done();
    assert_eq!(cluster.leader(other), Some(leader));
    assert!(cluster.nodes[leader].terminate().success());
    let said = std::fs::read_to_string(cluster.nodes[leader].log_path()).unwrap();
    assert!(said.contains("another node leads"), "{said}");
    let said = std::fs::read_to_string(cluster.nodes[other].log_path()).unwrap();
    assert!(!said.contains("openraft"), "a node that is away is no flood: {said}");
}

#[tokio::test]
async fn a_member_is_backed_up_and_operated_like_any_node() {
    let (mut cluster, _redis) = cluster(2).await;
    let homes = tempfile::tempdir().unwrap();
    person(&homes, "alice.in.backups", &cluster.nodes[0]);
    let (data, url) = (cluster.nodes[1].data_dir().to_owned(), cluster.postgres().to_owned());
    let on = |command: &[&str]| {
        let arguments = [command, &["--data", data.to_str().unwrap()]].concat();
        operate(homes.path(), &arguments, &[("ENDTOEND_STORAGE__URL", &*url)])
    };
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap();
    let backup = homes.path().join("backup");
    for stopped in [false, true] {
        let to = backup.join(stopped.to_string());
        std::fs::create_dir_all(&backup).unwrap();
        let done = on(&["backup", "--to", to.to_str().unwrap()]).done();
        assert_eq!(done.lines.last().unwrap()["secrets_elsewhere"], Value::Array(Vec::new()));
        for name in ["ca.key", "identity.key", "opaque.key", "oprf.key", "store.key", "token.key"] {
            assert_eq!(read(&to, name), read(cluster.nodes[0].data_dir(), name), "{name}");
        }
        assert!(!to.join("node.key").exists() && !to.join("control.db").exists());
        let users = on(&["user", "list", "--handle", "alice.in.backups"]).done();
        assert_eq!(users.field("devices"), 1);
        if !stopped {
            assert!(cluster.nodes[1].terminate().success());
        }
    }
    let stopped = on(&["cluster", "status"]);
    assert!(stopped.code == Some(1) && format!("{stopped:?}").contains("this node does not run"), "{stopped:?}");
    let checked = operate(
        homes.path(),
        &["config", "check"],
        &[("ENDTOEND_STORAGE__DATA", data.to_str().unwrap()), ("ENDTOEND_STORAGE__URL", &*url)],
    );
    let secrets: Vec<_> = checked.lines.iter().filter(|line| line["event"] == "secret").collect();
    assert!(secrets.len() == 6 && secrets.iter().all(|secret| secret["from"] == "cluster"), "{checked:?}");

    // What is restored is one node, with everybody, under the pin that they know.
    let restored = homes.path().join("restored");
    let arguments = ["restore", "--from", backup.join("true").to_str().unwrap(), "--data", restored.to_str().unwrap()]
        .map(str::to_owned);
    operate(homes.path(), &arguments.each_ref().map(String::as_str), &[]).done();
    let alone = Node::start(NodeOptions { data: Some(restored), ..NodeOptions::default() });
    assert_eq!(pin(&alone), pin(&cluster.nodes[0]));
    cluster.nodes[1].restart();
}

#[tokio::test]
async fn rotated_secrets_end_access_tokens_and_nobody_has_to_log_in_again() {
    let (cluster, _redis) = cluster(2).await;
    let homes = tempfile::tempdir().unwrap();
    let alice = person(&homes, "alice.of.tokens", &cluster.nodes[0]);
    let bob = person(&homes, "bob.of.tokens", &cluster.nodes[1]);
    let before = pin(&cluster.nodes[0]);
    let elections = cluster.command(1, &["elections", "loopback"]).done();
    assert_eq!(elections.field("changed"), true);
    cluster.wait(0, "other elections", |status| status["elections"] == "loopback");
    let rotated = cluster.command(1, &["rotate", "--yes"]).done();
    let generation = rotated.field("generation").as_u64().unwrap();
    for node in 0..2 {
        cluster.wait(node, "new secrets", |status| status["secrets"].as_u64() == Some(generation));
    }
    alice.with_server(cluster.nodes[1].address()).send("bob.of.tokens", "with another token").done();
    assert_eq!(bob.listen(1), ["with another token"]);
    assert_eq!(pin(&cluster.nodes[0]), before);
    cluster.wait(0, "links that stay", |status| nodes(status).iter().all(|node| text(node, "health") != "down"));
}
