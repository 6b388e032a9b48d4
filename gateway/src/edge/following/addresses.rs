//! Addresses of the names by which nodes are reached, as they were found last.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use tokio::time::timeout;

/// What the system gets to find the address of a name.
const RESOLVE_MAX: Duration = Duration::from_secs(5);
/// After a name had no address; twice as long after each further time.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Finds the address of `HOST:PORT`.
pub(super) type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, Option<SocketAddr>> + Send + Sync>;

/// A name keeps the address that it had for as long as no other one is found, over a restart too. Names are bounded by those who
/// name them: two for each node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    known: BTreeMap<String, SocketAddr>,
    /// Names that had no address when they were looked up last.
    missing: BTreeSet<String>,
    /// When those are looked up again.
    again: Option<Instant>,
    /// Times in a row that one had none.
    vain: u32,
}

impl Addresses {
    pub(super) fn known_before(known: BTreeMap<String, SocketAddr>) -> Self {
        Self { known, ..Self::default() }
    }

    /// What is to be kept for the next start.
    pub(super) const fn known(&self) -> &BTreeMap<String, SocketAddr> {
        &self.known
    }

    /// Of an address that one is itself, or of a name that had one.
    pub(super) fn of(&self, text: &str) -> Option<SocketAddr> {
        text.parse().ok().or_else(|| self.known.get(text).copied())
    }

    /// Those of these texts that are names.
    pub(super) fn names<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        texts.filter(|text| text.parse::<SocketAddr>().is_err()).map(str::to_owned).collect()
    }

    /// Whether there is something to tell of all these before they are looked up: an address, or that there was none.
    pub(super) fn has_looked_up(&self, names: &BTreeSet<String>) -> bool {
        names.iter().all(|name| self.known.contains_key(name) || self.missing.contains(name))
    }

    /// What was found of each name. Others are forgotten.
    pub(super) fn found(&mut self, found: BTreeMap<String, Option<SocketAddr>>, now: Instant) {
        let mut known = BTreeMap::new();
        self.missing.clear();
        for (name, address) in found {
            if address.is_none() {
                self.missing.insert(name.clone());
            }
            if let Some(address) = address.or_else(|| self.known.get(&name).copied()) {
                known.insert(name, address);
            }
        }
        if self.missing.is_empty() {
            (self.vain, self.again) = (0, None);
        } else {
            self.again = Some(now + AGAIN_MIN.saturating_mul(1 << self.vain.min(8)).min(AGAIN_MAX));
            self.vain = self.vain.saturating_add(1);
        }
        self.known = known;
    }

    /// Whether names are to be looked up again, because one had no address.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| again <= now)
    }
}

/// All at the same time: one that takes long holds up no other.
pub(super) async fn look_up(names: BTreeSet<String>, one: &LookUp) -> BTreeMap<String, Option<SocketAddr>> {
    join_all(names.into_iter().map(async |name| (name.clone(), one(name).await))).await.into_iter().collect()
}

/// What the system says: always the same one of several.
pub(super) fn by_the_system() -> LookUp {
    Arc::new(|name| {
        Box::pin(async move {
            let found = timeout(RESOLVE_MAX, tokio::net::lookup_host(name)).await.ok()?.ok()?;
            found.min()
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock;

    #[test]
    fn a_name_keeps_its_address_and_is_looked_up_again_while_it_has_none() {
        let [one, other]: [SocketAddr; 2] = ["192.0.2.1:1", "192.0.2.2:1"].map(|text| text.parse().unwrap());
        let (begin, mut addresses) = (clock::monotonic(), Addresses::known_before([("a:1".to_owned(), one)].into()));
        let names = Addresses::names(["a:1", "b:1", "192.0.2.9:1"].into_iter());
        assert_eq!(names.len(), 2);
        assert!(!addresses.has_looked_up(&names) && !addresses.is_due(begin));
        let found = |a, b| [("a:1".to_owned(), a), ("b:1".to_owned(), b)].into();
        addresses.found(found(None, None), begin);
        assert_eq!((addresses.of("a:1"), addresses.of("b:1")), (Some(one), None));
        assert_eq!(addresses.of("192.0.2.2:1"), Some(other));
        assert!(addresses.has_looked_up(&names));
        assert!(!addresses.is_due(begin) && addresses.is_due(begin + AGAIN_MIN));
        addresses.found(found(Some(other), None), begin);
        assert_eq!(addresses.known(), &[("a:1".to_owned(), other)].into(), "it has moved");
        assert!(!addresses.is_due(begin + AGAIN_MIN) && addresses.is_due(begin + 2 * AGAIN_MIN));
        for _ in 0..40 {
            addresses.found(found(Some(other), None), begin);
        }
        assert!(addresses.is_due(begin + AGAIN_MAX));
        addresses.found([("b:1".to_owned(), Some(one))].into(), begin);
        assert!(!addresses.is_due(begin + AGAIN_MAX) && addresses.of("a:1").is_none(), "nobody names it any more");
    }

    #[tokio::test]
    async fn names_are_looked_up_side_by_side() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&begun);
        // Each sees how many have begun when all others have had their turn.
        let one: LookUp = Arc::new(move |_| {
            let begun = Arc::clone(&counts);
            Box::pin(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                (begun.load(Ordering::SeqCst) == 20).then(|| SocketAddr::from(([192, 0, 2, 1], 1)))
            })
        });
        let found = look_up((0..20).map(|number| number.to_string()).collect(), &one).await;
        assert!(found.len() == 20 && found.values().all(Option::is_some), "{found:?}");
    }
}
