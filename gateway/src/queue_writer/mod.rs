//! The way to the store and out of it: group commit, elided when the device is faster than the disk.

mod actor;
mod group_commit;
mod messages;
mod outcome;
mod ticket;

pub(crate) use actor::QueueWriter;
#[cfg(test)]
pub(crate) use group_commit::{GroupCommit, Next};
pub(crate) use messages::{Forget, Persist, Persisted, Then, UntilWritten};
#[cfg(test)]
pub(crate) use outcome::place_of;
pub(crate) use outcome::{Told, outcome_for_sender};
pub(crate) use ticket::{Hold, Ticket};
