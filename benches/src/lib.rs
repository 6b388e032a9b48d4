//! Measuring, as little of it as is needed: medians of batches, and a clock.
#![expect(clippy::disallowed_methods, reason = "measuring is what the clock is read for here")]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// A batch runs about this long, so that reading the clock does not count.
const BATCH: Duration = Duration::from_millis(4);
/// Batches whose median is taken.
const BATCHES: usize = 41;

/// Nanoseconds of one call: the median over 41 batches, after a warm-up that finds their size.
pub fn nanoseconds<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut calls = 1_u32;
    loop {
        let begun = Instant::now();
        (0..calls).for_each(|_| drop(black_box(work())));
        if begun.elapsed() >= BATCH {
            break;
        }
        calls *= 2;
    }
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            (0..calls).for_each(|_| drop(black_box(work())));
            begun.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(BATCHES / 2).copied().unwrap_or_default()
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
