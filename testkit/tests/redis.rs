//! Real nodes whose Redis is replaced by another: behind sentinels, and as a Redis Cluster.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::sync::OnceLock;
use std::time::Duration;

use endtoend_testkit::{Cli, Cluster, Node, PATIENCE, eventually};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::{Process, Sentinels, Shards};
use tempfile::TempDir;

/// With fsync: a node takes no other.
fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(Settings { durable: true }))
}

/// Somebody who is registered on a node.
fn person(homes: &TempDir, name: &str, node: &Node) -> Cli {
    let cli = Cli::new(homes.path().join(name), node.address());
    cli.register(name).done();
    cli
}

fn says(node: &Node, line: &str) -> usize {
    std::fs::read_to_string(node.log_path()).unwrap_or_default().matches(line).count()
}

const AWAY: &str = "Redis is away: messages go through the store";
const BACK: &str = "who is connected where is known through Redis";

/// People on two nodes talk before, while and after the primary that has the claims is replaced. Nothing is lost, doubled or out of
/// order, and in the end devices are claimed again.
async fn is_survived(redis: Vec<(&'static str, String)>, primary: &Process) {
    let mut cluster = Cluster::found_with(redis, &postgres().database().await, "");
    cluster.join();
    let (one, two) = (cluster.nodes.first().unwrap(), cluster.nodes.get(1).unwrap());
    let homes = tempfile::tempdir().unwrap();
    let alice = person(&homes, "alice.on.one", one);
    let bob = person(&homes, "bob.on.two", two);
    let listening = bob.spawn_listen();
    let is_exclusive = |node: &Node| node.scrape().value("endtoend_claims_devices{state=\"exclusive\"}") >= 1.0;
    eventually(PATIENCE, "bob for his node alone", || is_exclusive(two));
    let mut sent = 0..;
    let mut say = |times: usize| {
        for n in sent.by_ref().take(times) {
            let text = format!("number {n}");
            alice.send("bob.on.two", &text).done();
            assert_eq!(listening.next_text(), text);
        }
    };
    say(3);
    let before: Vec<_> = cluster.nodes.iter().map(|node| says(node, BACK)).collect();
    primary.kill_9();
    say(3);
    for (node, before) in cluster.nodes.iter().zip(before) {
        eventually(PATIENCE, "a node that has noticed it", || says(node, AWAY) > 0);
        eventually(PATIENCE, "a node that has found the other one", || says(node, BACK) > before);
    }
    say(3);
    eventually(PATIENCE, "bob for his node alone again", || is_exclusive(two));
    say(3);
}

#[tokio::test]
async fn a_primary_that_sentinels_replace_loses_no_message() {
    let sentinels = Sentinels::start(Duration::from_secs(1));
    let redis = vec![
        ("ENDTOEND_REDIS__SENTINELS", format!("{:?}", sentinels.addresses())),
        ("ENDTOEND_REDIS__PRIMARY", Sentinels::PRIMARY.to_owned()),
    ];
    is_survived(redis, &sentinels.servers()[0]).await;
}

#[tokio::test]
async fn a_primary_of_a_redis_cluster_that_is_replaced_loses_no_message() {
    let shards = Shards::start(Duration::from_secs(1), "endtoend:{claims}:");
    let redis = vec![("ENDTOEND_REDIS__CLUSTER", format!("{:?}", shards.addresses()))];
    is_survived(redis, shards.replicated()).await;
}
