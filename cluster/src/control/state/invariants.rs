//! What must hold after every command.

use std::collections::BTreeSet;

use super::{
    AUTHORITIES_MAX, BLOB_BYTES_MAX, ClusterState, EDGES_MAX, MEMBERS_MAX, PENDING_MAX, REMOVED_MAX, SEALED_KEY_BYTES,
    TOKENS_MAX, authority_of,
};
use crate::edge::Edge;
use crate::{MemberState, NodeId};

/// Which rule does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of the control plane is not possible: {0}")]
pub struct Broken(&'static str);

fn must(holds: bool, rule: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(rule)) }
}

impl ClusterState {
    /// # Errors
    /// With the first rule that does not hold.
    pub fn check_invariants(&self) -> Result<(), Broken> {
        if self.founded.is_none() {
            let empty = Self { clock: self.clock, ..Self::default() };
            return must(*self == empty, "a cluster that has not begun is empty");
        }
        let states = || self.members.values().map(|entry| entry.member.state);
        let members = self.members.values().map(|entry| entry.member.name.as_str());
        let names: BTreeSet<&str> = members.chain(self.edges.values().map(|edge| edge.name.as_str())).collect();
        must(self.members.len() <= MEMBERS_MAX, "members are bounded")?;
        must(states().filter(|state| *state == MemberState::Pending).count() <= PENDING_MAX, "pending are bounded")?;
        must(self.gone.len() <= REMOVED_MAX, "removed nodes are bounded")?;
        must(self.tokens.len() <= TOKENS_MAX, "tokens are bounded")?;
        must((1..=AUTHORITIES_MAX).contains(&self.authorities.len()), "authorities are bounded, and there is one")?;
        must((1..=BLOB_BYTES_MAX).contains(&self.sealed.blob.len()), "the secrets are bounded, and there are some")?;
        must(states().any(|state| matches!(state, MemberState::Active | MemberState::Draining)), "somebody serves")?;
        must(self.edges.len() <= EDGES_MAX, "edges are bounded")?;
        must(names.len() == self.members.len() + self.edges.len(), "names are unique")?;
        let all = || self.members.keys().chain(self.edges.keys());
        must(all().all(|node| !self.gone.contains_key(node)), "who is gone is no member")?;
        must(self.edges.keys().all(|edge| !self.members.contains_key(edge)), "an edge is no member")?;
        must(self.edges.iter().all(|(id, edge)| NodeId::of_key(&edge.key) == *id), "an edge is named by its key")?;
        must(
            self.members.iter().all(|(node, entry)| NodeId::of_key(&entry.member.key) == *node),
            "a node is named by its key",
        )?;
        must(
            self.sealed.keys.keys().copied().eq(self.approved().map(|(node, _)| node)),
            "exactly those who are approved have a key to the secrets",
        )?;
        must(self.sealed.keys.values().all(|key| key.len() == SEALED_KEY_BYTES), "sealed keys are keys")?;
        must(
            self.members.values().all(|entry| entry.certificate.is_some() == entry.member.state.may_link()),
            "exactly those who are approved have a certificate",
        )?;
        must(
            self.members
                .values()
                .filter_map(authority_of)
                .chain(self.edges.values().filter_map(Edge::authority))
                .all(|key| self.authorities.iter().any(|authority| authority.key == key)),
            "no certificate outlives its authority",
        )?;
        let keys: BTreeSet<_> = self.authorities.iter().map(|authority| authority.key).collect();
        must(keys.len() == self.authorities.len(), "authorities are distinct")?;
        must(self.edge_generation >= 1 && self.sealed.generation >= 1, "generations begin with 1")
    }
}
