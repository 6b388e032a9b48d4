//! What a cluster refuses, with words that say what to do: nodes that may not come in, and databases that are somebody else's.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::sync::OnceLock;

use endtoend_testkit::{Cluster, Node, NodeOptions, NotStarted, free_address};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;

/// With fsync: a node takes no other.
fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(Settings { durable: true }))
}

fn refused(options: NodeOptions, code: i32, words: &str) -> NotStarted {
    let why = Node::try_start(options).unwrap_err();
    assert!(why.code == Some(code) && why.stderr.contains(words), "{words:?} and {code} are not in {why:?}");
    why
}

#[tokio::test]
async fn a_token_that_is_wrong_used_expired_or_anothers_is_told_apart() {
    let (redis, other_redis) = (Redis::start(), Redis::start());
    let cluster = Cluster::found(&postgres().database().await, &redis.url());
    let other = Cluster::found(&postgres().database().await, &other_redis.url());
    let (seed, token) = cluster.token();
    let joining = |token: &str| cluster.options("stranger", free_address()).joining(&seed, token);

    refused(joining("endtoend-join:00"), 1, "a join token is endtoend-join: and 160 hexadecimal digits");
    // Another secret of the same id, and one that nobody has made.
    let (head, tail) = token.split_at("endtoend-join:".len() + 32);
    let changed = if tail.starts_with('0') { "1" } else { "0" };
    refused(joining(&format!("{head}{changed}{}", &tail[1..])), 3, "the join token is not known");
    refused(joining(&other.token().1), 3, "of another cluster than the token");
    let expired = cluster.command(0, &["token", "create", "--expires", "1ms"]).done();
    refused(joining(expired.field("token").as_str().unwrap()), 3, "the join token has expired");
    let revoked = cluster.command(0, &["token", "create"]).done();
    cluster.command(0, &["token", "revoke", revoked.field("id").as_str().unwrap()]).done();
    refused(joining(revoked.field("token").as_str().unwrap()), 3, "the join token is not known");

    // Used by one that is rejected, and that may not come back with its key.
    let data = tempfile::tempdir().unwrap();
    let with_data = |token: &str| NodeOptions { data: Some(data.path().to_owned()), ..joining(token) };
    let waits = Node::begin(with_data(&token));
    let id = waits.pending();
    let list = cluster.command(0, &["token", "list"]).done();
    assert!(list.lines.iter().any(|line| line["used_by"] == id.as_str()), "{list:?}");
    refused(joining(&token), 3, "the join token has been used");
    cluster.command(0, &["reject", "stranger"]).done();
    let why = waits.ready().unwrap_err();
    assert!(why.code == Some(3) && why.stderr.contains("was rejected or removed"), "{why:?}");
    refused(with_data(&cluster.token().1), 3, "was rejected or removed");
    // Nobody else is called as one that is there.
    let options = cluster.options("node-1", free_address()).joining(&seed, &cluster.token().1);
    refused(options, 3, "choose another [cluster] name");
    let unknown = cluster.command(0, &["approve", "nobody"]);
    assert!(unknown.code == Some(1) && format!("{unknown:?}").contains("no node of the cluster"), "{unknown:?}");
}

#[tokio::test]
async fn two_clusters_on_one_database_or_one_redis_are_refused() {
    let (redis, other_redis) = (Redis::start(), Redis::start());
    let (database, other_database) = (postgres().database().await, postgres().database().await);
    let mut cluster = Cluster::found(&database, &redis.url());
    let on = |database: &str, redis: &Redis| {
        NodeOptions::default().in_cluster("second", free_address(), database, &redis.url())
    };
    refused(on(&database, &other_redis), 1, "join it with --join");
    refused(on(&other_database, &redis), 1, "[limits] redis is that of another cluster");
    refused(NodeOptions::default().on_postgres(&database), 1, "this node has no [cluster] listen");
    // One that joins must share the database.
    let (seed, token) = cluster.token();
    let third = postgres().database().await;
    refused(on(&third, &redis).joining(&seed, &token), 1, "is that of no cluster");
    // A member is not started as if it were alone, nor with another database.
    let data = cluster.nodes[0].data_dir().to_owned();
    assert!(cluster.nodes[0].terminate().success());
    let with_data = |options: NodeOptions| NodeOptions { data: Some(data.clone()), ..options };
    refused(with_data(NodeOptions::default().on_postgres(&database)), 1, "the data directory of a member of a cluster");
    refused(with_data(on(&other_database, &redis)), 1, "and this node is of");
    cluster.nodes[0].restart();
}

#[tokio::test]
async fn a_node_that_has_a_store_or_is_alone_does_not_join() {
    let redis = Redis::start();
    let cluster = Cluster::found(&postgres().database().await, &redis.url());
    let (seed, token) = cluster.token();
    refused(NodeOptions::default().joining(&seed, &token), 1, "--join needs [cluster] listen");
    let mut alone = Node::start(NodeOptions::default().on_postgres(&postgres().database().await));
    assert!(alone.terminate().success());
    let options = cluster.options("alone", free_address()).joining(&seed, &token);
    refused(
        NodeOptions { data: Some(alone.data_dir().to_owned()), ..options },
        1,
        "--join needs a data directory of its own",
    );
}
