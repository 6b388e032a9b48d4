//! What clients have written down, and whether it fits together. Plain data: no node, no clock.
//!
//! A message is known by its sender and its number among that sender's messages, which stand in its body, and not by
//! its envelope's id: a node that gave a message a second id would show it twice.
//!
//! An *attempt* is one `Send` frame. Each sender counts its attempts, over all its connections.

use std::collections::{HashMap, HashSet};

/// A message, as clients know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MessageId {
    pub(crate) sender: u32,
    pub(crate) number: u32,
}

/// What its sender knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Number of the receiver.
    pub(crate) to: usize,
    pub(crate) first_attempt: u64,
    /// Nanoseconds of the run, at the first attempt.
    pub(crate) first_at: u64,
    /// The attempt that was answered with `Accepted`; `None` before that.
    pub(crate) accepted_attempt: Option<u64>,
}

/// A message that a receiver took into its own record: not one whose envelope id was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) id: MessageId,
    /// Whether the body is what the sender sent.
    pub(crate) whole: bool,
    /// Nanoseconds of the run.
    pub(crate) at: u64,
}

/// What everybody has written down. Senders and receivers by their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    /// Each sender's messages, by their numbers.
    pub(crate) sent: Vec<Vec<Sent>>,
    /// What each receiver has shown, in order.
    pub(crate) shown: Vec<Vec<Shown>>,
}

/// What must not be. All are 0 for a node that keeps its promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Violations {
    /// Accepted and never shown.
    pub(crate) lost: u64,
    /// Shown again under another envelope id.
    pub(crate) doubled: u64,
    /// Shown before a message that it had to follow; see [`disordered`].
    pub(crate) disordered: u64,
    /// Shown with another body than was sent, to somebody else, or never sent.
    pub(crate) altered: u64,
}

impl Violations {
    pub(crate) const fn total(&self) -> u64 {
        self.lost + self.doubled + self.disordered + self.altered
    }
}

impl Records {
    pub(crate) fn sent(&self, id: MessageId) -> Option<&Sent> {
        self.sent.get(id.sender as usize)?.get(id.number as usize)
    }

    /// Compares what was accepted with what was shown.
    pub(crate) fn check(&self) -> Violations {
        let mut violations = Violations::default();
        let mut everywhere = HashSet::new();
        for (receiver, shown) in self.shown.iter().enumerate() {
            let mut places = HashMap::new();
            for (place, one) in shown.iter().enumerate() {
                let sent = self.sent(one.id);
                violations.altered += u64::from(!one.whole || sent.is_none_or(|sent| sent.to != receiver));
                violations.doubled += u64::from(!everywhere.insert(one.id));
                places.entry(one.id).or_insert(place);
            }
            for (sender, sent) in self.sent.iter().enumerate() {
                let of_sender = sent.iter().enumerate().filter(|(_, sent)| sent.to == receiver);
                let (lane, accepted): (Vec<Step>, Vec<bool>) = of_sender
                    .map(|(number, sent)| {
                        let id = MessageId { sender: sender as u32, number: number as u32 };
                        let step = Step { first: sent.first_attempt, place: places.get(&id).copied() };
                        (step, sent.accepted_attempt.is_some())
                    })
                    .unzip();
                let lost = lane.iter().zip(accepted).filter(|(step, accepted)| *accepted && step.place.is_none());
                violations.lost += lost.count() as u64;
                violations.disordered += disordered(&lane);
            }
        }
        violations
    }
}

/// A message of one sender to one receiver.
#[derive(Clone, Copy, Debug)]
struct Step {
    first: u64,
    place: Option<usize>,
}

