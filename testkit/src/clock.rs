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

/// Variables with which a program sees the wall clock off by this; its monotonic clock stays. By libfaketime, which every
/// program can be started with, so that none needs a clock of its own for tests.
///
/// # Panics
/// When the library is missing.
pub(crate) fn shifted(off_by: &str) -> [(&'static str, String); 3] {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let library = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.is_file());
    let library = library.expect("libfaketime is installed: `make test` does that");
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", off_by.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}
