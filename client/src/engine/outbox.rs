//! Rule: which row of the outbox to send next.
//!
//! - Rows for one recipient are sent in their order; recipients don't wait for each other.
//! - At most `window` rows are in flight.
//! - A row in flight without an answer for [`SILENCE_MAX`], or when the connection ends, is sent again.
//! - What the server has told to send again comes alone: what follows to the same recipient waits until it is settled.
//! - A recipient on hold (told to retry later) or blocked (changed identity) gets nothing, in whatever order its rows
//!   came to be there.
//!
//! Knows neither bytes nor keys nor sockets; the time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use endtoend_protocol::{AccountTag, EnvelopeId};

use crate::clock::Instant;

/// An envelope that the server has not answered this long is sent again.
/// On a wire; a connection through Tor says how much longer.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What waits, by recipient.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lanes: BTreeMap<AccountTag, Lane>,
    names: HashMap<EnvelopeId, (AccountTag, i64)>,
    window: usize,
    in_flight: usize,
    /// See [`SILENCE_MAX`].
    silence_max: Duration,
}

/// What waits for one recipient.
#[derive(Debug, Default)]
struct Lane {
    rows: BTreeMap<i64, Row>,
    /// To be sent again: none behind it is sent before it is settled.
    again: Option<i64>,
    held_until: Option<Instant>,
    blocked: bool,
}

#[derive(Debug, Default)]
struct Row {
    envelope: Option<EnvelopeId>,
    sent_at: Option<Instant>,
}

impl Lane {
    fn next(&self, now: Instant) -> Option<i64> {
        if self.blocked || self.held_until.is_some_and(|until| now < until) {
            return None;
        }
        let last = self.again.unwrap_or(i64::MAX);
        self.rows.range(..=last).find(|(_, row)| row.sent_at.is_none()).map(|(seq, _)| *seq)
    }
}

impl Outbox {
    /// Adds a row. `envelope` is known once it is sealed.
    pub(super) fn push(&mut self, seq: i64, to: AccountTag, envelope: Option<EnvelopeId>) {
        self.lanes.entry(to).or_default().rows.entry(seq).or_default();
        if let Some(id) = envelope {
            self.sealed(seq, to, id);
        }
    }

    /// What waits for one recipient is for another, who is known now. None of it was sent.
    pub(super) fn readdress(&mut self, from: AccountTag, to: AccountTag) {
        let Some(lane) = self.lanes.remove(&from) else { return };
        for seq in lane.rows.into_keys() {
            self.push(seq, to, None);
        }
    }

    /// Names the envelope of a row.
    pub(super) fn sealed(&mut self, seq: i64, to: AccountTag, envelope: EnvelopeId) {
        if let Some(row) = self.lanes.get_mut(&to).and_then(|lane| lane.rows.get_mut(&seq)) {
            if let Some(old) = row.envelope.replace(envelope) {
                self.names.remove(&old);
            }
            self.names.insert(envelope, (to, seq));
        }
    }

    /// The row has no envelope any more: it is to be sealed anew.
    pub(super) fn reopened(&mut self, seq: i64, to: AccountTag) {
        if let Some(row) = self.lanes.get_mut(&to).and_then(|lane| lane.rows.get_mut(&seq))
            && let Some(old) = row.envelope.take()
        {
            self.names.remove(&old);
        }
    }

    /// A connection began that allows this many rows in flight. Whatever was in flight is sent again.
    /// After `silence_max` without an answer a row is sent again.
    pub(super) fn connected(&mut self, window: usize, silence_max: Duration) {
        self.disconnected();
        (self.window, self.silence_max) = (window, silence_max);
    }

    /// The connection ended. Nothing is sent until the next; holds of the old server are void.
    pub(super) fn disconnected(&mut self) {
        self.window = 0;
        self.in_flight = 0;
        for lane in self.lanes.values_mut() {
            (lane.held_until, lane.again) = (None, None);
            lane.rows.values_mut().for_each(|row| row.sent_at = None);
        }
    }

    /// The row to send now, and its recipient. Call [`Outbox::sent`], [`Outbox::hold`] or [`Outbox::block`] before the
    /// next call.
    pub(super) fn next(&mut self, now: Instant) -> Option<(i64, AccountTag)> {
        self.give_up_on_silent(now);
        if self.in_flight >= self.window {
            return None;
        }
        self.lanes.iter().filter_map(|(to, lane)| Some((lane.next(now)?, *to))).min_by_key(|(seq, _)| *seq)
    }

