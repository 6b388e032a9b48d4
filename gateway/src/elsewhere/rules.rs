//! Small rules between this node and others.

use endtoend_cluster::link::wire;
use endtoend_protocol::{RejectReason, RetryReason};
use endtoend_storage::Seq;

use crate::receipt::Outcome;

/// From where on a mailbox reads when it hears of a row that may be of another node: all that its device has not acknowledged, in the
/// order of the store.
///
/// Not from that row: another node may still be about to tell it of an earlier one, whose sender has written a later one, too. What is read
/// again is what was pushed and is not acknowledged, a window at most.
pub(crate) const READS_FROM: Seq = Seq(1);

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
