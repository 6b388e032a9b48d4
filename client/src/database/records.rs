//! The ratchets' records: the SQLite twin of `MemoryRecords`.

use endtoend_crypto_e2e::{Changes, ReadyKeys, RecordKey, Records, RecordsError};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{DatabaseError, Store};

impl Records for Store<'_> {
    fn get(&self, key: &RecordKey) -> Result<Option<Zeroizing<Vec<u8>>>, RecordsError> {
        let (kind, id) = (key.kind(), key.id());
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT value FROM records WHERE kind = ? AND id = ?")
            .and_then(|mut query| query.query_row(params![kind, id], |row| row.get(0)).optional())
            .map_err(|error| RecordsError::new(DatabaseError::from(error)))?;
        sealed.map(|sealed| self.sealer.open(kind, &id, &sealed)).transpose().map_err(RecordsError::new)
    }

    fn ready_keys(&self) -> Option<&ReadyKeys> {
        Some(self.ready_keys)
    }
}

impl Store<'_> {
    /// Makes the changes that an operation of the ratchets asked for.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn apply(&self, changes: &Changes) -> Result<(), DatabaseError> {
        changes.iter().try_for_each(|(key, value)| self.replace_record(key, value))
    }

    /// Writes one record, or with `None` removes it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn replace_record(&self, key: &RecordKey, value: Option<&[u8]>) -> Result<(), DatabaseError> {
        let (kind, id) = (key.kind(), key.id());
        match value {
            Some(value) => self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO records (kind, id, value) VALUES (?, ?, ?)")?
                .execute(params![kind, id, self.sealer.seal(kind, &id, value)])?,
            None => self
                .connection
                .prepare_cached("DELETE FROM records WHERE kind = ? AND id = ?")?
                .execute(params![kind, id])?,
        };
        Ok(())
    }
}
