//! An upgrade of a cluster, as people behind its edge notice it: not at all.
#![expect(clippy::indexing_slicing, reason = "test code: what fails here fails the test")]

use endtoend_testkit::{Behind, Cli, Cluster, Edge, PATIENCE, Running, eventually, nodes, text};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;
use serde_json::Value;

const ALICE: &str = "alice.the.sender";
const BOB: &str = "bob.the.listener";
const NODES: usize = 3;
/// That each says while a node restarts.
const LINES: usize = 10;
const SETTINGS: &str = "[limits]\nconnections_max = 300\n[times]\ncheck_interval_ms = 100\nslow_start_ms = 1\n";

fn behind(cluster: &Cluster) -> Vec<Behind> {
    let each = cluster.nodes.iter().zip(["a", "b", "c"]);
    each.map(|(node, name)| Behind { ready: node.admin(), ..Behind::new(name, node.listen()) }).collect()
}

/// The texts that come next, so many. Nobody is refused anything meanwhile.
fn hear(talk: &Running, heard: &mut Vec<String>, wanted: usize) {
    while heard.len() < wanted {
        let object = talk.next_object();
        assert!(object["event"] != "rejected" && object["event"] != "identity_changed", "{object}");
        heard.extend(object["text"].as_str().map(str::to_owned));
    }
}

#[tokio::test]
async fn two_people_talk_while_each_node_is_drained_and_started_again() {
    let (postgres, redis) = (Postgres::start(Settings { durable: true }), Redis::start());
    let settings = vec![
        ("ENDTOEND_GATEWAY__PROXY_FROM", "[\"127.0.0.1\"]".to_owned()),
        ("ENDTOEND_GATEWAY__DRAIN_SECONDS", "5".to_owned()),
    ];
    let mut cluster = Cluster::found_with(settings, &postgres.database().await, &redis.url());
    while cluster.nodes.len() < NODES {
        cluster.join();
    }
    let mut edge = Edge::start(SETTINGS);
    edge.apply(&behind(&cluster));
    let pin = cluster.nodes[0].address().split('#').nth(1).unwrap().to_owned();
    let address = format!("endtoend://{}/#{pin}", edge.listen());
    let homes = tempfile::tempdir().unwrap();
    let person = |name: &str| {
        let cli = Cli::new(homes.path().join(name), &address);
        cli.register(name).done();
        cli
    };
    let (alice, bob) = (person(ALICE), person(BOB));
    // Whoever has written to somebody hears him at once.
    alice.send(BOB, "to bob 0").done();
    bob.send(ALICE, "to alice 0").done();
    let mut talks = [(alice.start(&["chat", "--with", BOB]), "bob"), (bob.start(&["chat", "--with", ALICE]), "alice")];
    let mut heard: [Vec<String>; 2] = Default::default();
    let say = |talks: &mut [(Running, &str); 2], from: usize| {
        for line in from..from + LINES {
            talks.iter_mut().for_each(|(talk, to)| talk.say(&format!("to {to} {line}")));
        }
    };
    for restarted in 0..NODES {
        let (name, other) = (format!("node-{}", restarted + 1), (restarted + 1) % NODES);
        let from = 1 + 3 * LINES * restarted;
        say(&mut talks, from);
        cluster.command(other, &["drain", &name, "--wait", "30s"]).done();
        say(&mut talks, from + LINES);
        assert!(cluster.nodes[restarted].terminate().success());
        cluster.nodes[restarted].restart();
        edge.apply(&behind(&cluster));
        say(&mut talks, from + 2 * LINES);
        cluster.command(other, &["undrain", &name]).done();
        let linked = |node: &Value| ["self", "up"].contains(&&*text(node, "health"));
        cluster.wait(restarted, "all of its links", |status| nodes(status).iter().all(linked));
        eventually(PATIENCE, "a node that serves again", || cluster.nodes[restarted].not_ready().is_empty());
        // Some of it, so that the next restart interrupts a conversation as well.
        for ((talk, _), heard) in talks.iter().zip(&mut heard) {
            hear(talk, heard, from + LINES);
        }
    }
    for ((talk, _), (heard, me)) in talks.iter().zip(heard.iter_mut().zip(["alice", "bob"])) {
        let all: Vec<_> = (0..=3 * LINES * NODES).map(|number| format!("to {me} {number}")).collect();
        hear(talk, heard, all.len());
        assert_eq!(*heard, all, "nothing lost, doubled or misordered");
    }
}
