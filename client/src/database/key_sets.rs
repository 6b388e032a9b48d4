//! The own keys: which signed ones were made together, which the server has, and until when old ones are kept.

use std::time::Duration;

use endtoend_crypto_e2e::RecordKey;
use endtoend_protocol::UnixMillis;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{DatabaseError, Store, integer, unsigned};

/// A signed pre-key, a last-resort ML-KEM pre-key and an envelope key that were made together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// Names the set; a later one is larger.
    pub seq: i64,
    /// Id of the signed pre-key.
    pub signed: u32,
    /// Id of the last-resort ML-KEM pre-key.
    pub kem: u32,
    /// Id of the envelope key.
    pub envelope: u32,
    /// When it was made, by this device's clock.
    pub made_at: UnixMillis,
    /// When another takes its place.
    pub rotate_at: UnixMillis,
    /// Whether the server has said that it has it.
    pub published: bool,
    /// Since when the server has a later one.
    pub retired_at: Option<UnixMillis>,
}

/// Kinds of own keys among the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKeys {
    /// X25519, used once.
    OneTimePreKeys,
    /// ML-KEM, used once or as last resort.
    KemPreKeys,
    /// Of the sets.
    SignedPreKeys,
    /// Of the sets.
    EnvelopeKeys,
}

impl OwnKeys {
    const fn key(self, id: u32) -> RecordKey {
        match self {
            Self::OneTimePreKeys => RecordKey::OneTimePreKey(id),
            Self::KemPreKeys => RecordKey::KemPreKey(id),
            Self::SignedPreKeys => RecordKey::SignedPreKey(id),
            Self::EnvelopeKeys => RecordKey::EnvelopeKey(id),
        }
    }
    const fn kind(self) -> &'static str {
        self.key(0).kind()
    }
}

/// Ids of own keys are kept as four bytes whose order is that of the numbers.
fn key_id(bytes: Vec<u8>) -> Result<u32, DatabaseError> {
    bytes.try_into().map(u32::from_be_bytes).map_err(|_| DatabaseError::Invalid("records.id"))
}

