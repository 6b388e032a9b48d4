//! What becomes of a batch for the queues, decided before anything is written.
//!
//! A store reads what the batch is about, the devices and the envelopes that are there already, asks [`decide`], and
//! writes the rest in a few statements. Nobody else may write to these queues meanwhile.

use std::collections::{BTreeMap, HashMap};

use endtoend_protocol::{AccountTag, Address, DeviceId, EnvelopeId};

use crate::columns::{array, number};
use crate::{Append, AppendOutcome, QueueBatch, Seq, StoreError, StoreLimits, Tray};

const DAMAGED_DEPTH: StoreError = StoreError::Damaged { what: "queue depth" };

/// How much waits for a device: in all, and in the tray for requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) all: u32,
    pub(crate) requests: u32,
}

/// A device that a batch touches: read once, its depth written once.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) row: i64,
    before: Depth,
    pub(crate) depth: Depth,
}

/// Devices of one batch that exist.
pub(crate) type Devices = HashMap<Address, Touched>;

/// A device as it is read: its row, tag and number, and its depths.
pub(crate) type DeviceColumns = (i64, Vec<u8>, i64, i64, i64);

pub(crate) fn touched((row, tag, device, all, requests): DeviceColumns) -> Result<(Address, Touched), StoreError> {
    let device =
        DeviceId::new(number(device, "device number")?).map_err(|_| StoreError::Damaged { what: "device number" })?;
    let address = Address { account: AccountTag::new(array(&tag, "tag")?), device };
    let depth = Depth { all: number(all, "queue depth")?, requests: number(requests, "queue depth")? };
    Ok((address, Touched { row, before: depth, depth }))
}

/// What names an envelope: the row of its device, and its id.
pub(crate) type Name = (i64, EnvelopeId);

/// An envelope that is there already, as it is read, and where it is.
pub(crate) fn present((device_row, id, seq): (i64, Vec<u8>, i64)) -> Result<(Name, Seq), StoreError> {
    Ok(((device_row, envelope_id(&id)?), Seq(seq)))
}

pub(crate) fn envelope_id(column: &[u8]) -> Result<EnvelopeId, StoreError> {
    EnvelopeId::from_slice(column).map_err(|_| StoreError::Damaged { what: "envelope id" })
}

/// The devices that a batch names, each once, always in the same order.
pub(crate) fn named(batch: &QueueBatch) -> Vec<Address> {
    let all = batch.deletes.iter().map(|(device, _)| *device).chain(batch.appends.iter().map(|append| append.to));
    let sorted: BTreeMap<([u8; 32], u8), Address> =
        all.map(|device| ((*device.account.as_bytes(), device.device.get()), device)).collect();
    sorted.into_values().collect()
}

/// Those whose depth is another than it was.
pub(crate) fn changed(devices: &Devices) -> Vec<&Touched> {
    devices.values().filter(|device| device.depth != device.before).collect()
}

/// The rows to delete, each as its device's row and its place.
pub(crate) fn deletions(devices: &Devices, deletes: &[(Address, Seq)]) -> Vec<(i64, i64)> {
    deletes.iter().filter_map(|(device, seq)| Some((devices.get(device)?.row, seq.0))).collect()
}

/// Takes deleted rows off the depths: for each row its device's and its tray.
pub(crate) fn deleted(devices: &mut Devices, gone: Vec<(i64, u32)>) -> Result<(), StoreError> {
    let mut by_row: HashMap<i64, &mut Depth> =
        devices.values_mut().map(|device| (device.row, &mut device.depth)).collect();
    for (row, tray) in gone {
        let depth = by_row.get_mut(&row).ok_or(DAMAGED_DEPTH)?;
        depth.all = depth.all.checked_sub(1).ok_or(DAMAGED_DEPTH)?;
        depth.requests = depth.requests.checked_sub(tray).ok_or(DAMAGED_DEPTH)?;
    }
    Ok(())
}

/// An append that gets a row of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) device_row: i64,
    pub(crate) append: &'a Append,
}

impl Planned<'_> {
    pub(crate) fn tray(&self) -> u32 {
        u32::from(self.append.tray == Tray::Requests)
    }
}

/// What becomes of an append, once the planned ones have their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The planned append of that number.
    Store(usize),
    /// The same envelope as it.
    RepeatOfPlanned(usize),
    /// What is known without.
    Known(AppendOutcome),
}

impl Decision {
    /// `seqs` are the places of the planned appends, in their order.
    pub(crate) fn outcome(self, seqs: &[Seq]) -> Result<AppendOutcome, StoreError> {
        let place = |number: usize| seqs.get(number).copied().ok_or(StoreError::Damaged { what: "queue" });
        match self {
            Self::Store(number) => place(number).map(AppendOutcome::Stored),
            Self::RepeatOfPlanned(number) => place(number).map(AppendOutcome::Repeat),
            Self::Known(outcome) => Ok(outcome),
        }
    }
}

/// In the order of the appends. A repeat is told before a full queue: the row that a repeat asks for is there.
pub(crate) fn decide<'a>(
    devices: &mut Devices,
    present: &HashMap<Name, Seq>,
    appends: &'a [Append],
    limits: &StoreLimits,
) -> (Vec<Decision>, Vec<Planned<'a>>) {
    let mut planned: Vec<Planned<'a>> = Vec::with_capacity(appends.len());
    let mut planned_names: HashMap<Name, usize> = HashMap::with_capacity(appends.len());
    let mut decide_one = |append: &'a Append| {
        let Some(device) = devices.get_mut(&append.to) else {
            return Decision::Known(AppendOutcome::UnknownDevice);
        };
        let name = (device.row, append.id);
        if let Some(seq) = present.get(&name) {
            return Decision::Known(AppendOutcome::Repeat(*seq));
        }
        if let Some(number) = planned_names.get(&name) {
            return Decision::RepeatOfPlanned(*number);
        }
        let depth = &mut device.depth;
        let room = depth.all < limits.queue_envelopes_max
            && (append.tray == Tray::Contacts || depth.requests < limits.queue_requests_max);
        if !room {
            return Decision::Known(AppendOutcome::Full);
        }
        depth.all += 1;
        depth.requests += u32::from(append.tray == Tray::Requests);
        planned_names.insert(name, planned.len());
        planned.push(Planned { device_row: device.row, append });
        Decision::Store(planned.len() - 1)
    };
    let decisions = appends.iter().map(&mut decide_one).collect();
    (decisions, planned)
}
