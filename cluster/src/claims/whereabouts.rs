//! Where devices were seen last that are not here.

use std::collections::HashMap;

use super::names::DeviceName;

/// Which link leads to a device, as far as was seen lately. Never asked anybody: what is not in it goes through the store, and the
/// look-up after that commit fills it.
///
/// Bounded: beyond `max` those that were not used lately are forgotten. `L` names one life of a link.
#[derive(Debug)]
pub struct Whereabouts<L> {
    max: usize,
    recent: HashMap<DeviceName, L>,
    older: HashMap<DeviceName, L>,
}

impl<L: Copy + PartialEq> Whereabouts<L> {
    /// Nothing is known. Keeps at most `max` devices.
    pub fn new(max: usize) -> Self {
        Self { max, recent: HashMap::new(), older: HashMap::new() }
    }

    /// The device was seen there.
    pub fn saw(&mut self, device: DeviceName, link: L) {
        self.older.remove(&device);
        if self.recent.len() >= (self.max / 2).max(1) && !self.recent.contains_key(&device) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(device, link);
    }

    /// Which link leads to it.
    pub fn get(&mut self, device: DeviceName) -> Option<L> {
        if let Some(link) = self.recent.get(&device) {
            return Some(*link);
        }
        let link = self.older.remove(&device)?;
        self.saw(device, link);
        Some(link)
    }

    /// It is not there any more.
    pub fn moved(&mut self, device: DeviceName, from: L) {
        for map in [&mut self.recent, &mut self.older] {
            if map.get(&device) == Some(&from) {
                map.remove(&device);
            }
        }
    }

    /// The link is broken.
    pub fn broke(&mut self, link: L) {
        self.recent.retain(|_, other| *other != link);
        self.older.retain(|_, other| *other != link);
    }

    /// Devices that it knows of.
    pub fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }

    /// Whether it knows of none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What must hold after every step.
    pub fn check_invariants(&self) {
        assert!(self.len() <= self.max.max(2), "it is bounded");
        assert!(self.recent.keys().all(|device| !self.older.contains_key(device)), "a device is in one place");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(n: u8) -> DeviceName {
        DeviceName([n; 16])
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut whereabouts = Whereabouts::new(4);
        whereabouts.saw(device(0), 1);
        for n in 1..100 {
            whereabouts.saw(device(n), 1);
            assert_eq!(whereabouts.get(device(0)), Some(1));
            whereabouts.check_invariants();
        }
        assert_eq!(whereabouts.get(device(1)), None);
    }

    #[test]
    fn a_broken_link_and_one_that_was_left_lead_nowhere() {
        let mut whereabouts = Whereabouts::new(10);
        whereabouts.saw(device(1), 1);
        whereabouts.saw(device(2), 2);
        whereabouts.saw(device(3), 2);
        whereabouts.moved(device(1), 2);
        assert_eq!(whereabouts.get(device(1)), Some(1), "it was seen elsewhere since");
        whereabouts.moved(device(3), 2);
        whereabouts.broke(2);
        assert_eq!([1, 2, 3].map(|n| whereabouts.get(device(n))), [Some(1), None, None]);
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_says_what_was_said_last(steps in proptest::collection::vec((0u8..20, 0u8..5, 0u8..4), 0..200)) {
            let (mut whereabouts, mut last) = (Whereabouts::new(8), HashMap::new());
            for (n, link, step) in steps {
                match step {
                    0 => {
                        whereabouts.saw(device(n), link);
                        last.insert(n, link);
                    }
                    1 => {
                        whereabouts.moved(device(n), link);
                        if last.get(&n) == Some(&link) {
                            last.remove(&n);
                        }
                    }
                    2 => {
                        whereabouts.broke(link);
                        last.retain(|_, other| *other != link);
                    }
                    _ => {
                        let got = whereabouts.get(device(n));
                        prop_assert!(got.is_none() || got == last.get(&n).copied(), "{got:?}");
                    }
                }
                whereabouts.check_invariants();
            }
        }
    }
}
