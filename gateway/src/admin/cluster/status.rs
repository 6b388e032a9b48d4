//! How all nodes are, as this one sees them.

use std::time::Duration;

use endtoend_cluster::control::Control;
use endtoend_cluster::link::PeerHealth;
use endtoend_cluster::{ClusterView, Member, MemberState, NodeId};
use futures_util::future::join_all;

use super::{ClusterStatus, EdgeView, Elections, NodeView};
use crate::node::{Membership, Report};

/// Needs no leader: what is agreed upon is told as this node knows it.
pub(super) async fn of(cluster: &Membership) -> ClusterStatus {
    let Membership { control, links, reports, .. } = cluster;
    let (view, me) = (control.view().borrow().clone(), control.node());
    let mut health = links.health();
    let asked = view.members.keys().map(|node| {
        let lives = health.get(node).is_some_and(|health| health.connected_for.is_some());
        async move {
            match *node == me {
                true => Some(reports.own()),
                false if lives => reports.of(*node, links).await,
                false => None,
            }
        }
    });
    let said: Vec<Option<Report>> = join_all(asked).await;
    let nodes = view.members.iter().zip(said).map(|((node, member), report)| {
        let health = if *node == me { Seen::Myself } else { Seen::over(health.remove(node), member) };
        node_view(&view, *node, member, health, report)
    });
    let followers = links.followers();
    let edges = view.edges.iter().map(|(id, edge)| EdgeView {
        id: id.to_string(),
        name: edge.name.clone(),
        state: if edge.is_approved() { "active" } else { "pending" }.to_owned(),
        follows: followers.contains(id),
        version: edge.version.clone(),
        certificate_expires_at: edge.certificate.as_ref().map(|certificate| certificate.not_after.get()),
    });
    ClusterStatus {
        onion: None,
        edges: edges.collect(),
        nodes: nodes.collect(),
        cluster: view.cluster.to_string(),
        me: me.to_string(),
        leader: view.leader.map(|leader| leader.to_string()),
        term: view.term,
        generation: view.edge_generation,
        secrets: generation(control),
        elections: control.state().settings().and_then(|settings| Elections::of(settings.timings)),
    }
}

/// Of the secrets that this node has.
pub(super) fn generation(control: &Control) -> u64 {
    control.secrets().get().map_or(0, |(generation, _)| generation)
}

enum Seen {
    Myself,
    /// Not approved: there is no link.
    Waiting,
    Link(PeerHealth),
}

impl Seen {
    fn over(health: Option<PeerHealth>, member: &Member) -> Self {
        match health {
            Some(health) => Self::Link(health),
            None if member.state == MemberState::Pending => Self::Waiting,
            None => Self::Link(PeerHealth::default()),
        }
    }
}

fn node_view(view: &ClusterView, node: NodeId, member: &Member, seen: Seen, report: Option<Report>) -> NodeView {
    let role = match member.state {
        _ if view.leader == Some(node) => "leader",
        _ if view.voters.contains(&node) => "voter",
        MemberState::Pending => "none",
        MemberState::Joining | MemberState::Active | MemberState::Draining => "learner",
    };
    let link = match seen {
        Seen::Myself => ("self", PeerHealth { silent_for: Some(Duration::ZERO), ..PeerHealth::default() }),
        Seen::Waiting => ("waiting", PeerHealth::default()),
        Seen::Link(link) if link.connected_for.is_some() => ("up", PeerHealth { last_error: None, ..link }),
        Seen::Link(link) => ("down", link),
    };
    let (health, PeerHealth { silent_for, rtt, version: link_version, last_error, .. }) = link;
    NodeView {
        id: node.to_string(),
        name: member.name.clone(),
        state: member.state.to_string(),
        role: role.to_owned(),
        address: member.peer_address.clone(),
        client_address: member.client_address.clone(),
        health: health.to_owned(),
        fault: last_error,
        connections: report.map(|report| report.connections),
        version: member.version.clone(),
        certificate_expires_at: view.certificates.get(&node).map(|certificate| certificate.not_after.get()),
        link_version,
        last_heard_ms: silent_for.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        rtt_us: rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
    }
}
