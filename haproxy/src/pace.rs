//! When something is applied: at once after a quiet time, together in a busy one, and no more reloads than a machine bears.

use std::time::{Duration, Instant};

/// Told the time; says when the next attempt may be made.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    applied: Option<Instant>,
    /// The latest reloads, oldest first: at most [`Pace::RELOADS_AT_ONCE`].
    reloads: Vec<Instant>,
    /// Attempts in a row that failed.
    failed: u32,
}

impl Pace {
    /// Changes within this time of the last ones are applied together.
    pub const TOGETHER: Duration = Duration::from_millis(20);
    /// Reloads within [`Self::RELOADS_WITHIN`]. Each leaves an old process with its connections.
    pub const RELOADS_AT_ONCE: usize = 3;
    /// After this a reload is forgotten.
    pub const RELOADS_WITHIN: Duration = Duration::from_secs(30);
    /// The longest wait after failures.
    const RETRY_MAX: Duration = Duration::from_secs(30);

    /// When changes may be looked at and applied through the socket.
    pub fn next(&self) -> Option<Instant> {
        let wait = match self.failed {
            0 => Self::TOGETHER,
            failed => Duration::from_millis(250).saturating_mul(1 << failed.min(8)).min(Self::RETRY_MAX),
        };
        self.applied.map(|applied| applied + wait)
    }

    /// When a reload may be made.
    pub fn next_reload(&self) -> Option<Instant> {
        let full = self.reloads.len() >= Self::RELOADS_AT_ONCE;
        self.reloads.first().filter(|_| full).map(|oldest| *oldest + Self::RELOADS_WITHIN)
    }

    /// Changes were applied, or could not be.
    pub fn attempted(&mut self, now: Instant, done: bool) {
        self.applied = Some(now);
        self.failed = if done { 0 } else { self.failed.saturating_add(1) };
    }

    /// A reload was ordered, whatever became of it.
    pub fn reloaded(&mut self, now: Instant) {
        self.reloads.push(now);
        if self.reloads.len() > Self::RELOADS_AT_ONCE {
            self.reloads.remove(0);
        }
    }

    /// Something else is wanted: a failure of what was wanted before says nothing of it.
    pub fn forgive(&mut self) {
        self.failed = 0;
    }
}
