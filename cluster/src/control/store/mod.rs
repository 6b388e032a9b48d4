//! What raft keeps on disk, and what it leads to.

mod file;
mod log;
mod machine;
mod record;
#[cfg(test)]
mod tests;

pub(super) use file::ControlFile;
pub use file::OpenError;
pub(super) use log::LogStore;
pub(super) use machine::{Known, Machine, admitted, keep_admitted};
