//! The rules of a mailbox for one attached device: what is pushed, what is stored, when the sender hears of it.
//!
//! Plain data: no runtime, no clock, no I/O. Each call appends what must be done to a list of [`Action`]s.
//!
//! An undelivered envelope is in one of three places, and this is also their order:
//! the *page*, just read from the store; the store itself, when the device is *behind*; the *tail*, which holds what
//! arrived while the device is attached. What was pushed and is not acknowledged is the *window*.

use std::collections::VecDeque;

use bytes::Bytes;
use endtoend_protocol::{Address, Deliver, DeliveryNumber, EnvelopeId, RetryReason, UnixMillis, limits};
use endtoend_storage::{AppendOutcome, Page, PageLimits, Queued, Seq};

use super::repeats::RepeatWindow;
use crate::course::Turn;
use crate::letter::Letter;
use crate::queue_writer::{Hold, Persisted, Ticket, outcome_for_sender};
use crate::receipt::Outcome;

/// Envelopes that the tail takes in for one device; what is committed beyond it is read from the store later. A window
/// more when the device goes away: what was pushed and is not committed comes back here.
pub(super) const TAIL_MAX: usize = 256;
/// Bytes of bodies in the tail, likewise.
pub(super) const TAIL_BYTES_MAX: usize = 1024 * 1024;

/// What the rules ask of the actor. `R` is the right to answer a sender.
#[derive(Debug)]
pub(super) enum Action<R> {
    /// Push to the device.
    Push(Deliver),
    /// Commit to the store; the outcome comes back through [`Pending::persisted`].
    Persist { letter: Letter, ticket: Ticket },
    /// Answer a sender.
    Settle(R, Outcome),
    /// Delete the row: the device has it.
    Forget(Seq),
    /// Read the store; the page comes back through [`Pending::loaded`] with the same life.
    Load { life: u64, after: Seq, limits: PageLimits },
}

/// The device acknowledged what was never pushed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadAck;

/// How safe an envelope is.
#[derive(Debug)]
enum Durability<R> {
    /// On its way to the disk. Dropped in this order: not written, and then answered.
    Storing { ticket: Hold, receipt: R },
    /// Committed.
    Stored(Seq),
    /// The store did not confirm, the sender was told to repeat; the device may still acknowledge it.
    Unconfirmed,
}

#[derive(Debug)]
struct Entry<R> {
    id: EnvelopeId,
    accepted_at: UnixMillis,
    body: Bytes,
    /// Where it stands among those of its sender; looked at before it is pushed.
    turn: Option<Turn>,
    durability: Durability<R>,
}

impl<R> Entry<R> {
    /// What was sent before it is to come again and was not pushed. The writer will not take it either, and say so; whoever has sent
    /// it from elsewhere, too, must not be ahead of it there from now on.
    fn overtakes(&self, device: Option<Address>) -> bool {
        let Some((turn, device)) = self.turn.as_ref().zip(device) else { return false };
        match &self.durability {
            Durability::Storing { ticket, .. } if turn.overtakes(device) => {
                turn.refuse(device);
                ticket.refuse(device);
                true
            }
            _ => false,
        }
    }

    fn is_storing(&self) -> bool {
        matches!(self.durability, Durability::Storing { .. })
    }
}

/// What is in the store and neither in the window nor in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// Nothing: the tail follows the window.
    No,
    /// Rows after the cursor.
    Yes,
    /// The same, and a read is under way. `again`: from here on rows were committed that it may not have seen.
    Loading { again: Option<Seq> },
}

/// The undelivered envelopes of one attached device.
#[derive(Debug)]
pub(super) struct Pending<R> {
    /// Whose they are, once there is one.
    device: Option<Address>,
    attached: bool,
    /// The attachment, by its number in the mailbox: a page that was asked for in an older life is not looked at.
    life: u64,
    window: VecDeque<(DeliveryNumber, Entry<R>)>,
    window_bytes: usize,
    page: VecDeque<Entry<R>>,
    behind: Behind,
    /// Where the next read begins: everything in the store up to here has been pushed in this life, or is in the page.
    /// Only a page moves it forward while rows are behind: what is pushed meanwhile may lie after them.
    cursor: Seq,
    tail: VecDeque<Entry<R>>,
    tail_bytes: usize,
    last_delivery: DeliveryNumber,
    /// Acknowledged by the device.
    acknowledged: RepeatWindow,
    /// Acknowledged while the commit was under way: forgotten as soon as their row is known.
    acknowledged_early: Vec<EnvelopeId>,
}

