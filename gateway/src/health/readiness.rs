//! Whether the node can accept messages durably.

use std::sync::Arc;
use std::time::{Duration, Instant};

use endtoend_protocol::limits;
use endtoend_storage::Maintenance;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::clock;
use crate::memory::Memory;
use crate::metrics::{Metrics, StoreCall, label};
use crate::node::Lifecycle;

/// A write that the store has confirmed so lately answers for it; after a longer silence it is asked.
const FRESH: Duration = Duration::from_secs(2);
/// So long whoever asks waits for the store. A commit takes a few milliseconds; one that takes longer than this is none that
/// clients should be sent to.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a node is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It stops, and lets its connections go.
    Draining,
    /// The store did not confirm the latest write, or has not answered in time.
    Store,
    /// The memory for sends without answer has no room for the largest envelope.
    Memory,
}

impl Reason {
    pub(crate) const ALL: &'static [Self] = &[Self::Draining, Self::Store, Self::Memory];
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Store => "store",
            Self::Memory => "memory",
        }
    }
}
label!(Reason, as_str);

/// What is known without asking anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    draining: bool,
    /// Since the store has confirmed the latest write; `None` when it did not confirm it.
    written: Option<Duration>,
    memory_free: usize,
}

impl Known {
    /// Whether the store has to be asked.
    fn is_stale(self) -> bool {
        self.written.is_none_or(|age| age > FRESH)
    }

    fn reasons(self) -> Vec<Reason> {
        let holds = |reason: &Reason| match reason {
            Reason::Draining => self.draining,
            Reason::Store => self.is_stale(),
            Reason::Memory => self.memory_free < limits::ENVELOPE_BYTES_MAX,
        };
        Reason::ALL.iter().copied().filter(holds).collect()
    }
}

/// Knows whether the node is ready.
pub(crate) struct Readiness {
    store: Arc<dyn Maintenance>,
    metrics: Arc<Metrics>,
    memory: Memory,
    lifecycle: watch::Receiver<Lifecycle>,
    /// One probe at a time, however many ask.
    probe: Arc<Semaphore>,
    /// Told when a probe has ended.
    probed: watch::Sender<()>,
}

impl Readiness {
    pub(crate) fn new(
        store: Arc<dyn Maintenance>,
        metrics: Arc<Metrics>,
        memory: Memory,
        lifecycle: watch::Receiver<Lifecycle>,
    ) -> Self {
        let probe = Arc::new(Semaphore::new(1));
        Self { store, metrics, memory, lifecycle, probe, probed: watch::Sender::new(()) }
    }

    fn known(&self, now: Instant) -> Known {
        let age = |written| now.saturating_duration_since(written);
        Known {
            draining: !self.lifecycle.borrow().is_accepting(),
            written: self.metrics.last_write().map(age),
            memory_free: self.memory.free() * 1024,
        }
    }

    /// Why the node is not ready; nothing when it is. Writes to the store when nobody else did lately, and waits for it, but
    /// not for long.
    pub(crate) async fn reasons(&self) -> Vec<Reason> {
        if self.known(clock::monotonic()).is_stale() {
            let mut probed = self.probed.subscribe();
            self.probe();
            // Its outcome, or that of the commits meanwhile, is in the numbers; if there is none they are stale.
            let _ = timeout(PATIENCE, probed.changed()).await;
        }
        self.known(clock::monotonic()).reasons()
    }

