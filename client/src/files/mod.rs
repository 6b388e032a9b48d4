//! Files that are sent and fetched, as they lie on this device: sealed, each under its own key, until a person saves one.
//!
//! | module | what it is |
//! |---|---|
//! | `spool` | the folder in which they lie, and their names there |
//! | `prepare` | from a file of a person's to a sealed one: kind, metadata, seals |
//! | `images` | pictures without what a camera or an editor has written into them, and how large they are |
//! | `seal`, `open` | writing and reading what is sealed, a chunk at a time |
//! | `save` | from a sealed file to one of a person's, whole or not at all |
//! | `place` | how whatever is whole gets its name |
//!
//! Nothing here knows a socket or a database. All of it blocks, and runs on threads of its own.

pub mod images;
mod media;
pub(crate) mod open;
pub(crate) mod place;
pub(crate) mod prepare;
pub(crate) mod save;
mod seal;
pub(crate) mod spool;
#[cfg(test)]
mod tests;

pub use open::OpenError;
pub use prepare::{Manner, PrepareError, Source};
pub use save::SaveError;

/// The longest file in bytes that is opened in memory, to be shown.
pub const SHOWN_BYTES_MAX: u64 = 32 * 1024 * 1024;
