//! What a node does by itself every few minutes.

use std::sync::Arc;
use std::time::Duration;

use endtoend_protocol::UnixMillis;
use endtoend_storage::{Store, StoreError};

use super::certificates::Leaf;
use super::identity::Identity;
use crate::clock;
use crate::limits::Limits;
use crate::metrics::{Metrics, StoreCall, Swept};

/// How often expired envelopes and the age of the leaf are looked at.
const CARE_INTERVAL: Duration = Duration::from_secs(600);
/// Expired rows of one deletion, so that it does not hold up the writer.
const EXPIRED_ROWS_MAX: u32 = 1_000;
/// How long the audit is kept.
const AUDIT_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// Forgets expired envelopes, renews the leaf and the static keys, for as long as the node runs.
pub(super) async fn take_care(
    store: Arc<dyn Store>,
    limits: Arc<Limits>,
    leaf: Arc<Leaf>,
    identity: Arc<Identity>,
    metrics: Arc<Metrics>,
) {
    let mut interval = tokio::time::interval(CARE_INTERVAL);
    loop {
        interval.tick().await;
        forget_expired(&*store, &metrics).await;
        metrics.sweeps.one();
        limits.forget_idle();
        if identity.renew_if_due(clock::now()) {
            tracing::info!("renewed the static keys of the secure channel");
        }
        match leaf.renew_if_due(clock::now()) {
            Ok(true) => {
                metrics.certificate_expires_at(leaf.expires_at());
                tracing::info!("renewed the TLS certificate");
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "cannot renew the TLS certificate"),
        }
    }
}

/// A few rows at a time, so that what is written meanwhile need not wait for all of them.
async fn forget_expired(store: &dyn Store, metrics: &Metrics) {
    let now = clock::now();
    let audit_before = UnixMillis::new(now.get().saturating_sub(AUDIT_AGE_MAX.as_millis() as u64));
    forget(metrics, Swept::Envelopes, async || store.delete_expired(now, EXPIRED_ROWS_MAX).await).await;
    forget(metrics, Swept::Tokens, async || store.remove_expired_families(now, EXPIRED_ROWS_MAX).await).await;
    forget(metrics, Swept::Audit, async || store.prune_audit(audit_before, EXPIRED_ROWS_MAX).await).await;
    // These are few.
    for forgotten in [store.remove_expired_invites(now).await, store.remove_expired_links(now).await] {
        if let Err(error) = forgotten {
            metrics.store_errors.one(StoreCall::Sweep);
            tracing::warn!(%error, "cannot forget what has expired");
        }
    }
}

/// Repeats a bounded deletion until it finds less than it may take.
async fn forget(metrics: &Metrics, what: Swept, some: impl AsyncFn() -> Result<u64, StoreError>) {
    let (mut forgotten, name) = (0, what.as_str());
    loop {
        match some().await {
            Ok(rows) => {
                forgotten += rows;
                if rows < u64::from(EXPIRED_ROWS_MAX) {
                    break;
                }
            }
            Err(error) => {
                metrics.store_errors.one(StoreCall::Sweep);
                tracing::warn!(%error, what = name, "cannot forget what has expired");
                break;
            }
        }
    }
    metrics.swept.add(what, forgotten);
    if forgotten > 0 {
        tracing::info!(rows = forgotten, what = name, "forgot what has expired");
    }
}
