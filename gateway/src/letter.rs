//! An envelope that a connection has let in.

use endtoend_protocol::{Envelope, UnixMillis};
use endtoend_storage::Tray;

/// An envelope on its way through the node, with what was decided when it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) envelope: Envelope,
    /// When it came in, by this node's clock.
    pub(crate) accepted_at: UnixMillis,
    /// Which part of the recipient's queue it may take.
    pub(crate) tray: Tray,
}
