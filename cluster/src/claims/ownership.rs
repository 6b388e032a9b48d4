//! What this node knows of its own claims: which devices are here, and which for this node alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::directory::{Before, ClaimsError, Kept, Lost, Stamp, Taken};
use super::lease::Lease;
use super::names::{DeviceName, Epoch, Incarnation};
use super::{CLAIM_LIFE, LEASE, LEASE_MARGIN};

/// How long a sweep of the store counts: a device whose rows were not looked at for longer is nobody's alone. Sweeps
/// begin every two seconds.
pub const SWEEP_LIFE: Duration = Duration::from_secs(5);
/// After so long nobody has a device for himself who has not seen what was committed before: somebody who could not be woken
/// has swept, or goes through the store. A second more than [`SWEEP_LIFE`], for clocks that run at different speeds.
pub const FENCE: Duration = Duration::from_secs(6);
/// A claim that was not kept for this long may be forgotten soon.
const KEPT_LIFE: Duration = CLAIM_LIFE.saturating_sub(Duration::from_secs(120));

/// What a connection that wants a device's deliveries has to wait for. Names connections by a number that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing: the device is claimed.
    Go,
    /// Take the claim, and tell [`Ownership::taken`] of this attempt.
    Take(Attempt),
    /// Another one has asked for the claim already.
    Wait,
}

/// One question for a claim. What another one is answered does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    number: u64,
    asked: Instant,
}

/// What is to be done after an answer of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The device is here. `tell`: who has had it, and should hear of it.
    Here {
        /// Whom, if that is known.
        tell: Option<(Incarnation, Epoch)>,
    },
    /// Nobody wants it here any more: release it, if it was claimed at all.
    Left(Option<Epoch>),
    /// Somebody else has claimed it since: this connection is to end.
    Lost(u64),
    /// Nothing: this answer was not waited for.
    Old,
}

/// The claims of this run.
///
/// A device is *exclusive* here when no other node can push to it. Only then its envelopes go to its mailbox directly;
/// otherwise through the store, whose order is the order. It takes all of these:
///
/// - The claim stands, and whoever had the device before has said that he knows, or a lease has passed.
/// - The lease of this node counts.
/// - The directory has known this lease since a time when nobody can count any more on what it has forgotten.
/// - The store was swept since all that became true, and not long ago: the mailbox knows of every row that somebody committed
///   meanwhile.
#[derive(Debug)]
pub struct Ownership {
    lease: Lease,
    /// When the last complete sweep began.
    swept: Option<Instant>,
    /// The lease that is renewed.
    stamp: Option<Stamp>,
    /// When the latest renewal was sent that has counted.
    renewed: Option<Instant>,
    /// When it was heard last that the directory had forgotten this run.
    forgotten: Option<Instant>,
    /// Until then somebody else may count on what the directory has forgotten.
    young_until: Option<Instant>,
    /// When the last complete round of keeping all claims began, or there was none yet.
    kept: Option<Instant>,
    held: BTreeMap<DeviceName, Held>,
    attempts: u64,
}

#[derive(Debug)]
struct Held {
    /// The latest connection.
    connection: u64,
    /// None: not claimed yet.
    claim: Option<Claim>,
    /// The directory is being asked for it.
    taking: Option<Attempt>,
    /// The newest claim of others that was heard of meanwhile.
    others: Epoch,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    epoch: Epoch,
    /// Since when nobody else has the device, once swept; none: it was so when the mailbox was loaded.
    clear_at: Option<Instant>,
    /// The directory has it, as far as is known.
    stands: bool,
    /// The one who can make it clear earlier.
    before: Option<Incarnation>,
}

impl Claim {
    /// A claim that was taken, and perhaps follows another one of this run.
    fn after(Taken { epoch, before }: Taken, earlier: Option<Self>, loaded: bool, now: Instant) -> Self {
        let (clear_at, holder) = match before {
            Before::Nobody => (loaded.then_some(now), None),
            Before::Holder(holder) => (Some(now + LEASE), Some(holder)),
            Before::Somebody => (Some(now + LEASE), None),
        };
        let clear_at = clear_at.max(earlier.and_then(|earlier| earlier.clear_at));
        Self { epoch, clear_at, stands: true, before: holder }
    }
}

impl Default for Ownership {
    fn default() -> Self {
        Self::new()
    }
}

