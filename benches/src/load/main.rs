//! How many messages does one node carry, at what cost, and how fast?
//!
//! Starts a real node on loopback, registers senders and receivers with the real protocol over TLS, and lets them
//! exchange envelopes of noise, which a server cannot tell from real ones. Bounded in messages and time; the plan
//! follows from the seed. Ends with 1 if a message was lost, doubled or out of order.
#![expect(clippy::expect_used, clippy::panic, reason = "a measurement that fails should stop")]

mod alarm;
mod limit;
mod people;
mod places;
mod relay;
mod report;
mod used;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use endtoend_benches::process::cpu_with_ended_children;
use endtoend_benches::several::{Several, Way};
use endtoend_benches::{Stopwatch, cpu, resident_kib};
use endtoend_testkit::{Node, NodeOptions};
use endtoend_testkit_postgres::{Server, Settings};

use places::Places;
use used::Used;

/// Load on one node: N senders to N receivers.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", version)]
struct Options {
    /// Connections that send.
    #[arg(long, default_value_t = 8)]
    senders: usize,
    /// Devices that receive; sender i writes to receiver i modulo this.
    #[arg(long, default_value_t = 8)]
    receivers: usize,
    /// Messages in all.
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// Bytes of each envelope, at least 16.
    #[arg(long, default_value_t = 512)]
    bytes: usize,
    /// Messages per second in all, sent when they are due whatever the server does. Without it each sender sends as
    /// fast as its window allows.
    #[arg(long)]
    rate: Option<f64>,
    /// The receivers are away: what is measured is durable acceptance.
    #[arg(long)]
    offline: bool,
    /// The node's store is a PostgreSQL database, of a server that is started for this, with fsync.
    #[arg(long)]
    postgres: bool,
    /// Nodes; several are one cluster, with Redis, on PostgreSQL. All clients are at the first one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// The receivers are at the second node instead.
    #[arg(long)]
    across: bool,
    /// Senders and receivers are at all nodes alike, so that of N nodes one message in N stays where it came in. One node is a
    /// cluster of one then.
    #[arg(long, conflicts_with = "across")]
    spread: bool,
    /// So many seconds before the exchange nothing is sent: what nodes use by themselves.
    #[arg(long, default_value_t = 0)]
    rest: u64,
    /// Gives the noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Gives up after this many seconds.
    #[arg(long, default_value_t = 120)]
    seconds_max: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(relay::ORDER) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(relay::serve());
        return ExitCode::SUCCESS;
    }
    let mut options = Options::parse();
    options.across &= options.nodes > 1;
    let cluster = options.nodes > 1 || options.spread;
    options.postgres |= cluster;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = options.postgres.then(|| Server::start(Settings { durable: true }));
    let store = server.as_ref().map(|server| runtime.block_on(server.database()));
    let (nodes, several) = match &store {
        Some(store) if cluster => {
            let (nodes, several) = Several::start(options.nodes.into(), store, Way::Direct);
            (nodes, Some(several))
        }
        store => {
            let node = NodeOptions::without_limits();
            (vec![Node::start(store.iter().fold(node, |node, store| node.on_postgres(store)))], None)
        }
    };
    let used = || Used {
        nodes: nodes.iter().map(|node| cpu(node.pid())).collect(),
        redis: several.as_ref().and_then(|several| several.redis.pid()).map(cpu),
        postgres: server.as_ref().map(|server| cpu_with_ended_children(server.processes())),
    };
    let (before, watch) = (used(), Stopwatch::start());
    let places = Places::of(&options);
    let listens: Vec<_> = nodes.iter().map(Node::listen).collect();
    let people = runtime.block_on(people::register(places, &listens, &options));
    let registered = ((used() - &before).of_nodes(), watch.elapsed());

    let before = used();
    runtime.block_on(async { tokio::time::sleep(Duration::from_secs(options.rest)).await });
    let rested = (options.rest > 0).then(|| used() - &before);

    let (before, watch) = (used(), Stopwatch::start());
    let deadline = Duration::from_secs(options.seconds_max);
    let exchange = people.exchange(watch, &options);
    let Ok(seen) = runtime.block_on(async { tokio::time::timeout(deadline, exchange).await }) else {
        eprintln!("load: not done within {deadline:?}");
        return ExitCode::FAILURE;
    };
    let (took, used) = (watch.elapsed(), used() - &before);
    let memory = nodes.iter().map(|node| resident_kib(node.pid())).sum();
    drop(nodes);
    let inserts = (options.offline && !options.postgres).then(|| limit::inserts_per_second(&options));
    let flat_out = !options.offline && options.rate.is_none();
    let relayed = flat_out.then(|| runtime.block_on(relay::measure(&options)));
    let report =
        report::Report { options, places, registered, rested, took, used, memory_kib: memory, inserts, relayed, seen };
    report.print();
    if report.seen.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