impl<R> Default for Pending<R> {
    fn default() -> Self {
        Self {
            device: None,
            attached: false,
            life: 0,
            window: VecDeque::new(),
            window_bytes: 0,
            page: VecDeque::new(),
            behind: Behind::No,
            cursor: Seq(0),
            tail: VecDeque::new(),
            tail_bytes: 0,
            last_delivery: DeliveryNumber(0),
            acknowledged: RepeatWindow::default(),
            acknowledged_early: Vec::new(),
        }
    }
}

impl<R> Pending<R> {
    /// Nothing waits for an answer from the store, and no device is here.
    pub(super) fn is_idle(&self) -> bool {
        !self.attached && self.tail.is_empty() && self.acknowledged_early.is_empty()
    }

    /// Envelopes in the tail, and bytes of their bodies.
    pub(super) fn tail(&self) -> (usize, usize) {
        (self.tail.len(), self.tail_bytes)
    }

    /// The device is here, perhaps again. Its claim stands, so its queue is loaded now and not before (invariant 4).
    ///
    /// No earlier attachment, not even one before this value was made, had the same `life`: pages may come late.
    pub(super) fn attach(&mut self, life: u64, out: &mut Vec<Action<R>>) {
        self.detach();
        self.attached = true;
        self.life = life;
        self.cursor = Seq(0);
        self.last_delivery = DeliveryNumber(0);
        self.behind = Behind::Yes;
        self.pump(out);
    }

    /// The device is gone. Only what the store has not answered for is kept; the rest is in the store.
    pub(super) fn detach(&mut self) {
        self.attached = false;
        self.behind = Behind::No;
        self.window_bytes = 0;
        self.page.clear();
        let window = std::mem::take(&mut self.window).into_iter().map(|(_, entry)| entry);
        let tail = std::mem::take(&mut self.tail);
        self.tail = window.chain(tail).filter(Entry::is_storing).collect();
        self.tail_bytes = self.tail.iter().map(|entry| entry.body.len()).sum();
    }

    /// An envelope for the device, attached or not.
    pub(super) fn enqueue(&mut self, letter: Letter, receipt: R, out: &mut Vec<Action<R>>) {
        let (envelope, at) = (&letter.envelope, letter.accepted_at);
        self.device = Some(envelope.to);
        if self.acknowledged.contains(&envelope.id) {
            out.push(Action::Settle(receipt, Outcome::Accepted { at }));
            return;
        }
        if let Some(known) = self.find(envelope.id) {
            repeat(known, letter, receipt, out);
            return;
        }
        if letter.overtakes() {
            out.push(Action::Settle(receipt, Outcome::Retry(RetryReason::Busy)));
            return;
        }
        if self.tail_is_full() {
            // What is committed can be read back later; what is not must stay.
            self.fall_behind();
            if self.tail_is_full() {
                out.push(Action::Settle(receipt, Outcome::Retry(RetryReason::Busy)));
                return;
            }
        }
        let hold = Hold::default();
        let ticket = hold.ticket();
        self.tail_bytes += envelope.body.len();
        self.tail.push_back(Entry {
            id: envelope.id,
            accepted_at: at,
            body: envelope.body.clone(),
            turn: letter.turn.clone(),
            durability: Durability::Storing { ticket: hold, receipt },
        });
        // Its place in line is taken, in the tail here and in the writer's batch there, before anything slow.
        out.push(Action::Persist { letter, ticket });
        self.pump(out);
    }

    /// The writer tried to commit an envelope.
    pub(super) fn persisted(&mut self, persisted: &Persisted, out: &mut Vec<Action<R>>) {
        let Persisted { id, accepted_at, outcome, .. } = *persisted;
        let seq = match outcome {
            Some(AppendOutcome::Stored(seq) | AppendOutcome::Repeat(seq)) => Some(seq),
            Some(AppendOutcome::Full | AppendOutcome::UnknownDevice) | None => None,
        };
        if let Some(at) = self.acknowledged_early.iter().position(|early| *early == id) {
            self.acknowledged_early.swap_remove(at);
            out.extend(seq.map(Action::Forget));
            return;
        }
        let durability = || match seq {
            Some(seq) => Durability::Stored(seq),
            None => Durability::Unconfirmed,
        };
        if let Some((_, entry)) = self.window.iter_mut().find(|(_, entry)| entry.id == id) {
            was_written(entry, accepted_at, seq);
            settle(entry, durability(), outcome, out);
            if self.behind == Behind::No {
                // Otherwise rows before this one may still have to be read.
                self.cursor = self.cursor.max(seq.unwrap_or_default());
            }
        } else if let Some(at) = self.tail.iter().position(|entry| entry.id == id) {
            if let Some(entry) = self.tail.get_mut(at) {
                was_written(entry, accepted_at, seq);
                settle(entry, durability(), outcome, out);
            }
            // Not stored and not pushed: it never happened. Stored with no device here: the store has it.
            if seq.is_none() || !self.attached {
                self.remove_from_tail(at);
            }
        }
        // Found nowhere: a page brought it, so it was settled then.
        self.pump(out);
    }

