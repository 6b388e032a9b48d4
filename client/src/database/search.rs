//! Words of all messages, to be found again. The index lies in the encrypted file like everything else; it holds words and
//! where they are, not the texts, and a word that is deleted leaves it at once.

use endtoend_protocol::{AccountTag, MessageId, UnixMillis};
use rusqlite::{OptionalExtension as _, ToSql, params};

use super::messages::{KIND, place};
use super::{DatabaseError, Direction, MessageRef, Store, StoredMessage, array, integer};

/// Words of a question that are looked at; the rest is ignored.
const WORDS_MAX: usize = 16;
/// Messages that one answer may have.
pub const FOUND_MAX: u32 = 1_000;
/// Of the messages that have the words, so many of the latest are ranked.
const RANKED_MAX: u32 = 1_000;
/// Words that more messages have than this tell nothing about one of them, and counting them all is what ranking costs: then the
/// latest come first.
const COMMON: u32 = 5_000;
const INDEXED: &str = "indexed";
const WITH_FILE: &str = "AND EXISTS (SELECT 1 FROM files f
     WHERE f.peer = m.peer AND f.direction = m.direction AND f.message_id = m.message_id)";

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
    /// Only messages with a file, which are found by its name. Without words, the latest of them.
    pub has_file: bool,
}

/// Shorter beginnings of words are none: half of all words would have to be read for them.
const BEGINNING_CHARS_MIN: usize = 2;

/// What people type, as questions without operators: one for whole words, and one where the last is the beginning of a word. No
/// question when there is no word.
fn phrases(words: &str) -> (Option<String>, Option<String>) {
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.take(WORDS_MAX).collect();
    let Some(last) = words.last() else { return (None, None) };
    let whole: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let whole = whole.join(" ");
    let begun = last.chars().nth(BEGINNING_CHARS_MIN - 1).map(|_| format!("{whole}*"));
    (Some(whole), begun)
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
        self.forget_words(seq, text)
    }

    /// The same of all messages with somebody that a clause of SQL is about, one after the other: a conversation may be larger than memory.
    pub(super) fn forget_texts(&self, peer: AccountTag, which: &str, key: &[&dyn ToSql]) -> Result<(), DatabaseError> {
        let sql = format!("SELECT seq, direction, message_id, body FROM messages WHERE body IS NOT NULL AND {which}");
        let mut query = self.connection.prepare(&sql)?;
        let mut rows = query.query(key)?;
        while let Some(row) = rows.next()? {
            let direction = Direction::read(&row.get::<_, String>(1)?, "messages.direction")?;
            let id = row.get::<_, Vec<u8>>(2)?;
            let id = MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("messages.message_id"))?;
            let text = self.sealer.open(KIND, &place(peer, direction, id), &row.get::<_, Vec<u8>>(3)?)?;
            let text = std::str::from_utf8(&text).map_err(|_| DatabaseError::Invalid("messages.body"))?;
            self.forget_words(row.get(0)?, text)?;
        }
        Ok(())
    }

    /// What was said of a message is not to be found any more.
    pub(super) fn forget_words(&self, seq: i64, text: &str) -> Result<(), DatabaseError> {
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

    /// The messages that have the words, best first; at most `limit` and [`FOUND_MAX`]. Those that have the last as a whole word come
    /// before those where it only begins one.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn search(&self, question: &Question, limit: u32) -> Result<Vec<StoredMessage>, DatabaseError> {
        let limit = limit.min(FOUND_MAX);
        let (whole, begun) = phrases(&question.words);
        let mut seqs = match whole {
            Some(phrase) => self.ranked(&phrase, question, limit)?,
            None if question.has_file => self.latest_files(question, limit)?,
            None => Vec::new(),
        };
        // Beginnings of words are dear, and nobody asks for more than `limit`.
        if let Some(phrase) = begun
            && seqs.len() < limit as usize
        {
            let more = self.ranked(&phrase, question, limit)?;
            let more: Vec<i64> = more.into_iter().filter(|seq| !seqs.contains(seq)).collect();
            seqs.extend(more);
            seqs.truncate(limit as usize);
        }
        let mut found = Vec::with_capacity(seqs.len());
        for seq in seqs {
            found.extend(self.select("WHERE m.seq = ?", [seq])?);
        }
        Ok(found)
    }

    /// The latest messages with a file.
    fn latest_files(&self, question: &Question, limit: u32) -> Result<Vec<i64>, DatabaseError> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT m.seq FROM files f JOIN messages m
                 ON m.peer = f.peer AND m.direction = f.direction AND m.message_id = f.message_id
                 WHERE m.hidden = 0 AND (?1 IS NULL OR m.peer = ?1) AND (?2 IS NULL OR m.direction = ?2)
                   AND m.sent_at >= ?3 AND m.sent_at < ?4 ORDER BY m.seq DESC LIMIT ?5",
            )?
            .query_map(
                params![
                    question.with.map(|tag| tag.as_bytes().to_vec()),
                    question.direction.map(Direction::as_str),
                    question.since.map_or(0, |at| integer(at.get())),
                    question.until.map_or(i64::MAX, |at| integer(at.get())),
                    limit,
                ],
                |row| row.get::<_, i64>(0),
            )?
            .collect::<Result<Vec<_>, _>>()?;
        Ok(found)
    }

    fn ranked(&self, phrase: &str, question: &Question, limit: u32) -> Result<Vec<i64>, DatabaseError> {
        let common: u32 = self
            .connection
            .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)")?
            .query_row(params![phrase, COMMON + 1], |row| row.get(0))?;
        let score = if common > COMMON { "0" } else { "w.rank" };
        // Texts that are hidden or deleted are not in the index, so only a filter needs the messages themselves.
        let filtered = question.with.is_some()
            || question.direction.is_some()
            || question.since.is_some()
            || question.until.is_some()
            || question.has_file;
        let with_file = if question.has_file { WITH_FILE } else { "" };
        let latest = match filtered {
            false => format!(
                "SELECT w.rowid AS seq, {score} AS score FROM words w WHERE w.words MATCH ?1
                 ORDER BY w.rowid DESC LIMIT ?6"
            ),
            true => format!(
                "SELECT w.rowid AS seq, {score} AS score FROM words w CROSS JOIN messages m ON m.seq = w.rowid
                 WHERE w.words MATCH ?1 AND (?2 IS NULL OR m.peer = ?2) AND (?3 IS NULL OR m.direction = ?3)
                   AND m.sent_at >= ?4 AND m.sent_at < ?5 {with_file}
                 ORDER BY w.rowid DESC LIMIT ?6"
            ),
        };
        // One pass: a second look at the index for each of them would cost more than all the rest. Both forms name every
        // parameter.
        let ranked = self
            .connection
            .prepare_cached(&format!(
                "SELECT seq FROM ({latest}) WHERE coalesce(?2, ?3, ?4, ?5, 1) IS NOT NULL
                 ORDER BY score, seq DESC LIMIT ?7",
            ))?
            .query_map(
                params![
                    phrase,
                    question.with.map(|tag| tag.as_bytes().to_vec()),
                    question.direction.map(Direction::as_str),
                    question.since.map_or(0, |at| integer(at.get())),
                    question.until.map_or(i64::MAX, |at| integer(at.get())),
                    RANKED_MAX,
                    limit,
                ],
                |row| row.get::<_, i64>(0),
            )?
            .collect::<Result<Vec<_>, _>>()?;
        Ok(ranked)
    }
}
