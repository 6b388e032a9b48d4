//! Rule: how much a client may say that asks for nothing.
//!
//! Pings, acknowledgements of what is acknowledged already, sends beyond the window: each is cheap, and none is held
//! against anybody by itself. Without a bound a connection could go on with them as fast as its line allows.

use std::time::{Duration, Instant};

use endtoend_protocol::limits;

/// What one connection has left.
#[derive(Debug)]
pub(super) struct Chatter {
    left: u32,
    counted_at: Instant,
}

impl Chatter {
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: limits::CHATTER_MAX, counted_at: now }
    }

    /// One more; `false` when it is too much.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let every = limits::CHATTER_EVERY;
        let passed = now.saturating_duration_since(self.counted_at).as_nanos() / every.as_nanos().max(1);
        let back = u32::try_from(passed).unwrap_or(u32::MAX);
        if back > 0 {
            self.left = self.left.saturating_add(back).min(limits::CHATTER_MAX);
            // What is begun of the next one counts, unless everything is back.
            let full = self.left == limits::CHATTER_MAX;
            self.counted_at =
                if full { now } else { self.counted_at + every.checked_mul(back).unwrap_or(Duration::MAX) };
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_burst_is_allowed_and_then_one_after_the_other() {
        let begin = clock::monotonic();
        let mut chatter = Chatter::new(begin);
        assert!((0..limits::CHATTER_MAX).all(|_| chatter.allows(begin)));
        assert!(!chatter.allows(begin));
        let later = begin + limits::CHATTER_EVERY * 2;
        assert!(chatter.allows(later) && chatter.allows(later));
        assert!(!chatter.allows(later));
    }

    #[test]
    fn whoever_keeps_to_the_pace_goes_on_for_ever() {
        let begin = clock::monotonic();
        let mut chatter = Chatter::new(begin);
        assert!((1..100 * limits::CHATTER_MAX).all(|n| chatter.allows(begin + limits::CHATTER_EVERY * n)));
        // And nobody saves up more than a burst.
        let much_later = begin + limits::CHATTER_EVERY * (1_000 * limits::CHATTER_MAX);
        assert!((0..limits::CHATTER_MAX).all(|_| chatter.allows(much_later)));
        assert!(!chatter.allows(much_later));
    }
}
