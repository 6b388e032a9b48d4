//! Keeps what others see up to date: the view, the opened secrets, and the own certificate.

use std::sync::{Arc, PoisonError};

use tokio::time::MissedTickBehavior;

use super::{Inner, Opened, voters};
use crate::control::state::ClusterState;
use crate::secrets::{ClusterKey, LINK_AUTHORITY};
use crate::{Authority, CERTIFICATE_LIFE, ClusterView, NodeCertificate};

/// The log is made shorter when it has more bytes, however few entries these are.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A node issues its own certificate when nobody has renewed it for so long: a quarter of its life before its end.
const OWN_BEFORE: std::time::Duration = std::time::Duration::from_secs(CERTIFICATE_LIFE.as_secs() / 4);

impl Inner {
    /// Until the end.
    pub(super) async fn follow(self: Arc<Self>) {
        let (mut known, mut metrics) = (self.known.clone(), self.raft.server_metrics());
        let (mut hint, mut stop) = (self.hint.subscribe(), self.stop.subscribe());
        let mut ticks = tokio::time::interval(self.timings.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shortened = 0;
        while !self.is_stopping() {
            tokio::select! {
                changed = known.changed() => if changed.is_err() { return },
                changed = metrics.changed() => if changed.is_err() { return },
                _ = hint.changed() => {}
                _ = ticks.tick() => {}
                _ = stop.changed() => return,
            }
            self.follow_once();
            self.shorten(&mut shortened).await;
        }
    }

    /// Raft counts entries; ours may be long.
    async fn shorten(&self, shortened: &mut u64) {
        let applied = self.known.borrow().last.map_or(0, |id| id.index);
        if self.file.log_bytes() <= LOG_BYTES_MAX || *shortened == applied {
            return;
        }
        *shortened = applied;
        let snapshot = self.raft.metrics().borrow().snapshot;
        // First a snapshot, the next time around what is in it. Its error is that raft has ended.
        let _ = self.raft.trigger().snapshot().await;
        if let Some(snapshot) = snapshot {
            let _ = self.raft.trigger().purge_log(snapshot.index).await;
        }
    }

    /// Brings all up to date.
    pub(super) fn follow_once(&self) {
        let (index, known, hint) = self.newest();
        let state = hint.as_ref().map_or(&known.state, |hint| &hint.state);
        self.open_secrets(state);
        let metrics = self.raft.metrics().borrow().clone();
        let mut certificates: std::collections::BTreeMap<_, _> =
            state.members().iter().filter_map(|(node, entry)| Some((*node, entry.certificate.clone()?))).collect();
        if let Some(replicated) = certificates.get(&self.node()) {
            let own = self.own_certificate(state, replicated);
            certificates.insert(self.node(), own);
        }
        let view = ClusterView {
            cluster: state.cluster().unwrap_or_default(),
            index,
            term: metrics.current_term,
            leader: self.leader(&metrics),
            members: state.members().iter().map(|(node, entry)| (*node, entry.member.clone())).collect(),
            voters: voters(known.membership.membership()),
            authorities: state.authorities().to_vec(),
            certificates,
            edge_generation: state.edge_generation(),
            edges: state.edges().clone(),
        };
        self.view.send_if_modified(|current| {
            let differs = *current != view;
            if differs {
                *current = view;
            }
            differs
        });
    }

    /// Opens the secrets when there are new ones.
    fn open_secrets(&self, state: &ClusterState) {
        let sealed = state.sealed();
        let current = self.opened.borrow().as_ref().map(|opened| opened.generation);
        let Some(cluster) = state.cluster().filter(|_| current != Some(sealed.generation)) else { return };
        if !sealed.keys.contains_key(&self.node()) {
            return;
        }
        let opened = ClusterKey::open(sealed, cluster, self.node(), self.setup.keys.sealing())
            .and_then(|key| Ok((key.open_blob(&sealed.blob)?, key)));
        match opened {
            Ok((secrets, key)) => {
                let authority = secrets.get(LINK_AUTHORITY).map(Authority::from_key);
                let Some(Ok(authority)) = authority else {
                    tracing::error!(generation = sealed.generation, "the cluster's secrets lack the link authority");
                    return;
                };
                let (generation, secrets) = (sealed.generation, Arc::new(secrets));
                self.opened.send_replace(Some(Arc::new(Opened { generation, key, secrets, authority })));
            }
            Err(error) => {
                tracing::error!(generation = sealed.generation, "the cluster's secrets were not opened: {error}");
            }
        }
    }

    /// What this node shows on links. When nobody renews it, because the whole cluster was off for a day or this node was
    /// away, it issues one itself: it has the authority's key, as every approved member has.
    fn own_certificate(&self, state: &ClusterState, replicated: &NodeCertificate) -> NodeCertificate {
        let now = self.now();
        let lasts = |certificate: &NodeCertificate| certificate.not_after > now.plus(OWN_BEFORE);
        if lasts(replicated) {
            return replicated.clone();
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = |key| state.authorities().iter().any(|authority| authority.key == key);
        if let Some(own) = own.as_ref().filter(|own| lasts(own) && believed(own.authority)) {
            return own.clone();
        }
        let opened = self.opened.borrow().clone();
        let issued = opened
            .filter(|opened| believed(opened.authority.certificate().key))
            .and_then(|opened| opened.authority.issue(&self.setup.keys.key(), now).ok());
        match issued {
            Some(issued) => {
                *own = Some(issued.clone());
                issued
            }
            None => replicated.clone(),
        }
    }
}
