//! The cluster, as an operator sees and changes it on any of its nodes.

mod change;
mod find;
mod request;
mod status;
mod tokens;

use std::time::Duration;

use endtoend_cluster::For;
use endtoend_cluster::control::ControlError;

use super::context::{AdminContext, OnionShown};
use super::request::AdminAnswer;
use crate::commands::Failure;
use crate::node::Membership;

pub(crate) use request::{
    Change, Changed, ClusterAnswer, ClusterRequest, ClusterStatus, EdgeView, Elections, NodeView, TokenView,
};

/// Longest time that a command waits for what it has changed.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(600);
/// A decision takes two round trips, and after the loss of a leader an election: a command that is not to wait at all waits so
/// long for that.
const DECISION_MIN: Duration = Duration::from_secs(5);

/// Does what is asked.
pub(super) async fn execute(request: ClusterRequest, context: &AdminContext) -> Result<AdminAnswer, Failure> {
    let cluster = membership(context)?;
    let answer = match request {
        ClusterRequest::TokenCreate { life_ms, edge } => {
            let whom = if edge { For::Edge } else { For::Node };
            tokens::create(cluster, whom, Duration::from_millis(life_ms)).await?
        }
        ClusterRequest::TokenList {} => tokens::list(cluster).await?,
        ClusterRequest::TokenRevoke { id } => tokens::revoke(cluster, &id).await?,
        ClusterRequest::Status {} => {
            let onion = context.running.as_ref().and_then(|running| running.onion.as_ref()).map(OnionShown::view);
            ClusterAnswer::Status(Box::new(ClusterStatus { onion, ..status::of(cluster).await }))
        }
        ClusterRequest::Change { what, node, wait_ms } => change::node(cluster, what, &node, wait(wait_ms)).await?,
        ClusterRequest::TransferLeader { node, wait_ms } => {
            change::leader(cluster, node.as_deref(), wait(wait_ms)).await?
        }
        ClusterRequest::Rotate { wait_ms } => change::secrets(cluster, wait(wait_ms)).await?,
        ClusterRequest::Elections { timings, wait_ms } => change::elections(cluster, timings, wait(wait_ms)).await?,
    };
    Ok(AdminAnswer::Cluster(answer))
}

fn wait(wait_ms: u64) -> Duration {
    Duration::from_millis(wait_ms).min(WAIT_MAX)
}

fn membership(context: &AdminContext) -> Result<&Membership, Failure> {
    match &context.running {
        None => Err(Failure::new("this node does not run: start it, or ask another node of the cluster")),
        Some(running) => running.membership.as_deref().ok_or_else(|| {
            Failure::new("this node is alone: to make it the first of several set [cluster] listen, and start it again")
        }),
    }
}

/// What speaks against it, and what to do.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refused(error: ControlError) -> Failure {
    let next = match &error {
        ControlError::NoLeader => ": see `endtoend cluster status`; a majority of the voters has to run",
        ControlError::NoSecrets => ": ask another node",
        _ => "",
    };
    Failure::new(format!("{error}{next}"))
}
