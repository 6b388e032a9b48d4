//! What does Tor cost a client: until it is there, for a message, for a file, and at rest?
//!
//! `endtoend-cli` as people have it, in a private Tor network on this machine, three ways side by side: directly, through an exit,
//! and to the onion service that the node itself hosts. What is measured is the programs' part: on loopback a relay is microseconds away,
//! in the world tens of milliseconds, so add what the real network has.
#![expect(clippy::expect_used, reason = "a measurement that fails should stop")]

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use endtoend_benches::{Percentiles, Stopwatch, cpu, resident_kib};
use endtoend_testkit::{Cli, Node, NodeOptions, PATIENCE, eventually, operate};
use endtoend_testkit_tor::Network;
use serde_json::Value;

const NAME: &str = "chat.test";
const NETWORK: &str = "ENDTOEND_PRIVATE_TOR_NETWORK";
/// What Tor keeps of a profile.
const TOR_FOLDER: &str = "tor";

/// What Tor costs a client. The programs must be built with `--features endtoend-client/private-tor-network`.
#[derive(Clone, Debug, Parser)]
#[command(name = "tor-cost", version)]
struct Options {
    /// Messages each way.
    #[arg(long, default_value_t = 100)]
    messages: usize,
    /// Length of the file, in MiB.
    #[arg(long, default_value_t = 8)]
    mebibytes: usize,
    /// How often each start is measured.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// For so many seconds a client at rest is watched.
    #[arg(long, default_value_t = 30)]
    rest: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let network = Network::start();
    network.name(NAME, Ipv4Addr::LOCALHOST);
    let arti = network.arti_toml().display().to_string();
    let mut node = NodeOptions::without_limits();
    node.environment.push(("ENDTOEND_GATEWAY__NAMES", format!("[\"{NAME}\"]")));
    node.environment.push(("ENDTOEND_ONION__ENABLED", "true".to_owned()));
    node.environment.push(("ENDTOEND_ONION__ARTI", arti.clone()));
    let node = Node::start(node);
    let data = node.data_dir().display().to_string();
    let status = operate(node.data_dir(), &["status", "--data", &data], &[]).done();
    let onion = status.field("onion")["address"].as_str().expect("an address").to_owned();
    let (_, pin) = node.address().split_once("/#").expect("a pin");
    let at = |host: &str| format!("endtoend://{host}:{}/#{pin}", node.listen().port());
    let ways = [("direct", at("127.0.0.1")), ("exit", at(NAME)), ("onion", onion)];
    let folder = tempfile::tempdir().expect("a folder");
    for (way, address) in ways {
        let person = |name: &str| {
            let cli = Cli::new(folder.path().join(format!("{way}-{name}")), &address).with_variable(NETWORK, &arti);
            let handle = format!("{name}.by.{way}");
            // An onion service takes a moment to be found.
            eventually(3 * PATIENCE, "an account", || cli.register(&handle).code == Some(0));
            (cli, handle)
        };
        let pair = Pair { way, alice: person("alice"), bob: person("bob") };
        pair.starts(options.starts);
        pair.messages(options.messages);
        pair.file(folder.path(), options.mebibytes);
        pair.rest(Duration::from_secs(options.rest));
    }
    ExitCode::SUCCESS
}

/// Two people who reach the server one way.
struct Pair {
    way: &'static str,
    alice: (Cli, String),
    bob: (Cli, String),
}

impl Pair {
    /// A profile takes its time to be opened: what `status` takes of a direct one is to be taken off.
    fn starts(&self, count: usize) {
        let (cli, _) = &self.alice;
        let folder = cli.home().join(TOR_FOLDER);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..count {
            let _there_is_none = fs::remove_dir_all(&folder);
            for times in &mut times {
                let watch = Stopwatch::start();
                cli.run(&["tor", "status"]).done();
                times.push(nanoseconds(&watch));
            }
        }
        for (what, times) in ["with nothing kept", "again"].iter().zip(times) {
            told(self.way, &format!("`tor status` {what}"), times);
        }
        let reached = (0..count).flat_map(|_| {
            let checked = cli.run(&["tor", "check"]).done();
            let lines = checked.lines.last().expect("an outcome")["reached_ms"].as_array().cloned().unwrap_or_default();
            lines.into_iter().filter_map(|ms| ms.as_u64()).map(|ms| ms * 1_000_000)
        });
        told(self.way, "the server reached, from a Tor that is ready", reached.collect());
        let kept = kibibytes(&folder);
        println!("{}: Tor keeps {kept} KiB in the profile", self.way);
    }

