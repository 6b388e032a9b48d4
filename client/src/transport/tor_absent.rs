//! In the place of Tor, in a build without it: whoever needs it hears that, and nothing goes another way instead.

use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::orders::{Order, Plan};
use super::trouble::{TorState, TorTrouble};

/// Never there.
pub(super) enum Tor {}

impl Tor {
    pub(super) fn start(plan: Plan) -> Result<Self, TorTrouble> {
        let Plan { status, .. } = plan;
        let trouble = TorTrouble::NotBuilt;
        status.send_modify(|status| status.tor = TorState::Trouble { percent: 0, trouble: trouble.clone() });
        Err(trouble)
    }

    pub(super) fn orders(&self) -> mpsc::Sender<Order> {
        match *self {}
    }

    pub(super) fn stop(self) -> JoinHandle<()> {
        match self {}
    }
}
