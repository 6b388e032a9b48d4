//! What a run has shown, as a table or as one JSON object.

use std::collections::BTreeMap;
use std::time::Duration;

use endtoend_benches::Percentiles;
use endtoend_protocol::ClosingReason;
use serde_json::{Value, json};

use super::Options;
use super::engines::Found;
use super::faults::Killed;
use super::plan::Kind;
use super::record::{Records, Violations};
use super::service::{Gap, Service};
use super::world::Tally;

pub(crate) struct Ledger {
    pub(crate) options: Options,
    pub(crate) records: Records,
    pub(crate) tally: Tally,
    pub(crate) struck: BTreeMap<Kind, (u64, Duration)>,
    pub(crate) service: Service,
    pub(crate) took: Duration,
    pub(crate) failed_starts: u64,
    pub(crate) kills: Vec<Killed>,
    pub(crate) led_again: Vec<u64>,
    pub(crate) pair: Option<Found>,
    /// Envelopes that the store has at the end, which has to be none.
    pub(crate) left_in_store: u64,
    /// What did not happen in time.
    pub(crate) unfinished: Option<&'static str>,
    pub(crate) without: Vec<&'static str>,
}

impl Ledger {
    fn delivered(&self) -> Vec<u64> {
        let shown = self.records.shown.iter().flatten();
        shown.filter_map(|shown| Some(shown.at.saturating_sub(self.records.sent(shown.id)?.first_at))).collect()
    }

    /// Connections that ended as those of a device that may go on no more: their client would tell its user, and not come back.
    fn told(&self) -> u64 {
        self.tally.closed.get(&format!("{:?}", ClosingReason::Removed)).copied().unwrap_or_default()
    }

    fn accepted(&self) -> usize {
        self.records.sent.iter().flatten().filter(|sent| sent.accepted_attempt.is_some()).count()
    }

    /// Recoveries by kind, nanoseconds.
    fn recoveries(&self) -> BTreeMap<Kind, Vec<u64>> {
        let mut by_kind: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (kind, ns) in self.service.recovered() {
            by_kind.entry(*kind).or_default().push(*ns);
        }
        by_kind
    }

    /// From the kill of a node until each receiver that it had has shown a message which was tried after the kill, nanoseconds.
    fn flowed_again(&self) -> Vec<u64> {
        let after_kill = |killed: &Killed, receiver: usize| {
            let shown = self.records.shown.get(receiver)?.iter().filter(|shown| shown.at > killed.at);
            let mut tried = shown.filter_map(|shown| Some((shown.at, self.records.sent(shown.id)?.first_at)));
            tried.find(|(_, first)| *first > killed.at).map(|(at, _)| at - killed.at)
        };
        let each =
            self.kills.iter().flat_map(|killed| killed.receivers.iter().map(move |receiver| (killed, *receiver)));
        each.filter_map(|(killed, receiver)| after_kill(killed, receiver)).collect()
    }

    /// Prints it; the number of violations.
    pub(crate) fn print(&self) -> u64 {
        let violations = self.records.check();
        let pair = self.pair.unwrap_or_default();
        let rejected: u64 = self.tally.rejected.values().sum();
        let wrong = violations.total()
            + self.tally.bad_numbers
            + self.tally.twice_on_one
            + rejected
            + self.told()
            + pair.violations() as u64
            + self.left_in_store
            + u64::from(self.unfinished.is_some());
        if self.options.json {
            self.print_object(violations, wrong);
        } else {
            self.print_table(violations, wrong);
        }
        wrong
    }

    fn print_object(&self, violations: Violations, wrong: u64) {
        let Violations { lost, doubled, disordered, altered } = violations;
        let pair = self.pair.map(|pair| {
            json!({
                "written": pair.written, "listeners_killed": pair.listeners_killed, "lost": pair.lost,
                "doubled": pair.doubled, "disordered": pair.disordered, "failed": pair.failed,
            })
        });
        let faults: serde_json::Map<String, Value> = self
            .struck
            .iter()
            .map(|(kind, (times, lasted))| {
                (kind.name().to_owned(), json!({ "times": times, "ms": lasted.as_millis() as u64 }))
            })
            .collect();
        let recovered: serde_json::Map<String, Value> = self
            .recoveries()
            .into_iter()
            .map(|(kind, ns)| (kind.name().to_owned(), json!(Percentiles::of(ns).milliseconds())))
            .collect();
        let Gap { ns: worst, after, .. } = self.service.worst();
        let object = json!({
            "seed": self.options.seed, "store": self.store(), "took_ms": self.took.as_millis() as u64,
            "sent": self.records.sent.iter().map(Vec::len).sum::<usize>(), "accepted": self.accepted(),
            "shown": self.records.shown.iter().map(Vec::len).sum::<usize>(),
            "repeats_dropped": self.tally.repeats, "retries": self.tally.retries,
            "connections_lost": self.tally.connections_lost, "silences": self.tally.silences, "closed": self.tally.closed,
            "faults": faults, "failed_starts": self.failed_starts, "not_possible_here": self.without,
            "worst_gap_ms": worst / 1_000_000, "worst_gap_after": after.map(Kind::name),
            "accepted_ms": Percentiles::of(self.tally.accepted_ns.clone()).milliseconds(),
            "nodes": self.options.nodes,
            "proposals_again_ms": Percentiles::of(self.led_again.clone()).milliseconds(),
            "messages_again_ms": Percentiles::of(self.flowed_again()).milliseconds(),
            "delivered_ms": Percentiles::of(self.delivered()).milliseconds(), "recovered_ms": recovered,
            "pair": pair, "unfinished": self.unfinished,
            "violations": {
                "lost": lost, "doubled": doubled, "disordered": disordered, "altered": altered,
                "bad_numbers": self.tally.bad_numbers, "twice_on_one_attachment": self.tally.twice_on_one,
                "rejected": self.tally.rejected, "told": self.told(), "left_in_store": self.left_in_store, "all": wrong,
            },
        });
        println!("{object}");
    }

