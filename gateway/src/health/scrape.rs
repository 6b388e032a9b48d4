//! The numbers of a node, gathered when somebody asks.

use std::sync::Arc;

use actix_web::web;
use endtoend_protocol::UnixMillis;

use super::oldest::Oldest;
use super::readiness::Readiness;
use crate::clock;
use crate::metrics::{Levels, ProcessLevels};
use crate::node::{Membership, Node, OpenConnections, SENDS_MAX};

/// What answers those who watch.
pub(crate) struct Watched {
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) oldest: Oldest,
    pub(crate) node: Arc<Node>,
    pub(crate) open: OpenConnections,
    /// Kind of the store.
    pub(crate) store: &'static str,
    pub(crate) started: UnixMillis,
    pub(crate) connections_max: u32,
    /// None when it is alone.
    pub(crate) membership: Option<Arc<Membership>>,
}

impl Watched {
    /// Everything that is counted, as Prometheus reads it.
    pub(super) async fn expose(&self) -> String {
        let (reasons, oldest_waiting) = tokio::join!(self.readiness.reasons(), self.oldest.age(clock::now()));
        let process = web::block(ProcessLevels::read).await.unwrap_or_default();
        let (node, services) = (&self.node, &self.node.services);
        let (audit_waiting, audit_missed) = services.audit_backlog();
        node.metrics.expose(&Levels {
            now: clock::monotonic(),
            started: self.started,
            store: self.store,
            reasons,
            oldest_waiting,
            memory_free: node.memory.free() as u64 * 1024,
            memory: SENDS_MAX as u64 * 1024,
            sockets: self.open.count(),
            connections_max: self.connections_max,
            mailboxes: node.router.mailboxes(),
            devices: node.router.claimed(clock::monotonic()),
            accounts_online: services.sessions.count().0,
            limits: services.limits.stats(),
            sharing: services.limits.sharing(),
            audit_waiting,
            audit_missed,
            doubts_waiting: services.doubts_waiting(),
            cluster: self.membership.as_deref().map(Membership::levels).unwrap_or_default(),
            process,
        })
    }
}
