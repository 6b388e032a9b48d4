//! How edges come and go. They have no part in what is decided, and know no secret.

use std::collections::BTreeMap;

use super::{ClusterState, EDGES_MAX, NodeCertificate, Refused, TokenId, check, newest, too_many};
use crate::NodeId;
use crate::control::command::EdgeApplicant;
use crate::edge::Edge;

impl ClusterState {
    /// Those that may follow the cluster, and those that wait for an operator.
    pub fn edges(&self) -> &BTreeMap<NodeId, Edge> {
        &self.edges
    }

    pub(super) fn ask_edge(&mut self, applicant: &EdgeApplicant, token: TokenId) -> Result<bool, Refused> {
        let EdgeApplicant { edge, name, key, version } = applicant;
        check::edge(applicant)?;
        if self.gone.contains_key(edge) {
            return Err(Refused::Removed(*edge));
        }
        if let Some(known) = self.edges.get(edge) {
            let same = known.token == token && known.key == *key;
            return if same { Ok(false) } else { Err(Refused::AlreadyMember(*edge)) };
        }
        if self.members.contains_key(edge) {
            return Err(Refused::AlreadyMember(*edge));
        }
        let taken = self.is_called(name);
        let shown = self.tokens.get_mut(&token).ok_or(Refused::UnknownToken)?;
        if shown.used_by.is_some() {
            return Err(Refused::TokenUsed);
        }
        if self.clock >= shown.expires_at {
            return Err(Refused::TokenExpired);
        }
        if taken {
            return Err(Refused::NameTaken(name.clone()));
        }
        if self.edges.len() >= EDGES_MAX {
            return Err(too_many("edges", EDGES_MAX));
        }
        shown.used_by = Some(*edge);
        let (name, key, version) = (name.clone(), key.clone(), version.clone());
        self.edges.insert(*edge, Edge { name, key, version, certificate: None, since: self.clock, token });
        Ok(true)
    }

    pub(super) fn approve_edge(&mut self, edge: NodeId, certificate: &NodeCertificate) -> Result<bool, Refused> {
        if self.edge(edge)?.is_approved() {
            return Ok(false);
        }
        self.certify_edge(edge, certificate)
    }

    pub(super) fn renew_edge(&mut self, edge: NodeId, certificate: &NodeCertificate) -> Result<bool, Refused> {
        let known = self.edge(edge)?;
        if !known.is_approved() {
            return Err(Refused::WrongState(edge, "pending".to_owned()));
        }
        if known.certificate.as_ref() == Some(certificate) {
            return Ok(false);
        }
        self.certify_edge(edge, certificate)
    }

    pub(super) fn remove_edge(&mut self, edge: NodeId) -> Result<bool, Refused> {
        if self.gone.contains_key(&edge) {
            return Ok(false);
        }
        let removed = self.edges.remove(&edge).ok_or(Refused::UnknownNode(edge))?;
        self.remember_gone(edge, removed.name);
        Ok(true)
    }

    fn certify_edge(&mut self, edge: NodeId, certificate: &NodeCertificate) -> Result<bool, Refused> {
        check::certificate(certificate, newest(&self.authorities).ok_or(Refused::NotFounded)?)?;
        if let Some(known) = self.edges.get_mut(&edge) {
            known.certificate = Some(certificate.clone());
        }
        Ok(true)
    }

    fn edge(&self, edge: NodeId) -> Result<&Edge, Refused> {
        if self.gone.contains_key(&edge) {
            return Err(Refused::Removed(edge));
        }
        self.edges.get(&edge).ok_or(Refused::UnknownNode(edge))
    }
}
