//! When the own keys are replaced, and when old ones are destroyed.
//!
//! A set of keys (signed pre-key, last-resort ML-KEM pre-key, envelope key) is replaced every week. What was sealed for the
//! old one still arrives: a sender uses what he knows of us for [`PEER_KEYS_AGE_MAX`], what he has sealed waits in his outbox
//! for [`SEALED_AGE_MAX`], and a server keeps it for [`limits::QUEUE_AGE_MAX`]. So an old set is kept for all three together,
//! counted from when the server had the new one. Then it is destroyed, and what an enemy has recorded stays closed for good.
//!
//! One-time keys are destroyed by their use. One that the server has handed out and that nobody has used is kept as long as
//! a retired set; the server hands out the oldest first, so their number there says which those are. How old a key is that
//! the server still has does not matter: whoever gets it has it from that day on.
//!
//! Nothing is replaced or destroyed while this clock and the server's disagree, not even when one of them jumps during a
//! connection: a clock that is ahead would destroy keys that are needed.

use std::time::Duration;

use endtoend_crypto_e2e::{
    NewKeys, PEER_KEYS_AGE_MAX, destroy_keys, is_last_resort, kept_device_keys, new_device_keys,
};
use endtoend_protocol::{DeviceKeys, KeyCounts, UnixMillis, limits};
use rand::RngExt as _;

use crate::clock::Instant;
use crate::database::{DatabaseError, KeySet, OwnKeys, Store};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A set is replaced after this time, and up to [`JITTER`] earlier, so that not all devices do it in the same hour.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
const JITTER: Duration = DAY;
/// An envelope that is not sent within this time of being sealed is sealed anew.
pub(super) const SEALED_AGE_MAX: Duration = Duration::from_secs(12 * 3600);
/// How far the server's clock may be off for ours to be believed. Twice this, at the beginning and at the end, is well within
/// what a set is kept longer than needed.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(3600);
/// How long a set is kept after the server has a later one. Half a day more than needed, for clocks and for those who are late.
pub(super) const RETIRED_KEPT: Duration = Duration::from_secs(
    limits::QUEUE_AGE_MAX.as_secs() + PEER_KEYS_AGE_MAX.as_secs() + SEALED_AGE_MAX.as_secs() + 12 * 3600,
);
/// How often it is looked at.
pub(super) const CARE_INTERVAL: Duration = Duration::from_secs(3600);

/// Tells the time on one connection, as long as two clocks agree about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgreedTime {
    server: UnixMillis,
    at: Instant,
}

impl AgreedTime {
    /// The server has said what time it is.
    pub(super) const fn new(server: UnixMillis, at: Instant) -> Self {
        Self { server, at }
    }

    /// The time of the wall clock; `None` when it is not where the server's clock must be by now.
    pub(super) fn check(self, wall: UnixMillis, now: Instant) -> Option<UnixMillis> {
        let server = self.server.plus(now.saturating_duration_since(self.at));
        (wall.since(server).max(server.since(wall)) <= CLOCKS_APART_MAX).then_some(wall)
    }
}

/// What must be done about the latest set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The server has not said that it has it. It may: a repeat is harmless.
    Publish,
    /// Another takes its place.
    Make,
}

fn due(latest: Option<&KeySet>, now: UnixMillis) -> Due {
    let Some(set) = latest else { return Due::Make };
    // Made in the future: both clocks were wrong then.
    if now >= set.rotate_at || set.made_at.since(now) > DAY {
        return Due::Make;
    }
    if set.published { Due::Nothing } else { Due::Publish }
}

/// Whether a set may be destroyed.
fn is_over(set: &KeySet, now: UnixMillis) -> bool {
    set.retired_at.is_some_and(|at| now.since(at) >= RETIRED_KEPT)
}