    fn give_up_on_silent(&mut self, now: Instant) {
        for row in self.lanes.values_mut().flat_map(|lane| lane.rows.values_mut()) {
            if row.sent_at.is_some_and(|at| now >= at + self.silence_max) {
                row.sent_at = None;
                self.in_flight = self.in_flight.saturating_sub(1);
            }
        }
    }

    /// The row is on its way.
    pub(super) fn sent(&mut self, seq: i64, to: AccountTag, now: Instant) {
        if let Some(row) = self.lanes.get_mut(&to).and_then(|lane| lane.rows.get_mut(&seq))
            && row.sent_at.replace(now).is_none()
        {
            self.in_flight = self.in_flight.saturating_add(1);
        }
    }

    /// The row that carries this envelope.
    pub(super) fn find(&self, envelope: EnvelopeId) -> Option<(AccountTag, i64)> {
        self.names.get(&envelope).copied()
    }

    /// Accepted or rejected: the row is done with.
    pub(super) fn settle(&mut self, seq: i64, to: AccountTag) {
        let Some(lane) = self.lanes.get_mut(&to) else { return };
        lane.again = lane.again.filter(|again| *again != seq);
        if let Some(row) = lane.rows.remove(&seq) {
            if row.sent_at.is_some() {
                self.in_flight = self.in_flight.saturating_sub(1);
            }
            if let Some(id) = row.envelope {
                self.names.remove(&id);
            }
        }
        if lane.rows.is_empty() && !lane.blocked {
            self.lanes.remove(&to);
        }
    }

