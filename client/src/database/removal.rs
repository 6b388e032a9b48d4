//! A whole conversation goes, and with it perhaps whom it was with: nothing of it stays in the file, nor in the index of words.

use endtoend_protocol::{AccountTag, Content, ContentKind, MessageId, OwnNews, Said, UnixMillis};
use rusqlite::{OptionalExtension as _, ToSql, params};

use super::contacts::parse_handle;
use super::{DatabaseError, Direction, MessageRef, Store, integer, unsigned};

/// What is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it, and what waits to be sent.
    Everything,
    /// What was written until then, by its writer's clock or, of what has come before by this one's, this device's. What waits to be sent
    /// stays: another device of this account did not know of it.
    Until(UnixMillis),
}

/// Whether this has words of a conversation, or stands for some.
const fn has_words(said: &Said) -> bool {
    match said {
        Said::Text(_) | Said::File(_) | Said::Card(_) | Said::Edit { .. } | Said::React { .. } => true,
        // These take words away, or have none.
        Said::Delete(_) | Said::Receipt { .. } | Said::Typing { .. } | Said::Timer(_) | Said::Face(_) => false,
    }
}

/// Whether this says something about somebody.
fn names(news: &OwnNews, who: AccountTag) -> bool {
    match news {
        OwnNews::Nickname { about, .. } | OwnNews::Compared { about, .. } => *about == who,
        OwnNews::Arranged { with, .. } | OwnNews::Seen { with, .. } => *with == who,
        OwnNews::People(people) => people.iter().any(|person| person.account == who),
        // That he is to be gone.
        OwnNews::Removed { .. } | OwnNews::Choices { .. } | OwnNews::Face(_) => false,
    }
}

