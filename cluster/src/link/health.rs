//! How links are.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Ended;
use super::life::Life;
use crate::clock;

/// How the link to one node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerHealth {
    /// For how long it has lived. `None`: there is none.
    pub connected_for: Option<Duration>,
    /// Since when nothing came over it: zero while it lives, `None` when it never did.
    pub silent_for: Option<Duration>,
    /// Of its protocol. `None`: there is none.
    pub version: Option<u16>,
    /// How long the last question whether it lives took.
    pub rtt: Option<Duration>,
    /// Bytes of the control plane that wait to be written.
    pub control_bytes: usize,
    /// Bytes of traffic that wait to be written.
    pub traffic_bytes: usize,
    /// Why there is none, or why the one before ended.
    pub last_error: Option<String>,
    /// Links that there have been.
    pub lives: u64,
    /// Of all of them.
    pub counters: Counters,
}

/// Counts of a link, or of all links to one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes of frames that came.
    pub read_bytes: u64,
    /// Bytes of frames that went.
    pub written_bytes: u64,
    /// What was to be sent and found no room.
    pub no_room: u64,
}

impl Counters {
    pub(super) fn of(life: &Life) -> Self {
        let counts = &life.counts;
        Self {
            read_bytes: counts.read.load(Relaxed),
            written_bytes: counts.written.load(Relaxed),
            no_room: counts.no_room.load(Relaxed),
        }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            written_bytes: self.written_bytes.saturating_add(other.written_bytes),
            no_room: self.no_room.saturating_add(other.no_room),
        }
    }
}

/// What is known of the links to one node beyond the one that lives.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) connected_at: Option<Instant>,
    ended_at: Option<Instant>,
    lives: u64,
    last_error: Option<String>,
    /// Of lives that have ended.
    pub(super) counters: Counters,
}

impl Standing {
    pub(super) fn connected(&mut self) {
        self.connected_at = Some(clock::monotonic());
        self.lives += 1;
    }
    pub(super) fn ended(&mut self, why: Ended, counters: Counters) {
        self.last_error = Some(why.to_string());
        self.ended_at = Some(clock::monotonic());
        self.counters = self.counters.plus(counters);
    }
    pub(super) fn failed(&mut self, why: String) {
        self.last_error = Some(why);
    }

    pub(super) fn health(&self, life: Option<&Life>) -> PeerHealth {
        let earlier = PeerHealth {
            silent_for: self.ended_at.map(|at| clock::monotonic().saturating_duration_since(at)),
            last_error: self.last_error.clone(),
            lives: self.lives,
            counters: self.counters,
            ..PeerHealth::default()
        };
        let Some(life) = life else { return earlier };
        let (control_bytes, traffic_bytes) = life.waiting();
        PeerHealth {
            silent_for: Some(Duration::ZERO),
            connected_for: Some(clock::monotonic().saturating_duration_since(life.since)),
            version: Some(life.version),
            rtt: life.rtt(),
            control_bytes,
            traffic_bytes,
            counters: self.counters.plus(Counters::of(life)),
            ..earlier
        }
    }
}
