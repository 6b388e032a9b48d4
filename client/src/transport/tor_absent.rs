//! In the place of Tor, in a build without it: whoever needs it hears that, and nothing goes another way instead.
#![expect(dead_code, reason = "nobody reads an order here")]

use std::path::PathBuf;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use super::ConnectError;
use super::choice::NetworkSettings;
use super::circuits::Circuit;
use super::network::NetworkStatus;
use super::stream::Stream;
use super::trouble::{TorState, TorTrouble};

/// As Tor's own.
pub(super) enum Order {
    Ready(oneshot::Sender<Result<(), TorTrouble>>),
    Open { host: String, port: u16, circuit: Circuit, reply: oneshot::Sender<Result<Stream, ConnectError>> },
    Restart,
}

/// As Tor's own.
pub(super) struct Plan {
    pub(super) settings: NetworkSettings,
    pub(super) folder: PathBuf,
    pub(super) status: watch::Sender<NetworkStatus>,
}

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
