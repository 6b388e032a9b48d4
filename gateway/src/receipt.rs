//! The one answer that every `Send` gets.

use std::fmt;

use actix::{Message, Recipient};
use endtoend_protocol::{Address, EnvelopeId, RejectReason, RetryReason, UnixMillis};
use tokio::sync::OwnedSemaphorePermit;

/// What became of a `Send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The envelope is safe.
    Accepted { at: UnixMillis },
    /// Not now.
    Retry(RetryReason),
    /// Never.
    Rejected(RejectReason),
}

/// Tells a connection what became of a `Send` of its client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendSettled {
    pub id: EnvelopeId,
    pub to: Address,
    pub outcome: Outcome,
}

/// The right to one answer, and the place in line that goes with it.
///
/// Settled once, by value. Dropped unsettled, because a mailbox panicked or a queue was full, it answers
/// `Retry(Busy)`: the sender repeats the envelope, and its id makes the repeat harmless.
pub struct Receipt {
    id: EnvelopeId,
    to: Address,
    sender: Option<Recipient<SendSettled>>,
    /// The sender's window and the node's share of memory: given back when the answer is on its way.
    _permits: [OwnedSemaphorePermit; 2],
}

impl Receipt {
    pub fn new(
        id: EnvelopeId,
        to: Address,
        sender: Recipient<SendSettled>,
        permits: [OwnedSemaphorePermit; 2],
    ) -> Self {
        Self { id, to, sender: Some(sender), _permits: permits }
    }

    pub fn settle(mut self, outcome: Outcome) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Outcome) {
        if let Some(sender) = self.sender.take() {
            crate::actors::reply(&sender, SendSettled { id: self.id, to: self.to, outcome });
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.answer(Outcome::Retry(RetryReason::Busy));
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({})", self.id)
    }
}
