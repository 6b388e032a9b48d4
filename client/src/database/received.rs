//! Envelopes that came: which ones, those that wait for a person, those that nobody can open.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use endtoend_protocol::{AccountTag, EnvelopeId, UnixMillis};
use rusqlite::{Row, params};

use super::{DatabaseError, Store, integer, unsigned};

/// Ids kept to notice a repeat: five times what a server queues for one device.
pub const RECEIVED_MAX: i64 = 50_000;
/// How long an id is kept: twice as long as a server queues an envelope.
pub const RECEIVED_AGE_MAX: Duration = Duration::from_secs(60 * 24 * 3600);
/// Envelopes kept of all senders about whom the server or a person has still to say something.
pub(super) const HELD_MAX: u32 = 2_048;
/// The same of one sender.
pub const HELD_MAX_PER_CONTACT: u32 = 256;
/// Notes kept of envelopes that did not open; the oldest make room.
pub const UNREADABLE_MAX: i64 = 1_000;

/// An envelope that waits until a person has accepted its sender's new identity.
#[derive(Clone, Debug)]
pub struct HeldEnvelope {
    /// Which.
    pub id: EnvelopeId,
    /// As it came.
    pub body: Bytes,
    /// When the server took it.
    pub accepted_at: UnixMillis,
    /// When it came here.
    pub received_at: UnixMillis,
    /// Length of the frame, in bytes.
    pub wire_bytes: u64,
}

/// A note of an envelope that did not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub id: EnvelopeId,
    /// One of a closed list of words.
    pub reason: String,
    /// When the server took it.
    pub accepted_at: UnixMillis,
    /// When it came here.
    pub received_at: UnixMillis,
}

fn id(bytes: &[u8]) -> Result<EnvelopeId, DatabaseError> {
    EnvelopeId::from_slice(bytes).map_err(|_| DatabaseError::Invalid("envelope_id"))
}

fn time(at: i64) -> Result<UnixMillis, DatabaseError> {
    Ok(UnixMillis::new(unsigned(at, "time")?))
}

