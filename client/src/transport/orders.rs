//! How Tor is to start, and what it is to do: the same whether this build has one or not.
#![cfg_attr(not(feature = "tor"), expect(dead_code, reason = "without Tor nobody reads an order"))]

use std::path::PathBuf;

use tokio::sync::{oneshot, watch};

use super::ConnectError;
use super::choice::NetworkSettings;
use super::circuits::Circuit;
use super::network::NetworkStatus;
use super::stream::Stream;
use super::trouble::TorTrouble;

/// What Tor is to do.
pub(super) enum Order {
    /// Say when it can be used, or why it can't.
    Ready(oneshot::Sender<Result<(), TorTrouble>>),
    /// Open a stream.
    Open { host: String, port: u16, circuit: Circuit, reply: oneshot::Sender<Result<Stream, ConnectError>> },
    /// Forget everything that was learnt about relays since the start.
    Restart,
}

/// How it is to start.
pub(super) struct Plan {
    pub(super) settings: NetworkSettings,
    /// Its own, kept from others.
    pub(super) folder: PathBuf,
    pub(super) status: watch::Sender<NetworkStatus>,
}
