//! What was asked of the other side and is not answered yet. Rules only.

use std::collections::BTreeMap;

/// Questions by number, answered in any order. `D` is who waits.
#[derive(Debug)]
pub(super) struct Slots<D> {
    next: u64,
    waiting: BTreeMap<u64, D>,
    max: usize,
}

/// An answer to what was never asked. The link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeverAsked;

impl<D> Slots<D> {
    /// At most `max` wait at a time.
    pub(super) const fn new(max: usize) -> Self {
        Self { next: 0, waiting: BTreeMap::new(), max }
    }

    /// A number for a question that is asked now. `None`: too many wait, and `who` is dropped.
    pub(super) fn ask(&mut self, who: D) -> Option<u64> {
        if self.waiting.len() >= self.max {
            return None;
        }
        let n = self.next;
        self.next += 1;
        self.waiting.insert(n, who);
        Some(n)
    }

    /// Who waits for the answer to `n`; `None` when it was answered or given up.
    ///
    /// # Errors
    /// [`NeverAsked`].
    pub(super) fn answered(&mut self, n: u64) -> Result<Option<D>, NeverAsked> {
        if n < self.next { Ok(self.waiting.remove(&n)) } else { Err(NeverAsked) }
    }

    /// Those that wait are dropped, and nobody can ask any more.
    pub(super) fn end(&mut self) {
        self.max = 0;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_finds_who_asked_once() {
        let mut slots = Slots::new(3);
        assert_eq!([slots.ask('a'), slots.ask('b'), slots.ask('c')], [Some(0), Some(1), Some(2)]);
        assert_eq!(slots.ask('d'), None);
        assert_eq!(slots.answered(1), Ok(Some('b')));
        assert_eq!(slots.answered(1), Ok(None), "answered again");
        assert_eq!(slots.answered(3), Err(NeverAsked));
        assert_eq!(slots.ask('d'), Some(3), "one has room again, though an older one waits");
        assert_eq!(slots.answered(3), Ok(Some('d')));
        slots.end();
        assert_eq!((slots.answered(0), slots.ask('e')), (Ok(None), None));
    }
}
