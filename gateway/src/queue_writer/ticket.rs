//! Who is faster, the device or the disk.

use std::ops::Deref;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use endtoend_protocol::Address;

use crate::course::Turn;

const WAITING: u8 = 0;
const WRITING: u8 = 1;
const ELIDED: u8 = 2;

/// Connections over which an envelope was sent again while it was on its way to the disk: one beyond has to send it once more.
const TURNS_MAX: usize = 8;

/// Decides once, between the thread of a mailbox and that of the writer, whether an envelope is written.
///
/// The mailbox elides it when the device acknowledged first; the writer claims it when its batch is put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ticket(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    /// Where it stands among those of other connections of its sender, who has sent it there, too.
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    of_repeats: Vec<Turn>,
    /// The envelope is to come again, and the mailbox may not have heard so.
    is_refused: bool,
}

impl Ticket {
    /// It was sent again, from another place perhaps: whoever waits behind it there, too, is not to overtake it. `false` when it is
    /// to come again already, or there are too many of these.
    pub(crate) fn also(&self, turn: Option<&Turn>) -> bool {
        let Some(turn) = turn else { return true };
        let mut turns = self.turns();
        let Turns { of_repeats, is_refused } = &mut *turns;
        let is_known = of_repeats.iter().any(|other| other.is_beside(turn));
        if *is_refused || (!is_known && of_repeats.len() >= TURNS_MAX) {
            return false;
        }
        if !is_known {
            of_repeats.push(turn.clone());
        }
        true
    }

    /// It is to come again.
    pub(crate) fn refuse(&self, to: Address) {
        let mut turns = self.turns();
        turns.is_refused = true;
        turns.of_repeats.iter().for_each(|turn| turn.refuse(to));
    }

    /// The courses of the connections over which it was sent again.
    pub(super) fn courses(&self) -> Vec<usize> {
        self.turns().of_repeats.iter().map(Turn::course).collect()
    }

    // A panic while the lock was held cannot have left anything in between: every change is one call.
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device has the envelope: do not write it. `false` when the writer was faster and a row may exist.
    pub(crate) fn elide(&self) -> bool {
        self.0.state.compare_exchange(WAITING, ELIDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
    pub(crate) fn is_elided(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == ELIDED
    }
    /// The envelope goes into a batch now. `false` when it was elided.
    pub(crate) fn claim(&self) -> bool {
        self.0.state.compare_exchange(WAITING, WRITING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The mailbox's hold on a [`Ticket`]. Dropped, whoever waits for the write is told to send the envelope again, as by a mailbox that
/// panics: then it is not written any more. Otherwise it could be written long after what was sent before it was refused, when its
/// sender has heard so and the order begins anew.
#[derive(Debug, Default)]
pub(crate) struct Hold(Ticket);

impl Hold {
    /// For the writer.
    pub(crate) fn ticket(&self) -> Ticket {
        self.0.clone()
    }
}

impl Deref for Hold {
    type Target = Ticket;
    fn deref(&self) -> &Ticket {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.elide();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_mailbox_has_let_go_of_is_not_written() {
        let hold = Hold::default();
        let ticket = hold.ticket();
        drop(hold);
        assert!(!ticket.claim());
    }

    #[test]
    fn exactly_one_of_device_and_disk_wins() {
        for _ in 0..1_000 {
            let ticket = Ticket::default();
            let other = ticket.clone();
            let claimed = std::thread::spawn(move || other.claim());
            let elided = ticket.elide();
            assert_ne!(elided, claimed.join().unwrap());
        }
    }
}