    /// The device has stored every delivery up to `up_to`.
    ///
    /// # Errors
    /// `BadAck` when that was never pushed in this life; nothing has changed.
    pub(super) fn acknowledge(&mut self, up_to: DeliveryNumber, out: &mut Vec<Action<R>>) -> Result<(), BadAck> {
        if up_to > self.last_delivery {
            return Err(BadAck);
        }
        while self.window.front().is_some_and(|(number, _)| *number <= up_to) {
            let Some((_, entry)) = self.window.pop_front() else { break };
            self.window_bytes -= entry.body.len();
            self.acknowledged.insert(entry.id);
            match entry.durability {
                Durability::Stored(seq) => out.push(Action::Forget(seq)),
                Durability::Unconfirmed => {}
                Durability::Storing { ticket, receipt } => {
                    if !ticket.elide() {
                        self.acknowledged_early.push(entry.id);
                    }
                    out.push(Action::Settle(receipt, Outcome::Accepted { at: entry.accepted_at }));
                }
            }
        }
        self.pump(out);
        Ok(())
    }

    /// Somebody committed a row for the device without coming by here. Rows that were read before are known by id.
    pub(super) fn wake(&mut self, seq: Seq, out: &mut Vec<Action<R>>) {
        if self.attached {
            self.read_again_from(seq);
            self.pump(out);
        }
    }

    /// A page that was asked for in `life`.
    pub(super) fn loaded(&mut self, life: u64, page: Page, out: &mut Vec<Action<R>>) {
        let Behind::Loading { again } = self.behind else { return };
        if life != self.life {
            return;
        }
        self.behind = if page.more { Behind::Yes } else { Behind::No };
        for row in page.rows {
            self.cursor = self.cursor.max(row.seq);
            self.take_row(row, out);
        }
        if let Some(seq) = again {
            // Last, because the page may have stepped over that row: it was committed, or renewed, between two others.
            self.read_again_from(seq);
        }
        self.pump(out);
    }

    /// The read that was asked for in `life` failed, some time ago: asks again.
    pub(super) fn load_failed(&mut self, life: u64, out: &mut Vec<Action<R>>) {
        if life == self.life
            && let Behind::Loading { again } = self.behind
        {
            self.behind = Behind::Yes;
            if let Some(seq) = again {
                self.read_again_from(seq);
            }
            self.pump(out);
        }
    }

    /// A row of the store, in the order of acceptance, which also orders what of the tail the page reaches.
    fn take_row(&mut self, row: Queued, out: &mut Vec<Action<R>>) {
        if let Some((_, entry)) = self.window.iter_mut().find(|(_, entry)| entry.id == row.id) {
            found_stored(entry, &row, out);
        } else if let Some(at) = self.tail.iter().position(|entry| entry.id == row.id) {
            if let Some(mut entry) = self.remove_from_tail(at) {
                found_stored(&mut entry, &row, out);
                self.page.push_back(entry);
            }
        } else if let Some(entry) = self.page.iter_mut().find(|entry| entry.id == row.id) {
            // Read before: a wake-up went back over it.
            found_stored(entry, &row, out);
        } else if self.acknowledged.contains(&row.id) {
            // The device has it; a crash or a failed commit left the row behind.
            if !self.acknowledged_early.contains(&row.id) {
                out.push(Action::Forget(row.seq));
            }
        } else {
            self.page.push_back(Entry {
                id: row.id,
                accepted_at: row.accepted_at,
                body: row.body,
                turn: None,
                durability: Durability::Stored(row.seq),
            });
        }
    }

