//! Everything that can be asked, with the answers: the contract of the admin socket on one page.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::backup::BackupDone;
use crate::commands::Failure;

/// A request. On the wire: `{"status":{}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum AdminRequest {
    Status {},
    /// An absolute path: the directory to make, or one that is there, to make a new one in.
    Backup {
        to: PathBuf,
    },
}

/// How a command takes the store of a stopped node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// As another version may have left it.
    AsFound,
    /// Migrated first, as a start would do it.
    #[expect(dead_code, reason = "for commands on accounts, which need the present tables")]
    Migrated,
}

impl AdminRequest {
    pub(super) const fn opening(&self) -> Opening {
        match self {
            // A backup before an upgrade must be possible with the newer program, and must keep the older schema.
            Self::Status {} | Self::Backup { .. } => Opening::AsFound,
        }
    }
}

/// An answer. All but `Progress` are the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum AdminAnswer {
    Progress(Progress),
    Status(Status),
    Backup(BackupDone),
    Failed(Failure),
}

/// How far long work is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    pub(crate) what: String,
    pub(crate) bytes: u64,
    /// About.
    pub(crate) bytes_total: u64,
}

/// Takes the newest progress; what nobody has read yet is replaced.
pub(crate) type Reporter = watch::Sender<Progress>;

/// A node and its store in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {
    pub(crate) version: String,
    /// `None` for a stopped node.
    pub(crate) running: Option<RunningStatus>,
    pub(crate) data: PathBuf,
    pub(crate) schema: i64,
    pub(crate) accounts: u64,
    pub(crate) devices: u64,
    pub(crate) queued_envelopes: u64,
    pub(crate) database_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunningStatus {
    /// By the node's clock.
    pub(crate) since_ms: u64,
    pub(crate) listen: String,
    pub(crate) address: String,
    pub(crate) pid: u32,
}
