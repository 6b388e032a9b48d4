//! The rules after a commit for a device that is not exclusively here: whom to tell, and when the sender may hear of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use endtoend_cluster::claims::{CLAIMS_MAX, DeviceName, FENCE, Found, Incarnation};
use endtoend_cluster::peers::{LinkLife, Number, PeerLink};
use endtoend_protocol::Address;
use endtoend_storage::Seq;

/// Whom nobody could tell is looked for again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// What the rules ask for. `T` is what follows when it is done.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// Tell the node at the other end, which answers with the same number.
    Wake { over: LinkLife, number: Number, rows: Vec<(Address, Seq)> },
    /// The device was found at the other end of that link, for certain.
    Saw { device: DeviceName, over: LinkLife },
    /// Everybody knows who has to.
    Done(T),
}

/// Rows that were committed, and that somebody elsewhere may have to know of before their senders hear of it.
///
/// Invariant 4 across nodes: commit first, look the claim up second. Whoever is found is told; whoever cannot be told, or found,
/// is tried again, until [`FENCE`] has passed since the commit: then nobody has the device for himself who has not swept since.
#[derive(Debug)]
pub(crate) struct Unwoken<T> {
    me: Incarnation,
    rows: BTreeMap<u64, Row<T>>,
    last_row: u64,
    last_number: u64,
    /// Rows that wait for the next look-up, those of the one that is under way, and those that were found.
    waiting: BTreeSet<u64>,
    looking: Vec<u64>,
    /// Which rows a question over a link is about.
    asked: BTreeMap<(LinkLife, Number), Vec<u64>>,
    again: BTreeMap<Instant, Vec<u64>>,
}

#[derive(Debug)]
struct Row<T> {
    to: Address,
    device: DeviceName,
    seq: Seq,
    then: T,
    until: Instant,
    /// Questions without answer.
    open: usize,
    /// Somebody could not be asked.
    is_incomplete: bool,
}

impl<T> Unwoken<T> {
    pub(crate) fn new(me: Incarnation) -> Self {
        Self {
            me,
            rows: BTreeMap::new(),
            last_row: 0,
            last_number: 0,
            waiting: BTreeSet::new(),
            looking: Vec::new(),
            asked: BTreeMap::new(),
            again: BTreeMap::new(),
        }
    }

    /// A row was committed; the mailbox here, if there is one, was told.
    pub(crate) fn committed(&mut self, to: Address, device: DeviceName, seq: Seq, then: T, now: Instant) {
        self.last_row += 1;
        let row = Row { to, device, seq, then, until: now + FENCE, open: 0, is_incomplete: false };
        self.rows.insert(self.last_row, row);
        self.waiting.insert(self.last_row);
    }

    /// What to look up now, if something waits and nothing is being looked up.
    pub(crate) fn next(&mut self) -> Option<Vec<DeviceName>> {
        if !self.looking.is_empty() || self.waiting.is_empty() {
            return None;
        }
        while self.looking.len() < CLAIMS_MAX {
            let Some(row) = self.waiting.pop_first() else { break };
            self.looking.push(row);
        }
        Some(self.looking.iter().filter_map(|row| Some(self.rows.get(row)?.device)).collect())
    }

