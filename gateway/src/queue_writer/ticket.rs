//! Who is faster, the device or the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const WAITING: u8 = 0;
const WRITING: u8 = 1;
const ELIDED: u8 = 2;

/// Decides once, between the thread of a mailbox and that of the writer, whether an envelope is written.
///
/// The mailbox elides it when the device acknowledged first; the writer claims it when its batch is put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ticket(Arc<AtomicU8>);

impl Ticket {
    /// The device has the envelope: do not write it. `false` when the writer was faster and a row may exist.
    pub(crate) fn elide(&self) -> bool {
        self.0.compare_exchange(WAITING, ELIDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
    pub(crate) fn is_elided(&self) -> bool {
        self.0.load(Ordering::Acquire) == ELIDED
    }
    /// The envelope goes into a batch now. `false` when it was elided.
    pub(crate) fn claim(&self) -> bool {
        self.0.compare_exchange(WAITING, WRITING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
