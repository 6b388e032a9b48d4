//! What the program around asks about edges, and what they ask.

use std::time::Duration;

use super::asks::JOIN_DEADLINE;
use super::{Control, ControlError, Inner};
use crate::NodeCertificate;
use crate::control::command::{Command, Done, Refused};
use crate::control::state::ClusterState;
use crate::edge::{self, Edge, EdgeReply, Judged, Offers};
use crate::join::{Exporter, JoinRefusal};
use crate::{ClusterView, NodeId};

impl Control {
    /// Lets a waiting edge follow the cluster.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn approve_edge(&self, edge: NodeId, deadline: Duration) -> Result<Done, ControlError> {
        let (_, state) = self.inner.read(deadline).await?;
        let command = self.inner.edge_approval(&state, edge)?;
        self.propose(command, deadline).await
    }
}

impl Inner {
    pub(super) fn edge_approval(&self, state: &ClusterState, edge: NodeId) -> Result<Command, ControlError> {
        if state.gone().contains_key(&edge) {
            return Err(Refused::Removed(edge).into());
        }
        let known = state.edges().get(&edge).ok_or(Refused::UnknownNode(edge))?;
        Ok(Command::ApproveEdge { edge, certificate: Box::new(self.certificate_of_edge(known)?) })
    }

    pub(super) fn certificate_of_edge(&self, edge: &Edge) -> Result<NodeCertificate, ControlError> {
        let opened = self.opened.borrow().clone().ok_or(ControlError::NoSecrets)?;
        let certificate = opened.authority.issue_for_edge(&edge.key, self.now());
        certificate.map_err(|_| ControlError::Refused(Refused::Invalid("key".to_owned())))
    }

    pub(super) async fn answer_edge(&self, request: &[u8], exporter: &Exporter) -> EdgeReply {
        // As for nodes: what is agreed upon, not what this node has heard of it.
        let Ok((_, state)) = self.read(JOIN_DEADLINE).await else { return EdgeReply::Later };
        match edge::judge(request, exporter, &state, self.now()) {
            Err(refusal) => EdgeReply::Refused(refusal),
            Ok(Judged::Pending) => EdgeReply::Pending,
            Ok(Judged::Approved(edge)) => {
                let view = told(&state);
                // Where nodes are reached it hears when it follows.
                edge::of(&view, edge, &Offers::new())
                    .map_or(EdgeReply::Later, |news| EdgeReply::Admitted(Box::new(news)))
            }
            Ok(Judged::Ask { applicant, token }) => {
                match self.propose(Command::AskEdge { applicant, token }, JOIN_DEADLINE).await {
                    Ok(_) => EdgeReply::Pending,
                    Err(ControlError::Refused(refused)) => EdgeReply::Refused(JoinRefusal::Refused(refused)),
                    Err(_) => EdgeReply::Later,
                }
            }
        }
    }
}

/// What edges are told of, as it is agreed upon.
fn told(state: &ClusterState) -> ClusterView {
    ClusterView {
        cluster: state.cluster().unwrap_or_default(),
        members: state.members().iter().map(|(node, entry)| (*node, entry.member.clone())).collect(),
        authorities: state.authorities().to_vec(),
        edge_generation: state.edge_generation(),
        edges: state.edges().clone(),
        ..ClusterView::default()
    }
}
