//! When the node served, as its senders saw it. Plain data; times are nanoseconds of the run.

use super::plan::Kind;

/// After a fault, until a send is accepted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recovering {
    kind: Kind,
    since: u64,
    /// An answer that was on its way already is no recovery: it has to come from this life of the node, or a later one.
    life: u64,
}

/// The longest time in which no send was accepted although one waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) ns: u64,
    /// When it ended.
    pub(crate) at: u64,
    /// The fault before its end.
    pub(crate) after: Option<Kind>,
}

#[derive(Debug, Default)]
pub(crate) struct Service {
    /// Messages that were tried and are not accepted.
    waiting: usize,
    /// Since when nothing was accepted, while something waits.
    since: u64,
    worst: Gap,
    last_fault: Option<Kind>,
    recovering: Vec<Recovering>,
    recovered: Vec<(Kind, u64)>,
    accepted: usize,
}

impl Service {
    /// A message was put on the wire for the first time.
    pub(crate) fn tried(&mut self, at: u64) {
        if self.waiting == 0 {
            self.since = at;
        }
        self.waiting += 1;
    }

    /// A message was accepted, on a connection that was made in this life of the node or later.
    pub(crate) fn accepted(&mut self, at: u64, life: u64) {
        self.accepted += 1;
        self.waiting = self.waiting.saturating_sub(1);
        let gap = at.saturating_sub(self.since);
        if gap > self.worst.ns {
            self.worst = Gap { ns: gap, at, after: self.last_fault };
        }
        self.since = at;
        let recovered = &mut self.recovered;
        self.recovering.retain(|recovering| {
            let over = life >= recovering.life;
            if over {
                recovered.push((recovering.kind, at.saturating_sub(recovering.since)));
            }
            !over
        });
    }

    /// A fault begins.
    pub(crate) fn struck(&mut self, kind: Kind) {
        self.last_fault = Some(kind);
    }

    /// From this moment on the recovery from a fault is measured, until an answer from this life.
    pub(crate) fn recovers(&mut self, kind: Kind, since: u64, life: u64) {
        self.recovering.push(Recovering { kind, since, life });
    }

    pub(crate) const fn accepted_so_far(&self) -> usize {
        self.accepted
    }

    pub(crate) const fn worst(&self) -> Gap {
        self.worst
    }

    pub(crate) fn recovered(&self) -> &[(Kind, u64)] {
        &self.recovered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_only_while_something_waits() {
        let mut service = Service::default();
        service.tried(1_000);
        service.accepted(1_010, 0);
        // Nobody wanted anything for long.
        service.tried(9_000);
        service.tried(9_001);
        service.struck(Kind::NodePaused);
        service.accepted(9_100, 0);
        service.accepted(9_120, 0);
        assert_eq!(service.worst(), Gap { ns: 100, at: 9_100, after: Some(Kind::NodePaused) });
    }

    #[test]
    fn an_answer_from_before_the_kill_is_no_recovery() {
        let mut service = Service::default();
        (0..2).for_each(|_| service.tried(0));
        service.recovers(Kind::NodeKilled, 100, 1);
        service.accepted(101, 0);
        assert!(service.recovered().is_empty());
        service.accepted(350, 1);
        assert_eq!(service.recovered(), [(Kind::NodeKilled, 250)]);
    }
}
