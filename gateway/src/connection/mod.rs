//! One WebSocket: `handshake` has the rules of who may ask what, `attachment` those of deliveries, `actor` the socket.

mod accept;
mod actor;
mod attachment;
mod chatter;
mod edges;
mod guests;
mod handshake;
mod leaving;
mod link;
mod names;
mod socket;
mod threads;
mod tls;

use endtoend_protocol::RetryReason;

pub(crate) use accept::service;
#[cfg(test)]
pub(crate) use attachment::{Attachment, Leave};
pub(crate) use edges::Edges;
pub(crate) use guests::Guests;
pub(crate) use threads::Threads;

/// How long a sender should wait before it repeats. Limits say it themselves.
pub(crate) const fn retry_after_ms(reason: RetryReason) -> u64 {
    match reason {
        RetryReason::Busy | RetryReason::Window => 100,
        RetryReason::Unavailable | RetryReason::Devices | RetryReason::ShuttingDown | RetryReason::Rate => 1_000,
        // A full queue empties when its device comes back.
        RetryReason::QueueFull => 60_000,
    }
}
