//! The own signed keys: which were made together, which the server has, and until when old ones are kept.

use endtoend_protocol::UnixMillis;
use rusqlite::{Row, params};

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

impl Store<'_> {
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
