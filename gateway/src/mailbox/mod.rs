//! The undelivered envelopes of one online user. `devices` has the rules, and `pending` those of one device; `actor`
//! carries messages to them.

mod actor;
mod devices;
mod messages;
mod pending;
mod repeats;
#[cfg(test)]
mod simulation;

pub(crate) use actor::{Mailbox, Surroundings};
pub(crate) use messages::{
    Attach, AttachmentId, DeviceEvent, Enqueue, Finish, FromDevice, MailboxIdle, MailboxStopped, Push, Wake,
};
