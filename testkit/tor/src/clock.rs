//! The wall clock, which says when an authority votes. The only module that reads it.
#![expect(clippy::disallowed_methods, reason = "an authority votes by the time of day")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 3600;

/// Seconds since midnight, UTC, at the moment so long from now.
pub(crate) fn of_the_day_in(wait: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now + wait).as_secs() % DAY
}
