//! What a write leads to: what goes to the store, and who hears in which order what became of it.

use endtoend_protocol::{Address, RejectReason, RetryReason, UnixMillis, limits};
use endtoend_storage::{Append, AppendOutcome, Seq, Tray};

use super::group_commit::{Claim, LaneName, Write};
use super::messages::{Persist, Persisted, Then};
use crate::course::Turn;
use crate::letter::Letter;
use crate::receipt::Outcome;

/// Who hears of a commit.
#[derive(Debug)]
pub(crate) enum Told<M, R> {
    /// The mailbox that handed the envelope over.
    Mailbox(M, Persisted),
    /// Whatever mailbox there is for this device now: a row was committed that did not come by there.
    Wake(Address, Seq),
    /// The sender.
    Sender(R, Outcome),
}

impl<M, R> Persist<M, R> {
    /// What of it goes to the store.
    pub(crate) fn to_append(&self) -> Append {
        let Letter { envelope, accepted_at, tray, .. } = &self.letter;
        Append {
            tray: *tray,
            to: envelope.to,
            id: envelope.id,
            body: envelope.body.clone(),
            accepted_at: *accepted_at,
            expires_at: accepted_at.plus(limits::QUEUE_AGE_MAX),
        }
    }

    /// It is to come again: nothing that was sent after it may take effect from now on.
    pub(crate) fn refuse(&self) {
        self.letter.refuse();
        match &self.then {
            Then::Tell { ticket, .. } => ticket.refuse(self.letter.envelope.to),
            // Its receipt says so when it is settled.
            Then::Settle(_) => {}
        }
    }

    /// Who is told, in this order, what became of it. `None`: the store did not confirm.
    ///
    /// Invariant 1: nothing is called safe before this, which follows the commit. Invariant 4: commit first, look for a
    /// mailbox second; and before the sender hears of it, so that whatever it sends next reaches that mailbox after the
    /// wake-up.
    pub(crate) fn concluded(self, outcome: Option<AppendOutcome>) -> impl Iterator<Item = Told<M, R>> {
        if outcome_for_sender(outcome, self.letter.accepted_at).is_to_come_again() {
            // Before the next batch is put together.
            self.refuse();
        }
        let Self { letter, then } = self;
        let Letter { envelope, accepted_at, .. } = letter;
        let told = match then {
            Then::Tell { mailbox, .. } => [
                Some(Told::Mailbox(mailbox, Persisted { to: envelope.to, id: envelope.id, accepted_at, outcome })),
                None,
            ],
            Then::Settle(receipt) => {
                let wake = place_of(outcome).map(|seq| Told::Wake(envelope.to, seq));
                [wake, Some(Told::Sender(receipt, outcome_for_sender(outcome, accepted_at)))]
            }
        };
        told.into_iter().flatten()
    }
}

impl<M, R> Write for Persist<M, R> {
    fn bytes(&self) -> usize {
        self.letter.envelope.body.len()
    }
    fn may_be_elided(&self) -> bool {
        matches!(self.then, Then::Tell { .. })
    }
    fn is_elided(&self) -> bool {
        match &self.then {
            Then::Tell { ticket, .. } => ticket.is_elided(),
            Then::Settle(_) => false,
        }
    }
    fn claim(&self) -> Claim {
        let is_wanted = match &self.then {
            Then::Tell { ticket, .. } => ticket.claim(),
            Then::Settle(_) => true,
        };
        match is_wanted {
            false => Claim::Elided,
            true if self.letter.overtakes() => {
                // Before the next one of this batch is claimed.
                self.refuse();
                Claim::Overtakes
            }
            true => Claim::Taken,
        }
    }
    fn may_be_refused_alone(&self) -> bool {
        self.letter.tray == Tray::Requests
    }
    fn lanes(&self) -> impl Iterator<Item = LaneName> {
        let to = self.letter.envelope.to;
        let again = match &self.then {
            Then::Tell { ticket, .. } => ticket.courses(),
            Then::Settle(_) => Vec::new(),
        };
        let first = self.letter.turn.as_ref().map(Turn::course);
        first.into_iter().chain(again).map(move |course| LaneName { course, to })
    }
}

/// Where the row is, if one was committed.
pub(crate) fn place_of(outcome: Option<AppendOutcome>) -> Option<Seq> {
    match outcome {
        Some(AppendOutcome::Stored(seq) | AppendOutcome::Repeat(seq)) => Some(seq),
        Some(AppendOutcome::Full | AppendOutcome::UnknownDevice) | None => None,
    }
}

/// What a sender is told of a commit.
pub(crate) fn outcome_for_sender(outcome: Option<AppendOutcome>, at: UnixMillis) -> Outcome {
    match outcome {
        Some(AppendOutcome::Stored(_) | AppendOutcome::Repeat(_)) => Outcome::Accepted { at },
        Some(AppendOutcome::Full) => Outcome::Retry(RetryReason::QueueFull),
        Some(AppendOutcome::UnknownDevice) => Outcome::Rejected(RejectReason::UnknownRecipient),
        None => Outcome::Retry(RetryReason::Unavailable),
    }
}
