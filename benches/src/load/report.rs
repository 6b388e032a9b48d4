//! Figures.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::Options;
use super::people::Seen;

/// Ticks of a second in /proc, which Linux fixes at 100 for user space.
const TICKS: u64 = 100;

pub(crate) struct Report {
    pub(crate) options: Options,
    pub(crate) registered: (Duration, Duration),
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
    pub(crate) memory_kib: u64,
    pub(crate) limit: Option<f64>,
    pub(crate) seen: Seen,
}

/// User and system time of a process.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the node runs");
    // Fields 14 and 15, counted after the name in parentheses, which is field 2.
    let fields = stat.rsplit(')').next().expect("a name");
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Resident memory of a process.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the node runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.parse().ok()).unwrap_or_default()
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
        let Options { senders, receivers, messages, bytes, rate, offline, .. } = self.options;
        let per_second = messages as f64 / self.took.as_secs_f64();
        let cpu_us = self.cpu.as_secs_f64() * 1e6 / messages as f64;
        let (accepted, delivered) = (milliseconds(&self.seen.accepted), milliseconds(&self.seen.delivered));
        let (registering, registered_in) = self.registered;
        let cpu_per_registration = registering.as_secs_f64() * 1e3 / (senders + receivers) as f64;
        if self.options.json {
            let object = json!({
                "senders": senders, "receivers": receivers, "messages": messages, "bytes": bytes, "rate": rate,
                "offline": offline, "messages_per_second": per_second, "server_cpu_us_per_message": cpu_us,
                "accepted_ms": accepted, "delivered_ms": delivered, "retries": self.seen.retries,
                "wrong": self.seen.wrong, "server_resident_kib": self.memory_kib,
                "limit_inserts_per_second": self.limit,
            });
            println!("{object}");
            return;
        }
        println!("{senders} senders, {receivers} receivers, {messages} messages of {bytes} bytes over TLS, one node");
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
            if let Some(limit) = self.limit {
                println!(
                    "bare inserts           {limit:.0} per second in batches of 512 with fsync: ratio {:.2}",
                    per_second / limit
                );
            }
        } else {
            line("send to deliver", delivered);
        }
        println!("server memory          {} KiB resident", self.memory_kib);
        println!("repeated on request    {}", self.seen.retries);
        println!("lost, doubled, disordered: {}", self.seen.wrong);
    }
}
