//! Deadlines. The only module that reads the clock.
#![expect(clippy::disallowed_methods, reason = "waiting for another process needs a clock and pauses")]

use std::thread;
use std::time::{Duration, Instant};

/// Far above what any step takes: only a hanging program meets it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `holds`.
///
/// # Panics
/// After `deadline`, with `what` was waited for.
pub fn eventually(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !holds() {
        assert!(Instant::now() < end, "waited {deadline:?} in vain for {what}");
        thread::sleep(PAUSE);
    }
}

/// A moment, to measure from.
pub fn monotonic() -> Instant {
    Instant::now()
}
