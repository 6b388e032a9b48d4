//! Does a node, or a cluster of several, lose, double or disorder a message that it has accepted, whatever happens to it?
//!
//! Starts real nodes, lets real clients exchange messages, and strikes both with faults that follow from the seed:
//! kill -9, SIGSTOP, disks that are slow, fail or are full, a database that is killed, links that are cut, a Redis that forgets,
//! clients that vanish or end in the wrong moment. Every client keeps its own record; at the end the records are compared. Ends with 1 on a violation.
#![expect(clippy::expect_used, reason = "a harness that fails should stop")]

mod disk;
mod engines;
mod faults;
mod ledger;
mod pace;
mod plan;
mod receiver;
mod record;
mod sender;
mod service;
mod world;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use endtoend_protocol::{Address, Relation};
use endtoend_testkit::{Node, NodeOptions, operate};
use endtoend_testkit_postgres::{Server, Settings};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use disk::{OwnDisk, Trace};
use endtoend_benches::several::{Several, Way};
use engines::{Gone, Pair};
use faults::Victims;
use ledger::Ledger;
use pace::Pace;
use plan::{Fault, Means};
use receiver::Receiver;
use sender::{Sender, register, tag};
use world::World;

/// A node under faults: is anything lost, doubled or out of order?
#[derive(Clone, Debug, Parser)]
#[command(name = "torture", version)]
struct Options {
    /// Gives the faults and the messages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults in all.
    #[arg(long, default_value_t = 40)]
    faults: usize,
    /// Messages in all.
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// Connections that send, each to two receivers.
    #[arg(long, default_value_t = 6)]
    senders: usize,
    /// Devices that receive, at least 2.
    #[arg(long, default_value_t = 4)]
    receivers: usize,
    /// Nodes; several are one cluster, with Redis, on PostgreSQL.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// Clients come through an edge that follows the cluster: HAProxy and its agent, which are struck too.
    #[arg(long)]
    edge: bool,
    /// Only faults whose names have this, such as "leader killed".
    #[arg(long, default_value = "", hide_default_value = true)]
    only: String,
    /// The node's store is a PostgreSQL database, of a server that is started for this, with fsync; it is killed, too.
    #[arg(long)]
    postgres: bool,
    /// Messages per second in all, whatever strikes; without it as many as are needed between two faults, as fast as it goes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Without the two people who use `endtoend-cli`.
    #[arg(long)]
    no_pair: bool,
    /// Gives up after this many seconds, which is a violation.
    #[arg(long, default_value_t = 900)]
    seconds_max: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Runs in a name space of its own already.
    #[arg(long, hide = true)]
    in_name_space: bool,
}

