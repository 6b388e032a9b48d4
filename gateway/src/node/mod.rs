//! One running node: what its parts are, and how they are put together.

mod address;
mod care;
mod certificates;
mod data_dir;
mod drain;
mod error;
mod identity;
mod lifecycle;
mod member;
mod move_store;
mod onion;
mod open;
mod open_files;
mod opening;
mod parts;
mod secrets;
mod serve;
mod sockets;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::Recipient;
use tokio::sync::watch;

use crate::connection::Guests;
use crate::directory::{AttachTo, LeaveTo};
use crate::elsewhere::Departed;
use crate::mailbox::AttachmentId;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::router::Router;
use crate::services::Services;
use crate::sessions::Notice;

pub use certificates::{CertificateError, KeyHash};
pub(crate) use data_dir::{DATABASE, ELSEWHERE, LOCK, UNFINISHED, has_store};
pub use data_dir::{DataDir, DataDirError};
pub use error::ServeError;
pub use identity::Pin;
pub(crate) use identity::{Identity, Introduced};
pub(crate) use lifecycle::{Lifecycle, come_back_after};
pub(crate) use member::{ANOTHER_AUTHORITY, Stranger, is_loopback};
pub use member::{JoinError, Joining, MemberError};
pub(crate) use member::{Membership, Report};
pub(crate) use move_store::{Moved, move_store};
pub(crate) use onion::found_onion_key;
pub(crate) use open::{OpenConnection, OpenConnections};
pub use open_files::{TooFewFiles, fit_default};
pub(crate) use opening::{services_alone, shared_secrets};
pub(crate) use secrets::all as all_secrets;
pub use secrets::{OWN, Outside, OutsideFault, SECRETS, Secret, SecretOrigin, SecretState, secret_states};
pub use serve::{News, Ready, serve};
pub use sockets::HandedOver;
pub use store::OpenStoreError;
pub(crate) use store::{ChosenStore, configured_url, url_in};

/// KiB of envelopes that the node holds for senders that wait for an answer, and with it the number of such sends.
pub(crate) const SENDS_MAX: usize = 64 * 1024;

/// What every connection of the node shares.
pub(crate) struct Node {
    pub(crate) identity: Arc<Identity>,
    pub(crate) services: Arc<Services>,
    pub(crate) router: Arc<Router>,
    pub(crate) directory: Recipient<AttachTo>,
    pub(crate) leave: Recipient<LeaveTo>,
    /// Who hears of connections that have ended; none where there are no other nodes.
    pub(crate) departed: Option<Recipient<Departed>>,
    pub(crate) guests: Arc<Guests<Recipient<Notice>>>,
    pub(crate) memory: Memory,
    pub(crate) metrics: Arc<Metrics>,
    attachments: AtomicU64,
    connections: AtomicU64,
    lifecycle: watch::Receiver<Lifecycle>,
}

/// Whom connections tell that they come and go.
pub(crate) struct Ways {
    pub(crate) directory: Recipient<AttachTo>,
    pub(crate) leave: Recipient<LeaveTo>,
    /// None where there are no other nodes.
    pub(crate) departed: Option<Recipient<Departed>>,
}

/// What a node is told of itself.
pub(crate) struct Common {
    pub(crate) guests_max: usize,
    pub(crate) lifecycle: watch::Receiver<Lifecycle>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Node {
    pub(crate) fn new(
        identity: Arc<Identity>,
        services: Arc<Services>,
        router: Arc<Router>,
        memory: Memory,
        Ways { directory, leave, departed }: Ways,
        Common { guests_max, lifecycle, metrics }: Common,
    ) -> Self {
        let (attachments, connections) = (AtomicU64::new(0), AtomicU64::new(0));
        let guests = Guests::new(guests_max);
        Self {
            identity,
            services,
            router,
            directory,
            leave,
            departed,
            guests,
            memory,
            metrics,
            attachments,
            connections,
            lifecycle,
        }
    }

    /// Names a connection in the log. Counts from 1 since the node started.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn next_attachment(&self) -> AttachmentId {
        AttachmentId(self.attachments.fetch_add(1, Ordering::Relaxed))
    }

    /// What the node takes on.
    pub(crate) fn lifecycle(&self) -> Lifecycle {
        *self.lifecycle.borrow()
    }

    /// The same, with its changes.
    pub(crate) fn watch_lifecycle(&self) -> watch::Receiver<Lifecycle> {
        self.lifecycle.clone()
    }
}
