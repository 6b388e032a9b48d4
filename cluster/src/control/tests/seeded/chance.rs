//! What the program asks instead of the system while a seeded world runs on this thread: random numbers and the disk's time.
//! And where it says what it has applied.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use openraft::EntryPayload;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::oracle::Oracle;
use crate::control::raft::{Applied, Types};
use crate::control::store::Known;

thread_local! {
    static WORLD: RefCell<Option<Seeded>> = const { RefCell::new(None) };
}

struct Seeded {
    rng: SmallRng,
    /// Longest time of one operation of a disk.
    disk: Duration,
    snapshots: Option<(u64, u64)>,
    oracle: Oracle,
}

/// While it lives this thread is a world of this seed.
pub(super) struct Turned(());

pub(super) fn begin(seed: u64) -> Turned {
    let snapshots = seed.is_multiple_of(4).then_some((16, 4));
    // What came in a snapshot is not known entry by entry.
    let oracle = Oracle::new(snapshots.is_none());
    let world = Seeded { rng: SmallRng::seed_from_u64(seed), disk: Duration::ZERO, snapshots, oracle };
    WORLD.set(Some(world));
    Turned(())
}

impl Drop for Turned {
    fn drop(&mut self) {
        WORLD.set(None);
    }
}

fn with<T>(ask: impl FnOnce(&mut Seeded) -> T) -> Option<T> {
    WORLD.with_borrow_mut(|world| world.as_mut().map(ask))
}

pub(in crate::control) fn is_seeded() -> bool {
    with(|_| ()).is_some()
}

/// A draw of the seed, from 0 to 1, in a seeded world.
pub(in crate::control) fn draw() -> Option<f64> {
    with(|world| world.rng.random())
}

/// How long the disk takes for what it is asked now, in a seeded world.
pub(in crate::control) fn disk() -> Option<Duration> {
    with(|world| world.disk.mul_f64(world.rng.random::<f64>().powi(4)))
}

/// After how many entries a snapshot is made, and how many stay besides: a seeded world has not many.
pub(in crate::control) fn snapshots() -> Option<(u64, u64)> {
    with(|world| world.snapshots).flatten()
}

/// What a node has applied.
pub(in crate::control) fn applied(payload: &EntryPayload<Types>, known: &Known, outcome: Option<&Applied>) {
    with(|world| world.oracle.applied(payload, known, outcome.cloned().flatten()));
}

/// From now on an operation of a disk takes up to this.
pub(super) fn slow(disk: Duration) {
    with(|world| world.disk = disk);
}

/// One of `n`.
pub(super) fn below(n: u64) -> u64 {
    with(|world| world.rng.random_range(0..n.max(1))).unwrap_or_default()
}

/// True in so many of 1000 cases.
pub(super) fn per_mille(n: u64) -> bool {
    below(1000) < n
}

pub(super) fn oracle<T: Default>(ask: impl FnOnce(&mut Oracle) -> T) -> T {
    with(|world| ask(&mut world.oracle)).unwrap_or_default()
}

/// Does something that waits for other threads alone, while nothing else happens on this one.
pub(in crate::control) fn at_once<T>(operation: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    // The runtime's budget must not end it half way: the runtime does not run.
    let mut operation = pin!(tokio::task::unconstrained(operation));
    loop {
        match operation.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}
