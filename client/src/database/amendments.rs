//! What was said about messages: edits, deletions, reactions. The rules are [`crate::amend`]'s.

use endtoend_protocol::{AccountTag, Emoji, MessageId, Text, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::messages::{KIND, place};
use super::{DatabaseError, Direction, MessageRef, Store, integer, unsigned};
use crate::amend::{self, Refused, Subject};

const REACTION: &str = "reaction";

fn reaction_place((peer, direction, id): (AccountTag, Direction, MessageId), author: Direction) -> Vec<u8> {
    let mut bytes = place(peer, direction, id);
    bytes.extend_from_slice(author.as_str().as_bytes());
    bytes
}

/// Done, or refused by the rules. A refusal changes nothing.
pub type Amended = Result<Result<(), Refused>, DatabaseError>;

impl Store<'_> {
    /// What the rules look at in a message; `None` when it is not here.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn subject(&self, peer: AccountTag, message: MessageRef) -> Result<Option<Subject>, DatabaseError> {
        let row: Option<(bool, bool, Option<i64>)> = self
            .connection
            .prepare_cached(
                "SELECT body IS NOT NULL AND card = 0, deleted OR hidden, edited_at FROM messages
                 WHERE peer = ? AND direction = ? AND message_id = ?",
            )?
            .query_row(params![peer.as_bytes(), message.direction.as_str(), message.id.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((has_text, deleted, edited_at)) = row else { return Ok(None) };
        let edited_at = edited_at.map(|at| unsigned(at, "messages.edited_at").map(UnixMillis::new)).transpose()?;
        Ok(Some(Subject { writer: message.direction, has_text, deleted, edited_at }))
    }

    /// Gives a text other words, said by `by` at `at`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn edit(&self, peer: AccountTag, id: MessageId, by: Direction, text: &Text, at: UnixMillis) -> Amended {
        let message = MessageRef { direction: by, id };
        let Some(subject) = self.subject(peer, message)? else { return Ok(Err(Refused::NoSuchMessage)) };
        if let Err(refused) = amend::edit(&subject, by, at) {
            return Ok(Err(refused));
        }
        self.forget_text(peer, message)?;
        let body = self.sealer.seal(KIND, &place(peer, by, id), text.as_str().as_bytes());
        let seq: i64 = self
            .connection
            .prepare_cached(
                "UPDATE messages SET body = ?, edited_at = ? WHERE peer = ? AND direction = ? AND message_id = ?
                 RETURNING seq",
            )?
            .query_row(params![body, integer(at.get()), peer.as_bytes(), by.as_str(), id.as_bytes()], |row| {
                row.get(0)
            })?;
        self.index_text(seq, text.as_str())?;
        Ok(Ok(()))
    }

    /// Deletes a message of `by`'s for everyone. What is left says that there was one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn delete_for_everyone(&self, peer: AccountTag, id: MessageId, by: Direction) -> Amended {
        let message = MessageRef { direction: by, id };
        let Some(subject) = self.subject(peer, message)? else { return Ok(Err(Refused::NoSuchMessage)) };
        if let Err(refused) = amend::delete(&subject, by) {
            return Ok(Err(refused));
        }
        self.forget_text(peer, message)?;
        self.forget_file(peer, message, true)?;
        self.connection
            .prepare_cached(
                "UPDATE messages SET body = NULL, raw = NULL, deleted = 1, reply_id = NULL, reply_direction = NULL
                 WHERE peer = ? AND direction = ? AND message_id = ?",
            )?
            .execute(params![peer.as_bytes(), by.as_str(), id.as_bytes()])?;
        self.forget_about(peer, message)?;
        if by == Direction::Out {
            // What has not left yet need not leave at all.
            self.connection
                .prepare_cached("DELETE FROM outbox WHERE message_id = ? AND envelope IS NULL")?
                .execute([id.as_bytes()])?;
        }
        Ok(Ok(()))
    }

    /// Deletes a message here only. What is left keeps a repeat of it from being shown again.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn delete_for_me(&self, peer: AccountTag, message: MessageRef) -> Amended {
        if self.subject(peer, message)?.is_none() {
            return Ok(Err(Refused::NoSuchMessage));
        }
        self.forget_text(peer, message)?;
        // A file that has not left has nobody who could fetch it.
        let unsent = self.file_of(peer, message)?.is_some_and(|kept| kept.is_unsent());
        self.forget_file(peer, message, unsent)?;
        self.connection
            .prepare_cached(
                "UPDATE messages SET body = NULL, raw = NULL, hidden = 1, shown = 1, reply_id = NULL, reply_direction = NULL
                 WHERE peer = ? AND direction = ? AND message_id = ?",
            )?
            .execute(params![peer.as_bytes(), message.direction.as_str(), message.id.as_bytes()])?;
        self.forget_about(peer, message)?;
        Ok(Ok(()))
    }

    /// Forgets what hangs on a message: reactions, and what was kept to say it again.
    pub(super) fn forget_about(&self, peer: AccountTag, message: MessageRef) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("DELETE FROM reactions WHERE peer = ? AND direction = ? AND message_id = ?")?
            .execute(params![peer.as_bytes(), message.direction.as_str(), message.id.as_bytes()])?;
        if message.direction == Direction::Out {
            self.connection
                .prepare_cached("DELETE FROM errands WHERE message_id = ?")?
                .execute([message.id.as_bytes()])?;
        }
        Ok(())
    }

    /// Notes the reaction of `by` to a message, or with `None` that it was taken back.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn react(
        &self,
        peer: AccountTag,
        to: MessageRef,
        by: Direction,
        emoji: Option<&Emoji>,
        at: UnixMillis,
    ) -> Amended {
        let Some(subject) = self.subject(peer, to)? else { return Ok(Err(Refused::NoSuchMessage)) };
        let key = params![peer.as_bytes(), to.direction.as_str(), to.id.as_bytes(), by.as_str()];
        let before: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT at FROM reactions WHERE peer = ? AND direction = ? AND message_id = ? AND author = ?",
            )?
            .query_row(key, |row| row.get(0))
            .optional()?;
        let before = before.map(|at| unsigned(at, "reactions.at").map(UnixMillis::new)).transpose()?;
        if let Err(refused) = amend::react(&subject, before, at) {
            return Ok(Err(refused));
        }
        let place = reaction_place((peer, to.direction, to.id), by);
        let sealed = emoji.map(|emoji| self.sealer.seal(REACTION, &place, emoji.as_str().as_bytes()));
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO reactions (peer, direction, message_id, author, emoji, at)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                peer.as_bytes(),
                to.direction.as_str(),
                to.id.as_bytes(),
                by.as_str(),
                sealed,
                integer(at.get()),
            ])?;
        Ok(Ok(()))
    }

    pub(super) fn emoji(
        &self,
        message: (AccountTag, Direction, MessageId),
        author: Direction,
        sealed: Option<Vec<u8>>,
    ) -> Result<Option<Emoji>, DatabaseError> {
        let Some(sealed) = sealed else { return Ok(None) };
        let opened = self.sealer.open(REACTION, &reaction_place(message, author), &sealed)?;
        let emoji = String::from_utf8(opened.to_vec()).ok().and_then(Emoji::new);
        emoji.map(Some).ok_or(DatabaseError::Invalid("reactions.emoji"))
    }

    /// The message of this id in a conversation; of two, that of the other side.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn find_in(&self, peer: AccountTag, id: MessageId) -> Result<Option<MessageRef>, DatabaseError> {
        for direction in [Direction::In, Direction::Out] {
            let message = MessageRef { direction, id };
            if self.subject(peer, message)?.is_some() {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}
