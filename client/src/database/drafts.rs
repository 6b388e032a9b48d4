//! What somebody has begun to write and not sent. It stays on this device: half a thought is told to nobody, not even to the own other
//! devices, and each pause in typing would show the server that somebody is there.

use endtoend_protocol::{MessageId, Text, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Store, integer};
use crate::handle::Handle;

/// Conversations that have a draft. Beyond, another is refused: what was typed is not taken away.
pub const DRAFTS_MAX: u32 = 2_000;

const KIND: &str = "draft";

/// What somebody has begun to write. `Debug` shows its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The words so far.
    pub text: Text,
    /// The message that it is to answer.
    pub answers: Option<MessageId>,
}

type Row = (Vec<u8>, Option<Vec<u8>>);

impl Store<'_> {
    /// Keeps what was begun for somebody in place of what was kept before, or with `None` nothing any more. He need not be known.
    ///
    /// # Errors
    /// `Limit` beyond [`DRAFTS_MAX`]; see [`DatabaseError`].
    pub fn set_draft(&self, with: &Handle, draft: Option<&Draft>, now: UnixMillis) -> Result<(), DatabaseError> {
        self.connection.prepare_cached("DELETE FROM drafts WHERE handle = ?")?.execute([with.as_str()])?;
        let Some(Draft { text, answers }) = draft else { return Ok(()) };
        let kept: u32 = self.connection.query_row("SELECT count(*) FROM drafts", [], |row| row.get(0))?;
        if kept >= DRAFTS_MAX {
            return Err(DatabaseError::Limit { table: "the table of drafts", max: DRAFTS_MAX as usize });
        }
        let sealed = self.sealer.seal(KIND, with.as_str().as_bytes(), text.as_str().as_bytes());
        self.connection
            .prepare_cached("INSERT INTO drafts (handle, text, answers, at) VALUES (?, ?, ?, ?)")?
            .execute(params![with.as_str(), sealed, answers.map(|id| id.as_bytes().to_vec()), integer(now.get())])?;
        Ok(())
    }

    /// What was begun for somebody.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn draft(&self, with: &Handle) -> Result<Option<Draft>, DatabaseError> {
        let row: Option<Row> = self
            .connection
            .prepare_cached("SELECT text, answers FROM drafts WHERE handle = ?")?
            .query_row([with.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
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
            .prepare_cached("SELECT handle, text, answers FROM drafts ORDER BY at DESC, rowid DESC LIMIT ?")?;
        let rows = query.query_map([limit], |row| Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get(2)?))))?;
        rows.map(|row| {
            let (handle, row) = row?;
            let handle: Handle = handle.parse().map_err(|_| DatabaseError::Invalid("drafts.handle"))?;
            let draft = self.read_draft(&handle, row)?;
            Ok((handle, draft))
        })
        .collect()
    }

    /// These words were sent to somebody: if they are what was begun for him, it is finished.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn finish_draft(&self, with: &Handle, sent: &Text) -> Result<(), DatabaseError> {
        let same = self.draft(with)?.is_some_and(|draft| draft.text.as_str().trim_end() == sent.as_str().trim_end());
        if same {
            self.connection.prepare_cached("DELETE FROM drafts WHERE handle = ?")?.execute([with.as_str()])?;
        }
        Ok(())
    }

    fn read_draft(&self, with: &Handle, (sealed, answers): Row) -> Result<Draft, DatabaseError> {
        let opened = self.sealer.open(KIND, with.as_str().as_bytes(), &sealed)?;
        let text = String::from_utf8(opened.to_vec()).ok().and_then(|text| Text::new(text).ok());
        let answers = answers
            .map(|id| MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("drafts.answers")))
            .transpose()?;
        Ok(Draft { text: text.ok_or(DatabaseError::Invalid("drafts.text"))?, answers })
    }
}
