//! What does an edge cost: for a message, for a connection, and until a new node serves?
//!
//! Two real nodes of the same kind, one with a real edge before it and one without, are asked in turn, so that whatever else the
//! machine does meets both. A message goes from one person to another, both over the same way: sent, delivered, acknowledged. A connection is TLS
//! and the secure channel inside it. Processor time is that of HAProxy's worker, as Linux counts it.
#![expect(clippy::expect_used, clippy::panic, reason = "a measurement that fails should stop")]

mod newcomer;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use endtoend_benches::{Percentiles, Stopwatch, process::cpu, within};
use endtoend_protocol::{AccountTag, ClientFrame, Envelope, EnvelopeId, Relation, Request, ServerFrame, UnixMillis};
use endtoend_testkit::{Behind, Device, Edge, Node, NodeOptions, Unsecured, Wire, reach_tls};
use tokio::task::JoinSet;

/// Of a message, in bytes.
const BYTES: usize = 1024;
/// Clients that connect at one time when it is counted how many get through.
const AT_ONCE: usize = 16;

/// What an edge costs.
#[derive(Clone, Debug, Parser)]
#[command(name = "edge-cost", version)]
struct Options {
    /// Messages each way.
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// Connections each way.
    #[arg(long, default_value_t = 500)]
    connections: u64,
    /// For so many seconds TLS handshakes are counted, each way.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often a node joins a cluster behind an edge.
    #[arg(long, default_value_t = 3)]
    joins: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&options));
    ExitCode::SUCCESS
}

async fn measure(options: &Options) {
    let direct = Node::start(NodeOptions::without_limits().watched());
    let behind = Node::start(NodeOptions::without_limits().behind_an_edge());
    let mut edge = Edge::start("[limits]\nconnections_max = 1000\n[times]\nslow_start_ms = 1\n");
    edge.apply(&[Behind::node("a", &behind)]);
    let worker = u32::try_from(edge.worker()).expect("a process");
    let ways = [("direct", direct.listen()), ("by the edge", edge.listen())];

    let mut people = Vec::new();
    for (at, (_, address)) in ways.iter().enumerate() {
        let tag = |kind: u8| AccountTag::new([kind + at as u8; 32]);
        let (sender, _) = within("an account", Wire::register(*address, tag(10))).await;
        let (mut receiver, device) = within("an account", Wire::register(*address, tag(20))).await;
        // Strangers may leave less.
        receiver.decide(tag(10), Some(Relation::Accepted)).await;
        receiver.ask(Request::Attach).await;
        people.push(Pair { sender, receiver, device });
    }
    let (mut times, before) = ([Vec::new(), Vec::new()], cpu(worker));
    for number in 0..options.messages {
        for (pair, times) in people.iter_mut().zip(&mut times) {
            let watch = Stopwatch::start();
            within("a message", pair.exchange(number)).await;
            times.push(nanoseconds(&watch));
        }
    }
    told("message of 1 KiB, there and back", &ways, times, cpu(worker).saturating_sub(before), options.messages);

    let (mut times, before) = ([Vec::new(), Vec::new()], cpu(worker));
    for _ in 0..options.connections {
        for ((_, address), times) in ways.iter().zip(&mut times) {
            let watch = Stopwatch::start();
            within("a connection", Unsecured::reach(*address, &[])).await.expect("it is reached");
            times.push(nanoseconds(&watch));
        }
    }
    told("connection", &ways, times, cpu(worker).saturating_sub(before), options.connections);

    for (what, address) in ways {
        let before = cpu(worker);
        let (count, took) = handshakes(address, Duration::from_secs(options.seconds)).await;
        let used = cpu(worker).saturating_sub(before);
        println!(
            "TLS handshakes {what}, {AT_ONCE} at a time: {:.0}/s; HAProxy used {:.1} % of a processor",
            count as f64 / took.as_secs_f64(),
            100.0 * used.as_secs_f64() / took.as_secs_f64()
        );
    }
    drop((edge, direct, behind));
    if options.joins > 0 {
        newcomer::measure(options.joins).await;
    }
}

fn told(what: &str, ways: &[(&str, SocketAddr); 2], times: [Vec<u64>; 2], used: Duration, count: u64) {
    for ((way, _), times) in ways.iter().zip(times) {
        let [p50, p99, max] = Percentiles::of(times).milliseconds();
        println!("{what} {way}: p50 {p50:.3} ms, p99 {p99:.3} ms, at most {max:.1} ms");
    }
    println!("{what}: HAProxy used {:.1} µs for each", used.as_secs_f64() * 1e6 / count as f64);
}

fn nanoseconds(watch: &Stopwatch) -> u64 {
    u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Two people over one way.
struct Pair {
    sender: Wire,
    receiver: Wire,
    device: Device,
}

impl Pair {
    /// Sends one, and waits until it was delivered, acknowledged and accepted.
    async fn exchange(&mut self, number: u64) {
        let mut random = [0; 10];
        // The first three have bits that say that it is an id.
        random.iter_mut().skip(3).zip(number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
        let id = EnvelopeId::new(UnixMillis::new(1), random);
        self.sender.send(&ClientFrame::Send(Envelope { id, ..self.device.envelope(1, BYTES) })).await;
        match self.receiver.recv().await.expect("the receiver's connection lives") {
            ServerFrame::Deliver(deliver) if deliver.id == id => {
                self.receiver.send(&ClientFrame::Ack { up_to: deliver.delivery }).await;
            }
            other => panic!("not delivered: {other:?}"),
        }
        match self.sender.recv().await.expect("the sender's connection lives") {
            ServerFrame::Accepted { id: which, .. } if which == id => {}
            other => panic!("not accepted: {other:?}"),
        }
    }
}

/// How many there were, in which time.
async fn handshakes(address: SocketAddr, time: Duration) -> (u64, Duration) {
    let (count, watch) = (Arc::new(AtomicU64::new(0)), Stopwatch::start());
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let count = Arc::clone(&count);
        tasks.spawn(async move {
            while watch.elapsed() < time {
                if reach_tls(address).await.is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("it ends");
    }
    (count.load(Ordering::Relaxed), watch.elapsed())
}
