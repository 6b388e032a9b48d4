//! What does an idle connection cost a node in memory?
//!
//! Starts a real node, and opens connections whose devices are logged in, and attached, each with an account of its own.
//! Nothing is said on them. The resident memory of the node is read before and after.
#![expect(clippy::expect_used, clippy::panic, reason = "a measurement that fails should stop")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use endtoend_benches::{Stopwatch, resident_kib};
use endtoend_protocol::{AccountTag, Request};
use endtoend_testkit::{Node, NodeOptions, Registrar, Wire};
use tokio::task::JoinSet;

/// Handshakes at one time.
const AT_ONCE: usize = 16;
/// What the node gets to let go of what a login needed.
const SETTLE: Duration = Duration::from_secs(2);

/// Memory of a node for each idle connection.
#[derive(Clone, Debug, Parser)]
#[command(name = "idle", version)]
struct Options {
    /// Connections in all, growing: memory is read at each of these.
    #[arg(long, value_delimiter = ',', default_value = "1000,5000,10000")]
    connections: Vec<usize>,
    /// Only log in: without a mailbox.
    #[arg(long)]
    detached: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let most = options.connections.iter().copied().max().unwrap_or_default();
    raise_open_files(most as u64 + 500);
    let mut node_options = NodeOptions::without_limits();
    node_options.environment.push(("ENDTOEND_GATEWAY__CONNECTIONS_MAX", (most + 64).to_string()));
    let node = Node::start(node_options);
    runtime.block_on(measure(&node, &options));
    ExitCode::SUCCESS
}

async fn measure(node: &Node, options: &Options) {
    let registrar = Registrar::new(node.listen()).await;
    // What the first connection makes the node allocate once.
    let mut kept: Vec<Wire> = open(node, &registrar, options, 0..64).await;
    tokio::time::sleep(SETTLE).await;
    let (first, before) = (kept.len(), resident_kib(node.pid()));
    println!("{first:>6} connections: {before:>8} KiB resident");
    for &connections in &options.connections {
        let watch = Stopwatch::start();
        kept.extend(open(node, &registrar, options, kept.len()..connections).await);
        let took = watch.elapsed();
        tokio::time::sleep(SETTLE).await;
        let resident = resident_kib(node.pid());
        let each = resident.saturating_sub(before) as f64 / (connections - first) as f64;
        println!("{connections:>6} connections: {resident:>8} KiB resident, {each:.2} KiB each (opened in {took:.1?})");
    }
}

async fn open(node: &Node, registrar: &Registrar, options: &Options, numbers: std::ops::Range<usize>) -> Vec<Wire> {
    let mut tasks = JoinSet::new();
    let mut wires = Vec::with_capacity(numbers.len());
    for number in numbers {
        if tasks.len() >= AT_ONCE {
            wires.extend(tasks.join_next().await.map(|wire| wire.expect("it connects")));
        }
        let (registrar, node, attach) = (registrar.clone(), node.listen(), !options.detached);
        tasks.spawn(async move {
            let mut tag = [9; 32];
            tag.iter_mut().zip(number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
            let mut wire = registrar.register(node, AccountTag::new(tag)).await;
            if attach {
                wire.ask(Request::Attach).await;
            }
            wire
        });
    }
    while let Some(wire) = tasks.join_next().await {
        wires.push(wire.expect("it connects"));
    }
    wires
}

/// For this process and, by inheritance, the node: each has one end of every connection.
fn raise_open_files(files: u64) {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit { current: Some(files), maximum: limits.maximum.map(|most| most.max(files)) };
    if limits.current.is_some_and(|current| current < files)
        && let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted)
    {
        panic!("{files} open files are needed and not allowed ({error}): raise the limit, ulimit -n {files}");
    }
}
