//! Changes, and the time until they are in force.

use std::time::Duration;

use endtoend_cluster::control::{Command, ControlError, Settings};
use endtoend_cluster::edge::Edge;
use endtoend_cluster::peers::Peers as _;
use endtoend_cluster::{ClusterView, MemberState, NodeId};
use tokio::time::{Instant, sleep, timeout};

use super::find::{Found, find, find_node};
use super::{Change, Changed, ClusterAnswer, DECISION_MIN, Elections, refused, status};
use crate::commands::Failure;
use crate::node::Membership;

/// How often it is looked whether the connections of a node have left.
const LOOK_EACH: Duration = Duration::from_millis(100);

/// Changes a node, and waits until that is in force.
pub(super) async fn node(
    cluster: &Membership,
    what: Change,
    text: &str,
    wait: Duration,
) -> Result<ClusterAnswer, Failure> {
    let (control, deadline) = (&cluster.control, wait.max(DECISION_MIN));
    // What is agreed upon: this node may not have heard yet of who has asked a moment ago.
    let state = control.read(deadline).await.map_err(refused)?;
    let (node, name) = match find(&state, text)? {
        Found::Node(node, name) => (node, name),
        Found::Edge(edge, name) => return self::edge(cluster, what, edge, name, wait).await,
    };
    if what == Change::Remove && node == control.node() {
        return Err(Failure::new(elsewhere(cluster, &name)));
    }
    let done = match what {
        Change::Approve => control.approve(node, deadline).await,
        Change::Reject => control.propose(Command::Reject { node }, deadline).await,
        Change::Drain => control.propose(Command::Drain { node }, deadline).await,
        Change::Undrain => control.propose(Command::Undrain { node }, deadline).await,
        Change::Remove => control.remove(node, deadline).await,
    };
    let done = done.map_err(refused)?;
    let mut answer =
        Changed { what, id: node.to_string(), name, state: None, changed: done.changed, connections: None };
    let in_force = |view: &ClusterView| match (what, view.members.get(&node).map(|member| member.state)) {
        (Change::Approve, Some(state)) => matches!(state, MemberState::Active | MemberState::Draining),
        (Change::Drain, state) => state == Some(MemberState::Draining),
        (Change::Undrain, state) => state == Some(MemberState::Active),
        (Change::Reject | Change::Remove, state) => state.is_none(),
        (Change::Approve, None) => false,
    };
    let end = Instant::now() + wait;
    let mut view = control.view();
    let reached = matches!(timeout(wait, view.wait_for(in_force)).await, Ok(Ok(_)));
    let now = view.borrow().clone();
    answer.state = now.members.get(&node).map(|member| member.state.to_string());
    if !wait.is_zero() && !reached {
        return Err(not_yet(&answer, wait));
    }
    if what == Change::Drain {
        answer.connections = until_gone(cluster, node, end).await;
    }
    Ok(ClusterAnswer::Changed(answer))
}

/// A node that is removed is cut off at once, and could not say whether it was. So another one has to be asked: which.
fn elsewhere(cluster: &Membership, name: &str) -> String {
    let (view, linked) = (cluster.control.view().borrow().clone(), cluster.links.links());
    let reached = linked.iter().filter_map(|link| view.members.get(&link.run.node));
    let others: Vec<_> = reached.map(|member| format!("{} ({})", member.name, member.peer_address)).collect();
    let which = match others.is_empty() {
        true => "another node of the cluster; this one has a link to none".to_owned(),
        false => others.join(" or "),
    };
    format!(
        "a node that is removed is cut off and cannot tell how it went: run `endtoend cluster remove {name}` on {which}"
    )
}

/// Changes an edge. It has nothing to send away, so it is not drained.
async fn edge(
    cluster: &Membership,
    what: Change,
    edge: NodeId,
    name: String,
    wait: Duration,
) -> Result<ClusterAnswer, Failure> {
    let (control, deadline) = (&cluster.control, wait.max(DECISION_MIN));
    let done = match what {
        Change::Approve => control.approve_edge(edge, deadline).await,
        Change::Reject | Change::Remove => control.propose(Command::RemoveEdge { edge }, deadline).await,
        Change::Drain | Change::Undrain => {
            return Err(Failure::new(format!(
                "{name} is an edge: clients leave it when its address leads elsewhere, by DNS or by the other edge"
            )));
        }
    };
    let changed = done.map_err(refused)?.changed;
    let in_force = |view: &ClusterView| match (what, view.edges.get(&edge)) {
        (Change::Approve, known) => known.is_some_and(Edge::is_approved),
        (_, known) => known.is_none(),
    };
    let mut view = control.view();
    let reached = matches!(timeout(wait, view.wait_for(in_force)).await, Ok(Ok(_)));
    let state = view.borrow().edges.get(&edge).map(|edge| if edge.is_approved() { "active" } else { "pending" });
    let state = state.map(str::to_owned);
    let answer = Changed { what, id: edge.to_string(), name, state, changed, connections: None };
    if wait.is_zero() || reached { Ok(ClusterAnswer::Changed(answer)) } else { Err(not_yet(&answer, wait)) }
}

