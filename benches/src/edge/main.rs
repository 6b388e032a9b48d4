//! Do clients notice when nodes come, drain, fail and go behind an edge, and how long does a change take?
//!
//! Three real nodes behind a real HAProxy that a real agent keeps; connections that stay open on two of them, and new ones all
//! the time. The third node may be killed. Changes are drawn from a seed; each is waited for until HAProxy is seen to be so.
#![expect(clippy::expect_used, reason = "a measurement that fails should stop")]

mod plan;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use endtoend_benches::{Percentiles, Stopwatch};
use endtoend_protocol::{AccountTag, Request};
use endtoend_testkit::{Behind, Edge, Node, NodeOptions, PATIENCE, Registrar, Unsecured, Wire, eventually};
use plan::{Change, Plan};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Logins at one time.
const AT_ONCE: usize = 8;
/// Tasks that connect anew all the time.
const NEWCOMERS: usize = 2;
/// How often those that stay say something: the node closes after 75 s of silence.
const TALK: Duration = Duration::from_secs(20);

/// Membership changes behind an edge.
#[derive(Clone, Debug, Parser)]
#[command(name = "edge", version)]
struct Options {
    /// Changes.
    #[arg(long, default_value_t = 1000)]
    changes: usize,
    /// Connections that stay open.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Other changes with another one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(measure(&options)) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What those who connect anew have met.
#[derive(Debug, Default)]
struct Newcomers {
    reached: AtomicU64,
    failed: AtomicU64,
    /// While a killed node was not yet seen to be down: what was under way there ends with it.
    failed_with_node: AtomicU64,
    killing: AtomicBool,
    stop: AtomicBool,
}

/// One that believes the edge. `None`: at one address of loopback.
fn node(listen: Option<&'static str>) -> Node {
    Node::start(NodeOptions { listen, ..NodeOptions::without_limits().behind_an_edge() })
}

fn behind(name: &str, node: &Node) -> Behind {
    let address = SocketAddr::from(([127, 0, 0, 1], node.listen().port()));
    Behind { ready: node.admin(), ..Behind::new(name, address) }
}

async fn measure(options: &Options) -> bool {
    let everywhere = Some("0.0.0.0:0"); // so that it can move
    let mut nodes = [node(None), node(everywhere), node(None)];
    let connections_max = options.connections + 500;
    let mut edge = Edge::start(&format!(
        "[limits]\nconnections_max = {connections_max}\n[times]\ncheck_interval_ms = 200\nslow_start_ms = 1000\n"
    ));
    let all: Vec<Behind> = nodes.iter().zip(["a", "b", "c"]).map(|(node, name)| behind(name, node)).collect();
    let (stop, stopped) = watch::channel(false);
    let mut staying = JoinSet::new();
    for count in 1..=2 {
        // The first one drains while the second one gets its own: off the list it would lose what it has after a minute.
        let behind = |(at, node): (usize, &Behind)| Behind { draining: at + 1 < count, ..node.clone() };
        edge.apply(&all.iter().take(count).enumerate().map(behind).collect::<Vec<_>>());
        for wire in open(edge.listen(), options.connections / 2, staying.len()).await {
            staying.spawn(stay(wire, stopped.clone()));
        }
    }
    edge.apply(&all);
    println!("{} connections stay on a and b; {} changes, seed {}", staying.len(), options.changes, options.seed);

    let newcomers = Arc::new(Newcomers::default());
    let mut tasks = JoinSet::new();
    (0..NEWCOMERS).for_each(|_| drop(tasks.spawn(come(edge.listen(), Arc::clone(&newcomers)))));
    let (mut plan, mut taken, mut seen, mut differences) = (Plan::new(all, options.seed), Vec::new(), Vec::new(), 0);
    for _ in 0..options.changes {
        let change = plan.next_change();
        if change == Change::Fail {
            newcomers.killing.store(true, Ordering::SeqCst);
            let [.., c] = &mut nodes;
            c.kill_9();
        } else if change == Change::Return {
            let [.., c] = &mut nodes;
            c.restart();
            plan.returned(c.admin());
        }
        let watch = Stopwatch::start();
        edge.apply(&plan.behind());
        let asked = u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let status = edge.status();
        if let Some(wrong) = differs(&status, &plan.behind()) {
            println!("after {change:?}: {wrong}");
            differences += 1;
        }
        // A node that drains already, or weighs that much: nothing was to be done, and that takes no time to speak of.
        if status.pointer("/last_change/how").and_then(Value::as_str) != Some("as_it_was") {
            let took = status.pointer("/last_change/took_ms").and_then(Value::as_f64).unwrap_or(f64::NAN);
            taken.push((took * 1e6) as u64);
            seen.push(asked);
        }
        if change == Change::Fail {
            let down =
                || edge.server("c").get("state").and_then(Value::as_str).is_none_or(|state| !state.starts_with("UP"));
            eventually(PATIENCE, "c is seen to be down", down);
            newcomers.killing.store(false, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
    }
    newcomers.stop.store(true, Ordering::SeqCst);
    while tasks.join_next().await.is_some() {}
    stop.send_replace(true);
    let mut dropped = 0;
    while let Some(ended) = staying.join_next().await {
        dropped += usize::from(ended.is_err());
    }
    println!("after {differences} changes HAProxy was not what was wanted");
    report(&edge.status(), &newcomers, dropped, &plan, taken, seen) && differences == 0
}

/// What HAProxy has, as the agent has read it back, that is not what is wanted.
fn differs(status: &Value, wanted: &[Behind]) -> Option<String> {
    let Some(servers) = status.get("servers").and_then(Value::as_array) else {
        return Some(format!("{status} has no servers"));
    };
    let named = |name: &str| servers.iter().find(|server| server.get("name") == Some(&name.into()));
    for Behind { name, address, draining, weight, .. } in wanted {
        let Some(server) = named(name) else { return Some(format!("{name} is missing")) };
        let weight = if *draining { 0 } else { *weight };
        let in_service = server.get("state").is_some_and(|state| state != "MAINT");
        if !in_service || server.get("address") != Some(&json!(address)) || server.get("weight") != Some(&weight.into())
        {
            return Some(format!("{server} is not {address} with {weight}"));
        }
    }
    let is_wanted = |server: &&Value| wanted.iter().any(|behind| server.get("name") == Some(&json!(behind.name)));
    let mut rest = servers.iter().filter(|server| !is_wanted(server));
    rest.find(|server| server.get("state") != Some(&"MAINT".into())).map(|server| format!("{server} should be gone"))
}

fn report(status: &Value, newcomers: &Newcomers, dropped: usize, plan: &Plan, taken: Vec<u64>, seen: Vec<u64>) -> bool {
    let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    let (reached, failed) = (read(&newcomers.reached), read(&newcomers.failed));
    println!("{}", json!({ "changes": plan.counts(), "edge": status.get("counts") }));
    println!(
        "handshakes: {reached} reached, {failed} failed, {} with a killed node",
        read(&newcomers.failed_with_node)
    );
    println!("connections that stay: {dropped} dropped");
    for (what, times) in [("until HAProxy was seen to be so", taken), ("with the file, and asking", seen)] {
        let [p50, p99, max] = Percentiles::of(times).milliseconds();
        println!("{what}: p50 {p50:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms");
    }
    failed == 0 && dropped == 0 && reached > 0
}

/// Logs devices in, each with an account of its own.
async fn open(edge: SocketAddr, count: usize, from: usize) -> Vec<Wire> {
    let registrar = Registrar::new(edge).await;
    let (mut tasks, mut wires) = (JoinSet::new(), Vec::with_capacity(count));
    for number in from..from + count {
        if tasks.len() >= AT_ONCE {
            wires.extend(tasks.join_next().await.map(|wire| wire.expect("it connects")));
        }
        let registrar = registrar.clone();
        tasks.spawn(async move {
            let mut tag = [7; 32];
            tag.iter_mut().zip(number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
            registrar.register(edge, AccountTag::new(tag)).await
        });
    }
    while let Some(wire) = tasks.join_next().await {
        wires.push(wire.expect("it connects"));
    }
    wires
}

/// Says something now and then, until it is told to stop or is not answered, which ends the task in a panic.
async fn stay(mut wire: Wire, mut stop: watch::Receiver<bool>) {
    loop {
        wire.ask(Request::Attach).await;
        if timeout(TALK, stop.wait_for(|stop| *stop)).await.is_ok() {
            wire.ask(Request::Attach).await;
            return;
        }
    }
}

async fn come(edge: SocketAddr, newcomers: Arc<Newcomers>) {
    while !newcomers.stop.load(Ordering::SeqCst) {
        let killing = newcomers.killing.load(Ordering::SeqCst);
        let counter = match Unsecured::reach(edge, &[]).await {
            Ok(_) => &newcomers.reached,
            Err(_) if killing || newcomers.killing.load(Ordering::SeqCst) => &newcomers.failed_with_node,
            Err(_) => &newcomers.failed,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}
