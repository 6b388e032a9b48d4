//! Words of all messages, to be found again. The index lies in the encrypted file like everything else; it holds words and
//! where they are, not the texts, and a word that is deleted leaves it at once.

use endtoend_protocol::{AccountTag, MessageId, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::messages::{KIND, place};
use super::{DatabaseError, Direction, MessageRef, Store, StoredMessage, array, integer};

/// Words of a question that are looked at; the rest is ignored.
const WORDS_MAX: usize = 16;
/// Messages that one answer may have.
pub const FOUND_MAX: u32 = 1_000;
/// Of the messages that have the words, so many of the latest are ranked: what has them all ranks none.
const RANKED_MAX: u32 = 1_000;
const INDEXED: &str = "indexed";

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Words that a message must have, all of them; the last may be the beginning of one. No operators.
    pub words: String,
    /// In the conversation with one person.
    pub with: Option<AccountTag>,
    /// Written by one side.
    pub direction: Option<Direction>,
    /// Not before, by the writer's clock.
    pub since: Option<UnixMillis>,
    /// Before, by the writer's clock.
    pub until: Option<UnixMillis>,
}

/// What people type, as a question without operators. `None` when there is no word in it.
fn phrase(words: &str) -> Option<String> {
    let quoted: Vec<String> = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX)
        .map(|word| format!("\"{word}\""))
        .collect();
    (!quoted.is_empty()).then(|| format!("{}*", quoted.join(" ")))
}

impl Store<'_> {
    /// A text is there to be found.
    pub(super) fn index_text(&self, seq: i64, text: &str) -> Result<(), DatabaseError> {
        self.connection.prepare_cached("INSERT INTO words (rowid, body) VALUES (?, ?)")?.execute(params![seq, text])?;
        Ok(())
    }

    /// Before a text changes or goes.
    pub(super) fn forget_text(&self, peer: AccountTag, message: MessageRef) -> Result<(), DatabaseError> {
        let row: Option<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT seq, body FROM messages
                 WHERE peer = ? AND direction = ? AND message_id = ? AND body IS NOT NULL",
            )?
            .query_row(params![peer.as_bytes(), message.direction.as_str(), message.id.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((seq, sealed)) = row else { return Ok(()) };
        let opened = self.sealer.open(KIND, &place(peer, message.direction, message.id), &sealed)?;
        let text = std::str::from_utf8(&opened).map_err(|_| DatabaseError::Invalid("messages.body"))?;
        self.connection
            .prepare_cached("INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)")?
            .execute(params![seq, text])?;
        Ok(())
    }

    /// Messages of before there was an index are put into it, once.
    pub(super) fn index_older(&self) -> Result<(), DatabaseError> {
        if self.setting(INDEXED)?.is_some() {
            return Ok(());
        }
        let mut query = self.connection.prepare(
            "SELECT seq, peer, direction, message_id, body FROM messages WHERE body IS NOT NULL ORDER BY seq",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (peer, direction, id): (Vec<u8>, String, Vec<u8>) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let peer = AccountTag::new(array(&peer, "messages.peer")?);
            let direction = Direction::read(&direction, "messages.direction")?;
            let id = MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("messages.message_id"))?;
            // A body that is damaged is told when it is read; it keeps nobody from opening the rest.
            let opened = self.sealer.open(KIND, &place(peer, direction, id), &row.get::<_, Vec<u8>>(4)?);
            if let Some(text) = opened.as_ref().ok().and_then(|text| std::str::from_utf8(text).ok()) {
                self.index_text(row.get(0)?, text)?;
            }
        }
        self.set_setting(INDEXED, &[1])
    }

    /// The messages that have the words, best first; at most `limit` and [`FOUND_MAX`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn search(&self, question: &Question, limit: u32) -> Result<Vec<StoredMessage>, DatabaseError> {
        let Some(phrase) = phrase(&question.words) else { return Ok(Vec::new()) };
        // Texts that are hidden or deleted are not in the index, so only a filter needs the messages themselves.
        let filtered = question.with.is_some()
            || question.direction.is_some()
            || question.since.is_some()
            || question.until.is_some();
        let latest = match filtered {
            false => "SELECT rowid AS seq FROM words WHERE words MATCH ?1 ORDER BY rowid DESC LIMIT ?6",
            true => {
                "SELECT w.rowid AS seq FROM words w CROSS JOIN messages m ON m.seq = w.rowid
                 WHERE w.words MATCH ?1 AND (?2 IS NULL OR m.peer = ?2) AND (?3 IS NULL OR m.direction = ?3)
                   AND m.sent_at >= ?4 AND m.sent_at < ?5
                 ORDER BY w.rowid DESC LIMIT ?6"
            }
        };
        // Both forms name every parameter.
        let ranked = self
            .connection
            .prepare_cached(&format!(
                "WITH found AS MATERIALIZED ({latest})
                 SELECT w.rowid FROM words w WHERE w.words MATCH ?1 AND w.rowid IN (SELECT seq FROM found)
                   AND coalesce(?2, ?3, ?4, ?5, 1) IS NOT NULL
                 ORDER BY rank, w.rowid DESC LIMIT ?7",
            ))?
            .query_map(
                params![
                    phrase,
                    question.with.map(|tag| tag.as_bytes().to_vec()),
                    question.direction.map(Direction::as_str),
                    question.since.map_or(0, |at| integer(at.get())),
                    question.until.map_or(i64::MAX, |at| integer(at.get())),
                    RANKED_MAX,
                    limit.min(FOUND_MAX),
                ],
                |row| row.get::<_, i64>(0),
            )?
            .collect::<Result<Vec<_>, _>>()?;
        let mut found = Vec::with_capacity(ranked.len());
        for seq in ranked {
            found.extend(self.select("WHERE m.seq = ?", [seq])?);
        }
        Ok(found)
    }
}
