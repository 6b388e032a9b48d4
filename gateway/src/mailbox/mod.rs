//! The undelivered envelopes of one online user. `devices` has the rules, and `pending` those of one device; `actor`
//! carries messages to them.

mod actor;
mod devices;
mod messages;
mod pending;
mod repeats;
mod wakes;

pub(crate) use actor::{Mailbox, Surroundings};
#[cfg(test)]
pub(crate) use devices::{Action, Devices};
#[cfg(test)]
pub(crate) use messages::Connected;
pub(crate) use messages::{
    Attach, AttachmentId, Caller, DeviceEvent, Enqueue, Finish, FromDevice, MailboxIdle, MailboxStopped, Push, Wake,
};
pub(crate) use wakes::SharedWakeUps;
#[cfg(test)]
pub(crate) use wakes::WakeUps;