    /// Pushes what the window has room for, in order, and asks for more when memory has run out of it.
    fn pump(&mut self, out: &mut Vec<Action<R>>) {
        while self.attached && self.window_has_room() {
            let next = match (self.page.pop_front(), self.behind) {
                (Some(entry), _) => entry,
                (None, Behind::Loading { .. }) => return,
                (None, Behind::Yes) => {
                    // The read starts after everything in the tail that is committed was, so it will bring it.
                    self.fall_behind();
                    self.behind = Behind::Loading { again: None };
                    let limits = PageLimits { rows: limits::DELIVER_WINDOW, bytes: limits::DELIVER_WINDOW_BYTES };
                    out.push(Action::Load { life: self.life, after: self.cursor, limits });
                    return;
                }
                (None, Behind::No) => match self.next_of_tail().and_then(|at| self.remove_from_tail(at)) {
                    Some(entry) => {
                        if let Durability::Stored(seq) = entry.durability {
                            self.cursor = self.cursor.max(seq);
                        }
                        entry
                    }
                    None => return,
                },
            };
            self.push(next, out);
        }
    }

    fn push(&mut self, entry: Entry<R>, out: &mut Vec<Action<R>>) {
        self.last_delivery.0 += 1;
        self.window_bytes += entry.body.len();
        out.push(Action::Push(Deliver {
            delivery: self.last_delivery,
            id: entry.id,
            accepted_at: entry.accepted_at,
            body: entry.body.clone(),
        }));
        self.window.push_back((self.last_delivery, entry));
    }

    /// Drops from the tail what the store has: it is read back when the window has room for it.
    fn fall_behind(&mut self) {
        let stored = self.tail.iter().filter_map(|entry| match entry.durability {
            Durability::Stored(seq) => Some(seq),
            Durability::Storing { .. } | Durability::Unconfirmed => None,
        });
        if let Some(first) = stored.min() {
            self.tail.retain(Entry::is_storing);
            self.tail_bytes = self.tail.iter().map(|entry| entry.body.len()).sum();
            self.read_again_from(first);
        }
    }

    fn read_again_from(&mut self, seq: Seq) {
        match &mut self.behind {
            Behind::Loading { again } => *again = Some(again.map_or(seq, |other| other.min(seq))),
            Behind::No | Behind::Yes => {
                self.cursor = self.cursor.min(Seq(seq.0 - 1));
                self.behind = Behind::Yes;
            }
        }
    }

    /// The first of the tail that overtakes nothing of its sender's.
    fn next_of_tail(&self) -> Option<usize> {
        self.tail.iter().position(|entry| !entry.overtakes(self.device))
    }

    fn find(&mut self, id: EnvelopeId) -> Option<&mut Entry<R>> {
        let window = self.window.iter_mut().map(|(_, entry)| entry);
        window.chain(&mut self.page).chain(&mut self.tail).find(|entry| entry.id == id)
    }

    fn remove_from_tail(&mut self, at: usize) -> Option<Entry<R>> {
        let entry = self.tail.remove(at)?;
        self.tail_bytes -= entry.body.len();
        Some(entry)
    }

    fn tail_is_full(&self) -> bool {
        self.tail.len() >= TAIL_MAX || self.tail_bytes >= TAIL_BYTES_MAX
    }

    fn window_has_room(&self) -> bool {
        self.window.len() < limits::DELIVER_WINDOW as usize && self.window_bytes < limits::DELIVER_WINDOW_BYTES
    }

