//! Messages of ours that the server has not taken, and why.

use endtoend_protocol::{AccountTag, MessageId, RejectReason};
use rusqlite::{OptionalExtension as _, params};

use super::{Body, DatabaseError, FileFault, FileState, MessageState, Standing, Store, StoredMessage};

/// Why a message of ours is not safe yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It waits for a connection, or for its turn.
    Waits,
    /// Its file is on its way to the server.
    File,
    /// Its file did not get to the server. It can be tried again.
    FileFailed(FileFault),
    /// It was sent, perhaps more than once, and the server has not answered.
    Unanswered,
    /// The server has not said yet which account that handle has.
    NoAccount,
    /// The identity of its recipient has changed: that has to be accepted first.
    IdentityChanged,
    /// Its recipient is blocked.
    Blocked,
    /// The server will never take it. It can be tried again.
    Refused(RejectReason),
}

impl Why {
    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::File => "file",
            Self::FileFailed(fault) => fault.as_str(),
            Self::Unanswered => "unanswered",
            Self::NoAccount => "no_account",
            Self::IdentityChanged => "identity_changed",
            Self::Blocked => "blocked",
            Self::Refused(_) => "refused",
        }
    }
}

/// A message of ours that the server has not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Which.
    pub message: StoredMessage,
    /// Why not.
    pub why: Why,
}

impl Store<'_> {
    /// Messages of ours that the server has not taken, oldest first, at most `limit`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn pending(&self, limit: u32) -> Result<Vec<Pending>, DatabaseError> {
        let messages = self.select(
            "WHERE m.direction = 'out' AND m.state IN ('queued', 'unknown_recipient') AND m.hidden = 0
             AND m.deleted = 0 ORDER BY m.seq LIMIT ?",
            [limit],
        )?;
        let pending = |message: StoredMessage| Ok(Pending { why: self.why(&message)?, message });
        messages.into_iter().map(pending).collect()
    }

    fn why(&self, message: &StoredMessage) -> Result<Why, DatabaseError> {
        if let MessageState::Rejected(reason) = message.state {
            return Ok(Why::Refused(reason));
        }
        let contact = self.contact(message.peer)?;
        if contact.as_ref().is_some_and(|contact| contact.changed_identity.is_some()) {
            return Ok(Why::IdentityChanged);
        }
        if contact.is_some_and(|contact| contact.standing == Standing::Blocked) {
            return Ok(Why::Blocked);
        }
        match &message.body {
            Body::File(file) if file.state == FileState::Sending => return Ok(Why::File),
            Body::File(file) => {
                if let FileState::Failed(fault) = file.state {
                    return Ok(Why::FileFailed(fault));
                }
            }
            Body::Text(_) | Body::Card(_) | Body::Deleted | Body::Unknown => {}
        }
        if self.is_unaddressed(message.peer)? {
            return Ok(Why::NoAccount);
        }
        let sealed = self
            .connection
            .prepare_cached("SELECT 1 FROM outbox WHERE message_id = ? AND recipient = ? AND envelope IS NOT NULL")?
            .exists(params![message.id.as_bytes(), message.peer.as_bytes()])?;
        Ok(if sealed { Why::Unanswered } else { Why::Waits })
    }

    /// Whether a tag stands in for an account that the server has not named yet.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn is_unaddressed(&self, tag: AccountTag) -> Result<bool, DatabaseError> {
        let unaddressed: Option<bool> = self
            .connection
            .prepare_cached("SELECT unaddressed FROM contacts WHERE tag = ?")?
            .query_row([tag.as_bytes()], |row| row.get(0))
            .optional()?;
        Ok(unaddressed == Some(true))
    }

    /// A message that the server refused waits again. Says whether there was one; it has still to be put into the outbox.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn try_again(&self, to: AccountTag, id: MessageId) -> Result<bool, DatabaseError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE messages SET state = 'queued' WHERE peer = ? AND direction = 'out' AND message_id = ?
                 AND state = 'unknown_recipient' AND hidden = 0 AND deleted = 0",
            )?
            .execute(params![to.as_bytes(), id.as_bytes()])?;
        Ok(changed > 0)
    }
}
