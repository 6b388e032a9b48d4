//! What the device keeps: account, ratchets, contacts, messages, outbox.
//!
//! The file is SQLCipher's, so look-ups and order leak nothing; bodies, keys and ratchet states in it are sealed once
//! more by the PQ AEAD, each bound to the place where it belongs (`sealing`).
//!
//! Everything that must happen together is one [`Database::write`]: when it returns, it is on disk (WAL, fsync on each
//! commit); when it fails or the process dies inside it, nothing happened.

mod account;
mod amendments;
mod arranged;
mod chains;
mod contacts;
mod conversations;
mod drafts;
mod early;
mod faces;
mod files;
mod introduced;
mod key_sets;
mod lives;
mod messages;
mod notices;
mod outbox;
mod peer_devices;
mod pending;
mod received;
mod records;
mod removal;
mod removed;
mod repair;
mod schema;
mod sealing;
mod search;
mod settled;
mod trust;
mod unknown;
mod whole;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_killed;
#[cfg(test)]
mod tests_removal;
#[cfg(test)]
mod tests_removed;
#[cfg(test)]
mod tests_search;

use std::path::Path;

use endtoend_crypto_e2e::{ReadyKeys, RecordsError};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

pub use account::{Account, AccountState, Seed, StoredToken};
pub use amendments::Amended;
pub use contacts::{Contact, Standing};
pub use conversations::{CONVERSATIONS_MAX, Conversation};
pub use drafts::{DRAFTS_MAX, Draft, Edits};
pub use early::{EARLY_AGE_MAX, EARLY_MAX, EARLY_MAX_PER_PEER, SaidEarly};
pub use faces::OwnFace;
pub(crate) use files::KeptFile;
pub use files::{FileFault, FileState, StoredFile};
pub use key_sets::{KeySet, OwnKeys};
pub use lives::Settings;
pub use messages::{Body, Direction, Marks, MessageRef, MessageState, Page, StoredMessage};
pub use notices::{NOTICES_MAX, Notice, NoticeKind};
pub use outbox::{OUTBOX_MAX, OutboxItem, SealedItem};
pub use peer_devices::PeerDevice;
pub use pending::{Pending, Why};
pub use received::{HELD_MAX_PER_CONTACT, HeldEnvelope, RECEIVED_AGE_MAX, RECEIVED_MAX, UNREADABLE_MAX, Unreadable};
pub use removal::Extent;
pub use removed::{REMOVED_AGE_MAX, REMOVED_MAX};
pub use repair::{SENT_AGE_MAX, SentEnvelope};
use sealing::Sealer;
pub use search::{FOUND_MAX, Question};
pub use unknown::Unread;

use crate::profile::DatabaseKey;

/// Why the database refused. No text in it comes from a person.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The key does not fit, or the file is none of ours, or damaged, or truncated.
    #[error("not a readable database of this profile")]
    Unreadable,
    /// A sealed value is damaged, or is not the one that belongs in its place.
    #[error("a sealed {kind} does not open")]
    Sealed {
        /// What kind of value.
        kind: &'static str,
    },
    /// A value breaks its rule.
    #[error("column {0} holds what this program never wrote")]
    Invalid(&'static str),
    /// The file was written by a later version of this program.
    #[error("the database was written by a newer version of this program")]
    Newer,
    /// The disk is full. Nothing was changed.
    #[error("the disk is full")]
    Full,
    /// The bound of a table was reached.
    #[error("{table} is at its limit of {max}")]
    Limit {
        /// Which.
        table: &'static str,
        /// In rows.
        max: usize,
    },
    /// The engine that owns the database has stopped.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
    /// A ratchet's record could not be read.
    #[error("a ratchet's record could not be read")]
    Records(#[source] RecordsError),
    /// Anything else that SQLite says.
    #[error("the database failed")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<RecordsError> for DatabaseError {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Unreadable,
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(error),
        }
    }
}

/// Statements that are kept ready. There are fewer in this crate; one that does not fit would be read anew each time, and a message alone
/// needs more than the 16 that are usual.
const STATEMENTS_MAX: usize = 256;

