//! Where an envelope goes: to the mailbox of its recipient, or straight to the store.

mod lanes;
mod routes;

use std::sync::Arc;

use actix::Recipient;
use endtoend_protocol::RetryReason;

use crate::letter::Letter;
use crate::mailbox::Enqueue;
use crate::queue_writer::{Persist, Then};
use crate::receipt::{Outcome, Receipt};

pub(crate) use lanes::{Lane, Lanes};
pub(crate) use routes::{Route, Routes};

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

    /// Every path ends in `receipt` being settled, by value or by being dropped, and its place in `lanes` with it.
    pub(crate) fn route(&self, letter: Letter, receipt: Receipt, lanes: &mut Lanes) {
        let to = letter.envelope.to;
        let mailbox = || self.routes.mailbox(to.account);
        let (lane, mailbox) = match lanes.taken(to) {
            Some(Lane::Store) => (Lane::Store, None),
            Some(Lane::Mailbox) => (Lane::Mailbox, mailbox()),
            None => mailbox().map_or((Lane::Store, None), |mailbox| (Lane::Mailbox, Some(mailbox))),
        };
        lanes.take(letter.envelope.id, to, lane);
        match (lane, mailbox) {
            (Lane::Store, _) => self.to_store(letter, receipt),
            // Full, or going away with the earlier ones: whatever becomes of them, this one comes after.
            (Lane::Mailbox, None) => receipt.settle(BUSY),
            (Lane::Mailbox, Some(mailbox)) => {
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
