//! Ratchet and envelope alone, in memory: the limit of what a message costs an engine.

use std::time::Duration;

use endtoend_benches::{Couple, median};

const MESSAGES: u64 = 1_000;

/// Microseconds to seal and to open a message of so many bytes, one after the other from one person to another, who says nothing.
pub(crate) fn message(bytes: usize) -> (f64, f64) {
    let (mut couple, content) = (Couple::new(), vec![b'x'; bytes]);
    // Each has heard the other: the session is none of the first hour any more.
    couple.say(&content, true);
    couple.say(&content, true);
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let times = (0..MESSAGES).map(|_| couple.say(&content, false));
    let (seals, opens) = times.map(|(sealing, opening)| (micros(sealing), micros(opening))).unzip();
    (median(seals), median(opens))
}
