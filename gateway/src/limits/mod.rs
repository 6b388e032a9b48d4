//! How often somebody may do something: the generic cell rate algorithm, one cell each so often and some at once.
//!
//! An operation is limited by who is known to ask: an account or a device where somebody is logged in, the prefix of the
//! address where not. Limits for addresses are wide, because many people share one (Tor, a company), and where one is
//! reached a stranger may go on with a proof of work. Limits of accounts are tight.
//!
//! Cells are this node's own, in memory. With `[redis]` they are the cluster's, and this node's own are what is left
//! while Redis is away.

mod shared;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use endtoend_cluster::redis::RedisAt;
use endtoend_protocol::{AccountTag, Address, Refusal, RefusalCode};
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::receipt::Outcome;
use shared::{Cell, Decision, Shared};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A handle is evaluated for somebody who is logged in. By account.
    Lookup,
    /// A handle is evaluated for a stranger. By address; beyond it there is work.
    StrangerLookup,
    /// An account is created. By address.
    Register,
    /// A password is tried. By account.
    Password,
    /// A password, a token or a server's password is tried. By address.
    Login,
    /// A token is refreshed or used. By device.
    Refresh,
    /// Keys of somebody are fetched. By account.
    Keys,
    /// An envelope is sent. By account.
    Send,
    /// Somebody is written to who has not accepted it. By account.
    FirstContact,
    /// An envelope is sent to somebody who has not accepted it. By both accounts.
    Request,
    /// A device is linked. By address or account.
    Link,
    /// Devices, relations, backups and passwords are changed. By account.
    Change,
    /// An attachment is begun or removed. By account.
    Blob,
    /// A part of an attachment is left or fetched. By account.
    BlobPart,
    /// Anything is asked but that envelopes be sent, and parts of attachments. By connection.
    Connection,
}

impl Operation {
    /// Every operation, in the order of the configuration.
    pub const ALL: [Self; 15] = [
        Self::Lookup,
        Self::StrangerLookup,
        Self::Register,
        Self::Password,
        Self::Login,
        Self::Refresh,
        Self::Keys,
        Self::Send,
        Self::FirstContact,
        Self::Request,
        Self::Link,
        Self::Change,
        Self::Blob,
        Self::BlobPart,
        Self::Connection,
    ];

    /// Its key in `[limits]`. Part of what names its cells: another name would be another budget.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::StrangerLookup => "stranger_lookup",
            Self::Register => "register",
            Self::Password => "password",
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Keys => "keys",
            Self::Send => "send",
            Self::FirstContact => "first_contact",
            Self::Request => "request",
            Self::Link => "link",
            Self::Change => "change",
            Self::Blob => "blob",
            Self::BlobPart => "blob_part",
            Self::Connection => "connection",
        }
    }
}

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// So many at once.
    pub burst: NonZeroU32,
    /// And another one each time this has passed, in milliseconds.
    pub every_ms: NonZeroU64,
}

impl Limit {
    /// All cells of a limit are there again after at most this long, so that no arithmetic on it overflows.
    pub const FULL_AFTER_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
    /// Of nobody: whether Redis answers is asked with it.
    const PROBE: Self = Self::new(1, 1);

    /// How long it takes from no cell to all of them.
    pub fn full_after(self) -> Duration {
        Duration::from_millis(self.every_ms.get().saturating_mul(self.burst.get().into()))
    }

    const fn new(burst: u32, every_ms: u64) -> Self {
        let burst = match NonZeroU32::new(burst) {
            Some(burst) => burst,
            None => NonZeroU32::MIN,
        };
        let every_ms = match NonZeroU64::new(every_ms) {
            Some(every_ms) => every_ms,
            None => NonZeroU64::MIN,
        };
        Self { burst, every_ms }
    }
}

