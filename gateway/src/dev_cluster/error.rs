//! What can go wrong.

use std::io;
use std::path::PathBuf;

use endtoend_keeper::KeeperError;

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    #[error("the cluster was told to stop before it was there")]
    Stopped,
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    #[error("cannot {what}")]
    Io { what: &'static str, source: io::Error },
    #[error("{name} has ended before it was ready; its log, {}, ends with:\n{said}", log.display())]
    Ended { name: String, log: PathBuf, said: String },
    #[error("waited {seconds} s in vain until {what}")]
    TooLong { what: String, seconds: u64 },
    #[error("endtoend {command} failed: {text}")]
    Refused { command: String, text: String },
    #[error("endtoend {command} printed what was not expected: {text}")]
    Unexpected { command: String, text: String },
    #[error("{} is in use by another dev-cluster", .0.display())]
    InUse(PathBuf),
    #[error("{} has {there} nodes, and less than all of them may not be enough to agree: start it with --nodes {there} or more", folder.display())]
    Fewer { folder: PathBuf, there: usize },
    #[error("there is no haproxy in PATH: install Debian's package haproxy")]
    NoHaproxy,
}

impl DevError {
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
