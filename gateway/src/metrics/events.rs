//! What happens on a node, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use endtoend_protocol::{ClosingReason, RefusalCode, RejectReason, RetryReason, UnixMillis};

use super::kinds::{Counter, Counters, Gauge, Histogram, Share, Unit, label};
use crate::receipt::Outcome;

/// Upper bounds of what a sender waits, and of a commit, in nanoseconds: finest where the goals are.
const TIMES: [u64; 15] = [
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    3_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];
/// Upper bounds of the rows of a commit: up to what one may have.
const ROWS: [u64; 11] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// A step from a socket to somebody who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// TCP becomes TLS.
    Tls,
    /// HTTP becomes a WebSocket.
    Websocket,
    /// The secure channel inside of it.
    Channel,
    /// Versions, and the server's password.
    Hello,
    /// A new account.
    Register,
    /// A login with the password.
    Password,
    /// A device that comes back with its access token.
    Resume,
    /// The same with its refresh token.
    Refresh,
    /// A new device of an account.
    AddDevice,
}

impl Step {
    pub(super) const ALL: &'static [Self] = &[
        Self::Tls,
        Self::Websocket,
        Self::Channel,
        Self::Hello,
        Self::Register,
        Self::Password,
        Self::Resume,
        Self::Refresh,
        Self::AddDevice,
    ];
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Websocket => "websocket",
            Self::Channel => "channel",
            Self::Hello => "hello",
            Self::Register => "register",
            Self::Password => "password",
            Self::Resume => "resume",
            Self::Refresh => "refresh",
            Self::AddDevice => "add_device",
        }
    }
}
label!(Step, as_str);

/// What the store was asked when it did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreCall {
    /// A commit of envelopes.
    Commit,
    /// A page of a queue.
    Load,
    /// What a client asked for.
    Request,
    /// Entries of the audit.
    Audit,
    /// Expired rows.
    Sweep,
    /// Whether it can be written.
    Probe,
}

impl StoreCall {
    pub(super) const ALL: &'static [Self] =
        &[Self::Commit, Self::Load, Self::Request, Self::Audit, Self::Sweep, Self::Probe];
    const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Load => "load",
            Self::Request => "request",
            Self::Audit => "audit",
            Self::Sweep => "sweep",
            Self::Probe => "probe",
        }
    }
}
label!(StoreCall, as_str);

/// What is forgotten when it has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swept {
    Envelopes,
    Tokens,
    Audit,
}

impl Swept {
    pub(super) const ALL: &'static [Self] = &[Self::Envelopes, Self::Tokens, Self::Audit];
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Envelopes => "envelopes",
            Self::Tokens => "tokens",
            Self::Audit => "audit",
        }
    }
}
label!(Swept, as_str);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// Nobody knows who it is.
    Connected,
    /// It speaks for a device.
    Authenticated,
    /// It gets deliveries.
    Attached,
}

impl Present {
    pub(super) const ALL: &'static [Self] = &[Self::Connected, Self::Authenticated, Self::Attached];
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Authenticated => "authenticated",
            Self::Attached => "attached",
        }
    }
}

/// One connection among those that are counted by how far they have come. Dropped, it is counted no more.
#[derive(Debug)]
pub(crate) struct Presence {
    _counted: Share,
    at: Present,
}

impl Presence {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        metrics.connections_opened.one();
        Self { _counted: Share::one(metrics.present(Present::Connected)), at: Present::Connected }
    }

    /// It has come so far.
    pub(crate) fn is_now(&mut self, present: Present, metrics: &Metrics) {
        if self.at != present {
            *self = Self { _counted: Share::one(metrics.present(present)), at: present };
        }
    }
}

/// When something last was so; never, at first.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicU64);

