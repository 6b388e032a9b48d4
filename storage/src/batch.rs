//! What becomes of a batch for the queues, decided before anything is written.
//!
//! A store reads what the batch is about, the devices and the envelopes that are there already, asks [`decide`], and
//! writes the rest in a few statements. Nobody else may write to these queues meanwhile.

use std::collections::{BTreeMap, HashMap};

use endtoend_protocol::{AccountTag, Address, DeviceId, EnvelopeId, UnixMillis};

use crate::columns::{array, number};
use crate::{Append, AppendOutcome, QueueBatch, Seq, StoreError, StoreLimits, Tray};

/// How much waits for a device: in all, and in the tray for requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) all: u32,
    pub(crate) requests: u32,
}

impl Depth {
    /// As it is read. `None` for what cannot be right.
    pub(crate) fn from_columns(all: i64, requests: i64) -> Option<Self> {
        let depth = Self { all: u32::try_from(all).ok()?, requests: u32::try_from(requests).ok()? };
        (depth.requests <= depth.all).then_some(depth)
    }

    /// `None` when there cannot have been so many.
    fn without(self, gone: Self) -> Option<Self> {
        let (all, requests) = (self.all.checked_sub(gone.all)?, self.requests.checked_sub(gone.requests)?);
        (requests <= all).then_some(Self { all, requests })
    }
}

/// A device of a batch, as it is found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) row: i64,
    /// What is written of its depth; `None` for nothing, or for what cannot be right.
    pub(crate) written: Option<Depth>,
    /// Rows that the batch has deleted.
    gone: Depth,
}

/// Devices of one batch that exist.
pub(crate) type FoundDevices = HashMap<Address, Found>;

/// A device whose depth is known.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) row: i64,
    written: Option<Depth>,
    pub(crate) depth: Depth,
}

/// Those of a batch that exist, read once and written once.
pub(crate) type Devices = HashMap<Address, Touched>;

/// A device as it is read: its row, tag and number.
pub(crate) type DeviceColumns = (i64, Vec<u8>, i64);

/// The same with what is written of its depth.
pub(crate) type DeviceAndDepth = (i64, Vec<u8>, i64, Option<i64>, Option<i64>);

pub(crate) fn found((row, tag, device): DeviceColumns, written: Option<Depth>) -> Result<(Address, Found), StoreError> {
    let device =
        DeviceId::new(number(device, "device number")?).map_err(|_| StoreError::Damaged { what: "device number" })?;
    let address = Address { account: AccountTag::new(array(&tag, "tag")?), device };
    Ok((address, Found { row, written, gone: Depth::default() }))
}

/// The devices whose rows have to be counted: nothing is known, or less than was deleted. A depth that was damaged is right
/// again after that, and hinders nobody.
pub(crate) fn uncounted(devices: &FoundDevices) -> Vec<i64> {
    devices.values().filter(|device| device.left().is_none()).map(|device| device.row).collect()
}

impl Found {
    fn left(&self) -> Option<Depth> {
        self.written?.without(self.gone)
    }
}

/// A count as it is read: the row of the device, its rows, and those in the tray for requests.
pub(crate) type CountColumns = (i64, i64, i64);

/// `counts` are those of [`uncounted`], after the deletions; a device without rows has none.
pub(crate) fn touched(devices: FoundDevices, counts: Vec<CountColumns>) -> Result<Devices, StoreError> {
    let mut counted = HashMap::with_capacity(counts.len());
    for (row, all, requests) in counts {
        counted.insert(row, Depth::from_columns(all, requests).ok_or(StoreError::Damaged { what: "queue" })?);
    }
    let touched = devices.into_iter().map(|(address, device)| {
        let depth = device.left().unwrap_or_else(|| counted.get(&device.row).copied().unwrap_or_default());
        (address, Touched { row: device.row, written: device.written, depth })
    });
    Ok(touched.collect())
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

/// Those whose depth is another than is written.
pub(crate) fn changed(devices: &Devices) -> Vec<&Touched> {
    devices.values().filter(|device| device.written != Some(device.depth)).collect()
}

/// The rows to delete, each as its device's row and its place.
pub(crate) fn deletions(devices: &FoundDevices, deletes: &[(Address, Seq)]) -> Vec<(i64, i64)> {
    deletes.iter().filter_map(|(device, seq)| Some((devices.get(device)?.row, seq.0))).collect()
}

/// Remembers deleted rows: for each its device's and its tray.
pub(crate) fn deleted(devices: &mut FoundDevices, gone: Vec<(i64, u32)>) {
    let mut by_row: HashMap<i64, &mut Depth> =
        devices.values_mut().map(|device| (device.row, &mut device.gone)).collect();
    for (row, tray) in gone {
        if let Some(gone) = by_row.get_mut(&row) {
            gone.all += 1;
            gone.requests += tray;
        }
    }
}

/// An append that gets a row of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) device_row: i64,
    pub(crate) append: &'a Append,
    /// The latest time of it and of what repeats it in the same batch: each sender was told his own.
    pub(crate) accepted_at: UnixMillis,
    /// The latest end, likewise.
    pub(crate) expires_at: UnixMillis,
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
            if let Some(first) = planned.get_mut(*number) {
                first.accepted_at = first.accepted_at.max(append.accepted_at);
                first.expires_at = first.expires_at.max(append.expires_at);
            }
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
        let Append { accepted_at, expires_at, .. } = *append;
        planned.push(Planned { device_row: device.row, append, accepted_at, expires_at });
        Decision::Store(planned.len() - 1)
    };
    let decisions = appends.iter().map(&mut decide_one).collect();
    (decisions, planned)
}
