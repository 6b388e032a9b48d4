//! What one node has ended ends on the others, also on one that hears of it late, or after the first has started anew.
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

/// How a node sees the second one.
fn second_is(health: &'static str) -> impl FnMut(&serde_json::Value) -> bool {
    move |status| nodes(status).iter().any(|node| text(node, "name") == "node-2" && text(node, "health") == health)
}

/// What it hears next but that its list of devices may have changed: who may have missed something tells so, too.
async fn hears(who: &mut Wire, mut said: Option<ServerFrame>) -> Option<ServerFrame> {
    while let Some(ServerFrame::DevicesChanged { .. }) = said {
        said = who.recv().await;
    }
    said
}

async fn is_removed(who: &mut Wire) {
    let said = who.recv().await;
    let said = hears(who, said).await;
    assert!(matches!(said, Some(ServerFrame::Closing { reason: ClosingReason::Removed, .. })), "{said:?}");
}

async fn may_go_on(who: &mut Wire) {
    let said = who.ask(Request::Attach).await;
    let said = hears(who, Some(said)).await;
    assert!(matches!(said, Some(ServerFrame::Answer { .. })), "news that are late end nobody who may go on: {said:?}");
}

#[tokio::test]
async fn who_is_shut_out_while_a_node_is_away_is_gone_there_when_it_is_back() {
    let postgres = Postgres::start(Settings { durable: true });
    let redis = Redis::start();
    let cluster = Cluster::of(2, &postgres.database().await, &redis.url());
    let (mut alice, _) = Wire::register(cluster.nodes[1].listen(), ALICE).await;
    let (mut bob, _) = Wire::register(cluster.nodes[1].listen(), BOB).await;
    cluster.wait(0, "a link", second_is("up"));
    cluster.nodes[1].pause();
    cluster.wait(0, "a node that is away", second_is("down"));
    // The first of them may go on after all.
    user(&cluster, 0, "disable", ALICE);
    user(&cluster, 0, "enable", ALICE);
    user(&cluster, 0, "disable", BOB);
    cluster.nodes[1].resume();
    is_removed(&mut bob).await;
    may_go_on(&mut alice).await;
}

#[tokio::test]
async fn what_a_node_has_ended_is_not_forgotten_with_it() {
    let postgres = Postgres::start(Settings { durable: true });
    let redis = Redis::start();
    let mut cluster = Cluster::of(2, &postgres.database().await, &redis.url());
    let (mut alice, _) = Wire::register(cluster.nodes[1].listen(), ALICE).await;
    let (mut bob, _) = Wire::register(cluster.nodes[1].listen(), BOB).await;
    cluster.wait(0, "a link", second_is("up"));
    cluster.nodes[1].pause();
    cluster.wait(0, "a node that is away", second_is("down"));
    user(&cluster, 0, "disable", BOB);
    // Who knows that this has to be told ends before the other node can hear it.
    cluster.nodes[0].kill_9();
    cluster.nodes[1].resume();
    cluster.nodes[0].restart();
    is_removed(&mut bob).await;
    may_go_on(&mut alice).await;
}