/// `[limits]`: how often somebody may do something. Change: restart.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Handles looked up by an account. Default 60 at once, then one each 10 s.
    pub lookup: Limit,
    /// Handles looked up by strangers from one address without a proof of work. Default 30, then one each 10 s.
    pub stranger_lookup: Limit,
    /// Accounts and devices created from one address without a proof of work. Default 20, then one each 3 min.
    pub register: Limit,
    /// Passwords tried for one account. Default 10, then one each 15 s.
    pub password: Limit,
    /// Logins of any kind from one address without a proof of work. Default 300, then five each second.
    pub login: Limit,
    /// Reconnections of one device. Default 60, then one each 2 s.
    pub refresh: Limit,
    /// Keys fetched by one account. Default 300, then one each second.
    pub keys: Limit,
    /// Envelopes sent by one account. Default 2000, then 100 each second.
    pub send: Limit,
    /// People whom one account writes to before they have accepted it. Default 30, then one each 3 min.
    pub first_contact: Limit,
    /// Envelopes to one person who has not accepted the sender. Default 8, then one each 3 h.
    pub request: Limit,
    /// Steps of linking a device, of one account, or from one address without a proof of work. Default 400, then five each
    /// second: a device that waits asks.
    pub link: Limit,
    /// Changes to an account. Default 60, then one each 5 s.
    pub change: Limit,
    /// Attachments begun and removed by an account. Default 120, then one each 10 s.
    pub blob: Limit,
    /// Parts of attachments, 192 KiB each, left or fetched by an account. Default 24000, which is 4.5 GiB, then 20 each second.
    pub blob_part: Limit,
    /// What one connection asks for, whatever it is but parts of attachments. Default 600, then 20 each second.
    pub connection: Limit,
    /// Leading zero bits of the proof of work that a stranger shows for each request beyond the limit of his address. Default 18,
    /// at most 24.
    pub work_bits: u8,
    /// The same for accounts and devices beyond `register`, which stay. Default 22, at most 24.
    pub register_work_bits: u8,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            lookup: Limit::new(60, 10_000),
            stranger_lookup: Limit::new(30, 10_000),
            register: Limit::new(20, 180_000),
            password: Limit::new(10, 15_000),
            login: Limit::new(300, 200),
            refresh: Limit::new(60, 2_000),
            keys: Limit::new(300, 1_000),
            send: Limit::new(2_000, 10),
            first_contact: Limit::new(30, 180_000),
            request: Limit::new(8, 3 * 3_600_000),
            link: Limit::new(400, 200),
            change: Limit::new(60, 5_000),
            blob: Limit::new(120, 10_000),
            blob_part: Limit::new(24_000, 50),
            connection: Limit::new(600, 50),
            work_bits: 18,
            register_work_bits: 22,
        }
    }
}

impl LimitsConfig {
    /// Every limit with its operation.
    pub fn all(&self) -> impl Iterator<Item = (Operation, Limit)> {
        Operation::ALL.into_iter().map(|operation| (operation, self.of(operation)))
    }

    pub(crate) const fn of(&self, operation: Operation) -> Limit {
        match operation {
            Operation::Lookup => self.lookup,
            Operation::StrangerLookup => self.stranger_lookup,
            Operation::Register => self.register,
            Operation::Password => self.password,
            Operation::Login => self.login,
            Operation::Refresh => self.refresh,
            Operation::Keys => self.keys,
            Operation::Send => self.send,
            Operation::FirstContact => self.first_contact,
            Operation::Request => self.request,
            Operation::Link => self.link,
            Operation::Change => self.change,
            Operation::Blob => self.blob,
            Operation::BlobPart => self.blob_part,
            Operation::Connection => self.connection,
        }
    }
}

/// How often it is told of somebody that he is beyond a limit.
const TOLD: Limit = Limit::new(1, 3_600_000);

/// Where somebody comes from: the prefix of an address that one person is given, /32 of IPv4 and /64 of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin([u8; 8]);

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Origin(..)")
    }
}

impl Origin {
    /// Of a socket's other end. What a header says about it is nobody's word.
    pub fn of(address: Option<IpAddr>) -> Self {
        let prefix = match address.map(|address| address.to_canonical()) {
            None => [0; 8],
            Some(IpAddr::V4(v4)) => {
                let [a, b, c, d] = v4.octets();
                [0, 0, 0, 4, a, b, c, d]
            }
            Some(IpAddr::V6(v6)) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                [a, b, c, d, e, f, g, h]
            }
        };
        Self(prefix)
    }
}

/// Who is limited.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An address.
    Origin(Origin),
    /// An account.
    Account(AccountTag),
    /// A device.
    Device(Address),
    /// Two accounts.
    Pair(&'a [u8; 32]),
}

type Cells = RateLimiter<[u8; 16], HashMapStateStore<[u8; 16]>, DefaultClock>;

/// All limits of the node. Forgets who is not near a limit any more.
pub struct Limits {
    /// Of the names of subjects: neither in memory nor in Redis is an address.
    key: Zeroizing<[u8; 32]>,
    /// In the order of [`Operation::ALL`].
    own: Vec<(Limit, Cells, Counts)>,
    shared: Option<Shared>,
    /// Of whom it was told that they are beyond a limit.
    told: Cells,
    clock: DefaultClock,
    work_bits: u8,
    register_work_bits: u8,
}

