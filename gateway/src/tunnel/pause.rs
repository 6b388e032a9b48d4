//! How long until a tunnel that has ended is tried again: a rule, which is told times.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// One that was through for so long has worked: the next failure is a first one.
const WORKED: Duration = Duration::from_secs(60);

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pauses(u32);

impl Pauses {
    /// It has ended after it was through for so long; `None` when it never was.
    pub(super) fn after(&mut self, through: Option<Duration>) -> Duration {
        if through.is_some_and(|through| through >= WORKED) {
            self.0 = 0;
        }
        let pause = SHORTEST.saturating_mul(1 << self.0.min(6)).min(LONGEST);
        self.0 = self.0.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_begin_anew_after_one_that_worked() {
        let mut pauses = Pauses::default();
        let seconds: Vec<u64> = (0..8).map(|_| pauses.after(None).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses.after(Some(WORKED - Duration::from_millis(1))).as_secs(), 60, "it flaps");
        assert_eq!(pauses.after(Some(WORKED)).as_secs(), 1);
    }
}
