//! The one answer that every `Send` gets.

use std::fmt;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};
use endtoend_protocol::{Address, EnvelopeId, RejectReason, RetryReason, UnixMillis};
use tokio::sync::OwnedSemaphorePermit;

use crate::course::Turn;

/// What became of a `Send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The envelope is safe.
    Accepted { at: UnixMillis },
    /// Not now.
    Retry(RetryReason),
    /// It was sent once more meanwhile, and that has its place: its sender has to repeat it only as long as he hears of neither.
    Superseded,
    /// Beyond a limit: not before this has passed.
    Limited { retry_after: Duration },
    /// Never.
    Rejected(RejectReason),
}

impl Outcome {
    /// Whether the sender is to send the same envelope again, in its place. One for other devices is sealed anew.
    pub(crate) const fn is_to_come_again(self) -> bool {
        match self {
            Self::Retry(RetryReason::Devices) | Self::Superseded | Self::Accepted { .. } | Self::Rejected(_) => false,
            Self::Retry(_) | Self::Limited { .. } => true,
        }
    }
}

/// Tells a connection what became of a `Send` of its client.
///
/// Has the place in the send window: it is free when the connection has handled the answer, so that no more answers wait
/// for a connection than its window has places.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SendSettled {
    pub id: EnvelopeId,
    pub to: Address,
    pub outcome: Outcome,
    /// When the connection heard the `Send`.
    pub arrived: Instant,
    _place: Option<OwnedSemaphorePermit>,
}

/// The way to whoever waits for the answers.
pub(crate) trait Answer {
    fn answer(self, settled: SendSettled);
}

impl Answer for Recipient<SendSettled> {
    fn answer(self, settled: SendSettled) {
        crate::actors::reply(&self, settled);
    }
}

/// The right to one answer, and the place in line that goes with it.
///
/// Settled once, by value. Dropped unsettled, because a mailbox panicked or a queue was full, it answers
/// `Retry(Busy)`: the sender repeats the envelope, and its id makes the repeat harmless. Whoever has one of those that were
/// sent after it in hand knows so at once.
pub(crate) struct Receipt<A: Answer = Recipient<SendSettled>> {
    id: EnvelopeId,
    to: Address,
    turn: Option<Turn>,
    sender: Option<A>,
    arrived: Instant,
    /// In the sender's window: goes with the answer.
    place: Option<OwnedSemaphorePermit>,
    /// A share of the node's memory: given back before the answer leaves, so that whoever hears it has room.
    memory: Option<OwnedSemaphorePermit>,
}

impl<A: Answer> Receipt<A> {
    pub(crate) fn new(
        (id, to, turn): (EnvelopeId, Address, Option<Turn>),
        sender: A,
        place: OwnedSemaphorePermit,
        memory: OwnedSemaphorePermit,
        arrived: Instant,
    ) -> Self {
        Self { id, to, turn, sender: Some(sender), arrived, place: Some(place), memory: Some(memory) }
    }

    pub(crate) fn settle(mut self, outcome: Outcome) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Outcome) {
        if let Some(sender) = self.sender.take() {
            drop(self.memory.take());
            let Self { id, to, .. } = *self;
            if outcome.is_to_come_again()
                && let Some(turn) = self.turn.take()
            {
                turn.refused(to);
            }
            sender.answer(SendSettled { id, to, outcome, arrived: self.arrived, _place: self.place.take() });
        }
    }
}

impl<A: Answer> Drop for Receipt<A> {
    fn drop(&mut self) {
        self.answer(Outcome::Retry(RetryReason::Busy));
    }
}

impl<A: Answer> fmt::Debug for Receipt<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix::{Actor, Context, Handler};
    use endtoend_protocol::{AccountTag, DeviceId};
    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    #[test]
    fn only_what_comes_again_as_it_is_is_waited_for() {
        assert!(Outcome::Retry(RetryReason::QueueFull).is_to_come_again());
        assert!(Outcome::Limited { retry_after: Duration::from_secs(1) }.is_to_come_again());
        let never = Outcome::Rejected(RejectReason::UnknownRecipient);
        for outcome in [Outcome::Accepted { at: UnixMillis::new(1) }, never, Outcome::Retry(RetryReason::Devices)] {
            assert!(!outcome.is_to_come_again(), "{outcome:?}");
        }
    }

    struct Probe(mpsc::UnboundedSender<Outcome>);
    impl Actor for Probe {
        type Context = Context<Self>;
    }
    impl Handler<SendSettled> for Probe {
        type Result = ();
        fn handle(&mut self, settled: SendSettled, _: &mut Self::Context) {
            self.0.send(settled.outcome).unwrap();
        }
    }

    async fn outcome_of(what_happens: impl FnOnce(Receipt)) -> (Outcome, usize) {
        let (sender, mut outcomes) = mpsc::unbounded_channel();
        let window = Arc::new(Semaphore::new(1));
        let memory = Arc::new(Semaphore::new(1));
        let (place, memory) = (window.clone().try_acquire_owned().unwrap(), memory.try_acquire_owned().unwrap());
        let id = EnvelopeId::new(UnixMillis::new(1), [0; 10]);
        let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
        what_happens(Receipt::new(
            (id, to, None),
            Probe(sender).start().recipient(),
            place,
            memory,
            crate::clock::monotonic(),
        ));
        let outcome = outcomes.recv().await.unwrap();
        // The probe stops when nobody can write to it: then there is no second answer.
        assert!(outcomes.recv().await.is_none(), "one answer");
        (outcome, window.available_permits())
    }

    #[test]
    fn a_receipt_answers_once_and_gives_its_place_back() {
        actix_web::rt::System::new().block_on(async {
            let at = UnixMillis::new(5);
            let accepted = Outcome::Accepted { at };
            assert_eq!(outcome_of(|receipt| receipt.settle(accepted)).await, (accepted, 1));
        });
    }

    #[test]
    fn a_receipt_that_is_lost_tells_its_sender_to_repeat() {
        actix_web::rt::System::new().block_on(async {
            assert_eq!(outcome_of(drop).await, (Outcome::Retry(RetryReason::Busy), 1));
            let panicked = outcome_of(|receipt| {
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                    let _receipt = receipt;
                    panic!("in a handler");
                }));
                assert!(caught.is_err());
            });
            assert_eq!(panicked.await, (Outcome::Retry(RetryReason::Busy), 1));
        });
    }
}
