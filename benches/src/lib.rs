//! Measuring, as little of it as is needed: medians of batches, a clock, and what Linux says of a process.
#![expect(clippy::disallowed_methods, reason = "measuring is what the clock is read for here")]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// A batch runs about this long, so that reading the clock does not count.
const BATCH: Duration = Duration::from_millis(4);

mod couple;
mod effort;
mod percentiles;
pub mod process;
pub mod several;

pub use couple::Couple;
pub use effort::{Effort, within};
pub use percentiles::Percentiles;
pub use process::{cpu, resident_kib};

/// Nanoseconds of one call: the median over 41 batches, after a warm-up that finds their size.
pub fn nanoseconds<T>(work: impl FnMut() -> T) -> f64 {
    median_batch(41, work)
}

/// Nanoseconds of one call: the median over so many batches.
fn median_batch<T>(batches: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut calls = 1_u32;
    loop {
        let begun = Instant::now();
        (0..calls).for_each(|_| drop(black_box(work())));
        if begun.elapsed() >= BATCH {
            break;
        }
        calls *= 2;
    }
    let times = (0..batches)
        .map(|_| {
            let begun = Instant::now();
            (0..calls).for_each(|_| drop(black_box(work())));
            begun.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    median(times)
}

/// The middle of some times. Not a number for none.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Time since a beginning.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
    /// How long ago that was.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// The moment this long after the beginning, for timers.
    pub fn at(&self, after: Duration) -> Instant {
        self.0 + after
    }
}

/// Runs a program that prints one JSON object; that, and whether the program ended with 0.
///
/// # Panics
/// When the program does not run, or prints something else.
#[expect(clippy::panic, reason = "a measurement that fails should stop")]
pub fn run_json(command: &mut std::process::Command) -> (serde_json::Value, bool) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let object = serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("no object: {said}{}", String::from_utf8_lossy(&output.stderr)));
    (object, output.status.success())
}
