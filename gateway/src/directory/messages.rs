//! What the directory can be told.

use actix::Message;
use endtoend_protocol::AccountTag;

use crate::mailbox::Attach;

/// Attach this connection to the mailbox of its user, which is started if need be.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AttachTo {
    pub account: AccountTag,
    pub attach: Attach,
}
