//! What the leader does for the whole cluster besides what it agrees upon: it forgets the claims of nodes that are dead.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use endtoend_cluster::claims::{ClaimDirectory, Incarnation};
use endtoend_cluster::control::{Chores, Leadership};

use crate::clock;

/// The pause after a sweep is so much longer than the sweep: Redis spends no more than a twentieth of its time on tidiness.
const REST: u32 = 19;
/// After one that was not finished.
const REST_MAX: Duration = Duration::from_secs(240);

/// When it is swept again. What it takes grows with what is claimed, and a claim that is not kept ends by itself in ten minutes.
#[derive(Debug, Default)]
struct Pace {
    rests_until: Option<Instant>,
}

impl Pace {
    /// Whether to begin now.
    fn begins(&mut self, now: Instant) -> bool {
        let begins = self.rests_until.is_none_or(|until| until <= now);
        if begins {
            self.rests_until = Some(now + REST_MAX);
        }
        begins
    }

    fn ended(&mut self, began: Instant, now: Instant) {
        let rest = (now.saturating_duration_since(began) * REST).min(REST_MAX);
        self.rests_until = Some(now + rest);
    }
}

/// Sweeps the directory of claims.
#[derive(Default)]
pub(super) struct ClaimSweep {
    /// Known when the cluster is.
    claims: OnceLock<Arc<dyn ClaimDirectory>>,
    /// Runs that the sweep before has found without a lease, in the same leadership: several leases ago.
    dead: Mutex<Option<(Leadership, BTreeSet<Incarnation>)>>,
    pace: Mutex<Pace>,
}

impl ClaimSweep {
    /// From now on there is something to sweep. To be called once.
    pub(super) fn begin(&self, claims: Arc<dyn ClaimDirectory>) {
        let _only_once = self.claims.set(claims);
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sweep_now(&self, leadership: Leadership) {
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

#[async_trait]
impl Chores for ClaimSweep {
    async fn sweep(&self, leadership: Leadership) {
        let began = clock::monotonic();
        if self.pace().begins(began) {
            self.sweep_now(leadership).await;
            self.pace().ended(began, clock::monotonic());
        }
    }
}

#[cfg(test)]
mod tests {
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
        sweep.sweep_now(leader(1)).await;
        assert!(!removed().await, "it may only be slow");
        sweep.sweep_now(leader(2)).await;
        assert!(!removed().await, "found by another leader");
        sweep.sweep_now(leader(2)).await;
        assert!(removed().await);
    }
    #[test]
    fn a_sweep_that_takes_long_is_rare() {
        let (mut pace, begun) = (Pace::default(), clock::monotonic());
        let at = |ms| begun + Duration::from_millis(ms);
        assert!(pace.begins(at(0)));
        pace.ended(at(0), at(1));
        assert!(!pace.begins(at(19)) && pace.begins(at(20)));
        pace.ended(at(20), at(1_020));
        assert!(!pace.begins(at(20_019)) && pace.begins(at(20_020)));
        // One that was given up.
        assert!(!pace.begins(at(260_019)) && pace.begins(at(260_020)));
        pace.ended(at(260_020), at(860_020));
        assert!(pace.begins(at(860_020 + 240_000)), "it does not rest for ever");
    }
}
