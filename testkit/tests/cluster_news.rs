//! What one node has ended ends on the others, also on one that hears of it late.
#![expect(clippy::indexing_slicing, reason = "test code: what fails here fails the test")]

use endtoend_protocol::{AccountTag, ClosingReason, Request, ServerFrame};
use endtoend_testkit::{Cluster, Wire, nodes, operate, text};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;

const ALICE: AccountTag = AccountTag::new([0xa1; 32]);
const BOB: AccountTag = AccountTag::new([0xb1; 32]);

/// An operator does this to an account, on a node.
fn user(cluster: &Cluster, node: usize, command: &str, account: AccountTag) {
    let data = cluster.nodes[node].data_dir().display().to_string();
    let tag: String = account.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    operate(cluster.nodes[node].data_dir(), &["user", command, &tag, "--data", &data], &[]).done();
}

#[tokio::test]
async fn who_is_shut_out_while_a_node_is_away_is_gone_there_when_it_is_back() {
    let postgres = Postgres::start(Settings { durable: true });
    let redis = Redis::start();
    let cluster = Cluster::of(2, &postgres.database().await, &redis.url());
    let (mut alice, _) = Wire::register(cluster.nodes[1].listen(), ALICE).await;
    let (mut bob, _) = Wire::register(cluster.nodes[1].listen(), BOB).await;
    let is = |health: &'static str| {
        move |status: &serde_json::Value| {
            nodes(status).iter().any(|node| text(node, "name") == "node-2" && text(node, "health") == health)
        }
    };
    cluster.wait(0, "a link", is("up"));
    cluster.nodes[1].pause();
    cluster.wait(0, "a node that is away", is("down"));
    // The first of them may go on after all.
    user(&cluster, 0, "disable", ALICE);
    user(&cluster, 0, "enable", ALICE);
    user(&cluster, 0, "disable", BOB);
    cluster.nodes[1].resume();
    match bob.recv().await {
        Some(ServerFrame::Closing { reason, .. }) => assert_eq!(reason, ClosingReason::Removed),
        other => panic!("{other:?}"),
    }
    let answer = alice.ask(Request::Attach).await;
    assert!(matches!(answer, ServerFrame::Answer { .. }), "news that are late end nobody who may go on: {answer:?}");
}
