//! What does the same exchange cost an established server?
//!
//! Starts ejabberd (Debian's package, `apt-get install ejabberd`) on loopback, with TLS and no more of its modules than it
//! needs to hand messages on, lets users on it exchange chat messages, both ends online, and reads the CPU time of its
//! virtual machine. It stores nothing, confirms nothing to the sender, and sees what is written. Nothing is left of it.
#![expect(clippy::expect_used, reason = "a measurement that fails should stop")]

#[path = "../load/alarm.rs"]
mod alarm;
mod ejabberd;
mod xmpp;

use std::sync::Arc;
use std::time::Duration;

use alarm::Alarm;
use clap::Parser;
use ejabberd::Ejabberd;
use endtoend_benches::{Percentiles, Stopwatch, cpu, resident_kib};
use endtoend_protocol::limits;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use xmpp::{Client, Reader, Writer};

/// Load on one ejabberd: N senders to N receivers.
#[derive(Clone, Debug, Parser)]
#[command(name = "peer", version)]
struct Options {
    /// Connections that send; sender i writes to receiver i, which is another connection.
    #[arg(long, default_value_t = 8)]
    senders: usize,
    /// Messages in all.
    #[arg(long, default_value_t = 40_000)]
    messages: usize,
    /// Characters of each body, at least 16.
    #[arg(long, default_value_t = 512)]
    bytes: usize,
    /// Messages per second in all, sent when they are due. Without it 64 messages of each sender are under way.
    #[arg(long)]
    rate: Option<f64>,
    /// Gives the text.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Gives up after this many seconds.
    #[arg(long, default_value_t = 120)]
    seconds_max: u64,
}

fn main() {
    let options = Options::parse();
    let server = Ejabberd::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let pairs = runtime.block_on(connect(&server, options.senders));
    let (cpu_before, watch) = (cpu(server.pid()), Stopwatch::start());
    let deadline = Duration::from_secs(options.seconds_max);
    let exchange = async { tokio::time::timeout(deadline, exchange(pairs, &options, watch)).await };
    let times = runtime.block_on(exchange).expect("done in time");
    let (took, used) = (watch.elapsed(), cpu(server.pid()) - cpu_before);
    let messages = options.messages as f64;
    let [p50, p99, max] = Percentiles::of(times).milliseconds();
    println!("{} pairs, {} messages of {} bytes over TLS, one ejabberd", options.senders, messages, options.bytes);
    match options.rate {
        Some(rate) => println!("open loop              {rate:.0} messages per second planned"),
        None => println!("closed loop            {} messages of each sender are under way", limits::SEND_WINDOW),
    }
    println!("messages per second    {:.0}", messages / took.as_secs_f64());
    println!("server CPU per message {:.1} us", used.as_secs_f64() * 1e6 / messages);
    println!("send to deliver        p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms");
    println!("server memory          {} KiB resident", resident_kib(server.pid()));
}

async fn connect(server: &Ejabberd, senders: usize) -> Vec<(Client, Client)> {
    let mut pairs = Vec::with_capacity(senders);
    for _ in 0..senders {
        pairs.push((Client::connect(server).await, Client::connect(server).await));
    }
    pairs
}

/// Times from when each message was due to when it was read, in nanoseconds.
async fn exchange(pairs: Vec<(Client, Client)>, options: &Options, watch: Stopwatch) -> Vec<u64> {
    let mut tasks = JoinSet::new();
    let senders = pairs.len();
    for (number, (sender, receiver)) in pairs.into_iter().enumerate() {
        let messages = options.messages / senders + usize::from(number < options.messages % senders);
        let mut random = StdRng::seed_from_u64(options.seed ^ number as u64);
        let text: String = (16..options.bytes).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
        let every = options.rate.map(|rate| Duration::from_secs_f64(senders as f64 / rate));
        let window = Arc::new(Semaphore::new(limits::SEND_WINDOW as usize));
        let plan = Plan { to: receiver.name.clone(), text, messages, every };
        let (kept, out) = sender.split();
        tasks.spawn(send(out, plan, Arc::clone(&window), watch, kept));
        let (back, kept) = receiver.split();
        tasks.spawn(receive(back, messages, window, watch, kept));
    }
    let mut times = Vec::with_capacity(options.messages);
    while let Some(done) = tasks.join_next().await {
        times.extend(done.expect("a task ends"));
    }
    times
}

struct Plan {
    to: String,
    text: String,
    messages: usize,
    /// Between two messages; `None` for as fast as the window allows.
    every: Option<Duration>,
}

async fn send(mut out: Writer, plan: Plan, window: Arc<Semaphore>, watch: Stopwatch, _kept: Reader) -> Vec<u64> {
    let alarm = Alarm::new();
    for number in 0..plan.messages {
        let due = plan.every.map(|every| every * number as u32);
        if let Some(wait) = due.and_then(|due| due.checked_sub(watch.elapsed())).filter(|wait| !wait.is_zero()) {
            out.flush().await;
            alarm.after(wait).await;
        }
        if due.is_none() && window.available_permits() == 0 {
            out.flush().await;
        }
        if due.is_none() {
            window.acquire().await.expect("it is never closed").forget();
        }
        let planned = due.unwrap_or_else(|| watch.elapsed()).as_nanos() as u64;
        out.feed(&plan.to, &format!("{planned:016x}{}", plan.text)).await;
    }
    out.flush().await;
    Vec::new()
}

async fn receive(
    mut back: Reader,
    messages: usize,
    window: Arc<Semaphore>,
    watch: Stopwatch,
    _kept: Writer,
) -> Vec<u64> {
    let mut times = Vec::with_capacity(messages);
    while times.len() < messages {
        for body in back.bodies().await {
            let planned = u64::from_str_radix(body.get(..16).expect("a time"), 16).expect("a time");
            times.push((watch.elapsed().as_nanos() as u64).saturating_sub(planned));
            window.add_permits(1);
        }
    }
    times
}
