//! Which users have a mailbox on this node.

mod actor;
mod live;
mod messages;

pub(crate) use actor::Directory;
#[cfg(test)]
pub(crate) use live::LiveMailboxes;
pub(crate) use messages::{AttachTo, LeaveTo, UntilEmpty};
