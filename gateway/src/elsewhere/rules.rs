//! Small rules between this node and others.

use std::time::Instant;

use endtoend_cluster::claims::{DeviceName, Ownership};
use endtoend_cluster::link::wire;
use endtoend_protocol::{RejectReason, RetryReason};
use endtoend_storage::Seq;

use crate::receipt::Outcome;

/// From where on the mailbox of a device reads when it hears of a row.
///
/// As long as the device is not exclusively here, rows before that one may be there which nobody could tell it of: it reads all
/// that its device has not acknowledged, in the order of the store.
pub(crate) fn reads_from(owned: &Ownership, device: DeviceName, seq: Seq, now: Instant) -> Seq {
    if owned.is_exclusive(device, now) { seq } else { Seq(1) }
}

/// What a sender hears, on its way to the node where he is.
pub(crate) fn to_wire(outcome: Outcome) -> wire::Outcome {
    match outcome {
        Outcome::Accepted { at } => wire::Outcome::Accepted { at },
        Outcome::Retry(RetryReason::QueueFull) => wire::Outcome::QueueFull,
        Outcome::Retry(RetryReason::Unavailable) => wire::Outcome::Unavailable,
        Outcome::Retry(RetryReason::ShuttingDown) => wire::Outcome::ShuttingDown,
        Outcome::Retry(_) | Outcome::Superseded | Outcome::Limited { .. } => wire::Outcome::Busy,
        Outcome::Rejected(RejectReason::UnknownRecipient) => wire::Outcome::UnknownRecipient,
    }
}

/// And when it has come there.
pub(crate) fn from_wire(outcome: wire::Outcome) -> Outcome {
    match outcome {
        wire::Outcome::Accepted { at } => Outcome::Accepted { at },
        wire::Outcome::Busy => Outcome::Retry(RetryReason::Busy),
        wire::Outcome::QueueFull => Outcome::Retry(RetryReason::QueueFull),
        wire::Outcome::Unavailable => Outcome::Retry(RetryReason::Unavailable),
        wire::Outcome::ShuttingDown => Outcome::Retry(RetryReason::ShuttingDown),
        wire::Outcome::UnknownRecipient => Outcome::Rejected(RejectReason::UnknownRecipient),
    }
}
