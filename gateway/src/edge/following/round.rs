//! Whom an edge asks next, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use endtoend_cluster::NodeId;

/// After a round in which nobody answered; twice as long after each further one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Goes around all nodes. Edges begin at different ones, by their own numbers.
#[derive(Clone, Debug)]
pub(super) struct Round {
    own: u64,
    tried: BTreeSet<NodeId>,
    /// Rounds in a row in which nobody answered.
    vain: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This one is asked.
    Ask(NodeId),
    /// All were asked: a while later a new round begins.
    Pause(Duration),
}

impl Round {
    pub(super) fn of(own: NodeId) -> Self {
        Self { own: own.get(), tried: BTreeSet::new(), vain: 0 }
    }

    /// Among these nodes. Whoever is named counts as asked in this round.
    pub(super) fn next(&mut self, nodes: impl Iterator<Item = NodeId>) -> Next {
        let untried = nodes.filter(|node| !self.tried.contains(node));
        // The order of a ring that begins at the edge's own number: each edge has another, and always the same one.
        match untried.min_by_key(|node| node.get().wrapping_sub(self.own)) {
            Some(node) => {
                self.tried.insert(node);
                Next::Ask(node)
            }
            None => {
                self.tried.clear();
                let pause = PAUSE_MIN.saturating_mul(1 << self.vain.min(8)).min(PAUSE_MAX);
                self.vain = self.vain.saturating_add(1);
                Next::Pause(pause)
            }
        }
    }

    /// This one was followed for a while: a new round begins, with the others.
    pub(super) fn followed(&mut self, node: NodeId) {
        self.vain = 0;
        self.tried = BTreeSet::from([node]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: &[u64]) -> impl Iterator<Item = NodeId> {
        numbers.iter().copied().map(NodeId::new).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn everybody_is_asked_once_in_a_round_and_rounds_get_rarer() {
        let mut round = Round::of(NodeId::new(5));
        let all = [2, 6, 9];
        let pauses: Vec<Duration> = (0..9)
            .map(|_| {
                let asked = [6, 9, 2].map(|number| Next::Ask(NodeId::new(number)));
                assert_eq!([(); 3].map(|()| round.next(nodes(&all))), asked);
                match round.next(nodes(&all)) {
                    Next::Pause(pause) => pause,
                    Next::Ask(node) => panic!("{node} twice"),
                }
            })
            .collect();
        assert!(pauses.is_sorted() && pauses[0] == PAUSE_MIN && pauses[8] == PAUSE_MAX, "{pauses:?}");
        assert_eq!(round.next(nodes(&[])), Next::Pause(PAUSE_MAX), "nobody to ask is no reason to hurry");
    }

    #[test]
    fn after_one_that_was_followed_the_others_come_first_and_at_once() {
        let mut round = Round::of(NodeId::new(0));
        let all = [1, 2];
        assert_eq!(round.next(nodes(&all)), Next::Ask(NodeId::new(1)));
        round.followed(NodeId::new(1));
        assert_eq!(round.next(nodes(&all)), Next::Ask(NodeId::new(2)));
        assert_eq!(round.next(nodes(&all)), Next::Pause(PAUSE_MIN));
        assert_eq!(round.next(nodes(&all)), Next::Ask(NodeId::new(1)));
    }
}
