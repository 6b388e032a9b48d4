//! What commands work with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use endtoend_cluster::Secrets;
use endtoend_protocol::UnixMillis;
use endtoend_storage::Maintenance;
use tokio::sync::{Semaphore, watch};

use super::request::OnionView;
use crate::commands::Failure;
use crate::config::{Config, OnionHost};
use crate::health::Readiness;
use crate::node::{Lifecycle, Membership};
use crate::onion::OnionState;
use crate::services::Services;

/// A node, running or stopped, as commands see it.
pub(crate) struct AdminContext {
    pub(crate) store: Arc<dyn Maintenance>,
    /// Absolute.
    pub(crate) data: PathBuf,
    /// Files of the secrets that come from outside.
    pub(crate) outside: Vec<&'static str>,
    /// `None` for a command that takes a stopped node's store as it is.
    services: Option<Arc<Services>>,
    /// `None` when the node is stopped and the command has opened its directory itself.
    pub(crate) running: Option<Running>,
    /// What the nodes of the cluster share, of a member that is stopped.
    shared: Option<Arc<Secrets>>,
    /// One backup at a time: two would only wait for the same disk.
    pub(crate) backups: Semaphore,
}

/// What only a running node knows.
pub(crate) struct Running {
    pub(crate) since: UnixMillis,
    pub(crate) listen: SocketAddr,
    pub(crate) address: String,
    /// Of the listener for those who watch.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) readiness: Arc<Readiness>,
    /// What it was started with.
    pub(crate) config: Config,
    pub(crate) lifecycle: watch::Receiver<Lifecycle>,
    /// None when it is alone.
    pub(crate) membership: Option<Arc<Membership>>,
    /// None where it has none.
    pub(crate) onion: Option<OnionShown>,
}

/// An onion service, as it is at any moment.
pub(crate) struct OnionShown {
    pub(crate) address: String,
    pub(crate) host: OnionHost,
    pub(crate) state: watch::Receiver<OnionState>,
}

impl OnionShown {
    /// One whose state nobody tells.
    pub(crate) fn new(address: String, host: OnionHost, state: OnionState) -> Self {
        Self { address, host, state: watch::channel(state).1 }
    }

    pub(crate) fn view(&self) -> OnionView {
        let state = self.state.borrow();
        OnionView {
            address: self.address.clone(),
            host: self.host.as_str().to_owned(),
            state: state.as_str().to_owned(),
            detail: state.detail(),
        }
    }
}

impl AdminContext {
    pub(crate) fn new(
        store: Arc<dyn Maintenance>,
        data: PathBuf,
        outside: Vec<&'static str>,
        services: Option<Arc<Services>>,
        running: Option<Running>,
    ) -> Self {
        Self { store, data, outside, services, running, shared: None, backups: Semaphore::new(1) }
    }

    /// Of a member that is stopped.
    #[must_use]
    pub(super) fn with_shared(self, shared: Option<Arc<Secrets>>) -> Self {
        Self { shared, ..self }
    }

    /// The secrets of the cluster, for a member of one: they are not in files.
    pub(crate) fn shared(&self) -> Option<Arc<Secrets>> {
        let running = self.running.as_ref().and_then(|running| running.membership.as_ref());
        match running {
            Some(membership) => membership.control.secrets().get().map(|(_, secrets)| secrets),
            None => self.shared.clone(),
        }
    }

    /// What commands on accounts work with.
    pub(super) fn services(&self) -> Result<&Services, Failure> {
        self.services.as_deref().ok_or_else(|| Failure::new("this command cannot open the store of this node"))
    }
}
