//! What the leader does for the whole cluster besides what it agrees upon: it forgets the claims of nodes that are dead.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use endtoend_cluster::claims::{ClaimDirectory, Incarnation};
use endtoend_cluster::control::{Chores, Leadership};

/// Sweeps the directory of claims.
#[derive(Default)]
pub(super) struct ClaimSweep {
    /// Known when the cluster is.
    claims: OnceLock<Arc<dyn ClaimDirectory>>,
    /// Runs that the sweep before has found without a lease, in the same leadership: several leases ago.
    dead: Mutex<Option<(Leadership, BTreeSet<Incarnation>)>>,
}

impl ClaimSweep {
    /// From now on there is something to sweep. To be called once.
    pub(super) fn begin(&self, claims: Arc<dyn ClaimDirectory>) {
        let _only_once = self.claims.set(claims);
    }
}

#[async_trait]
impl Chores for ClaimSweep {
    async fn sweep(&self, leadership: Leadership) {
        let Some(claims) = self.claims.get() else { return };
        let before = self.dead.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dead = before.filter(|(found_by, _)| *found_by == leadership).map(|(_, dead)| dead).unwrap_or_default();
        match claims.sweep(&dead).await {
            Ok(swept) => {
                if swept.removed > 0 {
                    tracing::info!(claims = swept.removed, "forgot the claims of nodes that are gone");
                }
                *self.dead.lock().unwrap_or_else(PoisonError::into_inner) = Some((leadership, swept.dead));
            }
            Err(error) => tracing::debug!(%error, "the claims of nodes that are gone were not looked for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use endtoend_cluster::NodeId;
    use endtoend_cluster::claims::{DeviceName, LocalClaims};

    use super::*;

    #[tokio::test]
    async fn only_who_was_dead_at_the_sweep_before_of_the_same_leader_is_forgotten() {
        let claims = LocalClaims::new(Duration::from_secs(3600));
        let (run, device) = (Incarnation { node: NodeId::new(1), run: 7 }, DeviceName([1; 16]));
        claims.renew(run, &[]).await.unwrap();
        claims.take(run, device).await.unwrap();
        claims.leave(run).await.unwrap();
        let sweep = ClaimSweep::default();
        sweep.begin(Arc::new(claims.clone()));
        let leader = |term| Leadership { term, leader: NodeId::new(2) };
        let removed = async || claims.sweep(&BTreeSet::new()).await.unwrap().dead.is_empty();
        sweep.sweep(leader(1)).await;
        assert!(!removed().await, "it may only be slow");
        sweep.sweep(leader(2)).await;
        assert!(!removed().await, "found by another leader");
        sweep.sweep(leader(2)).await;
        assert!(removed().await);
    }
}
