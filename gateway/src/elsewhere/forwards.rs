//! Envelopes that went over a link and are not answered.

use std::collections::BTreeMap;

use endtoend_cluster::claims::DeviceName;
use endtoend_cluster::peers::LinkLife;

/// The rights to answer those who have sent what was forwarded. `R` is such a right, which holds the sender's place and a share
/// of the node's memory: so they bound this.
#[derive(Debug)]
pub(crate) struct Forwards<R> {
    /// The last one over each link.
    last: BTreeMap<LinkLife, u64>,
    /// How many were refused at the other end of each link, and how many of those refusals that end knows to have been heard.
    refused: BTreeMap<LinkLife, (u64, u64)>,
    open: BTreeMap<(LinkLife, u64), (DeviceName, R)>,
}

impl<R> Default for Forwards<R> {
    fn default() -> Self {
        Self { last: BTreeMap::new(), refused: BTreeMap::new(), open: BTreeMap::new() }
    }
}

impl<R> Forwards<R> {
    /// One goes over a link. Gives its number.
    pub(crate) fn went(&mut self, over: LinkLife, device: DeviceName, right: R) -> u64 {
        let n = self.last.entry(over).or_default();
        *n += 1;
        self.open.insert((over, *n), (device, right));
        *n
    }

    /// It was not sent, and its number not used.
    pub(crate) fn not_sent(&mut self, over: LinkLife, n: u64) -> Option<R> {
        if let Some(last) = self.last.get_mut(&over)
            && *last == n
        {
            *last -= 1;
        }
        self.answered(over, n).map(|(_, right)| right)
    }

    /// It was answered. Each only once.
    pub(crate) fn answered(&mut self, over: LinkLife, n: u64) -> Option<(DeviceName, R)> {
        self.open.remove(&(over, n))
    }

    /// The other end has refused one, and all who have to know do.
    pub(crate) fn was_refused(&mut self, over: LinkLife) {
        if self.last.contains_key(&over) {
            self.refused.entry(over).or_default().0 += 1;
        }
    }

    /// How many refusals are to be said to have been heard before the next one goes over the link.
    pub(crate) fn untold(&self, over: LinkLife) -> Option<u64> {
        self.refused.get(&over).filter(|(heard, told)| heard > told).map(|(heard, _)| *heard)
    }

    /// That was said.
    pub(crate) fn told(&mut self, over: LinkLife) {
        if let Some((heard, told)) = self.refused.get_mut(&over) {
            *told = *heard;
        }
    }

    /// Nothing comes over that link any more. Whatever became of those that went over it, their senders repeat them.
    pub(crate) fn broke(&mut self, link: LinkLife) -> Vec<R> {
        self.last.remove(&link);
        self.refused.remove(&link);
        let after = self.open.split_off(&(link, 0));
        let (gone, others): (Vec<_>, Vec<_>) = after.into_iter().partition(|((over, _), _)| *over == link);
        self.open.extend(others);
        gone.into_iter().map(|(_, (_, right))| right).collect()
    }

    /// How many are not answered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_answered_once_and_a_broken_link_answers_all_of_its_own() {
        let device = DeviceName([1; 16]);
        let mut forwards = Forwards::default();
        let numbers = [1, 2, 1, 3].map(|link| (LinkLife(link), forwards.went(LinkLife(link), device, link)));
        assert_eq!(forwards.answered(numbers[0].0, numbers[0].1), Some((device, 1)));
        assert_eq!(forwards.answered(numbers[0].0, numbers[0].1), None);
        assert_eq!(forwards.answered(LinkLife(4), numbers[1].1), None, "another link's");
        assert_eq!(forwards.broke(LinkLife(1)), [1]);
        assert_eq!(forwards.len(), 2);
        forwards.was_refused(LinkLife(2));
        assert_eq!((forwards.untold(LinkLife(2)), forwards.untold(LinkLife(3))), (Some(1), None));
        forwards.told(LinkLife(2));
        assert_eq!(forwards.untold(LinkLife(2)), None);
        assert_eq!(forwards.broke(LinkLife(2)), [2]);
        assert_eq!(forwards.broke(LinkLife(3)), [3]);
    }
}
