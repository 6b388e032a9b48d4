//! What do two people who talk notice of clients that want to use the node up, and what does the node hold meanwhile?
//!
//! Starts a real node for each kind of offender, lets two well-behaved people exchange messages at a fixed rate before,
//! during and after, and prints what they saw, and the node's memory and CPU. Ends with 1 if they lost something.
#![expect(clippy::expect_used, reason = "a measurement that fails should stop")]

mod offenders;
mod pair;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Parser;
use endtoend_benches::{Percentiles, Stopwatch, process};
use endtoend_testkit::{Node, NodeOptions};
use serde_json::json;

use offenders::{Kind, Scene};
use pair::Pair;

/// Hostile clients beside two good ones.
#[derive(Clone, Debug, Parser)]
#[command(name = "hostile", version)]
struct Options {
    /// Only this kind; without it all of them, one after the other.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Messages of the pair in each second.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Seconds before, during and after, each.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Connections of the kinds that have many.
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Print one JSON object for each kind instead of a table.
    #[arg(long)]
    json: bool,
}

/// The pair's figures over one stretch, and the node's at its end.
struct Stretch {
    delivered_ms: [f64; 3],
    cpu: Duration,
    resident_kib: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let kinds = options.kind.map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]);
    if !options.json {
        println!(
            "{} messages per second of two people, send to deliver in ms; node's CPU and resident memory",
            options.rate
        );
    }
    let mut wrong = 0;
    for kind in kinds {
        wrong += runtime.block_on(measure(kind, &options));
    }
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lost, doubled or disordered messages of the pair.
async fn measure(kind: Kind, options: &Options) -> u64 {
    let mut node = NodeOptions::without_limits();
    // Twice what the offenders have, and no more than the system allows.
    let places = (2 * options.connections).clamp(100, 19_000);
    node.environment.push(("ENDTOEND_GATEWAY__CONNECTIONS_MAX", places.to_string()));
    // One device has many connections: what is measured is what they cost, and not how often it may come.
    let wide = "{ burst = 4000000000, every_ms = 1 }".to_owned();
    node.environment.push(("ENDTOEND_LIMITS__REFRESH", wide));
    let node = Node::start(node);
    let mut pair = Pair::register(node.listen()).await;
    let scene = Scene {
        node: node.listen(),
        connections: options.connections,
        ended: Arc::new(AtomicU64::new(0)),
        did: Arc::new(AtomicU64::new(0)),
    };
    let before = stretch(&mut pair, &node, options).await;
    // Thousands of logins take minutes.
    let offenders = pair.waiting_for(offenders::begin(kind, &scene)).await;
    let during = stretch(&mut pair, &node, options).await;
    let (did, ended) = scene.counted();
    drop(offenders);
    let after = stretch(&mut pair, &node, options).await;
    print(kind, [&before, &during, &after], (did, ended), pair.wrong, options);
    pair.wrong
}

async fn stretch(pair: &mut Pair, node: &Node, options: &Options) -> Stretch {
    let (cpu, watch) = (process::cpu(node.pid()), Stopwatch::start());
    let delivered = pair.talk(watch, options.rate, options.seconds).await;
    let cpu = process::cpu(node.pid()).saturating_sub(cpu);
    let delivered_ms = Percentiles::of(delivered).milliseconds();
    Stretch { delivered_ms, cpu, resident_kib: process::resident_kib(node.pid()) }
}

fn print(kind: Kind, stretches: [&Stretch; 3], (did, ended): (u64, u64), wrong: u64, options: &Options) {
    if options.json {
        let stretch = |at: &Stretch| {
            json!({
                "delivered_ms": at.delivered_ms, "cpu_ms": at.cpu.as_millis() as u64, "resident_kib": at.resident_kib,
            })
        };
        let [before, during, after] = stretches.map(stretch);
        let object = json!({
            "kind": kind.name(), "did": did, "ended_by_the_node": ended, "wrong": wrong,
            "before": before, "during": during, "after": after,
        });
        println!("{object}");
        return;
    }
    println!("{}: did {did}, ended by the node {ended}; the pair's lost, doubled, disordered: {wrong}", kind.name());
    for (name, at) in ["before", "during", "after"].into_iter().zip(stretches) {
        let [p50, p99, max] = at.delivered_ms;
        let (cpu, kib) = (at.cpu.as_secs_f64(), at.resident_kib);
        println!("  {name:<7} p50 {p50:>7.2}  p99 {p99:>8.2}  max {max:>8.2}   CPU {cpu:>5.2} s  {kib:>7} KiB");
    }
}
