//! How often somebody may do something: the generic cell rate algorithm, one cell each so often and some at once.
//!
//! An operation is limited by who is known to ask: an account or a device where somebody is logged in, the prefix of the
//! address where not. Limits for addresses are wide, because many people share one (Tor, a company), and where one is
//! reached a stranger may go on with a proof of work. Limits of accounts are tight.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use endtoend_protocol::{AccountTag, Address, Refusal, RefusalCode};
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use serde::{Deserialize, Serialize};

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
}

impl Operation {
    /// Every operation, in the order of the configuration.
    pub const ALL: [Self; 12] = [
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
    ];
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
    /// Accounts created from one address. Default 20, then one each 3 min.
    pub register: Limit,
    /// Passwords tried for one account. Default 10, then one each 15 s.
    pub password: Limit,
    /// Logins of any kind from one address. Default 300, then five each second.
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
    /// Steps of linking a device, from one address or account. Default 400, then five each second: a device that waits asks.
    pub link: Limit,
    /// Changes to an account. Default 60, then one each 5 s.
    pub change: Limit,
    /// Leading zero bits of the proof of work that a stranger shows beyond `stranger_lookup`. Default 18, at most 24.
    pub work_bits: u8,
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
            work_bits: 18,
        }
    }
}

impl LimitsConfig {
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
        }
    }
}

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
    /// Of the names of subjects: what is in memory is no address.
    key: [u8; 32],
    /// In the order of [`Operation::ALL`].
    cells: Vec<(Cells, Counts)>,
    clock: DefaultClock,
    work_bits: u8,
}

/// What was asked of a limit since the node started.
#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    refused: AtomicU64,
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
    /// Who is counted at the moment.
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
    /// When there is another cell.
    pub retry_after: Duration,
}

impl From<TooMany> for Refusal {
    fn from(TooMany { retry_after }: TooMany) -> Self {
        let ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { code: RefusalCode::Rate, retry_after_ms: NonZeroU64::new(ms), work: None }
    }
}

impl Limits {
    /// From the configuration. `key` is random.
    pub fn new(config: &LimitsConfig, key: [u8; 32]) -> Self {
        let cells = |operation| {
            let Limit { burst, every_ms } = config.of(operation);
            // One cell each so often: `every` is never zero, so there is a quota.
            let quota = Quota::with_period(Duration::from_millis(every_ms.get()))
                .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
                .allow_burst(burst);
            (RateLimiter::hashmap(quota), Counts::default())
        };
        let cells = Operation::ALL.into_iter().map(cells).collect();
        Self { key, cells, clock: DefaultClock::default(), work_bits: config.work_bits }
    }

    /// Leading zero bits that a stranger has to show beyond a limit.
    pub const fn work_bits(&self) -> u8 {
        self.work_bits
    }

    /// Takes one cell.
    ///
    /// # Errors
    /// `TooMany` when there is none.
    pub fn check(&self, operation: Operation, subject: Subject<'_>) -> Result<(), TooMany> {
        let Some((cells, counts)) = self.cells.get(operation as usize) else { return Ok(()) };
        match cells.check_key(&self.name(subject)) {
            Ok(()) => {
                counts.allowed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(not_until) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                Err(TooMany { retry_after: not_until.wait_time_from(self.clock.now()) })
            }
        }
    }

    fn name(&self, subject: Subject<'_>) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
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

    /// Forgets who has all cells again.
    pub fn forget_idle(&self) {
        for (cells, _) in &self.cells {
            cells.retain_recent();
            cells.shrink_to_fit();
        }
    }

    /// What was asked since the node started.
    pub fn stats(&self) -> Vec<LimitStats> {
        let stats = |(operation, (cells, counts)): (Operation, &(Cells, Counts))| LimitStats {
            operation,
            allowed: counts.allowed.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            subjects: cells.len() as u64,
        };
        Operation::ALL.into_iter().zip(&self.cells).map(stats).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tight() -> Limits {
        let config = LimitsConfig { lookup: Limit::new(3, 3_600_000), ..LimitsConfig::default() };
        Limits::new(&config, [1; 32])
    }

    #[test]
    fn operations_are_where_they_are_looked_for() {
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, index);
        }
    }

    #[test]
    fn a_limit_says_when_to_come_again_and_keeps_others_apart() {
        let limits = tight();
        let [alice, bob] = [1, 2].map(|byte| Subject::Account(AccountTag::new([byte; 32])));
        for _ in 0..3 {
            assert_eq!(limits.check(Operation::Lookup, alice), Ok(()));
        }
        let TooMany { retry_after } = limits.check(Operation::Lookup, alice).unwrap_err();
        assert!(retry_after > Duration::from_secs(3_000) && retry_after <= Duration::from_secs(3_600));
        assert_eq!(limits.check(Operation::Lookup, bob), Ok(()));
        assert_eq!(limits.check(Operation::Keys, alice), Ok(()));
        let refusal = Refusal::from(TooMany { retry_after: Duration::ZERO });
        assert_eq!((refusal.code, refusal.retry_after_ms), (RefusalCode::Rate, NonZeroU64::new(1)));
        let stats = limits.stats();
        assert_eq!((stats[0].allowed, stats[0].refused, stats[0].subjects), (4, 1, 2));
    }

    #[test]
    fn who_is_not_near_a_limit_is_forgotten() {
        let config = LimitsConfig { lookup: Limit::new(1, 1), ..LimitsConfig::default() };
        let limits = Limits::new(&config, [1; 32]);
        limits.check(Operation::Lookup, Subject::Account(AccountTag::new([1; 32]))).unwrap();
        let deadline = crate::clock::monotonic() + Duration::from_secs(10);
        while limits.stats()[0].subjects > 0 {
            assert!(crate::clock::monotonic() < deadline);
            limits.forget_idle();
            std::thread::yield_now();
        }
    }

    #[test]
    fn neighbours_share_an_origin_and_strangers_do_not() {
        let origin = |text: &str| Origin::of(Some(text.parse().unwrap()));
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(origin("192.0.2.1"), origin("::ffff:192.0.2.1"));
        assert_eq!(format!("{:?}", origin("192.0.2.1")), "Origin(..)");
    }
}
