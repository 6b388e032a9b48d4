//! What can be counted, and how: plain atomics, read by nobody but a scrape.
//!
//! An event costs one or two relaxed additions. What is read together need not be of one moment.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use endtoend_protocol::{ClosingReason, RefusalCode, RejectReason, RetryReason};

/// A number that only grows. In a cache line of its own: threads that count different things do not wait for each other.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.add(1);
    }
    pub(crate) fn add(&self, count: u64) {
        if count > 0 {
            self.0.fetch_add(count, Relaxed);
        }
    }
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn set(&self, value: usize) {
        self.0.store(signed(value), Relaxed);
    }
    pub(super) fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// One part of a [`Gauge`] that is the sum of many. Gives its part back when it is dropped, after a panic too.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Gauge>,
    value: i64,
}

impl Share {
    /// A part of nothing.
    pub(crate) const fn of(of: Arc<Gauge>) -> Self {
        Self { of, value: 0 }
    }
    /// A part that counts as one.
    pub(crate) fn one(of: Arc<Gauge>) -> Self {
        let mut share = Self::of(of);
        share.set(1);
        share
    }
    pub(crate) fn set(&mut self, value: usize) {
        let value = signed(value);
        if value != self.value {
            self.of.0.fetch_add(value - self.value, Relaxed);
            self.value = value;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What a [`Histogram`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Kept in nanoseconds, shown in seconds.
    Seconds,
    /// Rows.
    Rows,
}

/// How many of what was measured were how large. Its buckets are fixed, so it takes the same memory whatever happens.
#[derive(Debug)]
pub(crate) struct Histogram {
    unit: Unit,
    /// Upper bounds, growing; in nanoseconds for durations.
    bounds: &'static [u64],
    /// One for each bound, and one for what is above all of them.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(unit: Unit, bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { unit, bounds, buckets, sum: AtomicU64::new(0) }
    }

    pub(crate) fn time(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn rows(&self, rows: usize) {
        self.record(rows as u64);
    }

    fn record(&self, value: u64) {
        let at = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
            self.sum.fetch_add(value, Relaxed);
        }
    }

    /// Upper bounds with how many were at most so large, and the sum of all. The last bound is infinite.
    pub(super) fn read(&self) -> (Vec<(f64, u64)>, f64) {
        let bounds = self.bounds.iter().map(|bound| self.shown(*bound)).chain([f64::INFINITY]);
        let mut below = 0;
        let counted = self.buckets.iter().map(|bucket| {
            below += bucket.load(Relaxed);
            below
        });
        (bounds.zip(counted).collect(), self.shown(self.sum.load(Relaxed)))
    }

    fn shown(&self, value: u64) -> f64 {
        match self.unit {
            Unit::Seconds => Duration::from_nanos(value).as_secs_f64(),
            Unit::Rows => value as f64,
        }
    }
}

/// The values that one label may have: a closed list.
pub(crate) trait Label: Copy + 'static {
    /// Every value, in the order of the type.
    const ALL: &'static [Self];
    /// As it is shown.
    fn name(self) -> &'static str;
    /// Its place in `ALL`.
    fn place(self) -> usize;
}

/// For an enum without fields that has `ALL`, in its own order, and a name.
macro_rules! label {
    ($type:ty, $name:ident) => {
        impl $crate::metrics::Label for $type {
            const ALL: &'static [Self] = <$type>::ALL;
            fn name(self) -> &'static str {
                <$type>::$name(self)
            }
            fn place(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use label;

label!(ClosingReason, as_str);
label!(RefusalCode, as_str);
label!(RejectReason, as_str);
label!(RetryReason, as_str);

/// A counter for each value of a label.
#[derive(Debug)]
pub(crate) struct Counters<L> {
    counters: Box<[Counter]>,
    of: PhantomData<fn(L)>,
}

impl<L: Label> Default for Counters<L> {
    fn default() -> Self {
        Self { counters: L::ALL.iter().map(|_| Counter::default()).collect(), of: PhantomData }
    }
}

impl<L: Label> Counters<L> {
    pub(crate) fn one(&self, value: L) {
        self.add(value, 1);
    }
    pub(crate) fn add(&self, value: L, count: u64) {
        if let Some(counter) = self.counters.get(value.place()) {
            counter.add(count);
        }
    }
    pub(super) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        L::ALL.iter().zip(&self.counters).map(|(value, counter)| (value.name(), counter.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_value_in_every_bucket_that_holds_it() {
        let histogram = Histogram::new(Unit::Rows, &[1, 8, 64]);
        for rows in [0, 1, 2, 8, 9, 65, 1_000] {
            histogram.rows(rows);
        }
        assert_eq!(histogram.read(), (vec![(1.0, 2), (8.0, 4), (64.0, 5), (f64::INFINITY, 7)], 1085.0));
        let histogram = Histogram::new(Unit::Seconds, &[1_000_000]);
        histogram.time(Duration::from_millis(1));
        histogram.time(Duration::from_millis(2));
        assert_eq!(histogram.read(), (vec![(0.001, 1), (f64::INFINITY, 2)], 0.003));
    }

    #[test]
    fn a_share_gives_back_what_it_holds_even_when_its_owner_panics() {
        let gauge = Arc::new(Gauge::default());
        let mut one = Share::of(Arc::clone(&gauge));
        one.set(3);
        let other = Share::one(Arc::clone(&gauge));
        one.set(2);
        assert_eq!(gauge.get(), 3);
        drop(other);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _one = one;
            panic!("in a handler");
        }));
        assert!(panicked.is_err());
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn every_value_of_a_label_has_a_counter_of_its_own() {
        fn check<L: Label>() {
            let counters = Counters::<L>::default();
            for (place, value) in L::ALL.iter().enumerate() {
                assert_eq!(value.place(), place, "{}", value.name());
                counters.add(*value, 1 + place as u64);
            }
            let read: Vec<_> = counters.read().collect();
            let names: std::collections::HashSet<_> = read.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), L::ALL.len());
            assert!(read.iter().enumerate().all(|(place, (_, count))| *count == 1 + place as u64));
        }
        check::<ClosingReason>();
        check::<RefusalCode>();
        check::<RejectReason>();
        check::<RetryReason>();
        check::<crate::metrics::Step>();
        check::<crate::metrics::StoreCall>();
        check::<crate::metrics::Swept>();
    }
}
