//! What a leader has to do, by what it knows. It is asked again after each thing that was done.

use std::collections::{BTreeMap, BTreeSet};

use endtoend_protocol::UnixMillis;

use super::raft::Membership;
use super::state::{ClusterState, Entry};
use crate::{KeyHash, MemberState, NodeCertificate, NodeId, authority};

/// Most members that vote: more make each decision slower and not safer. The rest learn.
pub const VOTERS_MAX: usize = 5;
/// Entries that a member may be behind to count as one that has the whole log.
pub(super) const LAG_MAX: u64 = 16;

/// One thing to do. The first of a plan first: the others may have changed by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Raft sends it the log from now on.
    Teach(NodeId),
    /// Raft sends it nothing more: it is no member.
    Forget(BTreeSet<NodeId>),
    /// These vote, and no others.
    Voters(BTreeSet<NodeId>),
    /// It has the log: it may serve.
    Activate(NodeId),
    /// By the policy of the cluster.
    Approve(NodeId),
    /// Half of its certificate's life is over, or its authority is being replaced.
    Renew(NodeId),
    /// By the policy of the cluster.
    ApproveEdge(NodeId),
    /// As [`Duty::Renew`], for an edge.
    RenewEdge(NodeId),
    /// Nobody has a certificate of it any more.
    ForgetAuthority(KeyHash),
    /// Tokens and applicants whose time is over.
    Expire,
}

/// What is to be done next, most urgent first.
///
/// `matched` says how much of the log the leader knows each node to have, `last` is the end of its own.
pub(super) fn plan(
    state: &ClusterState,
    membership: &Membership,
    matched: &BTreeMap<NodeId, u64>,
    last: u64,
    now: UnixMillis,
) -> Vec<Duty> {
    let mut duties = Vec::new();
    let taught: BTreeSet<NodeId> = membership.nodes().map(|(node, _)| NodeId::new(*node)).collect();
    let voters: BTreeSet<NodeId> = membership.voter_ids().map(NodeId::new).collect();
    let approved: BTreeMap<NodeId, &Entry> = state.approved().collect();
    let has_log = |node: &NodeId| matched.get(node).is_some_and(|index| index + LAG_MAX >= last);

    let wanted = wanted_voters(&approved, &voters, has_log);
    if !wanted.is_empty() && (wanted != voters || membership.get_joint_config().len() > 1) {
        duties.push(Duty::Voters(wanted));
    }
    let strangers: BTreeSet<NodeId> =
        taught.iter().filter(|node| !approved.contains_key(node) && !voters.contains(node)).copied().collect();
    if !strangers.is_empty() {
        duties.push(Duty::Forget(strangers));
    }
    duties.extend(approved.keys().filter(|node| !taught.contains(node)).map(|node| Duty::Teach(*node)));
    let joined = |(node, entry): &(&NodeId, &&Entry)| entry.member.state == MemberState::Joining && has_log(node);
    duties.extend(approved.iter().filter(joined).map(|(node, _)| Duty::Activate(*node)));
    if state.settings().is_some_and(|settings| settings.auto_approve) {
        duties.extend(state.pending().map(|(node, _)| Duty::Approve(node)));
        let waiting = state.edges().iter().filter(|(_, edge)| !edge.is_approved());
        duties.extend(waiting.map(|(edge, _)| Duty::ApproveEdge(*edge)));
    }
    let newest = state.authorities().first().map(|authority| authority.key);
    let due = |certificate: Option<&NodeCertificate>| {
        certificate
            .is_some_and(|certificate| Some(certificate.authority) != newest || authority::is_due(certificate, now))
    };
    let old = approved.iter().filter(|(_, entry)| due(entry.certificate.as_ref()));
    duties.extend(old.map(|(node, _)| Duty::Renew(*node)));
    let old = state.edges().iter().filter(|(_, edge)| due(edge.certificate.as_ref()));
    duties.extend(old.map(|(edge, _)| Duty::RenewEdge(*edge)));
    duties.extend(state.unused_authorities().map(Duty::ForgetAuthority));
    if state.is_expiring(now) {
        duties.push(Duty::Expire);
    }
    duties
}

/// Voters stay voters while they serve; free places go to members that serve and have the log, active ones first.
fn wanted_voters(
    approved: &BTreeMap<NodeId, &Entry>,
    voters: &BTreeSet<NodeId>,
    has_log: impl Fn(&NodeId) -> bool,
) -> BTreeSet<NodeId> {
    let serves = |node: &NodeId| {
        approved
            .get(node)
            .is_some_and(|entry| matches!(entry.member.state, MemberState::Active | MemberState::Draining))
    };
    let mut wanted: BTreeSet<NodeId> = voters.iter().filter(|node| serves(node)).copied().collect();
    let mut others: Vec<(bool, NodeId)> = approved
        .iter()
        .filter(|(node, _)| !wanted.contains(node) && serves(node) && has_log(node))
        .map(|(node, entry)| (entry.member.state == MemberState::Draining, *node))
        .collect();
    others.sort_unstable();
    let free = VOTERS_MAX.saturating_sub(wanted.len());
    wanted.extend(others.into_iter().take(free).map(|(_, node)| node));
    wanted
}

#[cfg(test)]
mod tests;
