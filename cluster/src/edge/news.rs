//! All that an edge may know of its cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AuthorityCertificate, ClusterId, ClusterView, MemberState, NodeCertificate, NodeId};

const VERSION: u8 = 1;
/// Longest encoded news, in bytes: [`MEMBERS_MAX`](crate::control::MEMBERS_MAX) nodes with the longest addresses, and
/// authorities.
pub const EDGE_NEWS_BYTES_MAX: usize = 256 * 1024;

/// What an edge is told. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct EdgeNews {
    /// Which cluster it is.
    pub cluster: ClusterId,
    /// Grows with each change of who serves clients, and where.
    pub generation: u64,
    /// Whose certificates are believed, newest first.
    pub authorities: Vec<AuthorityCertificate>,
    /// The newest one of the edge itself.
    pub certificate: NodeCertificate,
    /// Those who serve clients.
    pub nodes: BTreeMap<NodeId, EdgeNode>,
}

/// A node, as an edge knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct EdgeNode {
    /// What people call it.
    pub name: String,
    /// Its TLS key, a DER-encoded `SubjectPublicKeyInfo`.
    pub key: Vec<u8>,
    /// `HOST:PORT` where edges and nodes ask it.
    pub peer_address: String,
    /// Where an edge reaches it, once it has said so.
    pub offer: Option<Offer>,
    /// It keeps the connections that it has, and gets no more.
    pub draining: bool,
}

/// Where an edge reaches a node. The node says it itself: the name under which clients know it may be that of the edge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Offer {
    /// `HOST:PORT` that clients' connections go to.
    pub clients: String,
    /// `HOST:PORT` of its admin listener, if it has one that others reach.
    pub ready: Option<String>,
}

/// What nodes have said, as one of them has heard it.
pub type Offers = BTreeMap<NodeId, Offer>;

/// Bytes that are no news of a version that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not news of a cluster that this program knows")]
pub struct BadNews;

/// What this edge is told by somebody who sees the cluster so and has heard these offers. `None` when it may be told nothing.
pub fn of(view: &ClusterView, edge: NodeId, offers: &Offers) -> Option<EdgeNews> {
    let certificate = view.edges.get(&edge)?.certificate.clone()?;
    let nodes = view.members.iter().filter_map(|(node, member)| {
        let draining = match member.state {
            MemberState::Pending | MemberState::Joining => return None,
            MemberState::Active => false,
            MemberState::Draining => true,
        };
        let told = EdgeNode {
            name: member.name.clone(),
            key: member.key.clone(),
            peer_address: member.peer_address.clone(),
            offer: offers.get(node).cloned(),
            draining,
        };
        Some((*node, told))
    });
    Some(EdgeNews {
        cluster: view.cluster,
        generation: view.edge_generation,
        authorities: view.authorities.clone(),
        certificate,
        nodes: nodes.collect(),
    })
}

impl EdgeNews {
    /// `version(1) || postcard`
    pub fn encode(&self) -> Vec<u8> {
        // Writing into memory does not fail; were it to, the other side would see no news.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Reads what [`EdgeNews::encode`] wrote, and nothing after it.
    ///
    /// # Errors
    /// [`BadNews`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadNews> {
        let [VERSION, rest @ ..] = bytes else { return Err(BadNews) };
        if bytes.len() > EDGE_NEWS_BYTES_MAX {
            return Err(BadNews);
        }
        match postcard::take_from_bytes(rest) {
            Ok((news, [])) => Ok(news),
            _ => Err(BadNews),
        }
    }
}