    fn print_table(&self, Violations { lost, doubled, disordered, altered }: Violations, wrong: u64) {
        let Options { seed, senders, receivers, nodes, .. } = self.options.clone();
        let nodes = if nodes == 1 { "one node".to_owned() } else { format!("{nodes} nodes") };
        println!("{senders} senders, {receivers} receivers, {nodes}, {}, seed {seed}, {:.0?}", self.store(), self.took);
        let sent: usize = self.records.sent.iter().map(Vec::len).sum();
        let shown: usize = self.records.shown.iter().map(Vec::len).sum();
        println!("messages sent, accepted, shown   {sent}, {}, {shown}", self.accepted());
        println!("repeats that receivers dropped   {}", self.tally.repeats);
        println!("connections lost, silent         {}, {}", self.tally.connections_lost, self.tally.silences);
        for (reason, times) in &self.tally.closed {
            println!("closed {reason:<25} {times}");
        }
        for (reason, times) in &self.tally.retries {
            println!("Retry {reason:<26} {times}");
        }
        println!("faults");
        for (kind, (times, lasted)) in &self.struck {
            println!("  {:<38} {times:>4} times, {:>6} ms together", kind.name(), lasted.as_millis());
        }
        if self.failed_starts > 0 {
            println!("  starts that failed on a full disk {}", self.failed_starts);
        }
        for missing in &self.without {
            println!("  not possible on this machine: {missing}");
        }
        let line = |what: &str, ns: Vec<u64>| {
            let [p50, p99, max] = Percentiles::of(ns).milliseconds();
            println!("{what:<40} p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms");
        };
        line("first attempt to accepted", self.tally.accepted_ns.clone());
        line("first attempt to shown", self.delivered());
        println!("until something is accepted again, after");
        for (kind, ns) in self.recoveries() {
            line(&format!("  {}", kind.name()), ns);
        }
        if !self.kills.is_empty() {
            let again =
                [("a leader to a proposal", self.led_again.clone()), ("an owner to a message", self.flowed_again())];
            for (what, ns) in again.into_iter().filter(|(_, ns)| !ns.is_empty()) {
                line(&format!("kill of {what} ({} times)", ns.len()), ns);
            }
        }
        let Gap { ns: worst, at, after } = self.service.worst();
        let after = after.map_or("the start", Kind::name);
        println!(
            "worst gap in service             {} ms, which ended {} ms after the start, after: {after}",
            worst / 1_000_000,
            at / 1_000_000
        );
        if let Some(pair) = self.pair {
            println!(
                "two people with endtoend-cli     {} texts, listener killed {} times; lost {}, doubled {}, disordered {}, failed commands {}",
                pair.written, pair.listeners_killed, pair.lost, pair.doubled, pair.disordered, pair.failed
            );
        }
        println!(
            "violations: lost {lost}, doubled {doubled}, disordered {disordered}, altered {altered}, twice on one attachment {}, \
             bad delivery numbers {}, rejected {}, told to go {}, left in the store {}",
            self.tally.twice_on_one,
            self.tally.bad_numbers,
            self.tally.rejected.values().sum::<u64>(),
            self.told(),
            self.left_in_store
        );
        if let Some(what) = self.unfinished {
            println!("not done in time: {what}");
        }
        match wrong {
            0 => println!("nothing lost, nothing doubled, nothing out of order"),
            _ => println!("VIOLATED; again with --seed {seed}"),
        }
    }

    const fn store(&self) -> &'static str {
        if self.options.postgres { "PostgreSQL" } else { "SQLite" }
    }
}