/// Between two looks at what clients have done.
const LOOK: Duration = Duration::from_millis(2);
/// What is still in the store then may wait for the two people, who have gone.
const COMES_AFTER: Duration = Duration::from_secs(2);
/// Without faults and with something to do, a node that accepts nothing for so long has stopped serving.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// Each so many faults the listening `endtoend-cli` is killed.
const LISTENER_KILLED_EACH: usize = 5;

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.edge && options.nodes == 1 {
        eprintln!("torture: an edge is before several nodes: use --nodes 3");
        return ExitCode::from(2);
    }
    options.postgres |= options.nodes > 1;
    // The node's own disk is mounted where nobody else sees it. PostgreSQL needs a second user, so only root may have both.
    if !options.in_name_space
        && !options.postgres
        && let Some(arguments) = OwnDisk::name_space()
    {
        let own = std::env::current_exe().expect("a program knows where it is");
        let failed = Command::new("unshare")
            .args(arguments)
            .arg(own)
            .args(std::env::args_os().skip(1))
            .arg("--in-name-space")
            .exec();
        eprintln!("torture: no name space: {failed}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let ledger = runtime.block_on(run(options));
    // Tasks of clients that are still about end with it.
    runtime.shutdown_background();
    if ledger.print() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(options: Options) -> Ledger {
    let postgres = options.postgres.then(|| Server::start(Settings { durable: true }));
    let place = tempfile::tempdir().expect("a temporary directory");
    let disk = options.in_name_space.then(|| OwnDisk::mount(place.path()));
    let data = disk.as_ref().map(|_| place.path().join("data"));
    let store = match &postgres {
        None => None,
        Some(server) => Some(server.database().await),
    };
    let way = if options.edge { Way::ByEdge } else { Way::Relayed };
    let (nodes, several) = match &store {
        Some(store) if options.nodes > 1 => {
            let (nodes, several) = tokio::task::block_in_place(|| Several::start(options.nodes.into(), store, way));
            (nodes, Some(several))
        }
        store => {
            let node = NodeOptions { data, ..NodeOptions::without_limits() };
            let node = store.iter().fold(node, |node, store| node.on_postgres(store));
            (vec![Node::start(node)], None)
        }
    };
    let means = Means {
        postgres: options.postgres,
        trace: Trace::is_possible(),
        own_disk: disk.is_some(),
        several: several.is_some(),
        edge: options.edge,
    };
    let plan = plan::faults(options.seed, options.faults, options.messages, means, &options.only);
    assert!(plan.len() == options.faults, "no fault of this machine has a name with {:?}", options.only);
    let edge = several.as_ref().and_then(Several::entry);
    let listens = edge.map_or_else(|| nodes.iter().map(Node::listen).collect(), |edge| vec![edge]);
    let world = Arc::new(World::new(listens, several.is_some(), options.seed, options.senders, options.receivers));
    // At two nodes, when there are two.
    let addresses = [nodes.first(), nodes.get(1).or(nodes.first())].map(|node| {
        let of_node = node.map_or("", Node::address);
        edge.map_or_else(|| of_node.to_owned(), |edge| format!("endtoend://{edge}/#{}", pin(of_node)))
    });
    let pair = (!options.no_pair).then(|| tokio::task::spawn_blocking(move || Pair::start(addresses)));
    let mut people = JoinSet::new();
    let (senders, receivers) = populate(&world, &options, &mut people).await;
    let mut pair = match pair {
        Some(pair) => Some(pair.await.expect("both are registered")),
        None => None,
    };
    let (struck, failed_starts, kills, led_again, pace) = Default::default();
    let mut victims = Victims {
        world,
        nodes,
        several,
        postgres,
        disk,
        senders,
        receivers,
        struck,
        failed_starts,
        kills,
        led_again,
        pace,
    };
    let whole = carry_out(&mut victims, &options, plan, &mut people, &mut pair);
    let unfinished = timeout(Duration::from_secs(options.seconds_max), whole).await.unwrap_or(Some("the whole run"));
    victims.let_all_go_on();
    let took = victims.world.watch.elapsed();
    let (pair, gone) = match pair {
        Some(pair) => Some(tokio::task::spawn_blocking(|| pair.end()).await.expect("the pair ends")).unzip(),
        None => (None, None),
    };
    let left_in_store = if unfinished.is_none() { left_in_store(&victims, gone.as_ref()).await } else { 0 };
    victims.world.over.send_replace(true);
    people.shutdown().await;
    let mut without = Vec::new();
    without.extend((!means.trace).then_some("disks that are slow or fail (needs strace, and leave to trace)"));
    without.extend((!means.own_disk && !options.postgres).then_some("a full disk (needs unshare, and leave to mount)"));
    let world = &victims.world;
    let records = std::mem::take(&mut *world.records());
    let tally = std::mem::take(&mut *world.tally());
    let service = std::mem::take(&mut *world.service());
    let (struck, failed_starts) = (std::mem::take(&mut victims.struck), victims.failed_starts);
    let (kills, led_again) = (std::mem::take(&mut victims.kills), std::mem::take(&mut victims.led_again));
    Ledger {
        options,
        records,
        tally,
        service,
        struck,
        failed_starts,
        kills,
        led_again,
        took,
        pair,
        left_in_store,
        unfinished,
        without,
    }
}

/// What a client has to see of the server at this address.
fn pin(address: &str) -> &str {
    address.split_once('#').map_or("", |(_, pin)| pin)
}

type Told = (Vec<mpsc::Sender<sender::Command>>, Vec<mpsc::Sender<receiver::Command>>);

/// Registers everybody and lets them begin.
async fn populate(world: &Arc<World>, options: &Options, people: &mut JoinSet<()>) -> Told {
    let receivers_of = |sender: usize| [sender % options.receivers, (sender + 1) % options.receivers];
    let (mut addresses, mut told_senders, mut told_receivers) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..options.receivers {
        let (mut wire, device) = register(world, 2, number).await;
        for sender in 0..options.senders {
            if receivers_of(sender).contains(&number) {
                // Strangers may leave less.
                wire.decide(tag(1, sender), Some(Relation::Accepted)).await;
            }
        }
        addresses.push(device.address);
        let (told, commands) = mpsc::channel(1);
        told_receivers.push(told);
        people.spawn(Receiver::new(number, device, Arc::clone(world), commands).run());
    }
    for number in 0..options.senders {
        let (_, device) = register(world, 1, number).await;
        let to = receivers_of(number).map(|receiver| {
            let address: Address = *addresses.get(receiver).expect("an address for each receiver");
            (receiver, address)
        });
        let (told, commands) = mpsc::channel(1);
        told_senders.push(told);
        let share = options.messages / options.senders + usize::from(number < options.messages % options.senders);
        people.spawn(Sender::new(number as u32, device, to, share as u32, Arc::clone(world), commands).run());
    }
    (told_senders, told_receivers)
}

/// Faults and messages, until all are done and everything that was accepted has been shown. What did not happen in time.
async fn carry_out(
    victims: &mut Victims,
    options: &Options,
    plan: Vec<Fault>,
    people: &mut JoinSet<()>,
    pair: &mut Option<Pair>,
) -> Option<&'static str> {
    let world = Arc::clone(&victims.world);
    if let Some(rate) = options.rate {
        people.spawn(allow_evenly(Arc::clone(&world), rate));
    }
    let share = plan::share(options.faults, options.messages);
    for (number, fault) in plan.into_iter().enumerate() {
        // Enough for this fault and what it lasts, and not more: something has to be left for the others.
        if options.rate.is_none() {
            let steps = fault.kind.steps();
            victims.pace = (steps > 1).then(|| Pace::new(Arc::clone(&world), fault.after, share, steps));
            world.allow(fault.after + if steps > 1 { 0 } else { share });
        }
        if !accepted(&world, fault.after).await {
            return Some("a message after the last fault");
        }
        eprintln!(
            "torture: {} accepted, fault {} of {}: {}",
            fault.after,
            number + 1,
            options.faults,
            fault.kind.name()
        );
        victims.strike(fault).await;
        if number % LISTENER_KILLED_EACH == 0
            && let Some(pair) = pair
        {
            tokio::task::block_in_place(|| pair.kill_listener());
        }
    }
    if options.rate.is_none() {
        world.allowed.send_replace(u32::MAX);
    }
    if !accepted(&world, options.messages).await {
        return Some("that all messages are accepted");
    }
    if !shown(&world).await {
        return Some("that all messages are shown");
    }
    // Whatever is acknowledged stays so: after one more kill nothing comes that was not shown, and receivers drop the rest.
    victims.kill_and_start();
    let _senders_are_done = people.try_join_next();
    None
}

/// Each sender may send its share of so many messages a second.
async fn allow_evenly(world: Arc<World>, rate: u32) {
    let begun = world.watch.elapsed();
    loop {
        let seconds = (world.watch.elapsed() - begun).as_secs_f64();
        world.allow((seconds * f64::from(rate)) as usize);
        sleep(LOOK * 5).await;
    }
}

/// Waits until so many messages are accepted; `false` when nothing is any more.
async fn accepted(world: &World, messages: usize) -> bool {
    let (mut before, mut since) = (0, world.watch.elapsed());
    loop {
        let now = world.service().accepted_so_far();
        if now >= messages {
            return true;
        }
        if now > before {
            (before, since) = (now, world.watch.elapsed());
        }
        if world.watch.elapsed() - since > STUCK_AFTER {
            return false;
        }
        sleep(LOOK).await;
    }
}

/// Waits until everything is shown; `false` when nothing is any more.
async fn shown(world: &World) -> bool {
    let (mut before, mut since) = (0, world.watch.elapsed());
    loop {
        let (sent, shown) = {
            let records = world.records();
            let count = |lengths: &mut dyn Iterator<Item = usize>| lengths.sum::<usize>();
            (count(&mut records.sent.iter().map(Vec::len)), count(&mut records.shown.iter().map(Vec::len)))
        };
        if shown >= sent {
            return true;
        }
        if shown > before {
            (before, since) = (shown, world.watch.elapsed());
        }
        if world.watch.elapsed() - since > STUCK_AFTER {
            return false;
        }
        sleep(LOOK * 10).await;
    }
}

/// Envelopes in the store when everybody has acknowledged everything, once that is so.
async fn left_in_store(victims: &Victims, pair: Option<&Gone>) -> u64 {
    let since = victims.world.watch.elapsed();
    loop {
        let (queued, waited) = (queued(victims), victims.world.watch.elapsed() - since);
        if queued == 0 || waited > STUCK_AFTER {
            return queued;
        }
        if waited > COMES_AFTER
            && let Some(pair) = pair
        {
            tokio::task::block_in_place(|| pair.come());
        }
        sleep(LOOK * 50).await;
    }
}

fn queued(victims: &Victims) -> u64 {
    let data = victims.nodes.first().map_or_else(String::new, |node| node.data_dir().display().to_string());
    let folder = tempfile::tempdir().expect("a temporary directory");
    let status = tokio::task::block_in_place(|| operate(folder.path(), &["status", "--data", &data], &[]));
    status.done().field("queued_envelopes").as_u64().expect("a number of envelopes")
}
