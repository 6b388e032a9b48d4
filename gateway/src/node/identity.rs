//! The long-term identity of the server, and the static keys that speak for it at present.
//!
//! The identity's seed is made on the first run; clients pin its fingerprint. Static keys live in memory only, are made at
//! each start and every day, and are vouched for during two days: whoever steals them can pose as the server so long.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use endtoend_crypto_core::channel::{Introduction, StaticKeys, fingerprint};
use endtoend_crypto_core::signature::SigningKey;
use endtoend_protocol::UnixMillis;

use super::certificates::KeyHash;

/// How long an introduction is good.
const INTRODUCTION_LIFE: Duration = Duration::from_secs(48 * 3600);
/// An introduction is good from this long ago, for clients whose clock is late. It gives nobody anything: keys that were made
/// now cannot have been used before.
const INTRODUCTION_BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// Static keys are replaced after this time.
const STATIC_KEYS_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What clients pin: the key that vouches for TLS certificates, and the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    pub tls: KeyHash,
    pub identity: [u8; 32],
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tls.fmt(f)?;
        self.identity.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Static keys and what the identity says of them.
pub(crate) struct Introduced {
    pub(crate) keys: StaticKeys,
    pub(crate) introduction: Vec<u8>,
    at: UnixMillis,
}

/// Hands out the present static keys.
pub(crate) struct Identity {
    key: SigningKey,
    current: RwLock<Arc<Introduced>>,
}

impl Identity {
    pub(crate) fn new(key: SigningKey, now: UnixMillis) -> Self {
        let current = RwLock::new(Arc::new(introduce(&key, now)));
        Self { key, current }
    }

    pub(super) fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.key.verifying_key())
    }

    pub(crate) fn introduced(&self) -> Arc<Introduced> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// New static keys when the present ones are old, or seem to come from the future. Those in use stay so.
    pub(super) fn renew_if_due(&self, now: UnixMillis) -> bool {
        let at = self.introduced().at;
        if at <= now && now.since(at) < STATIC_KEYS_LIFE {
            return false;
        }
        let renewed = Arc::new(introduce(&self.key, now));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        true
    }
}

fn introduce(key: &SigningKey, now: UnixMillis) -> Introduced {
    let keys = StaticKeys::generate(&mut rand::rng());
    let (from, until) = (now.minus(INTRODUCTION_BACKDATED), now.plus(INTRODUCTION_LIFE));
    let introduction = Introduction::sign(key, keys.public(), from.get(), until.get());
    Introduced { keys, introduction, at: now }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

    fn read(identity: &Identity) -> Introduction {
        Introduction::read(&identity.introduced().introduction).unwrap()
    }

    #[test]
    fn the_identity_stays_and_its_static_keys_change() {
        let seed = SigningKey::generate(&mut rand::rng()).seed();
        let identity = Identity::new(SigningKey::from_seed(&seed), NOW);
        let restarted = Identity::new(SigningKey::from_seed(&seed), NOW);
        assert_eq!(identity.fingerprint(), restarted.fingerprint());
        assert_ne!(read(&identity).keys.to_bytes(), read(&restarted).keys.to_bytes());

        let first = read(&identity).keys.to_bytes();
        assert!(!identity.renew_if_due(NOW.plus(STATIC_KEYS_LIFE - Duration::from_millis(1))));
        assert!(identity.renew_if_due(NOW.plus(STATIC_KEYS_LIFE)));
        assert_ne!(read(&identity).keys.to_bytes(), first);
        assert!(identity.renew_if_due(NOW), "a clock that jumped back");
    }

    #[test]
    fn an_introduction_outlives_the_connections_that_begin_with_it() {
        let identity = Identity::new(SigningKey::generate(&mut rand::rng()), NOW);
        let last = NOW.plus(STATIC_KEYS_LIFE + Duration::from_secs(3600));
        read(&identity).check(&identity.fingerprint(), last.get(), 0).unwrap();
        // And is believed by those whose clock is late, or whose node's is early.
        read(&identity).check(&identity.fingerprint(), NOW.get() - 3_600_000, 0).unwrap();
    }
}