impl Store<'_> {
    /// Ids of all keys of a kind, ascending.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn own_keys(&self, keys: OwnKeys) -> Result<Vec<u32>, DatabaseError> {
        let mut query = self.connection.prepare_cached("SELECT id FROM records WHERE kind = ? ORDER BY id")?;
        let rows = query.query_map([keys.kind()], |row| row.get(0))?;
        rows.map(|id| key_id(id?)).collect()
    }

    /// Ids of ML-KEM pre-keys of which it is not noted that they are one-time keys, ascending.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn unnoted_kem_keys(&self) -> Result<Vec<u32>, DatabaseError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT id FROM records WHERE kind = 'kem_pre_key' AND published IS NULL ORDER BY id")?;
        let rows = query.query_map([], |row| row.get(0))?;
        rows.map(|id| key_id(id?)).collect()
    }

    /// Notes that these ML-KEM pre-keys are one-time keys, as all X25519 keys of that kind are.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn note_one_time_keys(&self, kem: &[u32]) -> Result<(), DatabaseError> {
        self.connection
            .execute("UPDATE records SET published = 0 WHERE kind = 'one_time_pre_key' AND published IS NULL", [])?;
        let mut note =
            self.connection.prepare_cached("UPDATE records SET published = 0 WHERE kind = 'kem_pre_key' AND id = ?")?;
        kem.iter().try_for_each(|id| note.execute([id.to_be_bytes()]).map(drop)).map_err(Into::into)
    }

    /// The server has said that it has taken the one-time keys with the ids `first` to `last`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn one_time_keys_published(&self, keys: OwnKeys, (first, last): (u32, u32)) -> Result<(), DatabaseError> {
        self.connection.execute(
            "UPDATE records SET published = 1 WHERE kind = ? AND id BETWEEN ? AND ?",
            params![keys.kind(), first.to_be_bytes(), last.to_be_bytes()],
        )?;
        Ok(())
    }

    /// The server holds `held` one-time keys of a kind. It hands out the oldest first, so these are the latest; all before
    /// them are handed out. Keys whose upload was not answered do not count as held, which errs on the side of keeping.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn note_handed_out(&self, keys: OwnKeys, held: u32, now: UnixMillis) -> Result<(), DatabaseError> {
        // One further back than those that are held: the latest that is handed out.
        let latest: Option<Vec<u8>> = self
            .connection
            .prepare_cached(
                "SELECT id FROM records WHERE kind = ? AND published = 1 ORDER BY id DESC LIMIT 1 OFFSET ?",
            )?
            .query_row(params![keys.kind(), held], |row| row.get(0))
            .optional()?;
        let Some(latest) = latest else { return Ok(()) };
        self.connection.execute(
            "UPDATE records SET handed_out_at = ?
             WHERE kind = ? AND id <= ? AND published IS NOT NULL AND handed_out_at IS NULL",
            params![integer(now.get()), keys.kind(), latest],
        )?;
        Ok(())
    }

    /// Destroys one-time keys that were handed out `kept` ago and never used. What was sealed for them opens no more.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn destroy_one_time_keys(&self, now: UnixMillis, kept: Duration) -> Result<(), DatabaseError> {
        let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        self.connection.execute(
            "DELETE FROM records WHERE kind IN ('one_time_pre_key', 'kem_pre_key') AND handed_out_at <= ?",
            [integer(now.get().saturating_sub(kept))],
        )?;
        Ok(())
    }

    /// Adds a set, whose `seq` is made here and returned.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_key_set(&self, set: &KeySet) -> Result<i64, DatabaseError> {
        self.connection.execute(
            "INSERT INTO key_sets (signed, kem, envelope, made_at, rotate_at, published, retired_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                set.signed,
                set.kem,
                set.envelope,
                integer(set.made_at.get()),
                integer(set.rotate_at.get()),
                set.published,
                set.retired_at.map(|at| integer(at.get())),
            ],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    /// All that are kept, oldest first.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn key_sets(&self) -> Result<Vec<KeySet>, DatabaseError> {
        let mut query = self.connection.prepare_cached(
            "SELECT seq, signed, kem, envelope, published, made_at, rotate_at, retired_at FROM key_sets ORDER BY seq",
        )?;
        let read = |row: &Row<'_>| {
            let ids = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((ids, [row.get::<_, Option<i64>>(5)?, row.get(6)?, row.get(7)?]))
        };
        let rows = query.query_map([], read)?;
        rows.map(|row| {
            let ((seq, signed, kem, envelope, published), times) = row?;
            let [made_at, rotate_at, retired_at] =
                times.map(|at| at.map(|at| unsigned(at, "key_sets").map(UnixMillis::new)).transpose());
            let (Some(made_at), Some(rotate_at)) = (made_at?, rotate_at?) else {
                return Err(DatabaseError::Invalid("key_sets"));
            };
            Ok(KeySet { seq, signed, kem, envelope, made_at, rotate_at, published, retired_at: retired_at? })
        })
        .collect()
    }

    /// The server has this set, and with it no other.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn key_set_published(&self, seq: i64, now: UnixMillis) -> Result<(), DatabaseError> {
        self.connection.execute("UPDATE key_sets SET published = 1, retired_at = NULL WHERE seq = ?", [seq])?;
        self.connection.execute(
            "UPDATE key_sets SET retired_at = ? WHERE seq <> ? AND retired_at IS NULL",
            params![integer(now.get()), seq],
        )?;
        Ok(())
    }

    /// Forgets a set whose keys are destroyed, and the uses of its last-resort key.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn remove_key_set(&self, set: &KeySet) -> Result<(), DatabaseError> {
        self.connection.execute("DELETE FROM key_sets WHERE seq = ?", [set.seq])?;
        self.connection
            .execute("DELETE FROM records WHERE kind = 'kem_used' AND substr(id, 1, 4) = ?", [set.kem.to_be_bytes()])?;
        Ok(())
    }
}
