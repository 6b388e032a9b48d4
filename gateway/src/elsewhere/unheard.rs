//! The rules of what other nodes have to hear, until they have: a link may break between a revocation and those who have to go.

use std::collections::{BTreeMap, VecDeque};

use endtoend_cluster::NodeId;
use endtoend_cluster::link::wire::{Frame, News};
use endtoend_cluster::peers::LinkLife;

/// News that one node has not heard: a tenth of a megabyte. At the bound it is told once that it has missed some, instead of each.
pub(crate) const UNHEARD_MAX: usize = 1_024;

/// What has happened and was not heard, for each other node.
///
/// A node that is away has to hear it, too: whether its process lives on, nobody here knows. For one that has started anew it
/// does no harm. What an earlier run of this node has ended, and whether all have heard it, nobody knows either: so whoever is
/// heard of for the first time is told that he may have missed some.
#[derive(Debug)]
pub(crate) struct Unheard {
    /// The number of what has happened last. The first one is all that happened before this run.
    last: u64,
    nodes: BTreeMap<NodeId, Waiting>,
}

impl Default for Unheard {
    fn default() -> Self {
        Self { last: 1, nodes: BTreeMap::new() }
    }
}

#[derive(Debug)]
struct Waiting {
    /// By their numbers.
    news: VecDeque<(u64, News)>,
    /// Some up to this number are not told any more.
    missed: Option<u64>,
    /// The link that lives, and up to where all has gone over it.
    link: Option<(LinkLife, u64)>,
}

impl Waiting {
    /// Of a node that may have missed everything up to there.
    fn after(missed: u64) -> Self {
        Self { news: VecDeque::new(), missed: Some(missed), link: None }
    }
}

impl Unheard {
    /// Something has happened that these nodes have to hear. Whoever is not among them is none of ours.
    pub(crate) fn happened(&mut self, news: News, nodes: &[NodeId]) {
        let before = self.last;
        self.last += 1;
        self.nodes.retain(|node, _| nodes.contains(node));
        for node in nodes {
            let waiting = self.nodes.entry(*node).or_insert_with(|| Waiting::after(before));
            waiting.news.push_back((self.last, news));
            if waiting.news.len() > UNHEARD_MAX {
                waiting.news.clear();
                waiting.missed = Some(self.last);
            }
        }
    }

    /// There is a link to a node. One that was not known may have missed whatever was.
    pub(crate) fn linked(&mut self, node: NodeId, link: LinkLife) {
        let waiting = self.nodes.entry(node).or_insert_with(|| Waiting::after(self.last));
        waiting.link = Some((link, 0));
    }

    /// Nothing goes over that link any more, and what has gone was perhaps not heard.
    pub(crate) fn broke(&mut self, link: LinkLife) {
        for waiting in self.nodes.values_mut() {
            waiting.link = waiting.link.filter(|(life, _)| *life != link);
        }
    }

    /// What is to be told to a node next, and over which link.
    pub(crate) fn next(&self, node: NodeId) -> Option<(LinkLife, Frame)> {
        let waiting = self.nodes.get(&node)?;
        let (link, sent) = waiting.link?;
        let missed = waiting.missed.filter(|n| *n > sent).map(|n| Frame::NewsMissed { n });
        let news = || waiting.news.iter().find(|(n, _)| *n > sent).map(|(n, news)| Frame::News { n: *n, news: *news });
        Some((link, missed.or_else(news)?))
    }

    /// That has gone over the link.
    pub(crate) fn went(&mut self, node: NodeId, frame: &Frame) {
        if let (Some(Waiting { link: Some((_, sent)), .. }), Frame::News { n, .. } | Frame::NewsMissed { n }) =
            (self.nodes.get_mut(&node), frame)
        {
            *sent = *n;
        }
    }

    /// The node is of a version that cannot be told that it has missed some.
    pub(crate) fn cannot_be_told(&mut self, node: NodeId) {
        if let Some(waiting) = self.nodes.get_mut(&node) {
            waiting.missed = None;
        }
    }

    /// All up to there was heard that went over the link.
    pub(crate) fn heard(&mut self, node: NodeId, link: LinkLife, up_to: u64) {
        let Some(waiting) = self.nodes.get_mut(&node) else { return };
        // What an earlier link has brought says nothing of what has gone over this one.
        if waiting.link.is_some_and(|(life, sent)| life == link && up_to <= sent) {
            waiting.missed = waiting.missed.filter(|n| *n > up_to);
            while waiting.news.pop_front_if(|(n, _)| *n <= up_to).is_some() {}
        }
    }

    /// The nodes that have something to hear and a link over which it did not go yet.
    pub(crate) fn to_be_told(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().filter(|node| self.next(*node).is_some()).collect()
    }
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::AccountTag;

    use super::*;

    const ONE: NodeId = NodeId::new(1);
    const TWO: NodeId = NodeId::new(2);
    const HERE: [NodeId; 2] = [ONE, TWO];

    fn news(version: u32) -> News {
        News::DevicesChanged { account: AccountTag::new([1; 32]), version }
    }

    /// What goes to a node now: the numbers of news, negative for those that were missed.
    fn tell(unheard: &mut Unheard, node: NodeId) -> Vec<i64> {
        let mut told = Vec::new();
        while let Some((_, frame)) = unheard.next(node) {
            unheard.went(node, &frame);
            told.push(match frame {
                Frame::News { n, .. } => n as i64,
                Frame::NewsMissed { n } => -(n as i64),
                other => panic!("{other:?}"),
            });
        }
        told
    }

