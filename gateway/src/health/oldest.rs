//! How long the envelope has waited that has waited longest for its device.

use std::sync::Arc;
use std::time::Duration;

use endtoend_protocol::UnixMillis;
use endtoend_storage::Maintenance;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::metrics::{Metrics, StoreCall};

/// So long whoever asks waits for the store.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks the store, one question at a time, however many want to know.
pub(crate) struct Oldest {
    store: Arc<dyn Maintenance>,
    metrics: Arc<Metrics>,
    question: Arc<Semaphore>,
    /// When the oldest one was accepted, if one waits; `None` when the store did not say.
    told: watch::Sender<Option<Option<UnixMillis>>>,
}

impl Oldest {
    pub(crate) fn new(store: Arc<dyn Maintenance>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, question: Arc::new(Semaphore::new(1)), told: watch::Sender::new(None) }
    }

    /// The age of the oldest envelope that waits, by the clock of the node; zero when none does, `None` when the store does not say
    /// in time.
    pub(crate) async fn age(&self, now: UnixMillis) -> Option<Duration> {
        let mut told = self.told.subscribe();
        self.ask();
        timeout(PATIENCE, told.changed()).await.ok()?.ok()?;
        let oldest = (*told.borrow())?;
        Some(oldest.map_or(Duration::ZERO, |accepted_at| now.since(accepted_at)))
    }

    /// Goes on when nobody waits any more: a call that is given up would cost the store its connection.
    fn ask(&self) {
        let Ok(permit) = Arc::clone(&self.question).try_acquire_owned() else { return };
        let (store, metrics, told) = (Arc::clone(&self.store), Arc::clone(&self.metrics), self.told.clone());
        tokio::spawn(async move {
            let oldest = store.oldest_accepted_at().await;
            if let Err(error) = &oldest {
                metrics.store_errors.one(StoreCall::Probe);
                tracing::debug!(%error, "the store does not say what is oldest in it");
            }
            drop(permit);
            told.send_replace(oldest.ok());
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use endtoend_storage::{CopyError, StoreError, StoreStats};
    use tokio::sync::Notify;

    use super::*;
    use crate::clock;

    /// A store that says when it is told to, and not again, that one was accepted at 1 s.
    #[derive(Default)]
    struct Slow {
        asked: AtomicU32,
        go_on: Notify,
    }

    #[async_trait]
    impl Maintenance for Slow {
        async fn stats(&self) -> Result<StoreStats, StoreError> {
            Ok(StoreStats::default())
        }
        async fn oldest_accepted_at(&self) -> Result<Option<UnixMillis>, StoreError> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            self.go_on.notified().await;
            match asked {
                0 => Ok(Some(UnixMillis::new(1_000))),
                1 => Ok(None),
                _ => Err(StoreError::Unavailable("it is gone".into())),
            }
        }
        async fn probe(&self) -> Result<(), StoreError> {
            Ok(())
        }
        async fn copy_to(&self, _: &Path) -> Result<(), CopyError> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_cost_one_question_and_nobody_waits_for_a_store_that_hangs() {
        let store = Arc::new(Slow::default());
        let oldest = Oldest::new(store.clone(), Arc::new(Metrics::new(clock::monotonic())));
        let now = UnixMillis::new(5_000);
        let (first, second) = tokio::join!(oldest.age(now), oldest.age(now));
        assert_eq!((first, second, store.asked.load(Ordering::Relaxed)), (None, None, 1), "it hangs");
        for expected in [Some(Duration::from_secs(4)), Some(Duration::ZERO), None] {
            let (first, second, ()) =
                tokio::join!(oldest.age(now), oldest.age(now), async { store.go_on.notify_one() });
            assert_eq!((first, second), (expected, expected));
        }
        assert_eq!(store.asked.load(Ordering::Relaxed), 3);
    }
}
