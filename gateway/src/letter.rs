//! An envelope that a connection has let in.

use endtoend_protocol::{Envelope, UnixMillis};
use endtoend_storage::Tray;

use crate::course::Turn;

/// An envelope on its way through the node, with what was decided when it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) envelope: Envelope,
    /// When it came in, by this node's clock.
    pub(crate) accepted_at: UnixMillis,
    /// Which part of the recipient's queue it may take.
    pub(crate) tray: Tray,
    /// Where it stands among those of its sender; `None` where he does not say what he has heard.
    pub(crate) turn: Option<Turn>,
}

impl Letter {
    /// Whether one before it is to come again, so that this one must not take effect.
    pub(crate) fn overtakes(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.overtakes(self.envelope.to))
    }

    /// It is to come again: nothing that was sent after it may take effect from now on.
    pub(crate) fn refuse(&self) {
        if let Some(turn) = &self.turn {
            turn.refuse(self.envelope.to);
        }
    }
}