impl Moment {
    /// 0 stands for never, so moments count from 1 ns after the origin.
    fn set(&self, at: Option<Duration>) {
        let nanos = at.map_or(0, |at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX).max(1));
        self.0.store(nanos, Relaxed);
    }
    fn get(&self) -> Option<Duration> {
        match self.0.load(Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// What is counted since the node started. One for each node, shared by its parts.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Moments are kept as the time since then.
    origin: Instant,
    pub(crate) sends: Counter,
    pub(super) accepted: Counter,
    pub(super) retried: Counters<RetryReason>,
    pub(super) rejected: Counters<RejectReason>,
    pub(super) accept_times: Histogram,
    pub(crate) delivered: Counter,
    pub(crate) acknowledged: Counter,

    pub(super) commits: Counter,
    pub(super) commit_times: Histogram,
    pub(super) commit_rows: Histogram,
    pub(super) commit_deletes: Histogram,
    pub(crate) elided: Counter,
    pub(super) appends_waiting: Gauge,
    pub(super) deletes_waiting: Gauge,
    /// Of the writes that have no outcome yet, those under way among them.
    oldest_append: Moment,
    write_confirmed: Moment,
    write_failed: Moment,
    pub(crate) store_errors: Counters<StoreCall>,
    pub(crate) swept: Counters<Swept>,
    pub(crate) sweeps: Counter,

    pub(crate) tail_envelopes: Arc<Gauge>,
    pub(crate) tail_bytes: Arc<Gauge>,

    /// Envelopes that went over a link, and wake-ups there and from there.
    pub(crate) forwarded: Counter,
    /// Envelopes from other nodes that found no room here, or nobody yet.
    pub(crate) forwards_refused: Counter,
    pub(crate) wakes_sent: Counter,
    pub(crate) wakes_heard: Counter,
    /// Rows whose senders wait until other nodes know.
    pub(super) unwoken: Gauge,
    /// Devices that a sweep of the store has found rows for, and devices that another node has claimed.
    pub(crate) swept_devices: Counter,
    pub(crate) claims_lost: Counter,

    pub(super) connections_opened: Counter,
    connected: Arc<Gauge>,
    authenticated: Arc<Gauge>,
    attached: Arc<Gauge>,
    pub(super) steps_done: Counters<Step>,
    pub(super) steps_failed: Counters<Step>,
    pub(crate) closings: Counters<ClosingReason>,
    pub(super) refusals: Counters<RefusalCode>,
    pub(crate) requests: Counter,
    pub(crate) requests_in_flight: Arc<Gauge>,

    /// Unix time in milliseconds.
    certificate_expires: AtomicU64,
}

impl Metrics {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            sends: Counter::default(),
            accepted: Counter::default(),
            retried: Counters::default(),
            rejected: Counters::default(),
            accept_times: Histogram::new(Unit::Seconds, &TIMES),
            delivered: Counter::default(),
            acknowledged: Counter::default(),
            commits: Counter::default(),
            commit_times: Histogram::new(Unit::Seconds, &TIMES),
            commit_rows: Histogram::new(Unit::Rows, &ROWS),
            commit_deletes: Histogram::new(Unit::Rows, &ROWS),
            elided: Counter::default(),
            appends_waiting: Gauge::default(),
            deletes_waiting: Gauge::default(),
            oldest_append: Moment::default(),
            write_confirmed: Moment::default(),
            write_failed: Moment::default(),
            store_errors: Counters::default(),
            swept: Counters::default(),
            sweeps: Counter::default(),
            tail_envelopes: Arc::default(),
            tail_bytes: Arc::default(),
            forwarded: Counter::default(),
            forwards_refused: Counter::default(),
            wakes_sent: Counter::default(),
            wakes_heard: Counter::default(),
            unwoken: Gauge::default(),
            swept_devices: Counter::default(),
            claims_lost: Counter::default(),
            connections_opened: Counter::default(),
            connected: Arc::default(),
            authenticated: Arc::default(),
            attached: Arc::default(),
            steps_done: Counters::default(),
            steps_failed: Counters::default(),
            closings: Counters::default(),
            refusals: Counters::default(),
            requests: Counter::default(),
            requests_in_flight: Arc::default(),
            certificate_expires: AtomicU64::new(0),
        }
    }

    /// A send got its answer; accepted ones after this long.
    pub(crate) fn answered(&self, outcome: Outcome, after: Duration) {
        match outcome {
            Outcome::Accepted { .. } => {
                self.accepted.one();
                self.accept_times.time(after);
            }
            Outcome::Retry(reason) => self.retried.one(reason),
            Outcome::Superseded => self.retried.one(RetryReason::Busy),
            Outcome::Limited { .. } => self.retried.one(RetryReason::Rate),
            Outcome::Rejected(reason) => self.rejected.one(reason),
        }
    }

    /// What waits for a commit, and since when the oldest envelope that has no outcome yet.
    pub(crate) fn writes_wait(&self, appends: usize, deletes: usize, oldest: Option<Instant>) {
        self.appends_waiting.set(appends);
        self.deletes_waiting.set(deletes);
        self.oldest_append.set(oldest.map(|at| self.since_origin(at)));
    }

    /// So many rows wait until other nodes know of them.
    pub(crate) fn unwoken(&self, rows: usize) {
        self.unwoken.set(rows);
    }

    /// How long the oldest envelope has waited for its commit; zero when none waits.
    pub(super) fn oldest_append_age(&self, now: Instant) -> Duration {
        self.oldest_append.get().map_or(Duration::ZERO, |at| self.since_origin(now).saturating_sub(at))
    }

    /// A commit was confirmed, or not.
    pub(crate) fn committed(&self, rows: usize, deletes: usize, took: Duration, confirmed: bool, now: Instant) {
        self.commits.one();
        self.commit_times.time(took);
        self.commit_rows.rows(rows);
        self.commit_deletes.rows(deletes);
        if !confirmed {
            self.store_errors.one(StoreCall::Commit);
        }
        self.wrote(confirmed, now);
    }

    /// The store has confirmed a write, or has not.
    pub(crate) fn wrote(&self, confirmed: bool, now: Instant) {
        let moment = if confirmed { &self.write_confirmed } else { &self.write_failed };
        moment.set(Some(self.since_origin(now)));
    }

    /// When the store has confirmed the latest write; `None` when it did not confirm a later one, or none yet.
    pub(crate) fn last_write(&self) -> Option<Instant> {
        let confirmed = self.write_confirmed.get()?;
        match self.write_failed.get() {
            Some(failed) if failed >= confirmed => None,
            _ => Some(self.origin + confirmed),
        }
    }

    fn since_origin(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.origin)
    }

    pub(crate) fn step(&self, step: Step, done: bool) {
        if done { &self.steps_done } else { &self.steps_failed }.one(step);
    }

    /// A client was told no.
    pub(crate) fn refused(&self, code: RefusalCode) {
        self.refusals.one(code);
        if code == RefusalCode::Unavailable {
            self.store_errors.one(StoreCall::Request);
        }
    }

    /// A request is under way for as long as this lives.
    pub(crate) fn request_under_way(&self) -> Share {
        Share::one(Arc::clone(&self.requests_in_flight))
    }

    fn present(&self, present: Present) -> Arc<Gauge> {
        Arc::clone(self.present_gauge(present))
    }

    pub(super) const fn present_gauge(&self, present: Present) -> &Arc<Gauge> {
        match present {
            Present::Connected => &self.connected,
            Present::Authenticated => &self.authenticated,
            Present::Attached => &self.attached,
        }
    }

    pub(crate) fn certificate_expires_at(&self, at: UnixMillis) {
        self.certificate_expires.store(at.get(), Relaxed);
    }

    pub(super) fn certificate_expires(&self) -> UnixMillis {
        UnixMillis::new(self.certificate_expires.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_write_says_whether_the_store_takes_more() {
        let now = crate::clock::monotonic();
        let second = Duration::from_secs(1);
        let metrics = Metrics::new(now);
        assert_eq!(metrics.last_write(), None);
        metrics.wrote(true, now + second);
        assert_eq!(metrics.last_write(), Some(now + second));
        metrics.wrote(false, now + 2 * second);
        assert_eq!(metrics.last_write(), None);
        metrics.wrote(true, now + 3 * second);
        assert_eq!(metrics.last_write(), Some(now + 3 * second));
    }

    #[test]
    fn the_oldest_write_ages_until_it_is_done() {
        let now = crate::clock::monotonic();
        let second = Duration::from_secs(1);
        let metrics = Metrics::new(now);
        metrics.writes_wait(3, 1, Some(now));
        assert_eq!(
            metrics.oldest_append_age(now + second).as_secs(),
            0,
            "less than a second by the nanosecond of the origin"
        );
        assert_eq!(metrics.oldest_append_age(now + 2 * second).as_secs(), 1);
        metrics.writes_wait(0, 0, None);
        assert_eq!(metrics.oldest_append_age(now + 2 * second), Duration::ZERO);
    }

    #[test]
    fn a_connection_is_counted_where_it_stands_and_not_when_it_is_gone() {
        let metrics = Metrics::new(crate::clock::monotonic());
        let counted =
            |metrics: &Metrics| Present::ALL.iter().map(|at| metrics.present_gauge(*at).get()).collect::<Vec<_>>();
        let mut one = Presence::new(&metrics);
        let other = Presence::new(&metrics);
        one.is_now(Present::Authenticated, &metrics);
        assert_eq!(counted(&metrics), [1, 1, 0]);
        one.is_now(Present::Attached, &metrics);
        drop(other);
        assert_eq!(counted(&metrics), [0, 0, 1]);
        drop(one);
        assert_eq!(counted(&metrics), [0, 0, 0]);
        assert_eq!(metrics.connections_opened.get(), 2);
    }
}
