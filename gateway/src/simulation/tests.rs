//! Many seeds, one seed again, and those that once failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::weather::Fault;
use super::world::World;
use crate::clock;

/// Seeds of one test run.
const SEEDS: u64 = 2_000;
const SEEDS_ACROSS: u64 = 300;
/// Lines of a schedule that are printed.
const LINES: usize = 60;

/// One schedule: everything that happens follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Schedule {
    seed: u64,
    /// Steps before everything is well again.
    steps: usize,
    /// Faults that are left out, a bit each.
    without: u32,
    nodes: usize,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        // Most are short: a failure is then short too.
        let steps = match seed % 16 {
            0..=10 => 250,
            11..=14 => 1_000,
            _ => 4_000,
        };
        Self { seed, steps, without: 0, nodes: 1 }
    }

    /// Of two or three nodes, which do much beside.
    fn across(seed: u64) -> Self {
        let alone = Self::new(seed);
        Self { nodes: 2 + (seed % 2) as usize, steps: 2 * alone.steps, ..alone }
    }

    /// What failed, if something did.
    fn run(self, trace: bool) -> Result<(), (String, Vec<String>)> {
        let mut world = World::new(self.seed, self.without, self.nodes);
        world.trace = trace.then(Vec::new);
        catch_unwind(AssertUnwindSafe(|| world.run(self.steps))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let trace = world.trace.take().unwrap_or_default();
            // What is left of a broken world may break again while it is taken down.
            std::mem::forget(world);
            (text.unwrap_or_default(), trace)
        })
    }

    /// The same failure with fewer steps and fewer faults, as far as that is found quickly.
    fn shrunk(self) -> Self {
        let mut best = self;
        for fault in Fault::ALL {
            let candidate = Self { without: best.without | 1 << fault as u8, ..best };
            if candidate.run(false).is_err() {
                best = candidate;
            }
        }
        let mut cut = best.steps / 2;
        while cut > 0 {
            let candidate = Self { steps: best.steps - cut, ..best };
            if candidate.run(false).is_err() {
                best = candidate;
                cut = cut.min(best.steps / 2);
            } else {
                cut /= 2;
            }
        }
        best
    }

    /// Fails with everything that is needed to see it again.
    fn must_hold(self) {
        if self.run(false).is_ok() {
            return;
        }
        let shrunk = self.shrunk();
        let Self { seed, steps, without, nodes } = shrunk;
        let Err((failure, trace)) = shrunk.run(true) else { panic!("seed {seed} is not one world") };
        let left: Vec<_> = Fault::ALL.into_iter().filter(|fault| without & 1 << *fault as u8 == 0).collect();
        let last = trace.iter().skip(trace.len().saturating_sub(LINES)).map(|line| format!("{line}\n"));
        panic!(
            "seed {} fails: {failure}\nwith these faults: {left:?}\n{}\
             SEED={seed} STEPS={steps} WITHOUT={without} NODES={nodes} cargo test -p endtoend-gateway --lib simulation::tests::replay \
             -- --nocapture",
            self.seed,
            last.collect::<String>(),
        );
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// `SEEDS=100000 FIRST=1` look longer and elsewhere.
#[test]
fn what_is_accepted_is_shown_once_and_in_order_whatever_happens() {
    let first = number("FIRST").unwrap_or(1);
    for seed in first..first + number("SEEDS").unwrap_or(SEEDS) {
        Schedule::new(seed).must_hold();
    }
}

/// The same, for nodes that share a store.
#[test]
fn what_is_accepted_across_nodes_is_shown_once_and_in_order_whatever_happens() {
    let first = number("FIRST").unwrap_or(1);
    for seed in first..first + number("SEEDS").unwrap_or(SEEDS_ACROSS) {
        Schedule::across(seed).must_hold();
    }
}

/// `SEED=7 cargo test -p endtoend-gateway --lib simulation::tests::replay -- --nocapture` shows one schedule.
#[test]
fn replay() {
    let Some(seed) = number("SEED") else { return };
    let mut schedule = match number("NODES") {
        None | Some(1) => Schedule::new(seed),
        Some(nodes) => Schedule { nodes: nodes as usize, ..Schedule::across(seed) },
    };
    if let Some(steps) = number("STEPS") {
        schedule.steps = steps as usize;
    }
    schedule.without = number("WITHOUT").unwrap_or_default() as u32;
    let mut world = World::new(schedule.seed, schedule.without, schedule.nodes);
    world.trace = Some(Vec::new());
    world.print = true;
    world.run(schedule.steps);
}

/// Seeds that failed once, of the rules as they were or with a sabotage.
#[test]
fn known_seeds() {
    for seed in
        [1, 4, 7, 9, 10, 74, 111, 145, 183, 232, 235, 256, 288, 407, 512, 588, 828, 845, 24_848, 110_767, 203_493]
    {
        Schedule::new(seed).must_hold();
    }
}

/// The same, of several nodes.
#[test]
fn known_seeds_across() {
    for seed in [43, 105, 135, 5_338] {
        Schedule::across(seed).must_hold();
    }
}

/// `make soak`: until it is told to stop, or something fails. Each eighth world is of several nodes.
#[test]
fn soak() {
    let Some(first) = number("SOAK") else { return };
    let (begin, mut said) = (clock::monotonic(), 0);
    for seed in first.. {
        let schedule = if seed % 8 == 0 { Schedule::across(seed) } else { Schedule::new(seed) };
        schedule.must_hold();
        let passed = clock::monotonic().saturating_duration_since(begin);
        if passed >= Duration::from_secs(10) * (said + 1) {
            said += 1;
            let done = seed - first + 1;
            println!("{done} seeds, {:.0} each second, the last was {seed}", done as f64 / passed.as_secs_f64());
        }
    }
}
