//! What is needed to mend a broken session: which envelope carried which message, and which of theirs did not open.

use std::time::Duration;

use endtoend_protocol::{AccountTag, Address, DeviceId, EnvelopeId, MessageId, Place, UnixMillis, limits};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{DatabaseError, Store, integer, unsigned};

/// How long it is known what an envelope carried: as long as a server keeps it, and a week to ask.
pub const SENT_AGE_MAX: Duration = Duration::from_secs(limits::QUEUE_AGE_MAX.as_secs() + 7 * 24 * 3600);

const ERRAND: &str = "errand";

/// An envelope of ours that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentEnvelope {
    /// What was in it.
    pub message: MessageId,
    /// For whom it was.
    pub recipient: Address,
}

impl Store<'_> {
    /// Notes what an envelope carries, and forgets those beyond [`SENT_AGE_MAX`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_sent(
        &self,
        id: EnvelopeId,
        message: MessageId,
        to: Address,
        place: &Place,
        now: UnixMillis,
    ) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached(
                "INSERT INTO sent (envelope_id, message_id, recipient, device, at, place) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                id.as_bytes(),
                message.as_bytes(),
                to.account.as_bytes(),
                to.device.get(),
                integer(now.get()),
                self.seal_place(to, place),
            ])?;
        // A message that waits still is sealed anew, and keeps its place.
        self.connection
            .prepare_cached(
                "DELETE FROM sent WHERE at < ?
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.message_id = sent.message_id)",
            )?
            .execute([integer(oldest(now))])?;
        Ok(())
    }

    /// The envelopes that have carried a message to a device, in the order in which they were made.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn copies(&self, message: MessageId, to: Address) -> Result<Vec<EnvelopeId>, DatabaseError> {
        let mut query = self.connection.prepare_cached(
            "SELECT envelope_id FROM sent WHERE message_id = ? AND recipient = ? AND device = ? ORDER BY at, envelope_id",
        )?;
        let rows = query.query_map(params![message.as_bytes(), to.account.as_bytes(), to.device.get()], |row| {
            row.get::<_, Vec<u8>>(0)
        })?;
        rows.map(|id| EnvelopeId::from_slice(&id?).map_err(|_| DatabaseError::Invalid("sent.envelope_id"))).collect()
    }

    /// Keeps what is said and stands in no history, so that it can be said again. Forgets what is beyond [`SENT_AGE_MAX`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_errand(&self, message: MessageId, content: &[u8], now: UnixMillis) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO errands (message_id, content, at) VALUES (?, ?, ?)")?
            .execute(params![
                message.as_bytes(),
                self.sealer.seal(ERRAND, message.as_bytes(), content),
                integer(now.get())
            ])?;
        self.connection
            .prepare_cached(
                "DELETE FROM errands WHERE at < ?
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.message_id = errands.message_id)",
            )?
            .execute([integer(oldest(now))])?;
        Ok(())
    }

    /// What [`Store::put_errand`] has kept.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn errand(&self, message: MessageId) -> Result<Option<Zeroizing<Vec<u8>>>, DatabaseError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT content FROM errands WHERE message_id = ?")?
            .query_row([message.as_bytes()], |row| row.get(0))
            .optional()?;
        sealed.map(|sealed| self.sealer.open(ERRAND, message.as_bytes(), &sealed)).transpose()
    }

    /// What an envelope of ours carried.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn sent_envelope(&self, id: EnvelopeId) -> Result<Option<SentEnvelope>, DatabaseError> {
        let row: Option<(Vec<u8>, Vec<u8>, u32)> = self
            .connection
            .prepare_cached("SELECT message_id, recipient, device FROM sent WHERE envelope_id = ?")?
            .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((message, recipient, device)) = row else { return Ok(None) };
        Ok(Some(SentEnvelope {
            message: MessageId::from_slice(&message).map_err(|_| DatabaseError::Invalid("sent.message_id"))?,
            recipient: Address {
                account: AccountTag::from_slice(&recipient).map_err(|_| DatabaseError::Invalid("sent.recipient"))?,
                device: DeviceId::new(device).map_err(|_| DatabaseError::Invalid("sent.device"))?,
            },
        }))
    }

    /// When an envelope of ours was sealed; `None` when that is longer ago than [`SENT_AGE_MAX`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn sealed_at(&self, id: EnvelopeId) -> Result<Option<UnixMillis>, DatabaseError> {
        let at: Option<i64> = self
            .connection
            .prepare_cached("SELECT at FROM sent WHERE envelope_id = ?")?
            .query_row([id.as_bytes()], |row| row.get(0))
            .optional()?;
        at.map(|at| unsigned(at, "sent.at").map(UnixMillis::new)).transpose()
    }

    /// Notes that an envelope did not open and is asked for again by `question`. Forgets those beyond [`SENT_AGE_MAX`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_unopened(
        &self,
        id: EnvelopeId,
        sender: AccountTag,
        question: MessageId,
        now: UnixMillis,
    ) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO unopened (envelope_id, sender, message_id, at) VALUES (?, ?, ?, ?)")?
            .execute(params![id.as_bytes(), sender.as_bytes(), question.as_bytes(), integer(now.get())])?;
        self.connection.prepare_cached("DELETE FROM unopened WHERE at < ?")?.execute([integer(oldest(now))])?;
        Ok(())
    }

    /// How many envelopes of a sender were asked for since a moment.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn unopened_since(&self, sender: AccountTag, since: UnixMillis) -> Result<u64, DatabaseError> {
        let count = self
            .connection
            .prepare_cached("SELECT count(*) FROM unopened WHERE sender = ? AND at >= ?")?
            .query_row(params![sender.as_bytes(), integer(since.get())], |row| row.get(0))?;
        unsigned(count, "unopened")
    }

    /// The message of an envelope that did not open has come after all: it is no more asked for, nor noted as lost.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn remove_unopened(&self, id: EnvelopeId, sender: AccountTag) -> Result<(), DatabaseError> {
        let removed = self
            .connection
            .prepare_cached("DELETE FROM unopened WHERE envelope_id = ? AND sender = ?")?
            .execute(params![id.as_bytes(), sender.as_bytes()])?;
        if removed == 1 {
            self.connection.execute("DELETE FROM unreadable WHERE envelope_id = ?", [id.as_bytes()])?;
        }
        Ok(())
    }

    /// When sessions with an account were last given up for new ones.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn session_reset_at(&self, tag: AccountTag) -> Result<Option<UnixMillis>, DatabaseError> {
        let at: Option<Option<i64>> = self
            .connection
            .prepare_cached("SELECT session_reset_at FROM contacts WHERE tag = ?")?
            .query_row([tag.as_bytes()], |row| row.get(0))
            .optional()?;
        at.flatten().map(|at| unsigned(at, "contacts.session_reset_at").map(UnixMillis::new)).transpose()
    }

    /// Gives up the sessions with an account: the next message fetches keys and begins new ones. What was sealed in the
    /// old ones still opens.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn reset_sessions(&self, tag: AccountTag, now: UnixMillis) -> Result<(), DatabaseError> {
        self.forget_devices(tag)?;
        self.connection.execute(
            "UPDATE contacts SET session_reset_at = ? WHERE tag = ?",
            params![integer(now.get()), tag.as_bytes()],
        )?;
        Ok(())
    }
}

fn oldest(now: UnixMillis) -> u64 {
    now.get().saturating_sub(u64::try_from(SENT_AGE_MAX.as_millis()).unwrap_or(u64::MAX))
}
