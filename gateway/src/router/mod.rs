//! Where an envelope goes: to the mailbox of its recipient, or straight to the store.

mod lanes;
mod routes;
mod table;

use std::sync::Arc;

use actix::Recipient;
use endtoend_protocol::RetryReason;

use crate::letter::Letter;
use crate::mailbox::Enqueue;
use crate::queue_writer::{Persist, Then};
use crate::receipt::{Outcome, Receipt};

pub(crate) use lanes::{Lanes, Way};
pub(crate) use routes::{Route, Routes};
#[cfg(test)]
pub(crate) use table::Table;

/// What a sender hears when there is no room on the way, or no way.
const BUSY: Outcome = Outcome::Retry(RetryReason::Busy);

/// Sends each envelope on its way. Each connection holds one, shared.
#[derive(Debug)]
pub(crate) struct Router {
    routes: Arc<Routes>,
    persist: Recipient<Persist>,
}

impl Router {
    pub(crate) fn new(routes: Arc<Routes>, persist: Recipient<Persist>) -> Self {
        Self { routes, persist }
    }

    /// Mailboxes that are in the table.
    pub(crate) fn mailboxes(&self) -> usize {
        self.routes.len()
    }

    /// Every path ends in `receipt` being settled, by value or by being dropped, and its place in `lanes` with it.
    pub(crate) fn route(&self, letter: Letter, receipt: Receipt, lanes: &mut Lanes) {
        let to = letter.envelope.to;
        match lanes.choose(letter.envelope.id, to, || self.routes.mailbox(to.account)) {
            Way::Store => self.to_store(letter, receipt),
            Way::Busy => receipt.settle(BUSY),
            Way::Mailbox(mailbox) => {
                // Full, or going away.
                if let Err(refused) = mailbox.try_send(Enqueue { letter, receipt }) {
                    refused.into_inner().receipt.settle(BUSY);
                }
            }
        }
    }

    fn to_store(&self, letter: Letter, receipt: Receipt) {
        let persist = Persist { letter, then: Then::Settle(receipt) };
        if let Err(refused) = self.persist.try_send(persist)
            && let Persist { then: Then::Settle(receipt), .. } = refused.into_inner()
        {
            receipt.settle(BUSY);
        }
    }
}
