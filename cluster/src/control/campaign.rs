//! When a node asks for votes, and when it would give one: raft's pre-vote, and its leader's rest.
//!
//! openraft 0.9 has no pre-vote: a node that has lost its leader raises the term again and again, and when it comes back
//! everybody has to elect anew. So openraft's own timer is off, and this rule decides. A node first *canvasses*: it asks
//! who would vote for it, and only with a majority of these does it stand. Nobody would who has heard from a leader
//! within the `silence`, so a node that comes back disturbs nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::raft::{LogId, Membership};
use super::timings::Timings;

/// What one node knows of the silence. `draw` is a random number, from 0 to 1.
#[derive(Debug)]
pub(super) struct Campaigns {
    timings: Timings,
    /// When a leader was heard from, or a vote was given, or the node started.
    heard: Instant,
    /// The next canvass, if it stays silent.
    next: Instant,
}

impl Campaigns {
    pub(super) fn new(timings: Timings, now: Instant, draw: f64) -> Self {
        let mut campaigns = Self { timings, heard: now, next: now };
        campaigns.heard(now, draw);
        campaigns
    }

    /// A leader has said something, this node leads itself, or it has voted for another.
    pub(super) fn heard(&mut self, now: Instant, draw: f64) {
        // While nothing is late one drawing is as good as another.
        self.heard = now;
        self.next = now + self.timings.silence + self.spread(draw);
    }

    /// Whether it is time to canvass.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// It did, or it stood: the next time is drawn.
    pub(super) fn tried(&mut self, now: Instant, draw: f64) {
        self.next = now + self.timings.heartbeat + self.spread(draw);
    }

    /// The leader wants this node to take over: as soon as others may vote.
    pub(super) fn called(&mut self, now: Instant) {
        self.next = (self.heard + self.timings.silence).max(now);
    }

    /// Whether no leader was heard from for so long that this node would vote for another.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) >= self.timings.silence
    }

    /// Whether this node would vote for one whose log ends so, when its own ends `mine`.
    pub(super) fn would_vote(&self, now: Instant, theirs: Option<LogId>, mine: Option<LogId>) -> bool {
        self.is_silent(now) && theirs >= mine
    }

    fn spread(&self, draw: f64) -> Duration {
        // A heartbeat's head start for whom the leader has called.
        self.timings.heartbeat + (self.timings.spread - self.timings.heartbeat).mul_f64(draw.clamp(0.0, 1.0))
    }
}

/// From 0 to 1, by chance; in a seeded world by its seed.
pub(super) fn draw() -> f64 {
    #[cfg(test)]
    if let Some(draw) = super::tests::seeded::chance::draw() {
        return draw;
    }
    rand::random()
}

/// Whether a leader may be heard that was answered by a majority so long ago.
///
/// One that hears nobody would keep others from electing one that does, for good: they hear it. So it falls silent, for long
/// enough that they can. If nobody did it speaks again for a moment, since nobody but it may have the newest log.
pub(super) fn may_speak(unanswered: Duration, timings: Timings) -> bool {
    let patience = timings.silence * 2;
    let quiet = (timings.silence + timings.spread) * 2;
    let Some(over) = unanswered.checked_sub(patience) else { return true };
    let within = over.as_millis() % (quiet + timings.silence).as_millis().max(1);
    within >= quiet.as_millis()
}

/// Whether these are a majority, in both halves of a membership that is changing.
pub(super) fn is_majority(membership: &Membership, votes: &BTreeSet<u64>) -> bool {
    let halves = membership.get_joint_config();
    let majority = |half: &BTreeSet<u64>| half.intersection(votes).count() * 2 > half.len();
    !halves.is_empty() && halves.iter().all(majority)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openraft::impls::EmptyNode;
    use openraft::testing::log_id;

    use super::*;

    const TIMINGS: Timings = Timings::LAN;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn nobody_votes_or_canvasses_while_a_leader_is_heard() {
        let start = Instant::now();
        let mut campaigns = Campaigns::new(TIMINGS, start, 0.5);
        for beat in (0..10_000).step_by(1_000) {
            assert!(!campaigns.is_due(at(start, beat)) && !campaigns.would_vote(at(start, beat), None, None));
            campaigns.heard(at(start, beat), 0.5);
        }
        let last = at(start, 9_000);
        assert!(!campaigns.would_vote(at(last, 1_199), None, None));
        assert!(campaigns.would_vote(at(last, 1_200), None, None));
        assert!(!campaigns.is_due(at(last, 1_200 + 499)));
        assert!(campaigns.is_due(at(last, 1_200 + 500)), "a heartbeat and half of the rest of the spread");
    }

    #[test]
    fn whoever_knows_less_gets_no_vote() {
        let start = Instant::now();
        let (campaigns, late) = (Campaigns::new(TIMINGS, start, 0.0), at(start, 5_000));
        let [older, newer, longer] = [log_id(1, 9, 9), log_id(2, 1, 3), log_id(2, 1, 4)].map(Some);
        assert!(campaigns.would_vote(late, newer, older) && !campaigns.would_vote(late, older, newer));
        assert!(campaigns.would_vote(late, longer, newer) && !campaigns.would_vote(late, newer, longer));
        assert!(campaigns.would_vote(late, newer, newer) && !campaigns.would_vote(late, None, newer));
    }

    #[test]
    fn who_is_called_is_first_and_who_fails_tries_again_at_another_moment() {
        let start = Instant::now();
        let mut called = Campaigns::new(TIMINGS, start, 1.0);
        let lucky = Campaigns::new(TIMINGS, start, 0.0);
        called.called(at(start, 300));
        assert!(called.is_due(at(start, 1_200)) && !lucky.is_due(at(start, 1_399)));
        called.tried(at(start, 1_200), 1.0);
        assert!(!called.is_due(at(start, 2_199)) && called.is_due(at(start, 2_200)));
    }

    #[test]
    fn a_leader_that_nobody_answers_is_silent_for_an_election_and_then_tries_again() {
        let ms = Duration::from_millis;
        for speaks in [0, 1_200, 2_399] {
            assert!(may_speak(ms(speaks), TIMINGS), "{speaks} ms");
        }
        // Twice the silence and the spread, which is more than an election needs that succeeds the second time.
        for round in [0, 5_200, 52_000] {
            for quiet in [2_400, 4_000, 6_399] {
                assert!(!may_speak(ms(round + quiet), TIMINGS), "{quiet} ms of round {round}");
            }
            for speaks in [6_400, 7_599] {
                assert!(may_speak(ms(round + speaks), TIMINGS), "{speaks} ms of round {round}");
            }
        }
    }

    #[test]
    fn a_majority_is_one_of_each_half() {
        let sets = |sets: &[&[u64]]| {
            let sets: Vec<BTreeSet<u64>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
            Membership::new(sets, BTreeMap::<u64, EmptyNode>::new())
        };
        let is = |membership: &Membership, votes: &[u64]| is_majority(membership, &votes.iter().copied().collect());
        let three = sets(&[&[1, 2, 3]]);
        assert!(is(&three, &[1, 3]) && !is(&three, &[1]) && !is(&three, &[1, 4, 5]));
        let changing = sets(&[&[1, 2, 3], &[3, 4, 5]]);
        assert!(is(&changing, &[1, 3, 4]) && !is(&changing, &[1, 2, 3]) && !is(&changing, &[3, 4, 5]));
        assert!(!is(&sets(&[]), &[1, 2, 3]), "nobody has begun the cluster");
        assert!(!is(&sets(&[&[1, 2]]), &[1]), "half is none");
    }
}
