//! The only place of this crate that reads a clock. Rules take the time as an argument.

use std::time::Instant;

/// Monotonic clock: for deadlines and leases, which a clock that jumps must not move.
#[expect(clippy::disallowed_methods, reason = "the one reading of the monotonic clock")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
