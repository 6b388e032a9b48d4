//! The only place of this crate that reads a clock. Rules take the time as an argument.

use std::time::{Duration, Instant, SystemTime};

use endtoend_protocol::UnixMillis;

/// Monotonic clock: for deadlines and leases, which a clock that jumps must not move.
#[expect(clippy::disallowed_methods, reason = "the one reading of the monotonic clock")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Wall clock: for what is shown and for expiry.
#[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock")]
pub(crate) fn now() -> UnixMillis {
    // A clock before 1970 is as good as none.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMillis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
