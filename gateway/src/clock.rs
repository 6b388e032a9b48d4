//! The only place of the server that reads a clock. Rules take the time as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use endtoend_protocol::UnixMillis;

/// Wall clock: for what is shown, for expiry and certificates.
#[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock")]
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Processor time that this process has taken, of user and system.
pub fn cpu() -> Duration {
    let taken = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    taken.try_into().unwrap_or_default()
}

/// Monotonic clock: for deadlines and leases, which a clock that jumps must not move.
#[expect(clippy::disallowed_methods, reason = "the one reading of the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}
