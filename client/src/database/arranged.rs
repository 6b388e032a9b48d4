//! How conversations are kept in a list of them: above the others, or without anybody being told of their messages.

use endtoend_protocol::{AccountTag, Arrangement, Muted, UnixMillis};
use rusqlite::params;

use super::{DatabaseError, Store, integer, unsigned};

impl Store<'_> {
    /// Keeps a conversation otherwise. Nothing when that person is not known.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_arrangement(&self, with: AccountTag, arrangement: Arrangement) -> Result<(), DatabaseError> {
        let muted_until = match arrangement.muted {
            Muted::No => None,
            Muted::Until(until) => Some(integer(until.get())),
            Muted::ForGood => Some(i64::MAX),
        };
        self.connection
            .prepare_cached("UPDATE contacts SET pinned = ?, muted_until = ? WHERE tag = ?")?
            .execute(params![arrangement.pinned, muted_until, with.as_bytes()])?;
        Ok(())
    }
}

/// As it lies in a row.
pub(super) fn read(pinned: bool, muted_until: Option<i64>) -> Result<Arrangement, DatabaseError> {
    let muted = match muted_until {
        None => Muted::No,
        Some(i64::MAX) => Muted::ForGood,
        Some(until) => Muted::Until(UnixMillis::new(unsigned(until, "contacts.muted_until")?)),
    };
    Ok(Arrangement { pinned, muted })
}
