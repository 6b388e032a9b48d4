//! What all actors share.

use actix::{Message, Recipient};

/// Answers a request, or pushes what a credit window allows.
///
/// actix does not bound what `do_send` queues, so this is for messages that are bounded by what they answer: one
/// `SendSettled` for each `Send` within the window, one `Persisted` for each `Persist`, deliveries within the credit.
/// A receiver that is gone needs no answer.
pub(crate) fn reply<M>(to: &Recipient<M>, message: M)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    #[expect(clippy::disallowed_methods, reason = "bounded by the request that it answers")]
    to.do_send(message);
}