impl Ownership {
    /// Nothing is claimed.
    pub fn new() -> Self {
        Self {
            lease: Lease::new(LEASE, LEASE_MARGIN),
            swept: None,
            stamp: None,
            renewed: None,
            forgotten: None,
            young_until: None,
            kept: None,
            held: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// A connection wants the device's deliveries. An earlier one is forgotten.
    pub fn arrives(&mut self, device: DeviceName, connection: u64, now: Instant) -> Arrival {
        let new = Held { connection, claim: None, taking: None, others: Epoch(0) };
        let held = self.held.entry(device).or_insert(new);
        held.connection = connection;
        match (held.claim, held.taking) {
            (Some(_), _) => Arrival::Go,
            (None, Some(_)) => Arrival::Wait,
            (None, None) => {
                self.attempts += 1;
                let attempt = Attempt { number: self.attempts, asked: now };
                held.taking = Some(attempt);
                Arrival::Take(attempt)
            }
        }
    }

    /// A connection has ended. Says with which claim the device has left, if it was the latest.
    pub fn left(&mut self, device: DeviceName, connection: u64) -> Option<Epoch> {
        let held = self.held.get(&device)?;
        // What is being asked for is released when the answer has come.
        if held.connection != connection {
            return None;
        }
        self.held.remove(&device)?.claim.map(|claim| claim.epoch)
    }

    /// The directory was asked for a claim. `loaded`: the mailbox has read its queue before, so that it has to be swept.
    ///
    /// Without an answer the device is here all the same: through the store, until [`Ownership::unclaimed`] names it again.
    pub fn taken(
        &mut self,
        device: DeviceName,
        attempt: Attempt,
        answer: Result<Taken, ClaimsError>,
        loaded: bool,
        now: Instant,
    ) -> Standing {
        let answer = answer.ok();
        let Some(held) = self.held.get_mut(&device) else { return Standing::Left(answer.map(|taken| taken.epoch)) };
        let is_awaited = held.taking == Some(attempt);
        if is_awaited {
            held.taking = None;
        }
        let before = held.claim;
        // What was asked before the directory forgot this run is forgotten, too, perhaps.
        let stands = self.forgotten.is_none_or(|forgotten| attempt.asked >= forgotten);
        // An answer that was not waited for any more is a claim of this run all the same. Of several the newest one counts, and
        // none is released while the device is here: the directory may have carried them out in another order.
        if let Some(taken) = answer.filter(|taken| before.is_none_or(|claim| claim.epoch < taken.epoch)) {
            if taken.epoch < held.others {
                // Somebody has claimed it since, was told that we know, and believes it.
                if before.is_none() && is_awaited {
                    let connection = held.connection;
                    self.held.remove(&device);
                    return Standing::Lost(connection);
                }
            } else {
                held.claim = Some(Claim { stands, ..Claim::after(taken, before, loaded || !is_awaited, now) });
                if is_awaited && let Before::Holder(holder) = taken.before {
                    return Standing::Here { tell: Some((holder, taken.epoch)) };
                }
            }
        }
        if is_awaited { Standing::Here { tell: None } } else { Standing::Old }
    }

    /// Devices that are here and not claimed, at most `max` of them. They are being asked for from now on.
    pub fn unclaimed(&mut self, max: usize, now: Instant) -> Vec<(DeviceName, Attempt)> {
        let unclaimed = self.held.iter_mut().filter(|(_, held)| held.claim.is_none() && held.taking.is_none());
        let attempts = &mut self.attempts;
        let asked = unclaimed.take(max).map(|(device, held)| {
            *attempts += 1;
            let attempt = Attempt { number: *attempts, asked: now };
            held.taking = Some(attempt);
            (*device, attempt)
        });
        asked.collect()
    }

    /// `holder` has said that it has the device no more.
    pub fn confirmed(&mut self, device: DeviceName, epoch: Epoch, holder: Incarnation, now: Instant) {
        if let Some(claim) = self.held.get_mut(&device).and_then(|held| held.claim.as_mut())
            && claim.epoch == epoch
            && claim.before == Some(holder)
        {
            claim.before = None;
            claim.clear_at = claim.clear_at.map(|at| at.min(now));
        }
    }

    /// There is a newer claim. Says which connection is to end, if the device was here.
    pub fn lost(&mut self, Lost { device, epoch }: Lost) -> Option<u64> {
        let held = self.held.get_mut(&device)?;
        // Which one of it and of what is being asked for is the newer one, the answer says.
        held.others = held.others.max(epoch);
        if held.claim.is_none_or(|claim| claim.epoch >= epoch) {
            return None;
        }
        self.held.remove(&device).map(|held| held.connection)
    }

    /// The lease was renewed; everything that the answer said was lost went through [`Ownership::lost`] before. `young_for`: see
    /// [`Renewed`](super::Renewed).
    pub fn renewed(&mut self, stamp: Stamp, young_for: Duration, sent: Instant, now: Instant) {
        if self.renewed.is_some_and(|latest| sent < latest) {
            // What was asked later has been answered. Stamps do not tell: those of another directory are of another clock.
            return;
        }
        self.renewed = Some(sent);
        if self.stamp.replace(stamp) != Some(stamp) {
            self.lease.was_forgotten();
            self.forgotten = Some(now);
            self.young_until = Some(now + young_for);
            self.held.values_mut().filter_map(|held| held.claim.as_mut()).for_each(|claim| claim.stands = false);
        }
        self.lease.renewed(sent, now);
    }

    /// All claims, to be kept. Those that may be forgotten come with the others.
    pub fn claims(&self) -> Vec<(DeviceName, Epoch)> {
        self.held.iter().filter_map(|(device, held)| Some((*device, held.claim?.epoch))).collect()
    }

    /// Whether a claim has to be kept now, and not at the next round.
    pub fn is_in_doubt(&self) -> bool {
        self.held.values().filter_map(|held| held.claim).any(|claim| !claim.stands)
    }

    /// A claim was to be kept, which was asked at `began`. Says which connection is to end.
    pub fn kept(&mut self, device: DeviceName, epoch: Epoch, kept: Kept, began: Instant, now: Instant) -> Option<u64> {
        let is_late = self.forgotten.is_some_and(|forgotten| began < forgotten);
        let held = self.held.get_mut(&device)?;
        let claim = held.claim.as_mut().filter(|claim| claim.epoch == epoch)?;
        match kept {
            // Perhaps from before it was forgotten.
            Kept::Stands | Kept::Unclear if is_late => {}
            Kept::Stands => claim.stands = true,
            // Its own claim made it so, and then it is known until when.
            Kept::Unclear if claim.stands => {}
            Kept::Unclear => {
                claim.stands = true;
                claim.before = None;
                claim.clear_at = Some(now + LEASE);
            }
            Kept::Lost => return self.held.remove(&device).map(|held| held.connection),
        }
        None
    }

    /// All claims that there were at `began` were kept.
    pub fn round_kept(&mut self, began: Instant) {
        self.kept = Some(began);
    }

    /// The store was asked for rows of all devices that were here at `began`, and their mailboxes were told.
    pub fn swept(&mut self, began: Instant) {
        self.swept = Some(began);
    }

    /// All devices that are here.
    pub fn devices(&self) -> impl Iterator<Item = DeviceName> {
        self.held.keys().copied()
    }

    /// Whether the device is here.
    pub fn is_here(&self, device: DeviceName) -> bool {
        self.held.contains_key(&device)
    }

    /// Whether envelopes for the device may go to its mailbox directly.
    pub fn is_exclusive(&self, device: DeviceName, now: Instant) -> bool {
        let Some(claim) = self.held.get(&device).and_then(|held| held.claim) else { return false };
        let Some(swept) = self.gate(now) else { return false };
        claim.stands && claim.clear_at.is_none_or(|at| at <= swept)
    }

    /// When the sweep began that lets devices be exclusive; none while none is.
    fn gate(&self, now: Instant) -> Option<Instant> {
        let since = self.lease.since(now)?;
        let since = self.young_until.map_or(since, |until| until.max(since));
        let swept = self.swept.filter(|began| since <= *began && now.saturating_duration_since(*began) < SWEEP_LIFE)?;
        let kept = self.kept.is_none_or(|began| now.saturating_duration_since(began) < KEPT_LIFE);
        kept.then_some(swept)
    }

    /// Devices here, claimed ones, and exclusive ones.
    pub fn count(&self, now: Instant) -> (usize, usize, usize) {
        let claimed = self.held.values().filter(|held| held.claim.is_some()).count();
        let exclusive = self.held.keys().filter(|device| self.is_exclusive(**device, now)).count();
        (self.held.len(), claimed, exclusive)
    }

    /// What must hold after every step.
    pub fn check_invariants(&self, now: Instant) {
        for (device, held) in &self.held {
            if self.is_exclusive(*device, now) {
                assert!(self.lease.is_valid(now), "nobody has anything for himself without a lease");
                assert!(held.claim.is_some_and(|claim| claim.stands));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const DEVICE: DeviceName = DeviceName([1; 16]);
    const ONE: Stamp = Stamp(10);
    const GROWN: Duration = Duration::ZERO;

    /// A device that is here and was claimed by nobody else.
    fn claimed(now: Instant) -> Ownership {
        let mut rules = Ownership::new();
        let Arrival::Take(attempt) = rules.arrives(DEVICE, 1, now) else { panic!("it is not claimed yet") };
        let taken = Taken { epoch: Epoch(1), before: Before::Nobody };
        assert_eq!(rules.taken(DEVICE, attempt, Ok(taken), false, now), Standing::Here { tell: None });
        rules
    }

    /// The directory says that the claim stands, and the store is swept.
    fn settles(rules: &mut Ownership, now: Instant) {
        assert_eq!(rules.kept(DEVICE, Epoch(1), Kept::Stands, now, now), None);
        rules.swept(now);
    }

    #[test]
    fn of_two_renewals_the_one_that_was_sent_later_counts_whatever_their_stamps() {
        let begin = clock::monotonic();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut rules = claimed(begin);
        rules.renewed(ONE, GROWN, begin, begin);
        settles(&mut rules, begin);
        assert!(rules.is_exclusive(DEVICE, at(100)));
        // Another directory has taken that one's place, and its clock is behind.
        rules.renewed(Stamp(3), GROWN, at(300), at(400));
        assert!(!rules.is_exclusive(DEVICE, at(400)), "it knows nothing of what was claimed");
        settles(&mut rules, at(500));
        assert!(rules.is_exclusive(DEVICE, at(500)), "a stamp that is smaller counts");
        // The answer of the first one comes late.
        rules.renewed(ONE, GROWN, at(200), at(600));
        assert!(rules.is_exclusive(DEVICE, at(600)) && !rules.is_in_doubt(), "it says nothing of now");
        rules.renewed(Stamp(3), GROWN, at(700), at(800));
        assert!(rules.is_exclusive(DEVICE, at(800)), "and the next one is none of another directory");
    }

    #[test]
    fn no_device_is_for_this_node_alone_while_others_may_count_on_what_a_young_directory_has_forgotten() {
        let begin = clock::monotonic();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut rules = claimed(begin);
        rules.renewed(ONE, Duration::from_millis(5_000), begin, begin);
        for ms in [0, 1_000, 2_000, 3_000, 4_000, 4_999] {
            rules.renewed(ONE, Duration::from_millis(5_000 - ms), at(ms), at(ms));
            settles(&mut rules, at(ms));
            assert!(!rules.is_exclusive(DEVICE, at(ms)), "{ms}");
        }
        assert!(!rules.is_exclusive(DEVICE, at(5_000)), "what was committed until then was not looked for");
        settles(&mut rules, at(5_000));
        assert!(rules.is_exclusive(DEVICE, at(5_000)));
    }

    #[test]
    fn what_another_node_has_had_is_for_this_one_alone_when_that_one_knows_and_the_store_was_swept_since() {
        let begin = clock::monotonic();
        let at = |ms| begin + Duration::from_millis(ms);
        let holder = Incarnation { node: crate::NodeId::new(2), run: 7 };
        let here = || {
            let mut rules = Ownership::new();
            rules.renewed(ONE, GROWN, begin, begin);
            let Arrival::Take(attempt) = rules.arrives(DEVICE, 1, begin) else { panic!("it is not claimed yet") };
            let taken = Taken { epoch: Epoch(2), before: Before::Holder(holder) };
            let tell = Some((holder, Epoch(2)));
            assert_eq!(rules.taken(DEVICE, attempt, Ok(taken), false, at(100)), Standing::Here { tell });
            rules.swept(at(200));
            assert!(!rules.is_exclusive(DEVICE, at(200)), "he may push to it");
            rules
        };
        let mut rules = here();
        rules.confirmed(DEVICE, Epoch(2), holder, at(300));
        assert!(!rules.is_exclusive(DEVICE, at(400)), "what he has committed was not looked for");
        rules.swept(at(400));
        assert!(rules.is_exclusive(DEVICE, at(400)));
        // Without a word of him his lease has to pass.
        let (mut rules, passed) = (here(), 100 + LEASE.as_millis() as u64);
        rules.renewed(ONE, GROWN, at(2_000), at(2_000));
        rules.swept(at(passed - 1));
        assert!(!rules.is_exclusive(DEVICE, at(passed)));
        rules.swept(at(passed));
        assert!(rules.is_exclusive(DEVICE, at(passed)));
    }
}
