//! Where an envelope goes: to the mailbox of its recipient, or straight to the store.

mod lanes;
mod routes;
mod table;

use std::sync::Arc;
use std::time::Instant;

use actix::Recipient;
use endtoend_protocol::RetryReason;

use crate::elsewhere::Elsewhere;
use crate::letter::Letter;
use crate::mailbox::Enqueue;
use crate::queue_writer::{Persist, Then};
use crate::receipt::{Outcome, Receipt};

pub(crate) use lanes::{Lanes, Places, Way};
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
    /// None: there are no other nodes.
    elsewhere: Option<Arc<Elsewhere>>,
}

impl Router {
    pub(crate) fn new(routes: Arc<Routes>, persist: Recipient<Persist>, elsewhere: Option<Arc<Elsewhere>>) -> Self {
        Self { routes, persist, elsewhere }
    }

    /// Mailboxes that are in the table.
    pub(crate) fn mailboxes(&self) -> usize {
        self.routes.len()
    }

    /// Devices here, claimed ones, and exclusive ones; none where there are no other nodes.
    pub(crate) fn claimed(&self, now: Instant) -> (usize, usize, usize) {
        self.elsewhere.as_ref().map(|elsewhere| elsewhere.count(now)).unwrap_or_default()
    }

    /// Every path ends in `receipt` being settled, by value or by being dropped, and its place in `lanes` with it.
    /// `n` is its number on its connection.
    pub(crate) fn route(&self, n: u64, letter: Letter, receipt: Receipt, lanes: &mut Lanes) {
        let (id, to) = ((letter.envelope.id, n), letter.envelope.to);
        let way = match &self.elsewhere {
            None => lanes.choose(id, to, &|| self.routes.mailbox(to.account)),
            Some(elsewhere) => lanes.choose(id, to, &elsewhere.places(&self.routes, to, true)),
        };
        self.send(way, letter, receipt);
    }

    /// The same for an envelope that has come from another node: it goes no further.
    pub(crate) fn route_here(&self, n: u64, letter: Letter, receipt: Receipt, lanes: &mut Lanes) {
        let Some(elsewhere) = &self.elsewhere else { return self.route(n, letter, receipt, lanes) };
        let (id, to) = ((letter.envelope.id, n), letter.envelope.to);
        let way = lanes.choose(id, to, &elsewhere.places(&self.routes, to, false));
        self.send(way, letter, receipt);
    }

    fn send(&self, way: Way<Recipient<Enqueue>>, letter: Letter, receipt: Receipt) {
        match (way, &self.elsewhere) {
            (Way::Store, _) => self.to_store(letter, receipt),
            (Way::Mailbox(mailbox), _) => {
                // Full, or going away.
                if let Err(refused) = mailbox.try_send(Enqueue { letter, receipt }) {
                    refused.into_inner().receipt.settle(BUSY);
                }
            }
            (Way::Peer(link), Some(elsewhere)) => elsewhere.forward(link, letter, receipt),
            (Way::Busy | Way::Peer(_), _) => receipt.settle(BUSY),
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
