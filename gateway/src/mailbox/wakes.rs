//! Wake-ups that a mailbox has not handled yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use endtoend_protocol::DeviceId;
use endtoend_storage::Seq;

/// The first row for each device that was committed without coming by its mailbox.
///
/// One [`Wake`](super::Wake) at most waits for a mailbox: it finds here what has come together since. So a writer that is
/// faster than a mailbox makes no queue. An entry for each device number, 127 at most.
#[derive(Debug, Default)]
pub(crate) struct WakeUps(BTreeMap<DeviceId, Seq>);

impl WakeUps {
    /// A row was committed. True when the mailbox has to be told: nothing has waited for it.
    pub(crate) fn add(&mut self, device: DeviceId, seq: Seq) -> bool {
        let tell = self.0.is_empty();
        let first = self.0.entry(device).or_insert(seq);
        *first = seq.min(*first);
        tell
    }

    /// What the mailbox has to look at. It has to be told again from then on.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (DeviceId, Seq)> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}

/// [`WakeUps`] between the thread of a mailbox and that of the writer.
#[derive(Debug, Default)]
pub(crate) struct SharedWakeUps(Mutex<WakeUps>);

impl SharedWakeUps {
    /// For one call: a panic cannot leave it in between.
    pub(crate) fn lock(&self) -> MutexGuard<'_, WakeUps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wake_up_waits_and_names_the_first_row_of_each_device() {
        let [phone, desktop] = [1, 2].map(|number| DeviceId::new(number).unwrap());
        let mut wakes = WakeUps::default();
        assert!(wakes.add(phone, Seq(7)));
        for (device, seq) in [(desktop, 9), (phone, 5), (phone, 8)] {
            assert!(!wakes.add(device, Seq(seq)), "it is on its way");
        }
        assert_eq!(wakes.take().collect::<Vec<_>>(), [(phone, Seq(5)), (desktop, Seq(9))]);
        assert_eq!(wakes.take().count(), 0);
        assert!(wakes.add(phone, Seq(10)), "from here on it is told again");
    }
}