fn not_yet(Changed { what, id, state, .. }: &Changed, wait: Duration) -> Failure {
    let state = state.as_deref().unwrap_or("out");
    let next = match what {
        Change::Approve => "see that it runs and reaches the others; it becomes active by itself",
        _ => "it goes on by itself: see `endtoend cluster status`",
    };
    Failure::new(format!(
        "node {id} is {} and after {} still {state}: {next}",
        what.done(),
        humantime::format_duration(wait)
    ))
}

/// Waits until nobody is connected to the node; says who still is, if the node says so.
async fn until_gone(cluster: &Membership, node: NodeId, end: Instant) -> Option<u64> {
    loop {
        let report = match node == cluster.control.node() {
            true => Some(cluster.reports.own()),
            false => cluster.reports.of(node, &cluster.links).await,
        };
        let connections = report.map(|report| report.connections);
        if connections == Some(0) || Instant::now() >= end {
            return connections;
        }
        sleep(LOOK_EACH).await;
    }
}

/// Lets that node lead, or any other than the one that does.
pub(super) async fn leader(cluster: &Membership, text: Option<&str>, wait: Duration) -> Result<ClusterAnswer, Failure> {
    let (control, deadline) = (&cluster.control, wait.max(DECISION_MIN));
    let state = control.read(deadline).await.map_err(refused)?;
    let view = control.view().borrow().clone();
    let to = match text {
        Some(text) => find_node(&state, text)?,
        None => {
            let linked = cluster.links.links();
            let reached = |node: &NodeId| *node == control.node() || linked.iter().any(|link| link.run.node == *node);
            let heir = view.voters.iter().find(|voter| view.leader != Some(**voter) && reached(voter));
            *heir
                .ok_or_else(|| Failure::new("there is no other node that could lead: see `endtoend cluster status`"))?
        }
    };
    control.transfer_leader(to, deadline).await.map_err(|error| match error {
        ControlError::NoLeader => {
            Failure::new(format!("node {to} does not lead after {}", humantime::format_duration(deadline)))
        }
        error => refused(error),
    })?;
    let view = control.view().borrow().clone();
    let name = view.members.get(&to).map(|member| member.name.clone()).unwrap_or_default();
    Ok(ClusterAnswer::Leads { leader: to.to_string(), name, term: view.term })
}

/// New secrets for the same nodes, and waits until this one has them.
pub(super) async fn secrets(cluster: &Membership, wait: Duration) -> Result<ClusterAnswer, Failure> {
    let (control, deadline) = (&cluster.control, wait.max(DECISION_MIN));
    let before = control.read(deadline).await.map_err(refused)?.sealed().generation;
    control.rotate(deadline).await.map_err(refused)?;
    let mut secrets = control.secrets();
    let renewed = async { while status::generation(control) <= before && secrets.changed().await {} };
    // They are agreed upon; that this node has not opened them yet is its own log's to say.
    let _opened = timeout(deadline, renewed).await;
    Ok(ClusterAnswer::Rotated { generation: status::generation(control) })
}

/// Decides how soon a silent leader is replaced. Each node goes by it from its next start on.
pub(super) async fn elections(
    cluster: &Membership,
    timings: Elections,
    wait: Duration,
) -> Result<ClusterAnswer, Failure> {
    let (control, deadline) = (&cluster.control, wait.max(DECISION_MIN));
    let state = control.read(deadline).await.map_err(refused)?;
    let settings = state.settings().ok_or_else(|| Failure::new("the cluster has not begun"))?;
    let settings = Settings { timings: timings.timings(), ..settings.clone() };
    let done = control.propose(Command::Configure(settings), deadline).await.map_err(refused)?;
    Ok(ClusterAnswer::Elections { timings, changed: done.changed })
}
