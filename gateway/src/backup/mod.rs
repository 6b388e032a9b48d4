//! A backup: one directory with a copy of the database, the secrets that lie in the data directory, and a manifest by which
//! damage is found. [`make()`] writes one while the node runs, [`restore()`] turns one into a data directory.
//!
//! The manifest's hashes find damage, not malice: whoever can write to a backup can write its manifest too.

mod files;
mod make;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;

pub(crate) use make::{BackupDone, make};
pub(crate) use restore::{Restored, restore};