    #[cfg(test)]
    pub(super) fn is_attached(&self) -> bool {
        self.attached
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let sum = |entries: &VecDeque<Entry<R>>| entries.iter().map(|entry| entry.body.len()).sum::<usize>();
        let ids: Vec<_> = self
            .window
            .iter()
            .map(|(_, entry)| entry.id)
            .chain(self.page.iter().map(|entry| entry.id))
            .chain(self.tail.iter().map(|entry| entry.id))
            .collect();
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), distinct.len(), "an envelope is in one place");
        assert!(ids.iter().all(|id| !self.acknowledged.contains(id)), "what was acknowledged is gone");
        assert!(self.window.len() <= limits::DELIVER_WINDOW as usize);
        assert!(self.window_bytes < limits::DELIVER_WINDOW_BYTES + limits::ENVELOPE_BYTES_MAX);
        assert_eq!(self.window_bytes, self.window.iter().map(|(_, entry)| entry.body.len()).sum::<usize>());
        // When the device goes away, what was pushed to it and is not committed goes back into the tail.
        assert!(self.tail.len() <= TAIL_MAX + limits::DELIVER_WINDOW as usize);
        let bytes_max = TAIL_BYTES_MAX + limits::DELIVER_WINDOW_BYTES + 2 * limits::ENVELOPE_BYTES_MAX;
        assert!(self.tail_bytes < bytes_max);
        assert_eq!(self.tail_bytes, sum(&self.tail));
        assert!(self.page.len() <= limits::DELIVER_WINDOW as usize);
        let numbers = self.window.iter().map(|(number, _)| number.0);
        assert!(numbers.clone().zip(numbers.skip(1)).all(|(a, b)| b == a + 1), "deliveries are numbered without gaps");
        if let Some((last, _)) = self.window.back() {
            assert_eq!(*last, self.last_delivery);
        }
        if !self.attached {
            assert!(self.window.is_empty() && self.page.is_empty() && self.tail.iter().all(Entry::is_storing));
        }
        if self.attached && self.window_has_room() {
            assert!(self.page.is_empty(), "room is used");
            assert!(self.behind != Behind::Yes, "and asked to be filled");
            assert!(self.behind != Behind::No || self.next_of_tail().is_none());
        }
    }
}

/// A repeat of an envelope that is here: answered at once if it is safe, else when the first one would have been.
fn repeat<R>(known: &mut Entry<R>, letter: Letter, receipt: R, out: &mut Vec<Action<R>>) {
    let has_expired = known.accepted_at.plus(limits::QUEUE_AGE_MAX) <= letter.accepted_at;
    match &mut known.durability {
        // Its row is gone, or will not be read again. It is safe when its device has it, or when that one is away and it is stored anew.
        Durability::Stored(_) | Durability::Unconfirmed if has_expired => {
            out.push(Action::Settle(receipt, Outcome::Retry(RetryReason::Busy)));
        }
        Durability::Stored(_) => {
            out.push(Action::Settle(receipt, Outcome::Accepted { at: known.accepted_at }));
        }
        Durability::Storing { receipt: earlier, ticket } => {
            if ticket.also(letter.turn.as_ref()) {
                let earlier = std::mem::replace(earlier, receipt);
                out.push(Action::Settle(earlier, Outcome::Superseded));
            } else {
                out.push(Action::Settle(receipt, Outcome::Retry(RetryReason::Busy)));
            }
        }
        Durability::Unconfirmed => {
            let hold = Hold::default();
            let ticket = hold.ticket();
            known.durability = Durability::Storing { ticket: hold, receipt };
            // What became of the one before does not matter any more.
            known.turn.clone_from(&letter.turn);
            let letter = Letter { accepted_at: known.accepted_at, ..letter };
            out.push(Action::Persist { letter, ticket });
        }
    }
}

/// A row of the store turns out to be this entry's, so it need not be written. If it were, it would be written anew once
/// the device has acknowledged it, and nobody would delete it.
fn found_stored<R>(entry: &mut Entry<R>, row: &Queued, out: &mut Vec<Action<R>>) {
    // Its end counts from then, whatever is sent now.
    entry.accepted_at = row.accepted_at;
    let seq = row.seq;
    match &mut entry.durability {
        Durability::Storing { ticket, .. } => {
            ticket.elide();
            settle(entry, Durability::Stored(seq), Some(AppendOutcome::Stored(seq)), out);
        }
        // Stored elsewhere before: that row was deleted, and a repeat has made this one.
        Durability::Unconfirmed | Durability::Stored(_) => entry.durability = Durability::Stored(seq),
    }
}

/// The row that an entry waits for has this time: it may be that of an earlier write of the same envelope.
fn was_written<R>(entry: &mut Entry<R>, accepted_at: UnixMillis, seq: Option<Seq>) {
    if seq.is_some() && entry.is_storing() {
        entry.accepted_at = accepted_at;
    }
}

/// Moves an entry on from `Storing` and answers its sender. Any other entry stays as it is.
fn settle<R>(
    entry: &mut Entry<R>,
    durability: Durability<R>,
    outcome: Option<AppendOutcome>,
    out: &mut Vec<Action<R>>,
) {
    if entry.is_storing()
        && let Durability::Storing { receipt, .. } = std::mem::replace(&mut entry.durability, durability)
    {
        out.push(Action::Settle(receipt, outcome_for_sender(outcome, entry.accepted_at)));
    }
}
