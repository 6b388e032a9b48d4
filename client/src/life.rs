//! Rules: the time by which messages disappear. No I/O; both clocks are arguments.
//!
//! A wall clock jumps and a monotonic one does not outlive the process. Life is counted on a clock of its own: while the program
//! runs it follows the monotonic clock, whatever the wall clock does; over a pause it goes on by what the wall clock says has
//! passed, and never backwards. A wall clock that is set back cannot keep a message for longer than the pause was; one that
//! is set ahead while the program runs takes no message away.

use std::time::Duration;

use endtoend_protocol::UnixMillis;

use crate::clock::Instant;

/// What is kept of the clock, so that it goes on after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How long there has been life, in milliseconds.
    pub life_ms: u64,
    /// What the wall clock said then.
    pub wall: UnixMillis,
}

impl Kept {
    /// `le64(life) || le64(wall)`.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (life, wall) = bytes.split_at_mut(8);
        life.copy_from_slice(&self.life_ms.to_le_bytes());
        wall.copy_from_slice(&self.wall.get().to_le_bytes());
        bytes
    }

    /// Reads what [`Kept::to_bytes`] wrote. `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (life, wall) = bytes.split_first_chunk::<8>()?;
        let wall = UnixMillis::new(u64::from_le_bytes(wall.try_into().ok()?));
        Some(Self { life_ms: u64::from_le_bytes(*life), wall })
    }
}

/// The clock while the program runs.
#[derive(Clone, Copy, Debug)]
pub struct LifeClock {
    began: Instant,
    life_ms: u64,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl LifeClock {
    /// Goes on from what was kept.
    pub fn start(kept: Option<Kept>, wall: UnixMillis, monotonic: Instant) -> Self {
        let life_ms = kept.map_or(0, |kept| kept.life_ms.saturating_add(ms(wall.since(kept.wall))));
        Self { began: monotonic, life_ms }
    }

    /// To be kept, now and from time to time.
    pub fn now(&self, wall: UnixMillis, monotonic: Instant) -> Kept {
        let life_ms = self.life_ms.saturating_add(ms(monotonic.saturating_duration_since(self.began)));
        Kept { life_ms, wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::new(ms)
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let kept = Kept { life_ms: 7, wall: at(u64::MAX) };
        assert_eq!(Kept::from_bytes(&kept.to_bytes()), Some(kept));
        assert_eq!(Kept::from_bytes(&[0; 15]), None);
        assert_eq!(Kept::from_bytes(&[0; 17]), None);
    }

    #[test]
    fn a_wall_clock_that_jumps_moves_nothing_while_the_program_runs() {
        let start = clock::monotonic();
        let life = LifeClock::start(None, at(1_000_000), start);
        let later = start + Duration::from_secs(5);
        for wall in [0, 1_000_000, u64::MAX] {
            assert_eq!(life.now(at(wall), later).life_ms, 5_000);
        }
    }

    #[test]
    fn a_pause_counts_by_the_wall_clock_and_never_backwards() {
        let start = clock::monotonic();
        let kept = Kept { life_ms: 500, wall: at(10_000) };
        let resumed = |wall| LifeClock::start(Some(kept), at(wall), start).now(at(wall), start).life_ms;
        assert_eq!((resumed(70_000), resumed(10_000), resumed(3)), (60_500, 500, 500));
    }
}
