//! Which node an operator means.

use endtoend_cluster::NodeId;
use endtoend_cluster::control::ClusterState;

use crate::commands::Failure;

/// Shortest beginning of an id that names a node.
const PREFIX_MIN: usize = 4;

/// A node or an edge, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Node(NodeId, String),
    Edge(NodeId, String),
}

impl Found {
    const fn id(&self) -> NodeId {
        match self {
            Self::Node(id, _) | Self::Edge(id, _) => *id,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Node(_, name) | Self::Edge(_, name) => name,
        }
    }
}

/// A node: by its name, its id, or the beginning of that.
pub(super) fn find_node(state: &ClusterState, text: &str) -> Result<NodeId, Failure> {
    match find(state, text)? {
        Found::Node(node, _) => Ok(node),
        Found::Edge(_, name) => Err(Failure::new(format!("{name} is an edge, and this is for nodes"))),
    }
}

/// By its name, its id, or the beginning of that.
pub(super) fn find(state: &ClusterState, text: &str) -> Result<Found, Failure> {
    let nodes = state.members().iter().map(|(node, entry)| Found::Node(*node, entry.member.name.clone()));
    let edges = state.edges().iter().map(|(edge, known)| Found::Edge(*edge, known.name.clone()));
    let all: Vec<Found> = nodes.chain(edges).collect();
    let named = all.iter().find(|found| found.name() == text);
    let lower = text.to_ascii_lowercase();
    let is_prefix = lower.len() >= PREFIX_MIN && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut begin = all.iter().filter(|found| is_prefix && found.id().to_string().starts_with(&lower));
    match (named, begin.next(), begin.next()) {
        (Some(found), ..) | (None, Some(found), None) => Ok(found.clone()),
        (None, Some(_), Some(_)) => {
            Err(Failure::new(format!("several nodes have an id that begins with {lower}: write more of it")))
        }
        (None, None, _) => Err(Failure::new(format!(
            "no node of the cluster, and no edge, has the name {text:?}, or an id of which this is the whole or the first {PREFIX_MIN} digits \
             or more: see `endtoend cluster status`"
        ))),
    }
}
