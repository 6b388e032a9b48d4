//! How long is it from `cluster approve` to the first connection that the new node serves?

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use endtoend_benches::{Percentiles, Stopwatch};
use endtoend_testkit::{Cluster, Edge, Node, PATIENCE, Unsecured, cluster_command, eventually, free_address};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;
use serde_json::Value;

/// Connections that HAProxy has ever given to a server: asked itself, because the agent tells it once a second.
fn sessions(edge: &Edge, name: &str) -> u64 {
    let asked = || {
        let mut stream = UnixStream::connect(edge.directory().join("stats.sock"))?;
        stream.write_all(b"show stat nodes 4 -1\n")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        std::io::Result::Ok(said)
    };
    let said = asked().unwrap_or_default();
    let row = said.lines().map(|line| line.split(',').collect::<Vec<_>>()).find(|row| row.get(1) == Some(&name));
    row.and_then(|row| row.get(7)?.parse().ok()).unwrap_or(0)
}

/// So many nodes come, one after the other, while somebody connects all the time.
pub(crate) async fn measure(joins: usize) {
    let (postgres, redis) = (Postgres::start(Settings { durable: true }), Redis::start());
    let cluster = Cluster::found_behind_edges(&postgres.database().await, &redis.url());
    let edge = Edge::follow("[limits]\nconnections_max = 300\n[times]\nslow_start_ms = 1\n", &cluster.edge_token());
    let waits = || cluster.status(0).pointer("/edges/0/state").and_then(Value::as_str) == Some("pending");
    eventually(PATIENCE, "an edge that waits", waits);
    cluster.command(0, &["approve", "edge-1"]).done();
    edge.answers();
    let up = |name: &str| edge.server(name).get("state").is_some_and(|state| state == "UP");
    eventually(PATIENCE, "the first node", || up("node-1"));
    let stop = Arc::new(AtomicBool::new(false));
    let (listen, stopped) = (edge.listen(), Arc::clone(&stop));
    let connecting = tokio::spawn(async move {
        let mut failed = 0_u32;
        while !stopped.load(Ordering::SeqCst) {
            failed += u32::from(Unsecured::reach(listen, &[]).await.is_err());
        }
        failed
    });
    let (mut nodes, mut times) = (Vec::new(), Vec::new());
    for number in 2..2 + joins {
        let (seed, token) = cluster.token();
        let name = format!("node-{number}");
        let begun = Node::begin(cluster.options(&name, free_address()).joining(&seed, &token));
        let id = begun.pending();
        let data = cluster.nodes.first().map(|node| node.data_dir().to_owned()).unwrap_or_default();
        let watch = Stopwatch::start();
        let approving = std::thread::spawn(move || cluster_command(&data, &["approve", &id]).done());
        eventually(PATIENCE, "the first connection of the new node", || sessions(&edge, &name) > 0);
        times.push(u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX));
        approving.join().expect("it is approved");
        nodes.push(begun.ready().expect("it is ready"));
    }
    stop.store(true, Ordering::SeqCst);
    let failed = connecting.await.expect("it connects");
    let [p50, _, max] = Percentiles::of(times).milliseconds();
    println!(
        "from `cluster approve` to the first connection of the new node: p50 {p50:.0} ms, at most {max:.0} ms, {joins} nodes"
    );
    println!("connections that failed meanwhile: {failed}");
}
