//! Figures.

use std::time::Duration;

use serde_json::json;

use super::Options;
use super::people::Seen;
use super::relay::Relayed;

pub(crate) struct Report {
    pub(crate) options: Options,
    pub(crate) registered: (Duration, Duration),
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
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

impl Report {
    pub(crate) fn print(&self) {
        let Options { senders, receivers, messages, bytes, rate, offline, nodes, across, .. } = self.options;
        let per_second = messages as f64 / self.took.as_secs_f64();
        let cpu_us = self.cpu.as_secs_f64() * 1e6 / messages as f64;
        let (accepted, delivered) = (milliseconds(&self.seen.accepted), milliseconds(&self.seen.delivered));
        let (registering, registered_in) = self.registered;
        let cpu_per_registration = registering.as_secs_f64() * 1e3 / (senders + receivers) as f64;
        if self.options.json {
            let object = json!({
                "senders": senders, "receivers": receivers, "messages": messages, "bytes": bytes, "rate": rate,
                "offline": offline, "nodes": nodes, "across": across, "messages_per_second": per_second, "server_cpu_us_per_message": cpu_us,
                "accepted_ms": accepted, "delivered_ms": delivered, "retries": self.seen.retries,
                "wrong": self.seen.wrong, "server_resident_kib": self.memory_kib,
                "limit_inserts_per_second": self.inserts,
                "limit_relay_cpu_us_per_message": self.relayed.as_ref().map(|relayed| relayed.cpu_us),
            });
            println!("{object}");
            return;
        }
        let place = match (nodes, across) {
            (1, _) => "one node".to_owned(),
            (_, false) => format!("all at one of {nodes} nodes"),
            (_, true) => format!("{nodes} nodes, senders at one and receivers at another"),
        };
        println!("{senders} senders, {receivers} receivers, {messages} messages of {bytes} bytes over TLS, {place}");
        println!(
            "registration           {registered_in:.1?} for all, {cpu_per_registration:.1} ms of the server's CPU each"
        );
        match rate {
            Some(rate) => println!("open loop              {rate:.0} messages per second planned"),
            None => println!("closed loop            each sender fills its window"),
        }
        println!("messages per second    {per_second:.0}");
        println!("server CPU per message {cpu_us:.1} us");
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