    /// What the directory said of them; none: it does not answer. `links`: over which somebody can be told; `is_complete`: and
    /// nobody else is there.
    pub(crate) fn looked(
        &mut self,
        found: Option<&[Found]>,
        links: &[PeerLink],
        is_complete: bool,
        now: Instant,
        out: &mut Vec<Step<T>>,
    ) {
        let rows = std::mem::take(&mut self.looking);
        let mut questions: BTreeMap<LinkLife, Vec<u64>> = BTreeMap::new();
        let mut told = 0;
        for number in rows {
            let Some(row) = self.rows.get_mut(&number) else { continue };
            // An answer that is too short leaves the rest unclear.
            let unclear = Found { holder: None, unclear: true };
            let Found { holder, unclear } = found.map_or(unclear, |found| found.get(told).copied().unwrap_or(unclear));
            told += 1;
            let holder = holder.filter(|holder| *holder != self.me);
            row.is_incomplete = false;
            row.open = 0;
            if unclear {
                row.is_incomplete = !is_complete;
                for link in links {
                    questions.entry(link.life).or_default().push(number);
                    row.open += 1;
                }
            } else if let Some(holder) = holder {
                match links.iter().find(|link| link.run == holder) {
                    Some(link) => {
                        questions.entry(link.life).or_default().push(number);
                        row.open += 1;
                        out.push(Step::Saw { device: row.device, over: link.life });
                    }
                    None => row.is_incomplete = true,
                }
            }
            self.conclude(number, now, out);
        }
        for (over, rows) in questions {
            self.last_number += 1;
            let number = Number(self.last_number);
            let named = rows.iter().filter_map(|row| self.rows.get(row)).map(|row| (row.to, row.seq)).collect();
            self.asked.insert((over, number), rows);
            out.push(Step::Wake { over, number, rows: named });
        }
    }

    /// The other side has told its mailboxes.
    pub(crate) fn woken(&mut self, over: LinkLife, number: Number, now: Instant, out: &mut Vec<Step<T>>) {
        for row in self.asked.remove(&(over, number)).unwrap_or_default() {
            self.answered(row, true, now, out);
        }
    }

    /// The question was not sent.
    pub(crate) fn not_sent(&mut self, over: LinkLife, number: Number, now: Instant, out: &mut Vec<Step<T>>) {
        for row in self.asked.remove(&(over, number)).unwrap_or_default() {
            self.answered(row, false, now, out);
        }
    }

    /// Nothing is answered over that link any more.
    pub(crate) fn broke(&mut self, link: LinkLife, now: Instant, out: &mut Vec<Step<T>>) {
        let numbers = self.asked.keys().filter(|(over, _)| *over == link).map(|(_, number)| *number);
        for number in numbers.collect::<Vec<_>>() {
            self.not_sent(link, number, now, out);
        }
    }

    /// When there is something to do without news.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let again = self.again.first_key_value().map(|(at, _)| *at);
        // Rows come in the order of time.
        let fence = self.rows.first_key_value().map(|(_, row)| row.until);
        again.into_iter().chain(fence).min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Step<T>>) {
        while let Some(first) = self.rows.first_entry()
            && first.get().until <= now
        {
            let (number, row) = first.remove_entry();
            self.waiting.remove(&number);
            out.push(Step::Done(row.then));
        }
        while let Some(first) = self.again.first_entry()
            && *first.key() <= now
        {
            self.waiting.extend(first.remove().into_iter().filter(|row| self.rows.contains_key(row)));
        }
    }

    /// Rows that wait for somebody to be told.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    fn answered(&mut self, number: u64, told: bool, now: Instant, out: &mut Vec<Step<T>>) {
        let Some(row) = self.rows.get_mut(&number) else { return };
        row.open -= 1;
        row.is_incomplete |= !told;
        self.conclude(number, now, out);
    }

    fn conclude(&mut self, number: u64, now: Instant, out: &mut Vec<Step<T>>) {
        let Some(row) = self.rows.get(&number).filter(|row| row.open == 0) else { return };
        if row.is_incomplete {
            self.again.entry(now + AGAIN).or_default().push(number);
        } else if let Some(row) = self.rows.remove(&number) {
            out.push(Step::Done(row.then));
        }
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let again: BTreeSet<_> = self.again.values().flatten().filter(|row| self.rows.contains_key(row)).collect();
        for (number, row) in &self.rows {
            let asked = self.asked.values().flatten().filter(|other| *other == number).count();
            assert_eq!(asked, row.open, "a question for each answer that is awaited");
            let waits = usize::from(self.waiting.contains(number))
                + usize::from(self.looking.contains(number))
                + usize::from(again.contains(number))
                + usize::from(row.open > 0);
            assert_eq!(waits, 1, "a row waits for one thing");
        }
        assert!(self.looking.len() <= CLAIMS_MAX);
    }
}