    /// The server asked to try this row again not before `until`. Its recipient gets nothing else meanwhile, and nothing that
    /// follows before this row is settled, so that the order stays.
    pub(super) fn retry(&mut self, seq: i64, to: AccountTag, until: Instant) {
        let Some(lane) = self.lanes.get_mut(&to) else { return };
        if lane.rows.get_mut(&seq).and_then(|row| row.sent_at.take()).is_some() {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        if lane.rows.contains_key(&seq) {
            lane.again = Some(lane.again.map_or(seq, |again| again.min(seq)));
        }
        self.hold(to, until);
    }

    /// Sends this recipient nothing before `until`, or before an earlier hold ends if that is later.
    pub(super) fn hold(&mut self, to: AccountTag, until: Instant) {
        let lane = self.lanes.entry(to).or_default();
        lane.held_until = Some(lane.held_until.map_or(until, |held| held.max(until)));
    }

    /// Ends a hold.
    pub(super) fn release(&mut self, to: AccountTag) {
        if let Some(lane) = self.lanes.get_mut(&to) {
            lane.held_until = None;
        }
    }

    /// Sends this recipient nothing until [`Outbox::unblock`].
    pub(super) fn block(&mut self, to: AccountTag) {
        self.lanes.entry(to).or_default().blocked = true;
    }

    /// See [`Outbox::block`].
    pub(super) fn unblock(&mut self, to: AccountTag) {
        if let Some(lane) = self.lanes.get_mut(&to) {
            lane.blocked = false;
        }
    }

    /// Rows of a recipient that are not sealed yet.
    pub(super) fn unsealed(&self, to: AccountTag) -> Vec<i64> {
        let rows = self.lanes.get(&to).into_iter().flat_map(|lane| &lane.rows);
        rows.filter(|(_, row)| row.envelope.is_none()).map(|(seq, _)| *seq).collect()
    }

    /// How many rows wait or are in flight.
    pub(super) fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.rows.len()).sum()
    }

    /// How many of them are for this recipient.
    pub(super) fn len_for(&self, to: AccountTag) -> usize {
        self.lanes.get(&to).map_or(0, |lane| lane.rows.len())
    }

    /// When to ask [`Outbox::next`] again even if nothing happens: the end of a hold or of a silence.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let holds = self.lanes.values().filter(|lane| !lane.blocked && !lane.rows.is_empty());
        let silences = self.lanes.values().flat_map(|lane| lane.rows.values()).filter_map(|row| row.sent_at);
        holds.filter_map(|lane| lane.held_until).chain(silences.map(|at| at + self.silence_max)).min()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use endtoend_protocol::UnixMillis;
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const ALICE: AccountTag = AccountTag::new([1; 32]);
    const BOB: AccountTag = AccountTag::new([2; 32]);

    fn name(seq: i64) -> EnvelopeId {
        EnvelopeId::new(UnixMillis::new(u64::try_from(seq).unwrap()), [7; 10])
    }

    fn filled(rows: &[(i64, AccountTag)], window: usize) -> Outbox {
        let mut outbox = Outbox::default();
        rows.iter().for_each(|&(seq, to)| outbox.push(seq, to, Some(name(seq))));
        outbox.connected(window, SILENCE_MAX);
        outbox
    }

    fn send_all(outbox: &mut Outbox, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| {
            let (seq, to) = outbox.next(now)?;
            outbox.sent(seq, to, now);
            Some(seq)
        })
        .collect()
    }

    #[test]
    fn rows_leave_in_order_up_to_the_window() {
        let now = clock::monotonic();
        let mut outbox = filled(&[(1, ALICE), (2, BOB), (3, ALICE), (4, ALICE)], 3);
        assert_eq!(send_all(&mut outbox, now), [1, 2, 3]);
        outbox.settle(1, ALICE);
        assert_eq!(send_all(&mut outbox, now), [4]);
    }

    #[test]
    fn a_retry_holds_its_recipient_only() {
        let now = clock::monotonic();
        let mut outbox = filled(&[(1, ALICE), (2, ALICE), (3, BOB)], 1);
        assert_eq!(send_all(&mut outbox, now), [1]);
        let later = now + Duration::from_secs(5);
        outbox.retry(1, ALICE, later);
        assert_eq!(send_all(&mut outbox, now), [3]);
        outbox.settle(3, BOB);
        assert!(send_all(&mut outbox, now).is_empty());
        assert_eq!(outbox.next_wake(), Some(later));
        assert_eq!(send_all(&mut outbox, later), [1]);
    }

    #[test]
    fn what_follows_a_row_that_is_to_be_sent_again_waits_until_that_is_settled() {
        let now = clock::monotonic();
        let mut outbox = filled(&[(1, ALICE), (2, ALICE), (3, ALICE), (4, BOB)], 2);
        assert_eq!(send_all(&mut outbox, now), [1, 2]);
        outbox.retry(2, ALICE, now);
        outbox.retry(1, ALICE, now);
        assert_eq!(send_all(&mut outbox, now), [1, 4], "2 comes after 1, and 3 after 2");
        outbox.settle(1, ALICE);
        assert_eq!(send_all(&mut outbox, now), [2]);
        outbox.retry(2, ALICE, now);
        outbox.connected(3, SILENCE_MAX);
        assert_eq!(send_all(&mut outbox, now), [2, 3, 4], "another connection knows nothing of it");
    }

    #[test]
    fn silence_and_a_new_connection_send_again() {
        let now = clock::monotonic();
        let mut outbox = filled(&[(1, ALICE), (2, ALICE)], 2);
        assert_eq!(send_all(&mut outbox, now), [1, 2]);
        assert_eq!(outbox.next_wake(), Some(now + SILENCE_MAX));
        assert_eq!(send_all(&mut outbox, now + SILENCE_MAX), [1, 2]);
        outbox.connected(2, SILENCE_MAX);
        assert_eq!(send_all(&mut outbox, now + SILENCE_MAX), [1, 2]);
    }

    #[test]
    fn an_answer_after_the_silence_still_counts() {
        let now = clock::monotonic();
        let mut outbox = filled(&[(1, ALICE)], 1);
        send_all(&mut outbox, now);
        assert_eq!(outbox.next(now + SILENCE_MAX), Some((1, ALICE)));
        assert_eq!(outbox.find(name(1)), Some((ALICE, 1)));
        outbox.settle(1, ALICE);
        assert_eq!((outbox.len(), outbox.next(now + SILENCE_MAX)), (0, None));
    }

    #[test]
    fn a_blocked_recipient_gets_nothing_until_unblocked() {
        let now = clock::monotonic();
        let mut outbox = filled(&[(1, ALICE), (2, BOB)], 2);
        outbox.block(ALICE);
        assert_eq!(send_all(&mut outbox, now), [2]);
        outbox.connected(2, SILENCE_MAX);
        assert_eq!(send_all(&mut outbox, now), [2]);
        outbox.unblock(ALICE);
        assert_eq!(send_all(&mut outbox, now), [1]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8),
        Pump,
        Accept(prop::sample::Index),
        Retry(prop::sample::Index, u64),
        Block(u8, bool),
        Reconnect(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u8).prop_map(Step::Push),
            6 => Just(Step::Pump),
            6 => any::<prop::sample::Index>().prop_map(Step::Accept),
            2 => (any::<prop::sample::Index>(), 0..20_000_u64).prop_map(|(at, ms)| Step::Retry(at, ms)),
            1 => (0..4_u8, any::<bool>()).prop_map(|(to, on)| Step::Block(to, on)),
            1 => (0..8_usize).prop_map(Step::Reconnect),
            2 => (0..12_000_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Whatever a server and a network do: the window holds, nobody blocked or on hold is sent to, a recipient's
        /// rows first leave in order, nothing settled leaves again, and in the end everything has left.
        #[test]
        fn nothing_is_lost_reordered_or_sent_out_of_turn(steps in prop::collection::vec(step(), 1..200)) {
            let account = |to: u8| AccountTag::new([to; 32]);
            let mut now = clock::monotonic();
            let mut outbox = Outbox::default();
            let mut window = 3;
            outbox.connected(window, SILENCE_MAX);
            let (mut next_seq, mut waiting, mut flying) = (1_i64, BTreeMap::new(), BTreeMap::new());
            let (mut blocked, mut held) = (BTreeSet::new(), BTreeMap::new());
            let mut furthest: BTreeMap<AccountTag, i64> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Push(to) => {
                        outbox.push(next_seq, account(to), Some(name(next_seq)));
                        waiting.insert(next_seq, account(to));
                        next_seq += 1;
                    }
                    Step::Pump => {
                        while let Some((seq, to)) = outbox.next(now) {
                            flying.retain(|_, (_, at)| now < *at + SILENCE_MAX);
                            prop_assert_eq!(waiting.get(&seq), Some(&to), "settled or unknown");
                            prop_assert!(!blocked.contains(&to));
                            prop_assert!(held.get(&to).is_none_or(|until| now >= *until));
                            let first_waiting = waiting
                                .iter()
                                .find(|(seq, other)| **other == to && !flying.contains_key(*seq));
                            prop_assert_eq!(first_waiting.map(|(seq, _)| *seq), Some(seq));
                            let furthest = furthest.entry(to).or_default();
                            prop_assert!(seq <= *furthest || waiting.range(*furthest + 1..seq).all(|(_, o)| *o != to));
                            *furthest = seq.max(*furthest);
                            outbox.sent(seq, to, now);
                            flying.insert(seq, (to, now));
                            prop_assert!(flying.len() <= window);
                        }
                    }
                    Step::Accept(at) if !flying.is_empty() => {
                        let (&seq, &(to, _)) = flying.iter().nth(at.index(flying.len())).unwrap();
                        prop_assert_eq!(outbox.find(name(seq)), Some((to, seq)));
                        outbox.settle(seq, to);
                        flying.remove(&seq);
                        waiting.remove(&seq);
                    }
                    Step::Retry(at, ms) if !flying.is_empty() => {
                        let (&seq, &(to, _)) = flying.iter().nth(at.index(flying.len())).unwrap();
                        let until = now + Duration::from_millis(ms);
                        outbox.retry(seq, to, until);
                        flying.remove(&seq);
                        let held = held.entry(to).or_insert(until);
                        *held = until.max(*held);
                    }
                    Step::Block(to, true) => {
                        outbox.block(account(to));
                        blocked.insert(account(to));
                    }
                    Step::Block(to, false) => {
                        outbox.unblock(account(to));
                        blocked.remove(&account(to));
                    }
                    Step::Reconnect(to) => {
                        window = to;
                        outbox.connected(window, SILENCE_MAX);
                        flying.clear();
                        held.clear();
                    }
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                    Step::Accept(_) | Step::Retry(..) => {}
                }
                prop_assert_eq!(outbox.len(), waiting.len());
            }
            blocked.iter().for_each(|to| outbox.unblock(*to));
            outbox.connected(1, SILENCE_MAX);
            while let Some((seq, to)) = outbox.next(now) {
                outbox.sent(seq, to, now);
                outbox.settle(seq, to);
                waiting.remove(&seq);
            }
            prop_assert!(waiting.is_empty());
        }
    }
}
