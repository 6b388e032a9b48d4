//! Who belongs to a cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum MemberState {
    /// It has asked to join, and waits for an operator.
    Pending,
    /// Approved: it receives the log, and has no vote yet.
    Joining,
    /// Serves clients.
    Active,
    /// Serves those it has, and takes no more.
    Draining,
}

impl MemberState {
    /// Whether a link to this member may exist.
    pub const fn may_link(self) -> bool {
        match self {
            Self::Pending => false,
            Self::Joining | Self::Active | Self::Draining => true,
        }
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Draining => "draining",
        })
    }
}

/// One node of the cluster, as all members know it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub state: MemberState,
    /// Its TLS key, a DER-encoded `SubjectPublicKeyInfo`: nobody else is believed to be it.
    pub key: Vec<u8>,
    /// `HOST:PORT` that other nodes connect to.
    pub peer_address: String,
    /// `HOST:PORT` that clients and edges connect to.
    pub client_address: String,
    /// Of its program.
    pub version: String,
}
