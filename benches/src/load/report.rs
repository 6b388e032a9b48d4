//! Figures.

use std::time::Duration;

use serde_json::{Value, json};

use super::Options;
use super::people::Seen;
use super::places::Places;
use super::relay::Relayed;
use super::used::Used;

pub(crate) struct Report {
    pub(crate) options: Options,
    pub(crate) places: Places,
    pub(crate) registered: (Duration, Duration),
    /// While nothing was sent.
    pub(crate) rested: Option<Used>,
    pub(crate) took: Duration,
    pub(crate) used: Used,
    pub(crate) memory_kib: u64,
    pub(crate) inserts: Option<f64>,
    pub(crate) relayed: Option<Relayed>,
    pub(crate) seen: Seen,
}

fn percentile(sorted: &[u64], of_100: usize) -> f64 {
    let at = (sorted.len() * of_100 / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
}

fn milliseconds(times: &[u64]) -> [f64; 3] {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    [percentile(&sorted, 50), percentile(&sorted, 99), percentile(&sorted, 100)]
}

/// CPU of the servers, of each message or of each second.
struct Shares {
    nodes: Vec<f64>,
    redis: Option<f64>,
    postgres: Option<f64>,
}

impl Shares {
    fn of(used: &Used, share: impl Fn(Duration) -> f64) -> Self {
        let nodes = used.nodes.iter().map(|used| share(*used)).collect();
        Self { nodes, redis: used.redis.map(&share), postgres: used.postgres.map(&share) }
    }

    fn of_nodes(&self) -> f64 {
        self.nodes.iter().sum()
    }

    /// All nodes, each of them where there are several, and the servers beside them.
    fn text(&self, unit: &str) -> String {
        let mut text = format!("{:.1} {unit}", self.of_nodes());
        if self.nodes.len() > 1 {
            let each: Vec<String> = self.nodes.iter().map(|each| format!("{each:.1}")).collect();
            text.push_str(&format!(" ({})", each.join(" + ")));
        }
        for (server, used) in [("Redis", self.redis), ("PostgreSQL", self.postgres)] {
            if let Some(used) = used {
                text.push_str(&format!(", {server} {used:.1} {unit}"));
            }
        }
        text
    }

    fn json(&self) -> Value {
        json!({ "nodes": self.nodes, "redis": self.redis, "postgres": self.postgres })
    }
}

impl Report {
    fn place(&self) -> String {
        let Options { senders, receivers, nodes, .. } = self.options;
        match (nodes, self.places) {
            (1, Places::Spread { .. }) => "a cluster of one node".to_owned(),
            (1, _) => "one node".to_owned(),
            (_, Places::Together) => format!("all at one of {nodes} nodes"),
            (_, Places::Across) => format!("{nodes} nodes, senders at one and receivers at another"),
            (_, Places::Spread { .. }) => {
                let crossing = self.places.crossing(senders, receivers) * 100.0;
                format!("spread over {nodes} nodes, {crossing:.0} of 100 pairs at two of them")
            }
        }
    }

    pub(crate) fn print(&self) {
        let Options { senders, receivers, messages, bytes, rate, offline, nodes, rest, .. } = self.options;
        let per_second = messages as f64 / self.took.as_secs_f64();
        let each = Shares::of(&self.used, |used| used.as_secs_f64() * 1e6 / messages as f64);
        let resting = self.rested.as_ref().map(|used| Shares::of(used, |used| used.as_secs_f64() * 1e3 / rest as f64));
        let cpu_us = each.of_nodes();
        let (accepted, delivered) = (milliseconds(&self.seen.accepted), milliseconds(&self.seen.delivered));
        let (registering, registered_in) = self.registered;
        let cpu_per_registration = registering.as_secs_f64() * 1e3 / (senders + receivers) as f64;
        if self.options.json {
            let object = json!({
                "senders": senders, "receivers": receivers, "messages": messages, "bytes": bytes, "rate": rate,
                "offline": offline, "nodes": nodes, "crossing": self.places.crossing(senders, receivers),
                "messages_per_second": per_second, "server_cpu_us_per_message": cpu_us,
                "cpu_us_per_message": each.json(), "resting_cpu_ms_per_second": resting.as_ref().map(Shares::json),
                "accepted_ms": accepted, "delivered_ms": delivered, "retries": self.seen.retries,
                "wrong": self.seen.wrong, "server_resident_kib": self.memory_kib,
                "limit_inserts_per_second": self.inserts,
                "limit_relay_cpu_us_per_message": self.relayed.as_ref().map(|relayed| relayed.cpu_us),
            });
            println!("{object}");
            return;
        }
        let place = self.place();
        println!("{senders} senders, {receivers} receivers, {messages} messages of {bytes} bytes over TLS, {place}");
        println!(
            "registration           {registered_in:.1?} for all, {cpu_per_registration:.1} ms of the server's CPU each"
        );
        if let Some(resting) = resting {
            println!("CPU per second at rest {}", resting.text("ms"));
        }
        match rate {
            Some(rate) => println!("open loop              {rate:.0} messages per second planned"),
            None => println!("closed loop            each sender fills its window"),
        }
        println!("messages per second    {per_second:.0}");
        println!("server CPU per message {}", each.text("us"));
        let line = |what: &str, [p50, p99, max]: [f64; 3]| {
            println!("{what:<22} p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms");
        };
        line("send to accepted", accepted);
        if offline {
            if let Some(limit) = self.inserts {
                println!(
                    "bare inserts           {limit:.0} per second in batches of 512 with fsync: ratio {:.2}",
                    per_second / limit
                );
            }
        } else {
            line("send to deliver", delivered);
        }
        if let Some(Relayed { per_second: relayed, cpu_us: limit }) = self.relayed {
            println!(
                "bare relay             {relayed:.0} per second, {limit:.1} us of CPU each: ratio {:.2}",
                limit / cpu_us
            );
        }
        println!("server memory          {} KiB resident", self.memory_kib);
        println!("repeated on request    {}", self.seen.retries);
        println!("lost, doubled, disordered: {}", self.seen.wrong);
    }
}
