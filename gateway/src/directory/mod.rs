//! Which users have a mailbox on this node.

mod actor;
mod live;
mod messages;

pub(crate) use actor::Directory;
pub(crate) use messages::{AttachTo, LeaveTo, UntilEmpty};
