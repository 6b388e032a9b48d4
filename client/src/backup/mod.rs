//! A whole profile in one file: sealed, to come back from, or plain, to read elsewhere.
//!
//! | module | what it is |
//! |---|---|
//! | [`record`] | what is in it, one JSON object for each line |
//! | `sealed` | the sealed file: bytes and chunks |
//! | `gather` | from a database to records |
//! | `restore` | from records to a database that is being made |
//! | [`mod@file`] | files that are whole or not there |
//!
//! A backup has the account's identity, the people, and what was said. It has no ratchet, no pre-key, no token and no device key: who
//! comes back with it is a new device, and its sessions are new ones. Messages that are to disappear are in no backup and in no
//! export: they would outlive themselves there.

pub mod file;
mod gather;
pub mod record;
mod restore;
mod sealed;

#[cfg(test)]
mod tests;

pub use file::{BackupError, Summary, export, write};
pub use restore::{OpenedBackup, RestoreError, Restored};