/// The cells of one connection, which only its own node asks about, and which end with it.
pub(crate) struct ConnectionCells(RateLimiter<NotKeyed, InMemoryState, DefaultClock>);

/// Whose cells decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// This node's: there is no other.
    Alone,
    /// The cluster's, in Redis.
    Shared,
    /// This node's, because Redis does not answer.
    FallenBack,
}

impl Sharing {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Alone, Self::Shared, Self::FallenBack];

    /// Its name in the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Shared => "shared",
            Self::FallenBack => "fallen_back",
        }
    }
}

/// What was asked of a limit since the node started.
#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    refused: AtomicU64,
    worked: AtomicU64,
}

/// What was asked of a limit since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStats {
    /// Which.
    pub operation: Operation,
    /// How often it was not reached.
    pub allowed: u64,
    /// How often it was.
    pub refused: u64,
    /// How often of those somebody went on by a proof of work.
    pub worked: u64,
    /// Who is counted at the moment. Connections are not: each counts for itself.
    pub subjects: u64,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits(..)")
    }
}

/// Beyond the limit: not before this has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Whose limit it is.
    pub operation: Operation,
    /// When there is another cell.
    pub retry_after: Duration,
}

impl From<TooMany> for Refusal {
    fn from(TooMany { retry_after, .. }: TooMany) -> Self {
        let ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { code: RefusalCode::Rate, retry_after_ms: NonZeroU64::new(ms), work: None }
    }
}

impl From<TooMany> for Outcome {
    fn from(TooMany { retry_after, .. }: TooMany) -> Self {
        Self::Limited { retry_after }
    }
}

impl Limits {
    /// From the configuration. Nodes that count together have the same `key`. With `redis` this is called within a tokio
    /// runtime, and does not wait for it: until it answers, the node counts alone.
    pub fn new(config: &LimitsConfig, redis: Option<&RedisAt>, key: Zeroizing<[u8; 32]>) -> Self {
        Self::with_deadline(config, redis, key, shared::DEADLINE)
    }

    /// `deadline` is for each answer of Redis.
    fn with_deadline(
        config: &LimitsConfig,
        redis: Option<&RedisAt>,
        key: Zeroizing<[u8; 32]>,
        deadline: Duration,
    ) -> Self {
        let own = config.all().map(|(_, limit)| (limit, RateLimiter::hashmap(quota(limit)), Counts::default()));
        let shared = redis.map(|at| Shared::start(at, deadline));
        let (clock, own) = (DefaultClock::default(), own.collect());
        let LimitsConfig { work_bits, register_work_bits, .. } = *config;
        Self { key, own, shared, told: RateLimiter::hashmap(quota(TOLD)), clock, work_bits, register_work_bits }
    }

    /// Leading zero bits that a stranger has to show beyond a limit of his address.
    pub const fn work_bits(&self, operation: Operation) -> u8 {
        match operation {
            Operation::Register => self.register_work_bits,
            _ => self.work_bits,
        }
    }

