//! How long things take in the window, for measurements: `--timings` says it on standard error. Nothing of what is shown is told.

use std::time::Duration;

use endtoend_client::clock::{Instant, monotonic};

use crate::app::{App, Screen};

/// A window that is late by more than this skips a picture.
pub const BUDGET: Duration = Duration::from_millis(16);
/// Updates whose length is kept: the first of a long run.
const KEPT_MAX: usize = 1_000_000;

/// What was measured so far.
#[derive(Debug)]
pub struct Timings {
    started: Instant,
    drawn: bool,
    /// Since when there is a list to be drawn; and whether that was told.
    entered: Option<Instant>,
    listed: bool,
    frame: Option<Instant>,
    /// Between two pictures that followed each other, in microseconds.
    frames: Vec<u32>,
    /// In microseconds.
    updates: Vec<u32>,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            started: monotonic(),
            drawn: false,
            entered: None,
            listed: false,
            frame: None,
            frames: Vec::new(),
            updates: Vec::new(),
        }
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn keep(all: &mut Vec<u32>, time: Duration) {
    if all.len() < KEPT_MAX {
        all.push(micros(time));
    }
}

/// The middle, the hundredth and the longest, and how many were over the budget.
fn summary(times: &[u32]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |part: usize| {
        let index = (sorted.len() * part / 100).min(sorted.len().saturating_sub(1));
        f64::from(sorted.get(index).copied().unwrap_or_default()) / 1_000.0
    };
    let over = sorted.iter().filter(|time| **time > micros(BUDGET)).count();
    format!("{}, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, {over} over 16 ms", sorted.len(), at(50), at(99), at(100))
}

impl Timings {
    fn since(&self, from: Instant) -> u128 {
        monotonic().saturating_duration_since(from).as_millis()
    }

    /// A picture was drawn.
    pub fn frame(&mut self) {
        let now = monotonic();
        if !self.drawn {
            self.drawn = true;
            eprintln!("timings: first frame after {} ms", self.since(self.started));
        }
        if let (Some(entered), false) = (self.entered, self.listed) {
            self.listed = true;
            eprintln!("timings: list drawn {} ms after the profile was open", self.since(entered));
        }
        if let Some(before) = self.frame.replace(now) {
            keep(&mut self.frames, now.saturating_duration_since(before));
        }
    }

    /// An update begins.
    pub fn begin(&self) -> Instant {
        monotonic()
    }

    /// It has ended.
    pub fn end(&mut self, begun: Instant, app: &App) {
        keep(&mut self.updates, monotonic().saturating_duration_since(begun));
        if let (Screen::Home(_), None) = (&app.screen, self.entered) {
            self.entered = Some(begun);
            eprintln!("timings: profile open after {} ms", self.since(self.started));
        }
    }

    /// Says what is known at the end.
    pub fn tell(&self) {
        eprintln!("timings: updates: {}", summary(&self.updates));
        eprintln!("timings: between frames: {}", summary(&self.frames));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_budget_is_counted() {
        let times: Vec<u32> = (1..=100).map(|ms| ms * 1_000).collect();
        assert_eq!(summary(&times), "100, p50 51.00 ms, p99 100.00 ms, max 100.00 ms, 84 over 16 ms");
        assert_eq!(summary(&[]), "0, p50 0.00 ms, p99 0.00 ms, max 0.00 ms, 0 over 16 ms");
    }
}
