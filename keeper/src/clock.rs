//! Deadlines. The only module that reads the clock.
#![expect(clippy::disallowed_methods, reason = "waiting for another process needs a clock and pauses")]

use std::thread;
use std::time::{Duration, Instant};

/// Far above what any step takes: only a hanging program meets it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `holds`; `false` when that does not happen.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}
