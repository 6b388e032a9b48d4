//! Edges: what stands in front of the nodes and follows which there are.
//!
//! An edge has a key and a certificate as a node has, and no part in the cluster: it may hear [`EdgeNews`] and nothing else. How
//! it asks to be let in is in `join`; who carries its words is `link`.

mod join;
mod news;
mod words;

pub(crate) use join::VERSION;
pub use join::{EdgeReply, Judged, judge, request};
pub use news::{BadNews, EDGE_NEWS_BYTES_MAX, EdgeNews, EdgeNode, Offer, Offers, of};
pub use words::{EdgeAnswer, EdgeQuestion};

use endtoend_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::control::{EdgeApplicant, TokenId};
use crate::{KeyHash, NodeCertificate, NodeKeys};

/// An edge, as all members know it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Edge {
    /// What people call it.
    pub name: String,
    /// Its TLS key, a DER-encoded `SubjectPublicKeyInfo`: nobody else is believed to be it.
    pub key: Vec<u8>,
    /// Of its program.
    pub version: String,
    /// Since it was approved.
    pub certificate: Option<NodeCertificate>,
    /// When it asked.
    #[serde(with = "crate::millis")]
    pub since: UnixMillis,
    /// What it showed.
    pub token: TokenId,
}

impl Edge {
    /// Whether it may follow.
    pub const fn is_approved(&self) -> bool {
        self.certificate.is_some()
    }

    /// Names the authority of its certificate.
    pub(crate) fn authority(&self) -> Option<KeyHash> {
        self.certificate.as_ref().map(|certificate| certificate.authority)
    }
}

/// What an edge says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeProfile {
    /// What people call it: 1 to 63 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Of its program.
    pub version: String,
}

impl EdgeProfile {
    fn applicant(&self, keys: &NodeKeys) -> EdgeApplicant {
        let Self { name, version } = self.clone();
        EdgeApplicant { edge: keys.node(), name, key: keys.key(), version }
    }
}

#[cfg(test)]
mod tests;
