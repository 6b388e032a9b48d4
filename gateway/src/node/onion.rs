//! The node's address in the Tor network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::address::endtoend_address;
use super::data_dir::{DataDir, DataDirError};
use super::error::ServeError;
use super::identity::Pin;
use super::secrets::{self, ONION_KEY, Outside};
use crate::admin::OnionShown;
use crate::config::{OnionConfig, OnionHost};
use crate::onion::{FOLDER, OnionKey, OnionState};
#[cfg(feature = "onion")]
use crate::onion::{Hosted, Hosting};

/// The key, where there is one.
///
/// # Errors
/// As a start of the node.
pub(crate) fn found_onion_key(data: &Path, outside: &Outside) -> Result<Option<OnionKey>, DataDirError> {
    let Some(found) = secrets::find(data, outside, &ONION_KEY)? else { return Ok(None) };
    let damaged = || DataDirError::Damaged { path: data.join(ONION_KEY.file) };
    OnionKey::from_seed(&found.bytes).map(Some).ok_or_else(damaged)
}

/// What the node says and does about its onion service.
pub(super) struct Onion {
    key: OnionKey,
    config: OnionConfig,
}

impl Onion {
    /// `None` where it is off.
    ///
    /// # Errors
    /// `DataDir`.
    pub(super) fn open(config: &OnionConfig, data: &DataDir) -> Result<Option<Self>, ServeError> {
        if !config.enabled {
            return Ok(None);
        }
        let seed = data.own_secret(&ONION_KEY, FOLDER, OnionKey::new_seed)?;
        let key = OnionKey::from_seed(&seed).ok_or_else(|| data.damaged(&ONION_KEY))?;
        Ok(Some(Self { key, config: config.clone() }))
    }

    /// A name of the node, which its certificate has to carry.
    pub(super) fn host(&self) -> String {
        self.key.host()
    }

    /// What clients are told.
    pub(super) fn address(&self, pin: Pin) -> String {
        endtoend_address(&self.host(), self.config.port, pin)
    }

    /// What operators are shown, and what goes on until the node ends.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(super) fn start(
        self,
        pin: Pin,
        listen: SocketAddr,
        data: &Path,
        connections_max: usize,
    ) -> Result<(OnionShown, Option<Running>), ServeError> {
        let (address, host) = (self.address(pin), self.config.host);
        if host == OnionHost::Tor {
            return Ok((OnionShown::new(address, host, OnionState::Elsewhere), None));
        }
        #[cfg(feature = "onion")]
        {
            let Self { key, config } = self;
            let clients = config.client_keys().map_err(ServeError::OnionClients)?;
            let arti = Some(config.arti).filter(|path| !path.as_os_str().is_empty());
            let target = config.target.unwrap_or_else(|| reached(listen));
            let hosting =
                Hosting { key, port: config.port, target, clients, folder: data.join(FOLDER), arti, connections_max };
            let hosted = Hosted::start(hosting).map_err(ServeError::OnionThread)?;
            Ok((OnionShown { address, host, state: hosted.state() }, Some(Running(hosted))))
        }
        // Refused when the configuration was read.
        #[cfg(not(feature = "onion"))]
        {
            let _unused = (data, connections_max, reached(listen));
            Ok((OnionShown::new(address, host, OnionState::Elsewhere), None))
        }
    }
}

/// What goes on until the node ends.
pub(super) struct Running(#[cfg(feature = "onion")] Hosted);

impl Running {
    /// Ends it.
    pub(super) async fn stop(self) {
        #[cfg(feature = "onion")]
        self.0.stop().await;
    }
}

/// Where this machine finds who listens there.
fn reached(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { (IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()).into() } else { listen }
}