    fn messages(&self, count: usize) {
        let [mut alice, bob] = [(&self.alice.0, &self.bob.1), (&self.bob.0, &self.alice.1)]
            .map(|(cli, with)| cli.start(&["chat", "--with", with]));
        let mut times = Vec::new();
        for number in 0..=count {
            let watch = Stopwatch::start();
            alice.say(&format!("number {number}"));
            while bob.next_text() != format!("number {number}") {}
            // The first one is a request, with sessions to begin.
            match number {
                0 => told(self.way, "first message", vec![nanoseconds(&watch)]),
                _ => times.push(nanoseconds(&watch)),
            }
        }
        told(self.way, "message, from one person's key to the other's screen", times);
    }

    fn file(&self, folder: &Path, mebibytes: usize) {
        let ((alice, from), (bob, to)) = (&self.alice, &self.bob);
        let file = folder.join(format!("{}.bin", self.way));
        fs::write(&file, vec![7; mebibytes * 1024 * 1024]).expect("a file");
        let path = |path: &Path| path.to_str().expect("a path").to_owned();
        let watch = Stopwatch::start();
        let sent = alice.run(&["attach", "--to", to, "--file", &path(&file)]).done();
        let up = watch.elapsed();
        let id = sent.lines.last().expect("an outcome")["message_id"].as_str().expect("an id").to_owned();
        // Of what the chat has shown last, some may come once more: it was ended as a crash would.
        let listening = bob.spawn_listen();
        while listening.next_object().get("message_id").and_then(Value::as_str) != Some(&*id) {}
        listening.interrupt();
        listening.end();
        let saved = path(&folder.join(format!("{}.saved", self.way)));
        let watch = Stopwatch::start();
        bob.run(&["fetch", "--with", from, "--message", &id, "--to", &saved]).done();
        let down = watch.elapsed();
        let rate = |took: Duration| mebibytes as f64 / took.as_secs_f64();
        println!(
            "{}: {mebibytes} MiB sent in {:.1} s ({:.2} MiB/s), fetched in {:.1} s ({:.2} MiB/s), start of the program included",
            self.way,
            up.as_secs_f64(),
            rate(up),
            down.as_secs_f64(),
            rate(down)
        );
    }

    fn rest(&self, time: Duration) {
        let (bob, _) = &self.bob;
        let listening = bob.spawn_listen();
        self.alice.0.send(&self.bob.1, "are you there").done();
        while listening.next_text() != "are you there" {}
        let (watch, before) = (Stopwatch::start(), cpu(listening.pid()));
        eventually(time + PATIENCE, "some rest", || watch.elapsed() >= time);
        let used = cpu(listening.pid()).saturating_sub(before);
        println!(
            "{}: a listener at rest has {} MiB and used {:.2} % of a processor within {} s",
            self.way,
            resident_kib(listening.pid()) / 1024,
            100.0 * used.as_secs_f64() / watch.elapsed().as_secs_f64(),
            time.as_secs()
        );
    }
}

fn told(way: &str, what: &str, times: Vec<u64>) {
    let count = times.len();
    let [p50, _, max] = Percentiles::of(times).milliseconds();
    println!("{way}: {what}: p50 {p50:.0} ms, at most {max:.0} ms ({count} times)");
}

fn nanoseconds(watch: &Stopwatch) -> u64 {
    u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn kibibytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => kibibytes(&entry.path()),
        Ok(metadata) => metadata.len().div_ceil(1024),
        Err(_) => 0,
    });
    sizes.sum()
}
