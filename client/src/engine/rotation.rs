//! When the own signed keys are replaced, and when old ones are destroyed.
//!
//! A set of keys (signed pre-key, last-resort ML-KEM pre-key, envelope key) is replaced every week. What was sealed for the
//! old one still arrives: a sender refreshes what he knows of us after [`PEER_KEYS_AGE_MAX`], and a server keeps an
//! envelope for [`limits::QUEUE_AGE_MAX`], so an old set is kept for both together, counted from when the server had the
//! new one. Then it is destroyed, and what an enemy has recorded stays closed for good.
//!
//! Nothing is replaced or destroyed while this clock and the server's disagree: a clock that jumps ahead would destroy keys
//! that are needed. One-time keys are destroyed by their use and live until then.

use std::time::Duration;

use endtoend_crypto_e2e::{NewKeys, destroy_keys, new_device_keys};
use endtoend_protocol::{DeviceKeys, UnixMillis, limits};
use rand::RngExt as _;

use crate::database::{DatabaseError, KeySet, Store};

/// A set is replaced after this time, and up to [`JITTER`] earlier, so that not all devices do it in the same hour.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
const JITTER: Duration = Duration::from_secs(24 * 3600);
/// A set that the server may or may not have got is not replaced before this time.
const UNCONFIRMED_MIN: Duration = Duration::from_secs(3600);
/// What is known of a peer's envelope keys is refreshed after this time, before anything is sealed for him.
pub(super) const PEER_KEYS_AGE_MAX: Duration = Duration::from_secs(6 * 24 * 3600);
/// How long a set is kept after the server has a later one. A day more than needed, for those who are late.
pub(super) const RETIRED_KEPT: Duration =
    Duration::from_secs(limits::QUEUE_AGE_MAX.as_secs() + PEER_KEYS_AGE_MAX.as_secs() + 24 * 3600);
/// How often it is looked at.
pub(super) const CARE_INTERVAL: Duration = Duration::from_secs(3600);

/// Whether a new set must be made, given the latest.
fn is_due(latest: Option<&KeySet>, now: UnixMillis) -> bool {
    let Some(set) = latest else { return true };
    // Made in the future: the clock was wrong then.
    let ahead = set.made_at.since(now) > limits::CLOCK_SKEW_MAX;
    match set.published {
        true => ahead || now >= set.rotate_at,
        false => ahead || now.since(set.made_at) >= UNCONFIRMED_MIN,
    }
}

/// Whether a set may be destroyed.
fn is_over(set: &KeySet, now: UnixMillis) -> bool {
    set.retired_at.is_some_and(|at| now.since(at) >= RETIRED_KEPT)
}

/// Notes the set that `keys` brought, so that it can be rotated. `None` when they brought none.
pub(super) fn note_set(
    store: &Store<'_>,
    keys: &DeviceKeys,
    published: bool,
    now: UnixMillis,
) -> Result<Option<i64>, DatabaseError> {
    let (Some(signed), Some(kem), Some(envelope)) =
        (&keys.signed_pre_key, &keys.last_resort_kem_pre_key, &keys.envelope_key)
    else {
        return Ok(None);
    };
    let jitter = JITTER.mul_f64(rand::rng().random_range(0.0..1.0));
    let set = KeySet {
        seq: 0,
        signed: signed.id,
        kem: kem.id,
        envelope: envelope.id,
        made_at: now,
        rotate_at: now.plus(LIFE.saturating_sub(jitter)),
        published,
        retired_at: None,
    };
    store.put_key_set(&set).map(Some)
}

/// Destroys what is over and makes what is due, inside a transaction. Gives new keys to publish and the set that they are.
pub(super) fn care(store: &Store<'_>, now: UnixMillis) -> Result<Option<(i64, DeviceKeys)>, DatabaseError> {
    let sets = store.key_sets()?;
    for set in sets.iter().filter(|set| is_over(set, now)) {
        store.apply(&destroy_keys(set.signed, set.kem, set.envelope))?;
        store.remove_key_set(set)?;
    }
    if !is_due(sets.last(), now) {
        return Ok(None);
    }
    let counts = NewKeys { signed: true, ..NewKeys::default() };
    let Ok((keys, changes)) = new_device_keys(store, &mut rand::rng(), counts) else { return Ok(None) };
    store.apply(&changes)?;
    Ok(note_set(store, &keys, false, now)?.map(|seq| (seq, keys)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
    const HOUR_MS: u64 = 3_600_000;

    fn set(published: bool) -> KeySet {
        let rotate_at = NOW.plus(LIFE);
        KeySet { seq: 1, signed: 1, kem: 1, envelope: 1, made_at: NOW, rotate_at, published, retired_at: None }
    }

    #[test]
    fn a_set_is_due_after_its_time_or_when_it_comes_from_the_future() {
        assert!(is_due(None, NOW));
        assert!(!is_due(Some(&set(true)), NOW.plus(LIFE - Duration::from_millis(1))));
        assert!(is_due(Some(&set(true)), NOW.plus(LIFE)));
        assert!(!is_due(Some(&set(false)), NOW.plus(UNCONFIRMED_MIN - Duration::from_millis(1))));
        assert!(is_due(Some(&set(false)), NOW.plus(UNCONFIRMED_MIN)));
        assert!(is_due(Some(&set(true)), UnixMillis::new(NOW.get() - HOUR_MS)));
    }

    #[test]
    fn a_retired_set_outlives_everything_that_was_sealed_for_it() {
        // Fetched just before the server had the new one, sealed at the last moment, queued as long as it can be.
        let sealed_last = NOW.plus(PEER_KEYS_AGE_MAX);
        let delivered_last = sealed_last.plus(limits::QUEUE_AGE_MAX);
        let retired = KeySet { retired_at: Some(NOW), ..set(true) };
        assert!(!is_over(&retired, delivered_last));
        assert!(is_over(&retired, NOW.plus(RETIRED_KEPT)));
        assert!(!is_over(&set(true), NOW.plus(RETIRED_KEPT * 10)), "the present one is never destroyed");
    }

    proptest! {
        /// A device that is online now and then, whose server's answers are sometimes lost.
        #[test]
        fn over_a_year_keys_are_fresh_few_and_kept_long_enough(steps in prop::collection::vec((1_u64..400, any::<bool>()), 60..200)) {
            let (mut now, mut sets, mut seq) = (NOW, Vec::<KeySet>::new(), 0);
            for (hours, heard) in steps {
                now = now.plus(Duration::from_millis(hours * HOUR_MS));
                sets.retain(|set| {
                    let over = is_over(set, now);
                    if over {
                        assert!(now.since(set.retired_at.unwrap()) >= RETIRED_KEPT);
                    }
                    !over
                });
                if is_due(sets.last(), now) {
                    seq += 1;
                    sets.push(KeySet { seq, made_at: now, rotate_at: now.plus(LIFE), ..set(false) });
                }
                if heard && !sets.last().unwrap().published {
                    sets.last_mut().unwrap().published = true;
                    let last = sets.len() - 1;
                    sets[..last].iter_mut().for_each(|set| { set.retired_at.get_or_insert(now); });
                }
                let latest = sets.last().unwrap();
                prop_assert!(latest.retired_at.is_none());
                prop_assert!(!latest.published || now.since(latest.made_at) < LIFE);
            }
        }
    }
}
