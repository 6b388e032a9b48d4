//! The end of a member's run: others lead, and nobody waits for it.

use std::time::Duration;

use endtoend_cluster::claims::ClaimDirectory as _;
use endtoend_cluster::peers::Peers as _;
use tokio::time::timeout;

use super::{Member, Membership};

/// What another node gets to take the leadership over.
const TRANSFER_MAX: Duration = Duration::from_secs(3);
/// What Redis gets to forget the claims.
const LEAVE_MAX: Duration = Duration::from_secs(1);
/// What the control plane gets to close its log.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// All of that, but the transfer, which goes on while connections leave.
pub(in crate::node) const STOP_MAX: Duration = LEAVE_MAX.saturating_add(CLOSE_MAX);

impl Membership {
    /// Lets another voter lead, if this node does: an election would take longer.
    pub(in crate::node) async fn give_away_leadership(&self) {
        let (view, me) = (self.control.view().borrow().clone(), self.control.node());
        let linked = self.links.links();
        let heir = view.voters.iter().find(|voter| linked.iter().any(|link| link.run.node == **voter));
        let (Some(heir), true) = (heir, view.leader == Some(me)) else { return };
        match self.control.transfer_leader(*heir, TRANSFER_MAX).await {
            Ok(()) => tracing::info!(leader = %heir, "another node leads"),
            Err(error) => tracing::warn!(%error, "no other node has taken the leadership over: they elect one"),
        }
    }
}

impl Member {
    /// When the last connection is gone and everything is written.
    pub(in crate::node) async fn stop(self) {
        // Unanswered: its lease runs out within seconds.
        let _left = timeout(LEAVE_MAX, self.membership.claims.leave(self.me)).await;
        if timeout(CLOSE_MAX, self.membership.control.shutdown()).await.is_err() {
            tracing::warn!("the control plane did not end in time; its log is whole all the same");
        }
    }
}
