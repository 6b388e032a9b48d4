//! What concerns a database as a whole: a second way in, a steady view, what a restored one has to know.

use std::path::Path;

use endtoend_protocol::{AccountTag, MessageId};
use rusqlite::TransactionBehavior;
use zeroize::Zeroizing;

use super::messages::place;
use super::unknown::RAW;
use super::{Database, DatabaseError, Store, StoredMessage, array};

const RESTORED: &str = "restored";

impl Database {
    /// Another connection to the same file, for what takes long and only reads.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn second(&self) -> Result<Self, DatabaseError> {
        Self::connect(Path::new(self.connection.path().ok_or(DatabaseError::Unreadable)?), &self.key)
    }

    /// Reads what was there in one moment, whatever is written meanwhile.
    ///
    /// # Errors
    /// Those of `read`, and what the reading may meet.
    pub fn steady<T, E: From<DatabaseError>>(&mut self, read: impl FnOnce(&Store<'_>) -> Result<T, E>) -> Result<T, E> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Deferred).map_err(DatabaseError::from)?;
        read(&Store { connection: &transaction, sealer: &self.sealer, ready_keys: &self.ready_keys })
    }
}

impl Store<'_> {
    /// Messages after one of this number that are not to disappear and were not deleted here, at most `limit`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn lasting_after(&self, seq: i64, limit: u32) -> Result<Vec<StoredMessage>, DatabaseError> {
        self.select(
            "WHERE m.seq > ? AND m.hidden = 0 AND m.lives_for_s IS NULL ORDER BY m.seq LIMIT ?",
            rusqlite::params![seq, limit],
        )
    }

    /// What a newer version has written, of a message of an unknown kind.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn raw_of(&self, message: &StoredMessage) -> Result<Option<Zeroizing<Vec<u8>>>, DatabaseError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT raw FROM messages WHERE seq = ?")?
            .query_row([message.seq], |row| row.get(0))?;
        let place = place(message.peer, message.direction, message.id);
        sealed.map(|sealed| self.sealer.open(RAW, &place, &sealed)).transpose()
    }

    /// Notes whose history was restored: only that account's device may this become.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_restored(&self, account: AccountTag) -> Result<(), DatabaseError> {
        self.set_setting(RESTORED, account.as_bytes())
    }

    /// Whose history was restored, if one was.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn restored(&self) -> Result<Option<AccountTag>, DatabaseError> {
        let kept = self.setting(RESTORED)?;
        kept.map(|tag| Ok(AccountTag::new(array(&tag, "settings.restored")?))).transpose()
    }

    /// Messages of ours that wait and are in no outbox, oldest first: what was written before a backup was made, and had not left.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn stranded(&self) -> Result<Vec<(AccountTag, MessageId)>, DatabaseError> {
        let waiting = self.select(
            "WHERE m.direction = 'out' AND m.state = 'queued' AND m.hidden = 0 AND m.deleted = 0 AND NOT EXISTS
             (SELECT 1 FROM outbox o WHERE o.message_id = m.message_id AND o.recipient = m.peer) AND NOT EXISTS
             (SELECT 1 FROM files f WHERE f.peer = m.peer AND f.direction = 'out' AND f.message_id = m.message_id
              AND f.state <> 'here' AND f.state <> 'offered' AND f.state <> 'fetching') ORDER BY m.seq",
            [],
        )?;
        Ok(waiting.into_iter().map(|message| (message.peer, message.id)).collect())
    }
}
