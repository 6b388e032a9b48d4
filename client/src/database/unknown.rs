//! Content of kinds that this version does not know: its bytes are kept, for a version that does.

use endtoend_protocol::{AccountTag, Attached, KINDS_VERSION, Lifetime, Written};
use rusqlite::params;
use zeroize::Zeroizing;

use super::messages::{KIND, place};
use super::{DatabaseError, FileState, MessageRef, Store, StoredFile, StoredMessage};
use crate::card::Card;
use crate::files::spool::LocalName;

pub(super) const RAW: &str = "unknown content";
const UNDERSTOOD: &str = "understood";

/// A message of an unknown kind, and what it says.
pub type Unread = (StoredMessage, Zeroizing<Vec<u8>>);

impl Store<'_> {
    /// Keeps what a message of an unknown kind says, as it came.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn keep_raw(&self, peer: AccountTag, message: MessageRef, content: &[u8]) -> Result<(), DatabaseError> {
        let sealed = self.sealer.seal(RAW, &place(peer, message.direction, message.id), content);
        self.connection
            .prepare_cached("UPDATE messages SET raw = ? WHERE peer = ? AND direction = ? AND message_id = ?")?
            .execute(params![sealed, peer.as_bytes(), message.direction.as_str(), message.id.as_bytes()])?;
        Ok(())
    }

    /// Whether a version that knew fewer kinds has opened this database last. Says so once.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn understands_more(&self) -> Result<bool, DatabaseError> {
        let now = KINDS_VERSION.to_le_bytes();
        if self.setting(UNDERSTOOD)?.is_some_and(|before| before == now) {
            return Ok(false);
        }
        self.set_setting(UNDERSTOOD, &now)?;
        Ok(true)
    }

    /// The first message after `seq` whose content was kept, with that.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn next_raw(&self, seq: i64) -> Result<Option<Unread>, DatabaseError> {
        let found = self.select("WHERE m.raw IS NOT NULL AND m.seq > ? ORDER BY m.seq LIMIT 1", [seq])?.pop();
        let Some(message) = found else { return Ok(None) };
        let sealed: Vec<u8> =
            self.connection.query_row("SELECT raw FROM messages WHERE seq = ?", [message.seq], |row| row.get(0))?;
        let content = self.sealer.open(RAW, &place(message.peer, message.direction, message.id), &sealed)?;
        Ok(Some((message, content)))
    }

    /// A message whose kind was unknown has a file after all, which nobody has seen.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn fill_in_file(
        &self,
        message: &StoredMessage,
        Attached { file, lives_for, .. }: &Attached,
        reply_to: Option<MessageRef>,
    ) -> Result<(), DatabaseError> {
        let named = MessageRef { direction: message.direction, id: message.id };
        let stored = StoredFile { file: file.clone(), state: FileState::Offered };
        self.put_file(message.peer, named, &stored, LocalName::random(), None)?;
        self.connection.execute(
            "UPDATE messages SET raw = NULL, shown = 0, reply_id = ?, reply_direction = ?, lives_for_s = ? WHERE seq = ?",
            params![
                reply_to.map(|reply| reply.id.as_bytes().to_vec()),
                reply_to.map(|reply| reply.direction.as_str()),
                lives_for.map(Lifetime::as_secs),
                message.seq,
            ],
        )?;
        self.index_text(message.seq, file.name.as_str())
    }

    /// A message whose kind was unknown passes somebody on, whom nobody has seen.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn fill_in_card(
        &self,
        message: &StoredMessage,
        card: &Card,
        lives_for: Option<Lifetime>,
        reply_to: Option<MessageRef>,
    ) -> Result<(), DatabaseError> {
        let (place, lines) = (place(message.peer, message.direction, message.id), card.to_lines());
        self.connection.execute(
            "UPDATE messages SET body = ?, card = 1, raw = NULL, shown = 0, reply_id = ?, reply_direction = ?,
             lives_for_s = ? WHERE seq = ?",
            params![
                self.sealer.seal(KIND, &place, lines.as_bytes()),
                reply_to.map(|reply| reply.id.as_bytes().to_vec()),
                reply_to.map(|reply| reply.direction.as_str()),
                lives_for.map(Lifetime::as_secs),
                message.seq,
            ],
        )?;
        self.index_text(message.seq, &lines)
    }

    /// A message whose kind was unknown is a text after all, which nobody has seen.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn fill_in(
        &self,
        message: &StoredMessage,
        Written { text, lives_for, .. }: &Written,
        reply_to: Option<MessageRef>,
    ) -> Result<(), DatabaseError> {
        let place = place(message.peer, message.direction, message.id);
        let body = self.sealer.seal(KIND, &place, text.as_str().as_bytes());
        self.connection.execute(
            "UPDATE messages SET body = ?, raw = NULL, shown = 0, reply_id = ?, reply_direction = ?, lives_for_s = ?
             WHERE seq = ?",
            params![
                body,
                reply_to.map(|reply| reply.id.as_bytes().to_vec()),
                reply_to.map(|reply| reply.direction.as_str()),
                lives_for.map(Lifetime::as_secs),
                message.seq,
            ],
        )?;
        self.index_text(message.seq, text.as_str())
    }

    /// A message whose kind was unknown is none of a history.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn remove_unknown(&self, seq: i64) -> Result<(), DatabaseError> {
        self.connection.execute("DELETE FROM messages WHERE seq = ? AND body IS NULL AND raw IS NOT NULL", [seq])?;
        Ok(())
    }
}
