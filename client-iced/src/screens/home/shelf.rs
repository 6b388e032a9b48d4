//! Rules: what is unpacked for the eyes and kept. So many are, those that were seen last; they are unpacked one after the other, and
//! what is asked for last comes first, because that is what is looked at now.

/// What waits to be unpacked. With more, those that were asked for first are forgotten until they are seen again.
pub const WANTED_MAX: usize = 32;

/// Things by their names, and what has come of each.
#[derive(Debug)]
pub struct Shelf<K, V> {
    most: usize,
    /// Seen last stands last.
    shown: Vec<(K, V)>,
    /// Asked for last stands last.
    wanted: Vec<K>,
    /// Is being unpacked.
    unpacked: Option<K>,
}

impl<K: Clone + PartialEq, V> Shelf<K, V> {
    /// With room for so many.
    pub const fn new(most: usize) -> Self {
        Self { most, shown: Vec::new(), wanted: Vec::new(), unpacked: None }
    }

    /// What there is of this one.
    pub fn get(&self, of: &K) -> Option<&V> {
        self.shown.iter().find(|(named, _)| named == of).map(|(_, shown)| shown)
    }

    /// It is before the eyes. Says which one to unpack now, if any.
    pub fn want(&mut self, of: K) -> Option<K> {
        if let Some(at) = self.shown.iter().position(|(named, _)| *named == of) {
            let seen = self.shown.remove(at);
            self.shown.push(seen);
            return None;
        }
        self.wanted.retain(|named| *named != of);
        if self.unpacked.as_ref() != Some(&of) {
            self.wanted.push(of);
        }
        let more = self.wanted.len().saturating_sub(WANTED_MAX);
        self.wanted.drain(..more);
        self.next()
    }

    /// This has come of it. Says which one to unpack next, if any.
    pub fn came(&mut self, of: K, shown: V) -> Option<K> {
        if self.unpacked.as_ref() == Some(&of) {
            self.unpacked = None;
        }
        self.shown.retain(|(named, _)| *named != of);
        self.shown.push((of, shown));
        let more = self.shown.len().saturating_sub(self.most);
        self.shown.drain(..more);
        self.next()
    }

    fn next(&mut self) -> Option<K> {
        if self.unpacked.is_some() {
            return None;
        }
        self.unpacked = self.wanted.pop();
        self.unpacked.clone()
    }

    /// It is gone, or is another one.
    pub fn forget(&mut self, of: &K) {
        self.shown.retain(|(named, _)| named != of);
        self.wanted.retain(|named| named != of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 24;

    #[test]
    fn one_is_unpacked_at_a_time_and_what_is_looked_at_now_comes_first() {
        let mut shelf = Shelf::new(MOST);
        assert_eq!(shelf.want(1), Some(1));
        assert_eq!((shelf.want(2), shelf.want(3), shelf.want(2)), (None, None, None));
        assert_eq!(shelf.want(1), None, "it is on its way");
        assert_eq!(shelf.came(1, "one"), Some(2));
        assert_eq!(shelf.came(2, "two"), Some(3));
        assert_eq!(shelf.came(3, "three"), None);
        assert_eq!(shelf.want(1), None, "it is here");
        assert_eq!(shelf.get(&1), Some(&"one"));
        shelf.forget(&1);
        assert_eq!(shelf.want(1), Some(1));
    }

    #[test]
    fn memory_has_a_bound_and_what_was_seen_last_stays() {
        let mut shelf = Shelf::new(MOST);
        for number in 0..100 {
            shelf.want(number);
            shelf.want(0);
            shelf.came(number, ());
        }
        assert_eq!(shelf.shown.len(), MOST);
        assert!(shelf.get(&0).is_some() && shelf.get(&99).is_some() && shelf.get(&50).is_none());
        let mut shelf = Shelf::new(MOST);
        (0..1_000).for_each(|number| {
            shelf.want(number);
        });
        assert_eq!(shelf.wanted.len(), WANTED_MAX);
        assert_eq!(shelf.came(0, ()), Some(999));
    }
}
