//! What was asked of the other side and is not answered yet. Rules only.

use std::collections::VecDeque;
use std::time::Instant;

/// Questions by number, in the order in which they were asked, answered in any order. `D` is who waits.
#[derive(Debug)]
pub(super) struct Slots<D> {
    /// The number of the first of `asked`.
    first: u64,
    asked: VecDeque<Option<(Instant, D)>>,
    unanswered: usize,
    max: usize,
}

/// An answer to what was never asked. The link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeverAsked;

/// One question that waits long must not keep others away, and must not make what is remembered of them grow for ever.
const SPAN: usize = 8;

impl<D> Slots<D> {
    /// At most `max` wait at a time.
    pub(super) const fn new(max: usize) -> Self {
        Self { first: 0, asked: VecDeque::new(), unanswered: 0, max }
    }

    /// A number for a question that is asked now.
    ///
    /// # Errors
    /// `who` when too many wait.
    pub(super) fn ask(&mut self, at: Instant, who: D) -> Result<u64, D> {
        if self.unanswered >= self.max || self.asked.len() >= self.max.saturating_mul(SPAN) {
            return Err(who);
        }
        let n = self.first + self.asked.len() as u64;
        self.asked.push_back(Some((at, who)));
        self.unanswered += 1;
        Ok(n)
    }

    /// Who waits for the answer to `n`; `None` when it was answered or given up.
    ///
    /// # Errors
    /// [`NeverAsked`].
    pub(super) fn answered(&mut self, n: u64) -> Result<Option<D>, NeverAsked> {
        let Some(at) = n.checked_sub(self.first) else { return Ok(None) };
        let slot = usize::try_from(at).ok().and_then(|at| self.asked.get_mut(at)).ok_or(NeverAsked)?;
        let who = slot.take().map(|(_, who)| who);
        self.unanswered -= usize::from(who.is_some());
        self.forget();
        Ok(who)
    }

    /// Everybody up to `n`, in order.
    ///
    /// # Errors
    /// [`NeverAsked`].
    pub(super) fn answered_up_to(&mut self, n: u64) -> Result<Vec<D>, NeverAsked> {
        if n >= self.first + self.asked.len() as u64 {
            return Err(NeverAsked);
        }
        let count = usize::try_from((n + 1).saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.asked.len());
        let who: Vec<D> = self.asked.drain(..count).flatten().map(|(_, who)| who).collect();
        self.first += count as u64;
        self.unanswered -= who.len();
        self.forget();
        Ok(who)
    }

    /// Gives up those that were asked before `before`.
    pub(super) fn give_up(&mut self, before: Instant) -> Vec<D> {
        let old = self.asked.iter_mut().take_while(|slot| slot.as_ref().is_none_or(|(at, _)| *at < before));
        let who: Vec<D> = old.filter_map(Option::take).map(|(_, who)| who).collect();
        self.unanswered -= who.len();
        self.forget();
        who
    }

    /// When the question that waits for the answer `n` was asked.
    pub(super) fn asked_at(&self, n: u64) -> Option<Instant> {
        let at = usize::try_from(n.checked_sub(self.first)?).ok()?;
        self.asked.get(at)?.as_ref().map(|(at, _)| *at)
    }

    /// Everybody who waits.
    pub(super) fn into_all(self) -> impl Iterator<Item = D> {
        self.asked.into_iter().flatten().map(|(_, who)| who)
    }

    /// Those that wait.
    pub(super) const fn unanswered(&self) -> usize {
        self.unanswered
    }

    fn forget(&mut self) {
        while let Some(None) = self.asked.front() {
            self.asked.pop_front();
            self.first += 1;
        }
        // A burst does not stay in memory.
        if self.asked.is_empty() && self.asked.capacity() > 1024 {
            self.asked = VecDeque::new();
        }
    }

    /// What must hold after every step.
    #[cfg(test)]
    fn check_invariants(&self) {
        assert_eq!(self.unanswered, self.asked.iter().flatten().count());
        assert!(self.unanswered <= self.max && self.asked.len() <= self.max * SPAN);
        assert!(!matches!(self.asked.front(), Some(None)), "what is answered at the front is forgotten");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn start() -> Instant {
        crate::clock::monotonic()
    }

    #[test]
    fn each_answer_finds_who_asked_once() {
        let (mut slots, at) = (Slots::new(3), start());
        assert_eq!([slots.ask(at, 'a'), slots.ask(at, 'b'), slots.ask(at, 'c')], [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(slots.ask(at, 'd'), Err('d'));
        assert_eq!(slots.answered(1), Ok(Some('b')));
        assert_eq!(slots.answered(1), Ok(None), "answered again");
        assert_eq!(slots.answered(0), Ok(Some('a')));
        assert_eq!(slots.answered(0), Ok(None));
        assert_eq!(slots.answered(3), Err(NeverAsked));
        assert_eq!(slots.answered(u64::MAX), Err(NeverAsked));
        assert_eq!(slots.ask(at, 'd'), Ok(3));
        assert_eq!(slots.answered_up_to(3), Ok(vec!['c', 'd']));
        assert_eq!(slots.answered_up_to(3), Ok(vec![]), "answered again");
        assert_eq!(slots.answered_up_to(4), Err(NeverAsked));
        slots.check_invariants();
    }

    #[test]
    fn one_that_waits_long_neither_blocks_others_nor_lets_memory_grow() {
        let (mut slots, at) = (Slots::new(4), start());
        slots.ask(at, 0).unwrap();
        let mut asked = 0;
        while let Ok(n) = slots.ask(at, 1) {
            slots.answered(n).unwrap();
            slots.check_invariants();
            asked += 1;
        }
        assert_eq!(asked, 4 * SPAN - 1);
        assert_eq!(slots.give_up(at + Duration::from_nanos(1)), [0]);
        assert!(slots.ask(at, 1).is_ok());
    }

    proptest! {
        #[test]
        fn everybody_hears_exactly_once(steps in proptest::collection::vec((0_u8..5, 0_u64..40), 0..200)) {
            let (start, mut slots) = (start(), Slots::new(8));
            let (mut heard, mut asked, mut now) = (Vec::new(), 0, start);
            for (kind, n) in steps {
                now += Duration::from_millis(1);
                match kind {
                    0 | 1 => match slots.ask(now, asked) {
                        Ok(number) => {
                            prop_assert_eq!(number, asked);
                            asked += 1;
                        }
                        Err(who) => prop_assert_eq!(who, asked),
                    },
                    2 => heard.extend(slots.answered(n).ok().flatten()),
                    3 => heard.extend(slots.answered_up_to(n).unwrap_or_default()),
                    _ => heard.extend(slots.give_up(now - Duration::from_millis(n))),
                }
                slots.check_invariants();
            }
            prop_assert_eq!(heard.len() + slots.unanswered(), usize::try_from(asked).unwrap());
            heard.extend(slots.into_all());
            heard.sort_unstable();
            prop_assert_eq!(heard, (0..asked).collect::<Vec<_>>());
        }
    }
}
