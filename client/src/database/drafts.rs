//! What somebody has begun to write and not sent. It stays on this device: half a thought is told to nobody, not even to the own other
//! devices, and each pause in typing would show the server that somebody is there.

use endtoend_protocol::{MessageId, Text, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Store, integer};
use crate::handle::Handle;

/// Conversations that have a draft. Beyond, another is refused: what was typed is not taken away.
pub const DRAFTS_MAX: u32 = 2_000;

const KIND: &str = "draft";
const BEFORE: &str = "draft before";

/// What somebody has begun to write. `Debug` shows its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The words so far.
    pub text: Text,
    /// The message that it is to answer.
    pub answers: Option<MessageId>,
    /// The message that has these words instead.
    pub edits: Option<Edits>,
}

/// A message that is to have other words, and what waits until that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edits {
    /// The message.
    pub of: MessageId,
    /// What was begun before.
    pub before: Option<Text>,
}

/// Of a draft: its words, what it answers, what it edits, and the words before.
type Row = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

const COLUMNS: &str = "text, answers, edits, before";

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok((row.get("text")?, row.get("answers")?, row.get("edits")?, row.get("before")?))
}

fn named(id: Option<Vec<u8>>, column: &'static str) -> Result<Option<MessageId>, DatabaseError> {
    id.map(|id| MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid(column))).transpose()
}

impl Store<'_> {
    /// Keeps what was begun for somebody in place of what was kept before, or with `None` nothing any more. He need not be known.
    ///
    /// # Errors
    /// `Limit` beyond [`DRAFTS_MAX`]; see [`DatabaseError`].
    pub fn set_draft(&self, with: &Handle, draft: Option<&Draft>, now: UnixMillis) -> Result<(), DatabaseError> {
        self.connection.prepare_cached("DELETE FROM drafts WHERE handle = ?")?.execute([with.as_str()])?;
        let Some(Draft { text, answers, edits }) = draft else { return Ok(()) };
        let kept: u32 = self.connection.query_row("SELECT count(*) FROM drafts", [], |row| row.get(0))?;
        if kept >= DRAFTS_MAX {
            return Err(DatabaseError::Limit { table: "the table of drafts", max: DRAFTS_MAX as usize });
        }
        let seal = |kind, words: &Text| self.sealer.seal(kind, with.as_str().as_bytes(), words.as_str().as_bytes());
        let before = edits.as_ref().and_then(|edits| edits.before.as_ref()).map(|words| seal(BEFORE, words));
        let id = |id: MessageId| id.as_bytes().to_vec();
        let (answers, edits) = (answers.map(id), edits.as_ref().map(|edits| id(edits.of)));
        self.connection
            .prepare_cached("INSERT INTO drafts (handle, text, answers, edits, before, at) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![with.as_str(), seal(KIND, text), answers, edits, before, integer(now.get())])?;
        Ok(())
    }

    /// What was begun for somebody.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn draft(&self, with: &Handle) -> Result<Option<Draft>, DatabaseError> {
        let row: Option<Row> = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM drafts WHERE handle = ?"))?
            .query_row([with.as_str()], row)
            .optional()?;
        row.map(|row| self.read_draft(with, row)).transpose()
    }

    /// What was begun and for whom, the latest first, at most `limit`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn drafts(&self, limit: u32) -> Result<Vec<(Handle, Draft)>, DatabaseError> {
        let mut query = self
            .connection
            .prepare_cached(&format!("SELECT handle, {COLUMNS} FROM drafts ORDER BY at DESC, rowid DESC LIMIT ?"))?;
        let rows = query.query_map([limit], |of| Ok((of.get::<_, String>("handle")?, row(of)?)))?;
        rows.map(|row| {
            let (handle, row) = row?;
            let handle: Handle = handle.parse().map_err(|_| DatabaseError::Invalid("drafts.handle"))?;
            let draft = self.read_draft(&handle, row)?;
            Ok((handle, draft))
        })
        .collect()
    }

    /// These words were sent to somebody: if they are what was begun for him, it is finished. Other words for a message are sent
    /// otherwise.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn finish_draft(&self, with: &Handle, sent: &Text) -> Result<(), DatabaseError> {
        let is_it = |draft: Draft| draft.edits.is_none() && draft.text.as_str().trim_end() == sent.as_str().trim_end();
        if self.draft(with)?.is_some_and(is_it) {
            self.connection.prepare_cached("DELETE FROM drafts WHERE handle = ?")?.execute([with.as_str()])?;
        }
        Ok(())
    }

    fn read_draft(&self, with: &Handle, (text, answers, edits, before): Row) -> Result<Draft, DatabaseError> {
        let open = |kind, sealed: &[u8], column| {
            let opened = self.sealer.open(kind, with.as_str().as_bytes(), sealed)?;
            let text = String::from_utf8(opened.to_vec()).ok().and_then(|text| Text::new(text).ok());
            text.ok_or(DatabaseError::Invalid(column))
        };
        let before = before.map(|sealed| open(BEFORE, &sealed, "drafts.before")).transpose()?;
        Ok(Draft {
            text: open(KIND, &text, "drafts.text")?,
            answers: named(answers, "drafts.answers")?,
            edits: named(edits, "drafts.edits")?.map(|of| Edits { of, before }),
        })
    }
}
