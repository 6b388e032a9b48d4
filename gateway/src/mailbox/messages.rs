//! Everything a mailbox can be told, and what it says to a connection.

use actix::{Message, Recipient};
use endtoend_protocol::{Deliver, DeliveryNumber, DeviceId};

use crate::actors::reply;
use crate::letter::Letter;
use crate::receipt::Receipt;

/// Keep this envelope for its device and offer it to it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Enqueue {
    pub letter: Letter,
    pub receipt: Receipt,
}

/// Tells one life of a connection from the next. Unique within the node's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AttachmentId(pub u64);

/// The device is on this connection from now on. An earlier connection of the device is told `Replaced`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Attach {
    pub device: DeviceId,
    pub attachment: AttachmentId,
    pub connection: Caller<Recipient<Push>>,
}

/// The way to a connection, as far as [`Caller`] needs it.
pub(crate) trait Connected {
    /// Tell it that it is not attached.
    fn detached(&self);
}

impl Connected for Recipient<Push> {
    fn detached(&self) {
        reply(self, Push::Detached);
    }
}

/// A connection that has asked to be attached.
///
/// Dropped before a mailbox has heard of it, because that one panicked or was full, it tells the connection `Detached`:
/// otherwise a device would wait for its mailbox, and its mail for the device.
#[derive(Debug)]
pub(crate) struct Caller<C: Connected>(Option<C>);

impl<C: Connected> Caller<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self(Some(connection))
    }
    /// The way to it, for whoever passes the question on.
    pub(crate) fn way(&self) -> Option<&C> {
        self.0.as_ref()
    }
    /// A mailbox has heard of it.
    pub(crate) fn heard(mut self) -> Option<C> {
        self.0.take()
    }
}

impl<C: Connected> Drop for Caller<C> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.detached();
        }
    }
}

/// What a connection hears from the mailbox of its user.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum Push {
    /// First: where acknowledgements go.
    Attached { attachment: AttachmentId, mailbox: Recipient<FromDevice> },
    /// At most the credit window of them is unacknowledged.
    Deliver(Vec<Deliver>),
    /// The device attached on another connection: close.
    Replaced,
    /// The mailbox is gone, or does not believe what this connection says: close.
    Detached,
}

/// What a device says to its mailbox through its connection.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct FromDevice {
    pub device: DeviceId,
    pub attachment: AttachmentId,
    pub event: DeviceEvent,
}

/// See [`FromDevice`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum DeviceEvent {
    /// Everything up to here is stored on the device.
    Acknowledged(DeliveryNumber),
    /// The connection is gone.
    Left,
}

/// Rows were committed without coming by here: the mailbox's [`SharedWakeUps`](super::SharedWakeUps) say which.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Wake;

/// Told by a mailbox to the directory: nothing waits in it and no device is here.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct MailboxIdle {
    pub account: endtoend_protocol::AccountTag,
    pub generation: u64,
    /// `Attach` messages that it had handled by then: if the directory has sent more, it is not idle after all.
    pub attaches: u64,
}

/// The directory has forgotten the mailbox, so that no `Attach` follows: it may stop.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Finish;

/// Told by a mailbox to the directory when it has stopped, whether it finished or panicked.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct MailboxStopped {
    pub account: endtoend_protocol::AccountTag,
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    struct Line(Rc<Cell<bool>>);
    impl Connected for Line {
        fn detached(&self) {
            self.0.set(true);
        }
    }

    #[test]
    fn a_connection_that_no_mailbox_heard_of_is_told_so() {
        let told = Rc::new(Cell::new(false));
        assert!(Caller::new(Line(told.clone())).heard().is_some());
        assert!(!told.get());
        drop(Caller::new(Line(told.clone())));
        assert!(told.get());
    }
}
