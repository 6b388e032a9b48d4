//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// Why a program is not there, or does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// Something has to be installed.
    #[error("there is no {program}: install Debian's package {package}")]
    Missing {
        /// Which program.
        program: &'static str,
        /// Where Debian has it.
        package: &'static str,
    },
    /// Something newer has to be installed.
    #[error("PostgreSQL {version} in {} is too old: {oldest} or later is needed", folder.display())]
    TooOld {
        /// What was found.
        version: u32,
        /// Where.
        folder: PathBuf,
        /// What is needed.
        oldest: u32,
    },
    /// PostgreSQL refuses to run as root.
    #[error("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody")]
    NobodyToRunAs,
    /// The path of a Unix socket has at most 107 bytes.
    #[error("{} is too long a path for a socket: choose a shorter one", .0.display())]
    LongPath(PathBuf),
    /// It ended, or was not ready in time.
    #[error("{name} did not start: {said}")]
    NotStarted {
        /// Which program.
        name: &'static str,
        /// What it has said.
        said: String,
    },
    /// Somebody has ended the shell that keeps it.
    #[error("the shell that keeps {0} has ended")]
    NotKept(&'static str),
    /// The system refuses.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl KeeperError {
    /// For `map_err`.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