impl Store<'_> {
    /// Whether an envelope was dealt with before.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn is_received(&self, id: EnvelopeId) -> Result<bool, DatabaseError> {
        Ok(self.connection.prepare_cached("SELECT 1 FROM received WHERE envelope_id = ?")?.exists([id.as_bytes()])?)
    }

    /// Notes that an envelope was dealt with, and forgets the oldest beyond [`RECEIVED_MAX`] and [`RECEIVED_AGE_MAX`].
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_received(&self, id: EnvelopeId, now: UnixMillis) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO received (envelope_id, at, acknowledged) VALUES (?, ?, 0)")?
            .execute(params![id.as_bytes(), integer(now.get())])?;
        let oldest = now.get().saturating_sub(u64::try_from(RECEIVED_AGE_MAX.as_millis()).unwrap_or(u64::MAX));
        self.connection
            .prepare_cached(
                "DELETE FROM received WHERE at < ?1 OR seq <= (SELECT coalesce(max(seq), 0) FROM received) - ?2",
            )?
            .execute(params![integer(oldest), RECEIVED_MAX])?;
        Ok(())
    }

    /// The server was told that these are here.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn acknowledged(&self, ids: &[EnvelopeId]) -> Result<(), DatabaseError> {
        let mut update =
            self.connection.prepare_cached("UPDATE received SET acknowledged = 1 WHERE envelope_id = ?")?;
        ids.iter().try_for_each(|id| update.execute([id.as_bytes()]).map(|_| ()))?;
        Ok(())
    }

    /// Whether the server may still keep an envelope that is here: whoever ends now leaves it there until the next connection.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn owes_acknowledgements(&self) -> Result<bool, DatabaseError> {
        Ok(self.connection.prepare_cached("SELECT 1 FROM received WHERE acknowledged = 0")?.exists([])?)
    }

    /// As if a program had been killed before it said anything.
    #[cfg(test)]
    pub(crate) fn acknowledged_none(&self) -> Result<(), DatabaseError> {
        self.connection.execute("UPDATE received SET acknowledged = 0", [])?;
        Ok(())
    }

    /// The server had time to deliver again what it keeps, and was told that all of that is here.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn owes_none(&self) -> Result<(), DatabaseError> {
        self.connection.execute("UPDATE received SET acknowledged = 1 WHERE acknowledged = 0", [])?;
        Ok(())
    }

    /// Keeps an envelope until its sender's identity is accepted; says whether there was room.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn hold(&self, sender: AccountTag, envelope: &HeldEnvelope) -> Result<bool, DatabaseError> {
        let held: u32 = self
            .connection
            .prepare_cached("SELECT count(*) FROM held WHERE sender = ?")?
            .query_row([sender.as_bytes()], |row| row.get(0))?;
        let all: u32 = self.connection.prepare_cached("SELECT count(*) FROM held")?.query_row([], |row| row.get(0))?;
        if held >= HELD_MAX_PER_CONTACT || all >= HELD_MAX {
            return Ok(false);
        }
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO held (sender, envelope_id, body, accepted_at, received_at, wire_bytes)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                sender.as_bytes(),
                envelope.id.as_bytes(),
                &*envelope.body,
                integer(envelope.accepted_at.get()),
                integer(envelope.received_at.get()),
                integer(envelope.wire_bytes),
            ])?;
        Ok(true)
    }

    /// What is held of one sender, in the order in which it came.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn held(&self, sender: AccountTag) -> Result<Vec<HeldEnvelope>, DatabaseError> {
        let mut query = self.connection.prepare_cached(
            "SELECT envelope_id, body, accepted_at, received_at, wire_bytes FROM held WHERE sender = ? ORDER BY seq",
        )?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
        let rows = query.query_map([sender.as_bytes()], read)?;
        rows.map(|row| {
            let (envelope, body, accepted_at, received_at, wire_bytes): (Vec<u8>, Vec<u8>, i64, i64, i64) = row?;
            Ok(HeldEnvelope {
                id: id(&envelope)?,
                body: body.into(),
                accepted_at: time(accepted_at)?,
                received_at: time(received_at)?,
                wire_bytes: unsigned(wire_bytes, "held.wire_bytes")?,
            })
        })
        .collect()
    }

    /// Senders of what is held while no identity is known to have changed: the server must be asked who they are.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn strangers(&self) -> Result<HashSet<AccountTag>, DatabaseError> {
        let mut query = self.connection.prepare_cached(
            "SELECT DISTINCT sender FROM held
             WHERE sender NOT IN (SELECT tag FROM contacts WHERE changed_identity IS NOT NULL)",
        )?;
        let rows = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|tag| AccountTag::from_slice(&tag?).map_err(|_| DatabaseError::Invalid("held.sender"))).collect()
    }

    /// Lets go of a held envelope.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn remove_held(&self, id: EnvelopeId) -> Result<(), DatabaseError> {
        self.connection.execute("DELETE FROM held WHERE envelope_id = ?", [id.as_bytes()])?;
        Ok(())
    }

    /// Notes an envelope that did not open; the oldest notes beyond [`UNREADABLE_MAX`] go.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_unreadable(&self, note: &Unreadable) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached(
                "INSERT INTO unreadable (envelope_id, reason, accepted_at, received_at) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![
                note.id.as_bytes(),
                note.reason,
                integer(note.accepted_at.get()),
                integer(note.received_at.get()),
            ])?;
        self.connection
            .execute("DELETE FROM unreadable WHERE seq <= (SELECT max(seq) FROM unreadable) - ?", [UNREADABLE_MAX])?;
        Ok(())
    }

    /// The notes of envelopes that did not open, oldest first.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn unreadable(&self) -> Result<Vec<Unreadable>, DatabaseError> {
        let mut query = self
            .connection
            .prepare("SELECT envelope_id, reason, accepted_at, received_at FROM unreadable ORDER BY seq")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        rows.map(|row| {
            let (envelope, reason, accepted_at, received_at): (Vec<u8>, String, i64, i64) = row?;
            Ok(Unreadable {
                id: id(&envelope)?,
                reason,
                accepted_at: time(accepted_at)?,
                received_at: time(received_at)?,
            })
        })
        .collect()
    }
}
