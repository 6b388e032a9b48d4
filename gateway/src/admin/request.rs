//! Everything that can be asked, with the answers: the contract of the admin socket on one page.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::cluster::{ClusterAnswer, ClusterRequest};
use crate::backup::BackupDone;
use crate::commands::Failure;
use crate::limits::Operation;
use crate::services::Registration;

/// A request. On the wire: `{"status":{}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum AdminRequest {
    Status {},
    /// An absolute path: the directory to make, or one that is there, to make a new one in.
    Backup {
        to: PathBuf,
    },
    InviteCreate {
        uses: u32,
        life_ms: u64,
        note: String,
    },
    InviteList {},
    InviteRevoke {
        invite: String,
    },
    UserList {
        /// Of the tag, in hex.
        #[serde(default)]
        prefix: String,
        /// The last tag of the page before.
        after: Option<String>,
    },
    UserShow {
        who: Named,
    },
    UserDisable {
        who: Named,
        disabled: bool,
    },
    UserDelete {
        who: Named,
    },
    Audit {
        who: Option<Named>,
        event: Option<String>,
        since_ms: u64,
        until_ms: Option<u64>,
        /// After this row.
        after: u64,
        /// Instead of `after`: the last ones.
        last: Option<u32>,
        max: u32,
    },
    AuditVerify {},
    AbuseStats {},
    Cluster(ClusterRequest),
}

/// How a request names an account. `Debug` shows no handle.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Named {
    /// The tag or its beginning, in hex.
    Tag(String),
    Handle(String),
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "Tag({tag})"),
            Self::Handle(_) => f.write_str("Handle(..)"),
        }
    }
}

/// How a command takes the store of a stopped node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// As another version may have left it.
    AsFound,
    /// Migrated first, as a start would do it.
    Migrated,
}

impl AdminRequest {
    pub(super) const fn opening(&self) -> Opening {
        match self {
            // A backup before an upgrade must be possible with the newer program, and must keep the older schema.
            Self::Status {} | Self::Backup { .. } | Self::AbuseStats {} | Self::Cluster(_) => Opening::AsFound,
            Self::InviteCreate { .. }
            | Self::InviteList {}
            | Self::InviteRevoke { .. }
            | Self::UserList { .. }
            | Self::UserShow { .. }
            | Self::UserDisable { .. }
            | Self::UserDelete { .. }
            | Self::Audit { .. }
            | Self::AuditVerify {} => Opening::Migrated,
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
    /// The code is in no other answer.
    InviteCreated {
        code: String,
        invite: InviteView,
    },
    Invites {
        /// `None` for a stopped node.
        registration: Option<Registration>,
        invites: Vec<InviteView>,
    },
    InviteRevoked {},
    /// A page; `more` when another one may follow.
    Users {
        users: Vec<UserView>,
        more: bool,
    },
    /// As it is now; as it was, when it was deleted.
    User(UserView),
    /// A page; `more` when another one may follow the row `next`.
    Audit {
        rows: Vec<AuditView>,
        next: u64,
        more: bool,
    },
    AuditVerdict {
        /// Rows that were checked; `None` when one is broken.
        rows: Option<u64>,
        /// The first row that is changed, missing or added.
        broken: Option<u64>,
    },
    Abuse {
        connections: u64,
        accounts: u64,
        limits: Vec<LimitView>,
    },
    Cluster(ClusterAnswer),
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
    /// When the oldest of them was accepted.
    pub(crate) oldest_accepted_ms: Option<u64>,
    pub(crate) database_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunningStatus {
    /// By the node's clock.
    pub(crate) since_ms: u64,
    /// `accepting`, `draining` or `closed`.
    pub(crate) state: String,
    pub(crate) listen: String,
    pub(crate) address: String,
    pub(crate) pid: u32,
    /// Of the listener for those who watch.
    pub(crate) admin: Option<String>,
    /// Why the node is not ready; nothing when it is.
    pub(crate) not_ready: Vec<String>,
    /// `None` where it has none.
    #[serde(default)]
    pub(crate) onion: Option<Box<OnionView>>,
}

/// The node's onion service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnionView {
    /// `endtoend://….onion:port/#pin=…`
    pub(crate) address: String,
    /// `node` or `tor`: who hosts it.
    pub(crate) host: String,
    /// `connecting`, `publishing`, `up`, `faulty`; `elsewhere` when a `tor` hosts it.
    pub(crate) state: String,
    /// How far it is, or what is wrong.
    pub(crate) detail: Option<String>,
}

/// An invitation, without its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteView {
    pub(crate) id: String,
    pub(crate) note: String,
    pub(crate) uses: u32,
    pub(crate) uses_left: u32,
    pub(crate) created_at_ms: u64,
    pub(crate) expires_at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserView {
    pub(crate) tag: String,
    pub(crate) created_at_ms: u64,
    pub(crate) disabled_at_ms: Option<u64>,
    pub(crate) devices: u32,
    pub(crate) queued_envelopes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditView {
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    /// Pseudonym, in hex.
    pub(crate) account: Option<String>,
    pub(crate) device: Option<u8>,
    pub(crate) event: String,
    pub(crate) outcome: String,
    pub(crate) signals: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitView {
    pub(crate) operation: Operation,
    pub(crate) burst: u32,
    pub(crate) every_ms: u64,
    pub(crate) allowed: u64,
    pub(crate) refused: u64,
    pub(crate) worked: u64,
    pub(crate) subjects: u64,
}
