//! How much a measurement does, and how long it waits for anything.

use std::time::Duration;

/// Far above what any step takes, also unoptimised and on a busy machine: only one that hangs meets it.
const DEADLINE: Duration = Duration::from_secs(300);

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Enough for figures.
    Whole,
    /// Everything once, so that the tests notice when a measurement does not run any more.
    Rehearsal,
}

impl Effort {
    /// `cargo bench` passes `--bench` to what it runs, and `cargo test` does not.
    pub fn asked() -> Self {
        if std::env::args().any(|argument| argument == "--bench") { Self::Whole } else { Self::Rehearsal }
    }

    /// Nanoseconds of one call.
    pub fn nanoseconds<T>(self, work: impl FnMut() -> T) -> f64 {
        match self {
            Self::Whole => crate::nanoseconds(work),
            Self::Rehearsal => crate::median_batch(1, work),
        }
    }

    /// The first for figures, the second for a rehearsal.
    pub const fn choose(self, whole: u32, rehearsal: u32) -> u32 {
        match self {
            Self::Whole => whole,
            Self::Rehearsal => rehearsal,
        }
    }
}

/// What comes of a step of a measurement.
///
/// # Panics
/// When it takes longer than five minutes, with `what` was waited for.
#[expect(clippy::panic, reason = "a measurement that fails should stop")]
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, step).await {
        Ok(done) => done,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}