    /// Somebody goes on beyond a limit of his address by a proof of work.
    pub(crate) fn worked(&self, operation: Operation) {
        if let Some((.., counts)) = self.own.get(operation as usize) {
            counts.worked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whose cells decide at the moment.
    pub fn sharing(&self) -> Sharing {
        match &self.shared {
            None => Sharing::Alone,
            Some(shared) if shared.is_in_use() => Sharing::Shared,
            Some(_) => Sharing::FallenBack,
        }
    }

    /// Takes one cell.
    ///
    /// # Errors
    /// `TooMany` when there is none.
    pub async fn check(&self, operation: Operation, subject: Subject<'_>) -> Result<(), TooMany> {
        self.check_all(&[(operation, subject)]).await
    }

    /// Takes a cell of each, one after the other, and stops at the first that has none; in one round trip, where Redis has
    /// them.
    ///
    /// # Errors
    /// `TooMany` when one has none. The cells before it are taken: who is refused has tried.
    pub async fn check_all(&self, asked: &[(Operation, Subject<'_>)]) -> Result<(), TooMany> {
        let Some(shared) = &self.shared else { return self.check_all_here(asked) };
        let cells = asked.iter().filter_map(|&(operation, subject)| {
            let (limit, ..) = self.own.get(operation as usize)?;
            Some(Cell { name: self.name(operation, subject), limit: *limit })
        });
        let cells: Vec<Cell> = cells.collect();
        let (taken, refused) = match shared.take(&cells).await {
            None => return self.check_all_here(asked),
            Some(Decision::Taken) => (asked.len(), None),
            Some(Decision::Refused { at, retry_after }) => (at, Some(retry_after)),
        };
        // This node's own cells are taken too, so that it knows where it is when Redis goes away. They have no say here: they
        // have seen some of what Redis has seen.
        for (&(operation, _), cell) in asked.iter().zip(&cells).take(taken) {
            let Some((_, own, counts)) = self.own.get(operation as usize) else { continue };
            let _has_no_say = own.check_key(&cell.name);
            counts.allowed.fetch_add(1, Ordering::Relaxed);
        }
        let (Some(retry_after), Some(&(operation, _))) = (refused, asked.get(taken)) else { return Ok(()) };
        if let Some((.., counts)) = self.own.get(operation as usize) {
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        Err(TooMany { operation, retry_after })
    }

    fn check_all_here(&self, asked: &[(Operation, Subject<'_>)]) -> Result<(), TooMany> {
        asked.iter().try_for_each(|&(operation, subject)| self.check_here(operation, subject))
    }

    /// Takes one cell of this node's own, whatever other nodes have seen. For what happens too often for a round trip each, and
    /// is limited for the node's sake: envelopes.
    ///
    /// # Errors
    /// `TooMany` when there is none.
    pub fn check_here(&self, operation: Operation, subject: Subject<'_>) -> Result<(), TooMany> {
        let Some((_, cells, _)) = self.own.get(operation as usize) else { return Ok(()) };
        self.counted(operation, cells.check_key(&self.name(operation, subject)))
    }

    /// The cells of a new connection.
    pub(crate) fn connection_cells(&self) -> ConnectionCells {
        let limit = self.own.get(Operation::Connection as usize).map_or(Limit::PROBE, |(limit, ..)| *limit);
        ConnectionCells(RateLimiter::direct(quota(limit)))
    }

    /// Takes one cell of a connection.
    ///
    /// # Errors
    /// `TooMany` when there is none.
    pub(crate) fn check_connection(&self, ConnectionCells(cells): &ConnectionCells) -> Result<(), TooMany> {
        self.counted(Operation::Connection, cells.check())
    }

    fn counted(
        &self,
        operation: Operation,
        taken: Result<(), NotUntil<<DefaultClock as Clock>::Instant>>,
    ) -> Result<(), TooMany> {
        let Some((.., counts)) = self.own.get(operation as usize) else { return Ok(()) };
        let Err(not_until) = taken else {
            counts.allowed.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        counts.refused.fetch_add(1, Ordering::Relaxed);
        Err(TooMany { operation, retry_after: not_until.wait_time_from(self.clock.now()) })
    }

    /// `BLAKE3-keyed(operation || 0 || kind || subject)`
    fn name(&self, operation: Operation, subject: Subject<'_>) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(operation.name().as_bytes()).update(&[0]);
        match subject {
            Subject::Origin(Origin(prefix)) => hasher.update(b"o").update(&prefix),
            Subject::Account(tag) => hasher.update(b"a").update(tag.as_bytes()),
            Subject::Device(device) => {
                hasher.update(b"d").update(device.account.as_bytes()).update(&[device.device.get()])
            }
            Subject::Pair(hash) => hasher.update(b"p").update(hash),
        };
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        name
    }

    /// Whether it is news that somebody is beyond a limit: once an hour, so that who goes on trying fills no audit.
    pub(crate) fn is_news(&self, operation: Operation, subject: Subject<'_>) -> bool {
        self.told.check_key(&self.name(operation, subject)).is_ok()
    }

    /// Forgets who has all cells again.
    pub fn forget_idle(&self) {
        for cells in self.own.iter().map(|(_, cells, _)| cells).chain([&self.told]) {
            cells.retain_recent();
            cells.shrink_to_fit();
        }
    }

    /// What was asked since the node started.
    pub fn stats(&self) -> Vec<LimitStats> {
        let stats = |(operation, (_, cells, counts)): (Operation, &(Limit, Cells, Counts))| LimitStats {
            operation,
            allowed: counts.allowed.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            worked: counts.worked.load(Ordering::Relaxed),
            subjects: cells.len() as u64,
        };
        Operation::ALL.into_iter().zip(&self.own).map(stats).collect()
    }
}

/// One cell each so often: `every_ms` is never zero, so there is a quota.
fn quota(Limit { burst, every_ms }: Limit) -> Quota {
    Quota::with_period(Duration::from_millis(every_ms.get()))
        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
        .allow_burst(burst)
}