    /// A link to a node that has heard of all that was before this run.
    fn linked(unheard: &mut Unheard, node: NodeId, link: u64) {
        unheard.linked(node, LinkLife(link));
        assert_eq!(tell(unheard, node), [-1]);
        unheard.heard(node, LinkLife(link), 1);
    }

    #[test]
    fn what_was_not_heard_is_told_again_on_the_next_link() {
        let mut unheard = Unheard::default();
        linked(&mut unheard, ONE, 1);
        (2..=4).for_each(|n| unheard.happened(news(n), &HERE));
        assert_eq!(tell(&mut unheard, ONE), [2, 3, 4]);
        assert!(tell(&mut unheard, ONE).is_empty(), "once over one link");
        assert!(tell(&mut unheard, TWO).is_empty(), "without a link nothing goes");
        unheard.heard(ONE, LinkLife(1), 2);
        unheard.broke(LinkLife(1));
        unheard.happened(news(5), &HERE);
        assert!(tell(&mut unheard, ONE).is_empty());
        unheard.linked(ONE, LinkLife(2));
        unheard.heard(ONE, LinkLife(1), 4);
        assert_eq!(tell(&mut unheard, ONE), [3, 4, 5], "in their order");
        unheard.linked(TWO, LinkLife(3));
        assert_eq!(tell(&mut unheard, TWO), [-1, 2, 3, 4, 5]);
        unheard.heard(ONE, LinkLife(2), 5);
        unheard.broke(LinkLife(2));
        unheard.linked(ONE, LinkLife(4));
        assert_eq!((tell(&mut unheard, ONE), unheard.to_be_told()), (vec![], vec![]));
    }

    #[test]
    fn what_was_not_sent_is_not_taken_for_heard() {
        let mut unheard = Unheard::default();
        linked(&mut unheard, ONE, 1);
        (2..=3).for_each(|n| unheard.happened(news(n), &HERE));
        let (_, first) = unheard.next(ONE).unwrap();
        unheard.went(ONE, &first);
        unheard.heard(ONE, LinkLife(1), 3);
        assert_eq!(tell(&mut unheard, ONE), [3]);
        assert_eq!(unheard.to_be_told(), []);
    }

    #[test]
    fn beyond_the_bound_it_is_told_that_it_has_missed_some() {
        let mut unheard = Unheard::default();
        let max = u32::try_from(UNHEARD_MAX).unwrap();
        (0..=max + 2).for_each(|n| unheard.happened(news(n), &[ONE]));
        assert!(unheard.nodes.values().all(|waiting| waiting.news.len() <= UNHEARD_MAX));
        unheard.linked(ONE, LinkLife(1));
        let missed = i64::from(max) + 2;
        assert_eq!(tell(&mut unheard, ONE), [-missed, missed + 1, missed + 2]);
        unheard.broke(LinkLife(1));
        unheard.linked(ONE, LinkLife(2));
        assert_eq!(tell(&mut unheard, ONE).len(), 3, "until it was heard");
        unheard.heard(ONE, LinkLife(2), missed as u64);
        unheard.broke(LinkLife(2));
        unheard.linked(ONE, LinkLife(3));
        assert_eq!(tell(&mut unheard, ONE), [missed + 1, missed + 2]);
    }

    #[test]
    fn an_older_program_that_cannot_be_told_that_it_has_missed_some_hears_the_rest() {
        let mut unheard = Unheard::default();
        let max = u32::try_from(UNHEARD_MAX).unwrap();
        (0..=max + 1).for_each(|n| unheard.happened(news(n), &[ONE]));
        unheard.linked(ONE, LinkLife(1));
        unheard.cannot_be_told(ONE);
        assert_eq!(tell(&mut unheard, ONE), [i64::from(max) + 3]);
    }

    #[test]
    fn what_an_earlier_run_has_ended_is_told_once_and_one_that_has_gone_waits_for_nothing() {
        let mut unheard = Unheard::default();
        unheard.linked(ONE, LinkLife(1));
        assert_eq!(tell(&mut unheard, ONE), [-1], "nobody knows what was before");
        unheard.broke(LinkLife(1));
        linked(&mut unheard, ONE, 2);
        unheard.broke(LinkLife(2));
        unheard.linked(ONE, LinkLife(3));
        assert!(tell(&mut unheard, ONE).is_empty(), "it has heard so");
        unheard.happened(news(2), &[ONE]);
        unheard.linked(TWO, LinkLife(4));
        assert_eq!(tell(&mut unheard, TWO), [-2]);
        unheard.happened(news(3), &[TWO]);
        assert_eq!((tell(&mut unheard, ONE), tell(&mut unheard, TWO)), (vec![], vec![3]));
        assert_eq!(unheard.nodes.len(), 1);
    }

    #[test]
    fn who_is_told_of_something_before_there_is_a_link_has_missed_what_was_before_too() {
        let mut unheard = Unheard::default();
        unheard.happened(news(2), &HERE);
        unheard.linked(ONE, LinkLife(1));
        assert_eq!(tell(&mut unheard, ONE), [-1, 2]);
    }
}
