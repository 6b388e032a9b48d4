//! Everything the queue writer can be told, with the replies.

use actix::{Message, Recipient};
use endtoend_protocol::{Address, EnvelopeId, UnixMillis};
use endtoend_storage::{AppendOutcome, Seq};
use tokio::sync::oneshot;

use super::ticket::Ticket;
use crate::letter::Letter;
use crate::receipt::Receipt;

/// Commit this envelope to the store. `M` is the way to a mailbox, `R` the right to answer a sender.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Persist<M = Recipient<Persisted>, R = Receipt> {
    pub letter: Letter,
    pub then: Then<M, R>,
}

/// Who hears what became of a [`Persist`].
#[derive(Debug)]
pub(crate) enum Then<M = Recipient<Persisted>, R = Receipt> {
    /// The mailbox that pushes the envelope to its device meanwhile, and may elide the write.
    Tell { mailbox: M, ticket: Ticket },
    /// The sender, and whatever mailbox has appeared meanwhile: nobody was attached.
    Settle(R),
}

/// The writer has tried to commit an envelope. `None`: the store did not confirm, the row may exist.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Persisted {
    pub to: Address,
    pub id: EnvelopeId,
    /// The time that the row has, if there is one: an envelope that was sent again may have been written with another.
    pub accepted_at: UnixMillis,
    pub outcome: Option<AppendOutcome>,
}

/// Delete these rows: their device has them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Forget {
    pub to: Address,
    pub rows: Vec<Seq>,
}

/// Answer when nothing waits and no commit is under way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct UntilWritten(pub oneshot::Sender<()>);
