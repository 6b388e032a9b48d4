//! What commands work with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use endtoend_protocol::UnixMillis;
use endtoend_storage::Maintenance;
use tokio::sync::{Semaphore, watch};

use crate::commands::Failure;
use crate::config::Config;
use crate::health::Readiness;
use crate::node::Lifecycle;
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
}

impl AdminContext {
    pub(crate) fn new(
        store: Arc<dyn Maintenance>,
        data: PathBuf,
        outside: Vec<&'static str>,
        services: Option<Arc<Services>>,
        running: Option<Running>,
    ) -> Self {
        Self { store, data, outside, services, running, backups: Semaphore::new(1) }
    }

    /// What commands on accounts work with.
    pub(super) fn services(&self) -> Result<&Services, Failure> {
        self.services.as_deref().ok_or_else(|| Failure::new("this command cannot open the store of this node"))
    }
}
