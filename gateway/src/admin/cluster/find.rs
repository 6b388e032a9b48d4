//! Which node an operator means.

use endtoend_cluster::control::ClusterState;
use endtoend_cluster::{Member, NodeId};

use crate::commands::Failure;

/// Shortest beginning of an id that names a node.
const PREFIX_MIN: usize = 4;

/// By its name, its id, or the beginning of that.
pub(super) fn find(state: &ClusterState, text: &str) -> Result<(NodeId, Member), Failure> {
    let members = || state.members().iter().map(|(node, entry)| (*node, &entry.member));
    let named = members().find(|(_, member)| member.name == text);
    let lower = text.to_ascii_lowercase();
    let is_prefix = lower.len() >= PREFIX_MIN && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut begin = members().filter(|(node, _)| is_prefix && node.to_string().starts_with(&lower));
    match (named, begin.next(), begin.next()) {
        (Some((node, member)), ..) | (None, Some((node, member)), None) => Ok((node, member.clone())),
        (None, Some(_), Some(_)) => {
            Err(Failure::new(format!("several nodes have an id that begins with {lower}: write more of it")))
        }
        (None, None, _) => Err(Failure::new(format!(
            "no node of the cluster has the name {text:?}, or an id of which this is the whole or the first {PREFIX_MIN} digits \
             or more: see `endtoend cluster status`"
        ))),
    }
}