impl Store<'_> {
    /// When the latest message with somebody was written, or came if that was before.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn last_said(&self, peer: AccountTag) -> Result<Option<UnixMillis>, DatabaseError> {
        let last: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(min(sent_at, coalesce(received_at, sent_at))) FROM messages WHERE peer = ?")?
            .query_row([peer.as_bytes()], |row| row.get(0))?;
        last.map(|at| unsigned(at, "messages.sent_at").map(UnixMillis::new)).transpose()
    }

    /// Takes away the messages with somebody, with files, reactions, words to be found, what was begun and what is kept to be said again.
    /// Says how many messages went that were to be seen.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn remove_conversation(&self, peer: AccountTag, extent: Extent) -> Result<u64, DatabaseError> {
        let until = match extent {
            Extent::Everything => i64::MAX,
            Extent::Until(at) => integer(at.get()),
        };
        let going = format!(
            "peer = ?1 AND min(sent_at, coalesce(received_at, sent_at)) <= ?2{}",
            match extent {
                Extent::Everything => "",
                Extent::Until(_) => " AND NOT (direction = 'out' AND state = 'queued')",
            }
        );
        let key = params![peer.as_bytes(), until];
        self.forget_texts(peer, &going, key)?;
        let with_files = format!(
            "SELECT direction, message_id FROM files f WHERE peer = ?1 AND EXISTS (SELECT 1 FROM messages m
             WHERE m.peer = f.peer AND m.direction = f.direction AND m.message_id = f.message_id AND {going})"
        );
        for message in self.messages_named(&with_files, key)? {
            // A file that has not left has nobody who could fetch it.
            let unsent = self.file_of(peer, message)?.is_some_and(|kept| kept.is_unsent());
            self.forget_file(peer, message, unsent)?;
        }
        let own = format!("SELECT message_id FROM messages WHERE direction = 'out' AND {going}");
        for sql in [
            format!(
                "DELETE FROM reactions WHERE peer = ?1 AND EXISTS (SELECT 1 FROM messages m WHERE m.peer = reactions.peer
                 AND m.direction = reactions.direction AND m.message_id = reactions.message_id AND {going})"
            ),
            format!("DELETE FROM errands WHERE message_id IN ({own})"),
            // What is sealed leaves, and what became of it is heard of.
            format!("DELETE FROM outbox WHERE envelope IS NULL AND message_id IN ({own})"),
            format!(
                "DELETE FROM sent WHERE message_id IN ({own})
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.message_id = sent.message_id)"
            ),
        ] {
            self.connection.execute(&sql, key)?;
        }
        let seen: i64 = self.connection.query_row(
            &format!("SELECT count(*) FROM messages WHERE hidden = 0 AND {going}"),
            key,
            |row| row.get(0),
        )?;
        self.connection.execute(&format!("DELETE FROM messages WHERE {going}"), key)?;
        self.connection.execute("DELETE FROM early WHERE peer = ?", [peer.as_bytes()])?;
        self.connection.execute("DELETE FROM notices WHERE sender = ?", [peer.as_bytes()])?;
        if extent == Extent::Everything {
            self.forget_words_to_say(peer)?;
            self.connection.execute("DELETE FROM receipts_due WHERE peer = ?", [peer.as_bytes()])?;
            let handle: Option<Option<String>> = self
                .connection
                .query_row("SELECT handle FROM contacts WHERE tag = ?", [peer.as_bytes()], |row| row.get(0))
                .optional()?;
            if let Some(handle) = parse_handle(handle.flatten())? {
                self.set_draft(&handle, None, UnixMillis::new(0))?;
            }
        }
        unsigned(seen, "messages")
    }

    fn messages_named(&self, sql: &str, key: &[&dyn ToSql]) -> Result<Vec<MessageRef>, DatabaseError> {
        let mut query = self.connection.prepare(sql)?;
        let rows = query.query_map(key, |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (direction, id) = row?;
            let id = MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("messages.message_id"))?;
            Ok(MessageRef { direction: Direction::read(&direction, "messages.direction")?, id })
        })
        .collect()
    }

    /// Edits and reactions that wait, and what is kept to say words again, to him or to the own other devices.
    fn forget_words_to_say(&self, peer: AccountTag) -> Result<(), DatabaseError> {
        self.forget_errands(|id, kind| match kind {
            ContentKind::Said(said) if has_words(said) => self.was_for(id, peer),
            ContentKind::Copy { to, said, .. } => Ok(*to == peer && has_words(said)),
            _ => Ok(false),
        })?;
        for (seq, recipient, content) in self.unsealed_contents()? {
            let goes = match Content::decode(&content).map(|content| content.kind) {
                Ok(ContentKind::Said(said)) => recipient == peer && has_words(&said),
                Ok(ContentKind::Copy { to, said, .. }) => to == peer && has_words(&said),
                _ => false,
            };
            if goes {
                self.connection.prepare_cached("DELETE FROM outbox WHERE seq = ?")?.execute([seq])?;
            }
        }
        Ok(())
    }

    fn was_for(&self, message: MessageId, peer: AccountTag) -> Result<bool, DatabaseError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT 1 FROM sent WHERE message_id = ?1 AND recipient = ?2
                 UNION SELECT 1 FROM outbox WHERE message_id = ?1 AND recipient = ?2",
            )?
            .exists(params![message.as_bytes(), peer.as_bytes()])?)
    }

    fn forget_errands(
        &self,
        goes: impl Fn(MessageId, &ContentKind) -> Result<bool, DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut query = self.connection.prepare("SELECT message_id FROM errands")?;
        let ids: Vec<Vec<u8>> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for id in ids {
            let id = MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("errands.message_id"))?;
            let Some(content) = self.errand(id)? else { continue };
            let Ok(Content { kind, .. }) = Content::decode(&content) else { continue };
            if goes(id, &kind)? {
                self.connection.prepare_cached("DELETE FROM errands WHERE message_id = ?")?.execute([id.as_bytes()])?;
            }
        }
        Ok(())
    }

    /// Whoever it was is not known any more: neither by name nor by what was decided, compared or shown. `tell`: the server has to hear
    /// that nothing is decided, and until then an empty row says so. What opens and proves his messages stays, so that one that he writes
    /// later is read, as a stranger's, and another identity is noticed; and that he was removed then, see [`Store::removed_at`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn remove_contact(&self, peer: AccountTag, tell: bool, now: UnixMillis) -> Result<(), DatabaseError> {
        if !self.is_unaddressed(peer)? {
            self.note_removed(peer, now)?;
        }
        let untold: Option<bool> = self
            .connection
            .query_row(
                "SELECT unaddressed = 0 AND (untold = 1 OR relation IS 'accepted') FROM contacts WHERE tag = ?",
                [peer.as_bytes()],
                |row| row.get(0),
            )
            .optional()?;
        self.forget_errands(|id, kind| match kind {
            ContentKind::Decision { about, .. } => Ok(*about == peer),
            ContentKind::Copy { to, .. } => Ok(*to == peer),
            ContentKind::Own(news) => Ok(names(news, peer)),
            // Everybody is told the same of the own face.
            ContentKind::Said(Said::Face(_)) | ContentKind::Unknown => Ok(false),
            ContentKind::Said(_) | ContentKind::Unopened(_) => self.was_for(id, peer),
        })?;
        for sql in [
            "DELETE FROM contacts WHERE tag = ?",
            "DELETE FROM faces WHERE tag = ?",
            "DELETE FROM devices WHERE tag = ?",
            "DELETE FROM devices_seen WHERE tag = ?",
            "DELETE FROM held WHERE sender = ?",
            "DELETE FROM outbox WHERE recipient = ?",
            "DELETE FROM sent WHERE recipient = ?",
        ] {
            self.connection.execute(sql, [peer.as_bytes()])?;
        }
        if tell && untold == Some(true) {
            self.connection.execute("INSERT INTO contacts (tag, untold, gone) VALUES (?, 1, 1)", [peer.as_bytes()])?;
        }
        Ok(())
    }
}
