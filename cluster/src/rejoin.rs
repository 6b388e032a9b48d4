//! How a member finds the others again that it knows and that do not find it.
//!
//! It was away for longer than its certificate lives and authorities were replaced meanwhile, or it has moved: then no link is
//! made, and what would help is only told over links. So it asks like a node that joins, without a token, by its key.

use std::time::Duration;

use tokio::time::timeout;

use crate::control::{Control, Refused};
use crate::join::{JoinRefusal, JoinReply};
use crate::link::JoinConnection;
use crate::{ClusterView, NodeId};

/// How long nobody must have led before a member asks, and between two rounds.
const ALONE: Duration = Duration::from_secs(10);
/// How long one member is tried.
const ONE: Duration = Duration::from_secs(10);

/// This node is no member any more: it was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {0} was removed from its cluster")]
pub struct WasRemoved(pub NodeId);

/// Asks the others whenever no leader is heard for some time. Ends some seconds after the control plane, or when it is
/// dropped.
///
/// # Errors
/// When a member says that this node was removed. There is nothing left to do for it then.
pub async fn stay_in_touch(control: &Control) -> Result<(), WasRemoved> {
    let mut view = control.view();
    while !control.has_stopped() {
        let led = timeout(ALONE, view.wait_for(|view| view.leader.is_some())).await.is_ok();
        if led {
            // A look now and then is enough: it may be dropped at any time.
            let _ = timeout(ALONE, view.wait_for(|view| view.leader.is_none())).await;
        } else {
            rejoin(control).await?;
        }
    }
    Ok(())
}

/// Asks each member that this node knows what has changed, until one tells it.
///
/// # Errors
/// When one says that this node was removed.
pub async fn rejoin(control: &Control) -> Result<(), WasRemoved> {
    let view = control.view().borrow().clone();
    let others = view.members.iter().filter(|(node, member)| **node != control.node() && member.state.may_link());
    for (node, member) in others {
        match ask(control, &view, &member.peer_address).await {
            Some(JoinReply::Admitted(told)) => match control.admitted(&told).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%node, "what a member has told cannot be used: {error}"),
            },
            Some(JoinReply::Refused(JoinRefusal::Refused(Refused::Removed(own)))) => return Err(WasRemoved(own)),
            Some(reply) => tracing::info!(%node, ?reply, "a member did not tell what has changed"),
            None => {}
        }
    }
    Ok(())
}

async fn ask(control: &Control, view: &ClusterView, address: &str) -> Option<JoinReply> {
    let mut connection = JoinConnection::open_again(address, view, ONE).await.ok()?;
    let question = control.ask_again(&connection.binding()).ok()?;
    let answer = connection.ask(&question).await.ok()?;
    JoinReply::decode(&answer).ok()
}
