//! The engine and its way to the network: another one, or other circuits, while it runs.

use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::event::Event;
use super::run::{Plan, Runner};
use crate::database::{AccountState, DatabaseError};
use crate::transport::{Network, NetworkSettings};

impl Runner {
    /// Tells every change of the network's state, for as long as the engine lives.
    pub(super) fn tell_network(&self) -> JoinHandle<()> {
        let (mut status, events): (_, broadcast::Sender<Event>) = (self.told_network.subscribe(), self.events());
        status.mark_changed();
        tokio::spawn(async move {
            while status.changed().await.is_ok() {
                let status = status.borrow_and_update().clone();
                // Nobody may be listening.
                let _listeners = events.send(Event::Network(status));
            }
        })
    }

    /// Keeps the choice, and leaves the way before at once.
    pub(super) fn set_network(&mut self, settings: NetworkSettings) -> Result<(), DatabaseError> {
        self.database().write(|store| store.set_network(&settings))?;
        let next = Network::telling(settings, self.profile.home(), self.told_network.clone());
        if let Some(account) = &self.account {
            next.expect(&account.server.host);
        }
        self.outdated.push(std::mem::replace(&mut self.network, next));
        self.rewire();
        Ok(())
    }

    /// Other circuits from now on.
    pub(super) fn new_circuits(&mut self) {
        self.network.renew_circuits();
        self.rewire();
    }

    /// Whatever is connected ends, and what is wanted is connected anew.
    fn rewire(&mut self) {
        let registered = self.account.as_ref().is_some_and(|account| account.state == AccountState::Registered);
        if matches!(self.plan, Plan::Now | Plan::At(_)) || (self.options.online && registered) {
            self.plan = Plan::Now;
        }
        self.rewired = true;
    }

    /// Ends the ways that were left. Nothing is connected through them any more.
    pub(super) async fn close_outdated(&mut self) {
        for network in std::mem::take(&mut self.outdated) {
            network.close().await;
            self.network.announce();
        }
    }
}