/// Messages that were shown before one that they had to follow: one that was sent first.
///
/// All senders say what they have heard (`RetriesHeard`), so that holds whatever became of a message before it was accepted: a
/// `Retry`, a connection that ended without an answer, a row that was written all the same.
fn disordered(lane: &[Step]) -> u64 {
    let mut by_first = lane.to_vec();
    by_first.sort_unstable_by_key(|step| step.first);
    let (mut latest, mut found) = (None, 0);
    for place in by_first.into_iter().filter_map(|step| step.place) {
        found += u64::from(latest.is_some_and(|latest| latest > place));
        latest = latest.max(Some(place));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender's messages to one receiver: the first attempt and the accepted one of each.
    fn sent(attempts: &[(u64, Option<u64>)]) -> Vec<Sent> {
        let sent = |&(first_attempt, accepted_attempt)| Sent { to: 0, first_attempt, first_at: 0, accepted_attempt };
        attempts.iter().map(sent).collect()
    }

    fn shown(numbers: &[u32]) -> Vec<Shown> {
        let shown = |&number| Shown { id: MessageId { sender: 0, number }, whole: true, at: 0 };
        numbers.iter().map(shown).collect()
    }

    fn check(attempts: &[(u64, Option<u64>)], numbers: &[u32]) -> Violations {
        Records { sent: vec![sent(attempts)], shown: vec![shown(numbers)] }.check()
    }

    const THREE: [(u64, Option<u64>); 3] = [(0, Some(0)), (1, Some(1)), (2, Some(2))];

    #[test]
    fn a_good_record_has_no_violation() {
        assert_eq!(check(&THREE, &[0, 1, 2]), Violations::default());
    }

    #[test]
    fn a_lost_message_is_seen() {
        assert_eq!(check(&THREE, &[0, 2]), Violations { lost: 1, ..Violations::default() });
        assert_eq!(check(&THREE, &[]), Violations { lost: 3, ..Violations::default() });
    }

    #[test]
    fn a_message_without_an_answer_may_be_shown_or_not() {
        let attempts = [(0, Some(0)), (1, None)];
        assert_eq!(check(&attempts, &[0]).total(), 0);
        assert_eq!(check(&attempts, &[0, 1]).total(), 0);
    }

    #[test]
    fn a_doubled_message_is_seen() {
        assert_eq!(check(&THREE, &[0, 1, 1, 2]), Violations { doubled: 1, ..Violations::default() });
        // With another receiver, which also has what is not for it.
        let records = Records { sent: vec![sent(&THREE)], shown: vec![shown(&[0, 1, 2]), shown(&[1])] };
        assert_eq!(records.check(), Violations { doubled: 1, altered: 1, ..Violations::default() });
    }

    #[test]
    fn messages_in_another_order_are_seen() {
        assert_eq!(check(&THREE, &[1, 0, 2]), Violations { disordered: 1, ..Violations::default() });
        assert_eq!(check(&THREE, &[2, 1, 0]), Violations { disordered: 2, ..Violations::default() });
    }

    #[test]
    fn a_retry_lets_nothing_overtake() {
        // 0 is told to repeat while 1 is on its way already; then 2.
        let attempts = [(0, Some(2)), (1, Some(1)), (3, Some(3))];
        assert_eq!(check(&attempts, &[1, 0, 2]), Violations { disordered: 1, ..Violations::default() });
        assert_eq!(check(&attempts, &[0, 1, 2]).total(), 0);
        assert_eq!(check(&attempts, &[1, 2, 0]), Violations { disordered: 2, ..Violations::default() });
    }

    #[test]
    fn what_is_repeated_on_a_new_connection_keeps_its_place() {
        // Both lost with the first connection, repeated in order on the second, then 2.
        let attempts = [(0, Some(2)), (1, Some(3)), (4, Some(4))];
        assert_eq!(check(&attempts, &[0, 1, 2]).total(), 0);
        assert_eq!(check(&attempts, &[0, 2, 1]), Violations { disordered: 1, ..Violations::default() });
    }

    #[test]
    fn a_message_with_another_body_or_of_nobody_is_seen() {
        let mut records = Records { sent: vec![sent(&THREE)], shown: vec![shown(&[0, 1, 2])] };
        records.shown[0][1].whole = false;
        assert_eq!(records.check(), Violations { altered: 1, ..Violations::default() });
        let records = Records { sent: vec![sent(&THREE)], shown: vec![shown(&[0, 1, 2, 3])] };
        assert_eq!(records.check(), Violations { altered: 1, ..Violations::default() });
    }
}
