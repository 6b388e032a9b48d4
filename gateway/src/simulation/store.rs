//! A store: commits late, fails having written or not, is away, and has after a crash exactly what it had committed.

use std::collections::{BTreeMap, VecDeque};

use endtoend_protocol::{Address, EnvelopeId, UnixMillis};
use endtoend_storage::{AppendOutcome, Page, PageLimits, QueueBatch, Queued, Seq, Tray};

use super::chance::Chance;
use super::weather::{Fault, Weather};

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) to: Address,
    pub(super) tray: Tray,
    pub(super) expires_at: UnixMillis,
    pub(super) queued: Queued,
}

/// Envelopes that may wait for one device, and how many of them from strangers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) all: usize,
    pub(super) requests: usize,
}

/// A read that a mailbox has asked for.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) node: usize,
    pub(super) to: Address,
    pub(super) generation: u64,
    pub(super) life: u64,
    pub(super) after: Seq,
    pub(super) limits: PageLimits,
}

/// What the writer hears of a commit: the outcomes, or that it is not confirmed.
pub(super) type Told = Option<Vec<AppendOutcome>>;

#[derive(Default)]
pub(super) struct Store {
    rows: BTreeMap<i64, Row>,
    /// Where an envelope is. Each goes to one device, so its id is enough.
    places: BTreeMap<EnvelopeId, i64>,
    last_seq: i64,
    /// Batches that were not confirmed and are written some day.
    late: Vec<QueueBatch>,
    /// The commits under way, one for each node at most, and reads that are not answered.
    pub(super) commits: BTreeMap<usize, QueueBatch>,
    pub(super) reads: VecDeque<Read>,
    /// Until when nothing is answered but errors.
    pub(super) away_until: u64,
    /// A row may lie there that nobody will ask to delete before its device comes again.
    pub(super) littered: bool,
    /// What was written since somebody asked, and until when it stays.
    pub(super) written: Vec<(EnvelopeId, UnixMillis)>,
}

impl Store {
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// When the row of this envelope ends, if it has one.
    pub(super) fn until(&self, id: EnvelopeId) -> Option<UnixMillis> {
        self.places.get(&id).map(|seq| self.rows[seq].expires_at)
    }

    /// Carries out the commit of a node that is under way.
    pub(super) fn carry_out(
        &mut self,
        node: usize,
        weather: &Weather,
        chance: &mut Chance,
        away: bool,
    ) -> Option<Told> {
        let batch = self.commits.remove(&node)?;
        if away || weather.strikes(Fault::CommitFails, chance) {
            return Some(None);
        }
        if weather.strikes(Fault::CommitLands, chance) {
            self.late.push(batch);
            return Some(None);
        }
        let outcomes = self.write(batch, weather.room);
        let lies = weather.strikes(Fault::CommitLies, chance);
        self.littered |= lies;
        Some((!lies).then_some(outcomes))
    }

    /// A batch that was not confirmed is written after all.
    pub(super) fn land(&mut self, room: Room) {
        if let Some(batch) = self.late.pop() {
            self.littered = true;
            self.write(batch, room);
        }
    }

    pub(super) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    fn write(&mut self, batch: QueueBatch, room: Room) -> Vec<AppendOutcome> {
        // A second transaction with the same id waits for the first.
        while self.late.iter().any(|late| late.appends.iter().any(|a| batch.appends.iter().any(|b| a.id == b.id))) {
            self.land(room);
        }
        for (to, seq) in batch.deletes {
            if let Some(row) = self.rows.remove(&seq.0) {
                assert_eq!(row.to, to, "a device deletes its own rows");
                self.places.remove(&row.queued.id);
            }
        }
        let mut outcomes = Vec::new();
        for append in batch.appends {
            if let Some(row) = self.places.get(&append.id).and_then(|seq| self.rows.get_mut(seq)) {
                row.expires_at = row.expires_at.max(append.expires_at);
                row.queued.accepted_at = row.queued.accepted_at.max(append.accepted_at);
                self.written.push((append.id, append.expires_at));
                outcomes.push(AppendOutcome::Repeat(row.queued.seq));
                continue;
            }
            if self.is_full(append.to, append.tray, room) {
                outcomes.push(AppendOutcome::Full);
                continue;
            }
            self.last_seq += 1;
            let seq = Seq(self.last_seq);
            let queued = Queued { seq, id: append.id, accepted_at: append.accepted_at, body: append.body };
            self.written.push((append.id, append.expires_at));
            self.places.insert(append.id, seq.0);
            let row = Row { to: append.to, tray: append.tray, expires_at: append.expires_at, queued };
            self.rows.insert(seq.0, row);
            outcomes.push(AppendOutcome::Stored(seq));
        }
        outcomes
    }

    fn is_full(&self, to: Address, tray: Tray, room: Room) -> bool {
        let has_so_many = |of: &dyn Fn(&Row) -> bool, max| {
            self.rows.len() >= max && self.rows.values().filter(|row| of(row)).count() >= max
        };
        has_so_many(&|row| row.to == to, room.all)
            || (tray == Tray::Requests && has_so_many(&|row| row.to == to && row.tray == tray, room.requests))
    }

    /// What a read finds.
    pub(super) fn read(&self, read: &Read, now: UnixMillis) -> Page {
        let mut rows = self
            .rows
            .range(read.after.0 + 1..)
            .map(|(_, row)| row)
            .filter(|row| row.to == read.to && row.expires_at > now);
        let (mut page, mut bytes) = (Page::default(), 0);
        for row in &mut rows {
            bytes += row.queued.body.len();
            let full = page.rows.len() >= read.limits.rows as usize || bytes > read.limits.bytes;
            if full && !page.rows.is_empty() {
                page.more = true;
                break;
            }
            page.rows.push(row.queued.clone());
        }
        page
    }

    /// The last row of a device after a place.
    pub(super) fn newer(&self, to: Address, after: Seq) -> Option<Seq> {
        self.rows.range(after.0 + 1..).rfind(|(_, row)| row.to == to).map(|(seq, _)| Seq(*seq))
    }

    pub(super) fn forget_expired(&mut self, now: UnixMillis) {
        self.rows.retain(|_, row| row.expires_at > now);
        self.places.retain(|_, seq| self.rows.contains_key(seq));
    }
}
