//! What the directory can be told.

use actix::{ArbiterHandle, Message};
use endtoend_protocol::AccountTag;
use tokio::sync::oneshot;

use crate::mailbox::{Attach, FromDevice};

/// Attach this connection to the mailbox of its user, which is started if need be, on the connection's thread.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct AttachTo {
    pub account: AccountTag,
    pub attach: Attach,
    pub thread: ArbiterHandle,
}

/// The connection is gone before it heard from its mailbox: whatever `AttachTo` did is undone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct LeaveTo {
    pub(crate) account: AccountTag,
    pub(crate) left: FromDevice,
}

/// Answer when no mailbox is left: all have heard what became of what they had.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct UntilEmpty(pub oneshot::Sender<()>);