    /// Has the store write something, unless it does so already. Goes on when nobody waits any more: a call that is given up
    /// would cost the store its connection.
    fn probe(&self) {
        let Ok(permit) = Arc::clone(&self.probe).try_acquire_owned() else { return };
        let (store, metrics, probed) = (Arc::clone(&self.store), Arc::clone(&self.metrics), self.probed.clone());
        tokio::spawn(async move {
            let written = store.probe().await;
            if let Err(error) = &written {
                metrics.store_errors.one(StoreCall::Probe);
                tracing::debug!(%error, "the store cannot be written");
            }
            metrics.wrote(written.is_ok(), clock::monotonic());
            drop(permit);
            probed.send_replace(());
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

    const WELL: Known = Known { draining: false, written: Some(Duration::ZERO), memory_free: 64 << 20 };

    #[test]
    fn a_node_is_ready_when_nothing_speaks_against_it_and_says_all_that_does() {
        assert_eq!(WELL.reasons(), []);
        assert_eq!(Known { draining: true, ..WELL }.reasons(), [Reason::Draining]);
        let full = Known { memory_free: limits::ENVELOPE_BYTES_MAX - 1, ..WELL };
        assert_eq!(full.reasons(), [Reason::Memory]);
        assert_eq!(Known { memory_free: limits::ENVELOPE_BYTES_MAX, ..WELL }.reasons(), []);
        let nothing = Known { draining: true, written: None, memory_free: 0 };
        assert_eq!(nothing.reasons(), [Reason::Draining, Reason::Store, Reason::Memory]);
    }

    #[test]
    fn a_write_answers_for_the_store_for_a_while_and_a_failed_one_never() {
        assert!(!Known { written: Some(FRESH), ..WELL }.is_stale());
        let silent = Known { written: Some(FRESH + Duration::from_millis(1)), ..WELL };
        assert!(silent.is_stale() && silent.reasons() == [Reason::Store]);
        assert!(Known { written: None, ..WELL }.is_stale());
    }

    /// A store that answers a probe when it is told to.
    #[derive(Default)]
    struct Slow {
        probes: AtomicU32,
        go_on: Notify,
        fails: bool,
    }

    #[async_trait]
    impl Maintenance for Slow {
        async fn stats(&self) -> Result<StoreStats, StoreError> {
            Ok(StoreStats::default())
        }
        async fn probe(&self) -> Result<(), StoreError> {
            self.probes.fetch_add(1, Ordering::Relaxed);
            self.go_on.notified().await;
            if self.fails { Err(StoreError::Unavailable("the disk is full".into())) } else { Ok(()) }
        }
        async fn oldest_accepted_at(&self) -> Result<Option<endtoend_protocol::UnixMillis>, StoreError> {
            Ok(None)
        }
        async fn copy_to(&self, _: &Path) -> Result<(), CopyError> {
            Ok(())
        }
    }

    fn over(store: &Arc<Slow>) -> (Arc<Readiness>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new(clock::monotonic()));
        let memory = Memory::new(1024);
        let readiness = Readiness::new(store.clone(), metrics.clone(), memory, watch::channel(Lifecycle::Accepting).1);
        (Arc::new(readiness), metrics)
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cost_one_write_and_nobody_waits_for_a_store_that_hangs() {
        let store = Arc::new(Slow::default());
        let (readiness, _) = over(&store);
        for round in 0..2 {
            let asked: Vec<_> = (0..20)
                .map(|_| {
                    tokio::spawn({
                        let r = readiness.clone();
                        async move { r.reasons().await }
                    })
                })
                .collect();
            for answer in asked {
                assert_eq!(answer.await.unwrap(), [Reason::Store], "round {round}: it has not answered");
            }
            assert_eq!(store.probes.load(Ordering::Relaxed), 1);
        }
        store.go_on.notify_one();
        assert_eq!(readiness.reasons().await, []);
        assert_eq!(readiness.reasons().await, [], "what it has confirmed lately need not be asked again");
        assert_eq!(store.probes.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_store_that_confirms_commits_is_not_asked_and_one_that_fails_is_asked_until_it_does() {
        let store = Arc::new(Slow::default());
        let (readiness, metrics) = over(&store);
        metrics.committed(1, 0, Duration::ZERO, true, clock::monotonic());
        assert_eq!(readiness.reasons().await, []);
        assert_eq!(store.probes.load(Ordering::Relaxed), 0);

        let store = Arc::new(Slow { fails: true, ..Slow::default() });
        let (readiness, metrics) = over(&store);
        metrics.committed(1, 0, Duration::ZERO, true, clock::monotonic());
        metrics.committed(1, 0, Duration::ZERO, false, clock::monotonic());
        for probes in 1..=2 {
            store.go_on.notify_one();
            assert_eq!(readiness.reasons().await, [Reason::Store]);
            assert_eq!(store.probes.load(Ordering::Relaxed), probes);
        }
        metrics.committed(1, 0, Duration::ZERO, true, clock::monotonic());
        assert_eq!(readiness.reasons().await, []);
    }
}