/// The open database of a profile.
pub struct Database {
    connection: Connection,
    sealer: Sealer,
    ready_keys: ReadyKeys,
    /// For a second connection. SQLCipher and the sealer have it anyway.
    key: DatabaseKey,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database")
    }
}

impl Database {
    /// Makes the tables in the empty file at `path`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn create(path: &Path, key: &DatabaseKey) -> Result<Self, DatabaseError> {
        let mut database = Self::connect(path, key)?;
        schema::check_new(&database.connection)?;
        database.prepare()?;
        Ok(database)
    }

    /// Opens the database at `path` and brings its tables up to date. A file that cannot be read is left as it is.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn open(path: &Path, key: &DatabaseKey) -> Result<Self, DatabaseError> {
        let mut database = Self::connect(path, key)?;
        schema::check_known(&database.connection)?;
        database.prepare()?;
        Ok(database)
    }

    /// Reads only: what follows may still find that the file must be left alone.
    fn connect(path: &Path, key: &DatabaseKey) -> Result<Self, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // SQLCipher would write to standard error what is returned as an error anyway.
        connection.execute_batch("PRAGMA cipher_log_level = NONE;")?;
        // Pages, words of questions and answers are overwritten when SQLite frees them. It holds for all of this process from then on.
        connection.execute_batch("PRAGMA cipher_memory_security = ON;")?;
        connection.execute_batch(&sealing::key_pragma(key))?;
        // The first read: a wrong key shows here.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(Self { connection, sealer: Sealer::new(key), ready_keys: ReadyKeys::default(), key: key.again() })
    }

    fn prepare(&mut self) -> Result<(), DatabaseError> {
        self.connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;",
        )?;
        schema::migrate(&mut self.connection)?;
        self.write(|store| store.index_older())
    }

    /// Makes this a database of the first version, as it was.
    #[cfg(test)]
    pub(crate) fn downgrade(&self) {
        schema::downgrade(&self.connection);
    }

    /// Makes what was sealed look as if it had been before there were chains.
    #[cfg(test)]
    pub(crate) fn forget_places(&self) {
        self.connection.execute_batch("UPDATE sent SET place = NULL; DELETE FROM chains_out;").unwrap();
    }

    /// To be looked for where it must not be.
    #[cfg(test)]
    pub(crate) fn key_of_test(&self) -> &[u8] {
        self.key.as_ref()
    }

    /// What is stored, to read.
    pub fn read(&self) -> Store<'_> {
        Store { connection: &self.connection, sealer: &self.sealer, ready_keys: &self.ready_keys }
    }

    /// Empties the write-ahead log, which holds earlier versions of pages: only then is what was deleted out of the files.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn empty_log(&self) -> Result<(), DatabaseError> {
        // The row that it answers with says whether a reader was in the way: the next time will do.
        Ok(self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    /// Does all of `change` or, when it fails, none of it.
    ///
    /// # Errors
    /// Those of `change`, and what the commit may meet.
    pub fn write<T, E: From<DatabaseError>>(
        &mut self,
        change: impl FnOnce(&Store<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(DatabaseError::from)?;
        let done = change(&Store { connection: &transaction, sealer: &self.sealer, ready_keys: &self.ready_keys })?;
        transaction.commit().map_err(DatabaseError::from)?;
        Ok(done)
    }
}

/// The tables, inside or outside of a transaction. Methods that write are for [`Database::write`].
pub struct Store<'a> {
    connection: &'a Connection,
    sealer: &'a Sealer,
    ready_keys: &'a ReadyKeys,
}

/// A column of exactly `N` bytes.
fn array<const N: usize>(bytes: &[u8], column: &'static str) -> Result<[u8; N], DatabaseError> {
    bytes.try_into().map_err(|_| DatabaseError::Invalid(column))
}

/// SQLite's integers are signed: times beyond the year 292 million are cut.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64, column: &'static str) -> Result<u64, DatabaseError> {
    u64::try_from(number).map_err(|_| DatabaseError::Invalid(column))
}
