//! The rules of a sweep: which rows of devices that are here nobody may have told their mailbox of.

use std::collections::BTreeMap;

use endtoend_cluster::claims::DeviceName;
use endtoend_protocol::Address;
use endtoend_storage::Seq;

/// Up to where the rows of each device that is here have been looked for.
///
/// Places grow with the commits of a device, so what was committed since lies after them.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<DeviceName, (Address, Seq)>);

impl Seen {
    /// The device has come, perhaps again: its mailbox reads all that there is.
    pub(crate) fn arrived(&mut self, device: DeviceName, address: Address) {
        self.0.entry(device).or_insert((address, Seq(0)));
    }

    /// It is not here any more.
    pub(crate) fn left(&mut self, device: DeviceName) {
        self.0.remove(&device);
    }

    /// Whom the name stands for, if the device is here.
    pub(crate) fn address(&self, device: DeviceName) -> Option<Address> {
        self.0.get(&device).map(|(address, _)| *address)
    }

    /// What to ask the store, in parts of at most `max`.
    pub(crate) fn questions(&self, max: usize) -> Vec<Vec<(DeviceName, Address, Seq)>> {
        let all: Vec<_> = self.0.iter().map(|(device, (address, seq))| (*device, *address, *seq)).collect();
        all.chunks(max.max(1)).map(<[_]>::to_vec).collect()
    }

    /// The last row of a device there was, after what had been seen.
    pub(crate) fn found(&mut self, device: DeviceName, last: Seq) {
        if let Some((_, seen)) = self.0.get_mut(&device) {
            *seen = last.max(*seen);
        }
    }
}
