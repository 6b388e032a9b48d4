//! What can be asked about the cluster, with the answers.

use clap::ValueEnum;
use endtoend_cluster::control::Timings;
use serde::{Deserialize, Serialize};

use crate::admin::OnionView;

/// On the wire: `{"cluster":{"status":{}}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ClusterRequest {
    /// `edge`: for an edge, and not for a node.
    TokenCreate {
        life_ms: u64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        edge: bool,
    },
    TokenList {},
    TokenRevoke {
        id: String,
    },
    Status {},
    /// `node`: an id, the beginning of one, or a name.
    Change {
        what: Change,
        node: String,
        wait_ms: u64,
    },
    TransferLeader {
        node: Option<String>,
        wait_ms: u64,
    },
    Rotate {
        wait_ms: u64,
    },
    Elections {
        timings: Elections,
        wait_ms: u64,
    },
}

/// How soon a silent leader is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Elections {
    /// Nodes on one machine: 0.5 to 1 s.
    Loopback,
    /// Nodes a few milliseconds apart: 1.2 to 2 s.
    Lan,
    /// Nodes on several continents: 4 to 7 s.
    Wan,
}

impl Elections {
    const ALL: [Self; 3] = [Self::Loopback, Self::Lan, Self::Wan];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    pub(super) const fn timings(self) -> Timings {
        match self {
            Self::Loopback => Timings::LOOPBACK,
            Self::Lan => Timings::LAN,
            Self::Wan => Timings::WAN,
        }
    }

    /// Those of these timings; none for such as no command makes.
    pub(super) fn of(timings: Timings) -> Option<Self> {
        Self::ALL.into_iter().find(|elections| elections.timings() == timings)
    }
}

/// What is to become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Approve,
    Reject,
    Drain,
    Undrain,
    Remove,
}

impl Change {
    /// As it is said when it was done.
    pub(crate) const fn done(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::Drain => "drained",
            Self::Undrain => "undrained",
            Self::Remove => "removed",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ClusterAnswer {
    /// The token is in no other answer. `seed`: where a node joins with it.
    TokenCreated {
        token: String,
        seed: String,
        view: TokenView,
    },
    Tokens {
        tokens: Vec<TokenView>,
    },
    TokenRevoked {
        id: String,
    },
    Status(Box<ClusterStatus>),
    Changed(Changed),
    Leads {
        leader: String,
        name: String,
        term: u64,
    },
    Elections {
        timings: Elections,
        changed: bool,
    },
    /// The generation of the secrets.
    Rotated {
        generation: u64,
    },
}

/// A join token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenView {
    pub(crate) id: String,
    pub(crate) expires_at: u64,
    pub(crate) used_by: Option<String>,
}

/// What has become of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changed {
    pub(crate) what: Change,
    pub(crate) id: String,
    pub(crate) name: String,
    /// None when it is out.
    pub(crate) state: Option<String>,
    /// `false`: it was so already.
    pub(crate) changed: bool,
    /// Of clients, if it says so.
    pub(crate) connections: Option<u64>,
}

/// The cluster, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterStatus {
    pub(crate) cluster: String,
    pub(crate) me: String,
    pub(crate) leader: Option<String>,
    pub(crate) term: u64,
    /// Of what edges follow.
    pub(crate) generation: u64,
    /// Of the shared secrets.
    pub(crate) secrets: u64,
    pub(crate) elections: Option<Elections>,
    pub(crate) nodes: Vec<NodeView>,
    #[serde(default)]
    pub(crate) edges: Vec<EdgeView>,
    /// Of the asked node alone; `None` where it has none.
    #[serde(default)]
    pub(crate) onion: Option<OnionView>,
}

/// An edge, as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeView {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `pending` or `active`.
    pub(crate) state: String,
    /// It follows the asked node at the moment. It may follow any.
    pub(crate) follows: bool,
    pub(crate) version: String,
    pub(crate) certificate_expires_at: Option<u64>,
}

/// A node, as another one or itself sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: String,
    /// `leader`, `voter`, `learner`; `none` before it is approved.
    pub(crate) role: String,
    pub(crate) address: String,
    pub(crate) client_address: String,
    /// `self`, `up`, `down` with the last fault of its link; `waiting` before it is approved.
    pub(crate) health: String,
    pub(crate) fault: Option<String>,
    /// Of clients, if it answers.
    pub(crate) connections: Option<u64>,
    pub(crate) version: String,
    pub(crate) certificate_expires_at: Option<u64>,
    /// Of the protocol of its link; none without one.
    pub(crate) link_version: Option<u16>,
    /// None when it was never heard.
    pub(crate) last_heard_ms: Option<u64>,
    pub(crate) rtt_us: Option<u64>,
}