/// Whether an envelope that was sealed then must be sealed anew rather than sent. `None`: nobody knows when.
pub(super) fn is_late(sealed_at: Option<UnixMillis>, now: UnixMillis) -> bool {
    // A moment in the future is of a clock that has been set back since.
    sealed_at.is_none_or(|at| now.since(at) >= SEALED_AGE_MAX || at.since(now) > limits::CLOCK_SKEW_MAX)
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

/// Notes keys that were made before there were notes, or by a transaction that made none.
fn note_unnoted(store: &Store<'_>, now: UnixMillis) -> Result<(), DatabaseError> {
    let (mut one_time, mut last_resort) = (Vec::new(), Vec::new());
    for id in store.unnoted_kem_keys()? {
        if is_last_resort(store, id)? { last_resort.push(id) } else { one_time.push(id) }
    }
    store.note_one_time_keys(&one_time)?;
    let sets = store.key_sets()?;
    let without = |mut ids: Vec<u32>, of: fn(&KeySet) -> u32| {
        ids.retain(|id| !sets.iter().any(|set| of(set) == *id));
        ids
    };
    let signed = without(store.own_keys(OwnKeys::SignedPreKeys)?, |set| set.signed);
    let envelope = without(store.own_keys(OwnKeys::EnvelopeKeys)?, |set| set.envelope);
    let kem = without(last_resort, |set| set.kem);
    // The three were made together and their ids only grow. Nobody knows when: they are replaced now.
    let retired_at = (!sets.is_empty()).then_some(now);
    for ((signed, kem), envelope) in signed.into_iter().zip(kem).zip(envelope) {
        let set = KeySet { seq: 0, signed, kem, envelope, made_at: now, rotate_at: now, published: true, retired_at };
        store.put_key_set(&set)?;
    }
    Ok(())
}

/// Destroys what is over and makes what is due, inside a transaction. Gives keys to publish and the set that they are.
pub(super) fn care(store: &Store<'_>, now: UnixMillis) -> Result<Option<(i64, DeviceKeys)>, DatabaseError> {
    note_unnoted(store, now)?;
    let sets = store.key_sets()?;
    for set in sets.iter().filter(|set| is_over(set, now)) {
        store.apply(&destroy_keys(set.signed, set.kem, set.envelope))?;
        store.remove_key_set(set)?;
    }
    store.destroy_one_time_keys(now, RETIRED_KEPT)?;
    let latest = sets.iter().rev().find(|set| set.retired_at.is_none());
    match (due(latest, now), latest) {
        (Due::Nothing, _) => Ok(None),
        (Due::Publish, Some(set)) => {
            let kept = kept_device_keys(store, &mut rand::rng(), set.signed, set.kem, set.envelope);
            Ok(kept.ok().map(|keys| (set.seq, keys)))
        }
        (Due::Publish, None) | (Due::Make, _) => {
            let counts = NewKeys { signed: true, ..NewKeys::default() };
            let Ok((keys, changes)) = new_device_keys(store, &mut rand::rng(), counts) else { return Ok(None) };
            store.apply(&changes)?;
            Ok(note_set(store, &keys, false, now)?.map(|seq| (seq, keys)))
        }
    }
}

/// The server has said how many one-time keys it holds: whatever it held before is handed out since now.
pub(super) fn note_held(store: &Store<'_>, held: KeyCounts, now: UnixMillis) -> Result<(), DatabaseError> {
    store.note_handed_out(OwnKeys::OneTimePreKeys, held.one_time, now)?;
    store.note_handed_out(OwnKeys::KemPreKeys, held.one_time_kem, now)
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
        let before = |by: Duration| UnixMillis::new(NOW.get() - u64::try_from(by.as_millis()).unwrap());
        assert_eq!(due(None, NOW), Due::Make);
        for (published, meanwhile) in [(true, Due::Nothing), (false, Due::Publish)] {
            let set = set(published);
            assert_eq!(due(Some(&set), NOW), meanwhile);
            assert_eq!(due(Some(&set), NOW.plus(LIFE - Duration::from_millis(1))), meanwhile);
            assert_eq!(due(Some(&set), NOW.plus(LIFE)), Due::Make);
            assert_eq!(due(Some(&set), before(DAY)), meanwhile, "a clock that was put right");
            assert_eq!(due(Some(&set), before(DAY * 2)), Due::Make);
        }
    }

    #[test]
    fn a_retired_set_outlives_everything_that_was_sealed_for_it() {
        // Fetched just before the server had the new one, sealed and sent at the last moment, queued as long as it can be; and
        // our clock was as slow as it may be when the set was retired, and is as fast as it may be now.
        let delivered_last = NOW.plus(PEER_KEYS_AGE_MAX).plus(SEALED_AGE_MAX).plus(limits::QUEUE_AGE_MAX);
        let retired = KeySet { retired_at: Some(NOW), ..set(true) };
        assert!(!is_over(&retired, delivered_last.plus(CLOCKS_APART_MAX * 2)));
        assert!(!is_over(&retired, NOW.plus(RETIRED_KEPT - Duration::from_millis(1))));
        assert!(is_over(&retired, NOW.plus(RETIRED_KEPT)));
        assert!(!is_over(&set(true), NOW.plus(RETIRED_KEPT * 10)), "the present one is never destroyed");
    }

    #[test]
    fn time_is_believed_while_two_clocks_agree() {
        let at = crate::clock::monotonic();
        let time = AgreedTime::new(NOW, at);
        let hour = Duration::from_secs(3600);
        assert_eq!(time.check(NOW.plus(CLOCKS_APART_MAX), at), Some(NOW.plus(CLOCKS_APART_MAX)));
        assert_eq!(time.check(NOW.plus(CLOCKS_APART_MAX + Duration::from_millis(1)), at), None);
        assert_eq!(time.check(NOW.plus(hour * 5), at + hour * 5), Some(NOW.plus(hour * 5)));
        assert_eq!(time.check(NOW.plus(hour * 5), at), None, "it jumped ahead");
        assert_eq!(time.check(NOW, at + hour * 5), None, "or back");
    }

    #[test]
    fn an_envelope_is_late_after_its_time_or_when_nobody_knows() {
        assert!(!is_late(Some(NOW), NOW.plus(SEALED_AGE_MAX - Duration::from_millis(1))));
        assert!(is_late(Some(NOW), NOW.plus(SEALED_AGE_MAX)));
        assert!(!is_late(Some(NOW.plus(limits::CLOCK_SKEW_MAX)), NOW));
        assert!(is_late(Some(NOW.plus(DAY)), NOW));
        assert!(is_late(None, NOW));
    }

    /// How far a wall clock is off, in hours.
    fn error() -> impl Strategy<Value = i64> {
        prop_oneof![4 => -1_i64..=1, 1 => -20_000_i64..20_000]
    }

    proptest! {
        /// A device that is online now and then, whose clock jumps, and whose server's answers are sometimes lost.
        #[test]
        fn whatever_its_clock_does_keys_are_fresh_and_kept_long_enough(
            steps in prop::collection::vec((0_u64..400, error(), any::<bool>()), 60..300)
        ) {
            let at = crate::clock::monotonic();
            // Each set with the true time at which it was made and retired.
            let (mut now, mut sets, mut made) = (NOW, Vec::<(KeySet, UnixMillis, Option<UnixMillis>)>::new(), 0);
            for (hours, error_hours, heard) in steps {
                now = now.plus(Duration::from_millis(hours * HOUR_MS));
                let wall = UnixMillis::new(now.get().saturating_add_signed(error_hours * HOUR_MS as i64));
                let Some(wall) = AgreedTime::new(now, at).check(wall, at) else { continue };
                for (set, _, retired) in &sets {
                    if is_over(set, wall) {
                        let kept = now.since(retired.unwrap());
                        prop_assert!(kept >= limits::QUEUE_AGE_MAX + PEER_KEYS_AGE_MAX + SEALED_AGE_MAX);
                    }
                }
                sets.retain(|(set, ..)| !is_over(set, wall));
                let latest = sets.last();
                if due(latest.map(|(set, ..)| set), wall) == Due::Make {
                    if let Some((_, made_at, _)) = latest {
                        prop_assert!(now.since(*made_at) > DAY, "at most one a day");
                    }
                    made += 1;
                    let set = KeySet { seq: made, made_at: wall, rotate_at: wall.plus(LIFE), ..set(false) };
                    sets.push((set, now, None));
                }
                let last = sets.len() - 1;
                if heard && !sets[last].0.published {
                    sets[last].0.published = true;
                    for (set, _, retired) in &mut sets[..last] {
                        set.retired_at.get_or_insert(wall);
                        retired.get_or_insert(now);
                    }
                }
                let (latest, made_at, _) = &sets[last];
                prop_assert!(latest.retired_at.is_none());
                prop_assert!(now.since(*made_at) < LIFE + CLOCKS_APART_MAX * 2, "at least one a week");
            }
        }
    }
}
