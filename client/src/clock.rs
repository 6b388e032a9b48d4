//! The one place of the client that reads clocks. Rules take the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use endtoend_protocol::UnixMillis;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// A moment by the clock that never jumps: for back-off, idle limits and deadlines.
pub use tokio::time::Instant;

/// The wall clock: for showing and for expiry. A clock set before 1970 reads as 1970.
pub fn now() -> UnixMillis {
    UnixMillis::new(u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX))
}

/// The monotonic clock.
pub fn monotonic() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this module is the edge where the client reads the time")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall clock as rustls asks for it.
#[derive(Debug)]
pub(crate) struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(since_1970()))
    }
}
