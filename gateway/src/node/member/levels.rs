//! The numbers of the cluster, for those who watch.

use std::time::Duration;

use endtoend_cluster::MemberState;
use endtoend_cluster::control::Role;
use endtoend_cluster::peers::Peers as _;

use super::Membership;
use crate::metrics::ClusterLevels;

impl Membership {
    /// At this moment, as this node sees them.
    pub(crate) fn levels(&self) -> ClusterLevels {
        let (view, metrics, me) = (self.control.view().borrow().clone(), self.control.metrics(), self.control.node());
        let mut members = [0; 4];
        for member in view.members.values() {
            let [pending, joining, active, draining] = &mut members;
            *match member.state {
                MemberState::Pending => pending,
                MemberState::Joining => joining,
                MemberState::Active => active,
                MemberState::Draining => draining,
            } += 1;
        }
        let health = self.links.health();
        let (lives, totals) = self.links.totals();
        let waiting = health.values().fold([0, 0], |[control, traffic]: [usize; 2], link| {
            [control.saturating_add(link.control_bytes), traffic.saturating_add(link.traffic_bytes)]
        });
        let expires = view.certificates.get(&me).map_or(0, |certificate| certificate.not_after.get());
        ClusterLevels {
            term: view.term,
            leads: metrics.role == Role::Leader && metrics.has_quorum,
            led: metrics.has_quorum,
            members,
            voters: view.voters.len(),
            log: [metrics.last_index, metrics.applied_index],
            log_bytes: metrics.log_bytes,
            certificate_expires: Duration::from_millis(expires),
            links: [self.links.links().len(), health.len()],
            link_lives: lives,
            link_bytes: [totals.read_bytes, totals.written_bytes],
            link_waiting_bytes: waiting,
            link_no_room: totals.no_room,
            link_rtt: health.values().filter_map(|link| link.rtt).max().unwrap_or_default(),
            claims_answer: self.claims.answers(),
        }
    }
}
