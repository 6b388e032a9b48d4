//! Who is connected where.

use super::Options;

/// The rule by which people are spread over nodes, which are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    /// All at the first one.
    Together,
    /// Senders at the first one, receivers at the second.
    Across,
    /// At all of so many alike: whatever node a message comes in at, it is for each node as often.
    Spread {
        /// How many there are, at least 1.
        nodes: usize,
    },
}

impl Places {
    pub(crate) fn of(options: &Options) -> Self {
        match (options.spread, options.across) {
            (true, _) => Self::Spread { nodes: options.nodes.into() },
            (false, true) => Self::Across,
            (false, false) => Self::Together,
        }
    }

    pub(crate) const fn sender(self, number: usize) -> usize {
        match self {
            Self::Together | Self::Across => 0,
            Self::Spread { nodes } => number % nodes,
        }
    }

    /// Sender i writes to receiver i. One round of receivers after the other is moved by a node against its senders.
    pub(crate) const fn receiver(self, number: usize) -> usize {
        match self {
            Self::Together => 0,
            Self::Across => 1,
            Self::Spread { nodes } => (number + number / nodes) % nodes,
        }
    }

    /// How many of these pairs have to cross a link, from 0 to 1.
    pub(crate) fn crossing(self, senders: usize, receivers: usize) -> f64 {
        let crosses = |sender: &usize| self.sender(*sender) != self.receiver(sender % receivers);
        (0..senders).filter(crosses).count() as f64 / senders as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_writes_to_each_node_as_often() {
        for nodes in 1..=9 {
            let places = Places::Spread { nodes };
            let mut pairs = vec![0; nodes * nodes];
            (0..nodes * nodes * 4).for_each(|i| pairs[places.sender(i) * nodes + places.receiver(i)] += 1);
            assert!(pairs.iter().all(|times| *times == 4), "{nodes}: {pairs:?}");
            let people = nodes * nodes;
            let stays = 1.0 - places.crossing(people * 2, people);
            assert!((stays - 1.0 / nodes as f64).abs() < 1e-9, "{nodes}: {stays}");
        }
        assert!(Places::Together.crossing(8, 8) < f64::EPSILON);
        assert!(Places::Across.crossing(8, 8) > 1.0 - f64::EPSILON);
    }
}
