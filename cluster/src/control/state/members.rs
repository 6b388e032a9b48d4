//! How members come, serve and go.

use super::{
    Applicant, ClusterState, Entry, Gone, MEMBERS_MAX, NodeCertificate, PENDING_MAX, REMOVED_MAX, Refused,
    SEALED_KEY_BYTES, TokenId, check, newest, too_many,
};
use crate::control::command::{Admission, Rekeying};
use crate::{MemberState, NodeId};

impl ClusterState {
    pub(super) fn ask(&mut self, applicant: &Applicant, token: TokenId) -> Result<bool, Refused> {
        let node = applicant.node;
        check::applicant(applicant)?;
        if self.gone.contains_key(&node) {
            return Err(Refused::Removed(node));
        }
        if let Some(entry) = self.members.get(&node) {
            let same = entry.token == Some(token) && entry.member.key == applicant.key;
            return if same { Ok(false) } else { Err(Refused::AlreadyMember(node)) };
        }
        let taken = self.is_called(&applicant.name);
        let shown = self.tokens.get_mut(&token).ok_or(Refused::UnknownToken)?;
        if shown.used_by.is_some() {
            return Err(Refused::TokenUsed);
        }
        if self.clock >= shown.expires_at {
            return Err(Refused::TokenExpired);
        }
        if self.edges.contains_key(&node) {
            return Err(Refused::AlreadyMember(node));
        }
        if taken {
            return Err(Refused::NameTaken(applicant.name.clone()));
        }
        if self.members.len() >= MEMBERS_MAX {
            return Err(too_many("members", MEMBERS_MAX));
        }
        if self.members.values().filter(|entry| entry.member.state == MemberState::Pending).count() >= PENDING_MAX {
            return Err(too_many("nodes that wait for approval", PENDING_MAX));
        }
        shown.used_by = Some(node);
        let (member, sealing) = (applicant.member(), applicant.sealing.clone());
        self.members.insert(node, Entry { member, sealing, certificate: None, since: self.clock, token: Some(token) });
        Ok(true)
    }

    pub(super) fn approve(&mut self, node: NodeId, admission: &Admission) -> Result<bool, Refused> {
        let entry = self.entry(node)?;
        if entry.member.state.may_link() {
            return Ok(false);
        }
        let by = newest(&self.authorities).ok_or(Refused::NotFounded)?;
        check::certificate(&admission.certificate, by)?;
        if admission.sealed_key.len() != SEALED_KEY_BYTES {
            return Err(Refused::Invalid("sealed key".to_owned()));
        }
        if admission.generation != self.sealed.generation {
            return Err(Refused::Stale);
        }
        self.sealed.keys.insert(node, admission.sealed_key.clone());
        if let Some(entry) = self.members.get_mut(&node) {
            entry.certificate = Some(admission.certificate.clone());
            entry.member.state = MemberState::Joining;
        }
        Ok(true)
    }

    pub(super) fn reject(&mut self, node: NodeId) -> Result<bool, Refused> {
        if self.gone.contains_key(&node) {
            return Ok(false);
        }
        match self.entry(node)?.member.state {
            MemberState::Pending => {
                self.forget(node);
                Ok(true)
            }
            state => Err(Refused::WrongState(node, state.to_string())),
        }
    }

    pub(super) fn activate(&mut self, node: NodeId) -> Result<bool, Refused> {
        match self.entry(node)?.member.state {
            MemberState::Active | MemberState::Draining => Ok(false),
            MemberState::Joining => self.turn(node, MemberState::Joining, MemberState::Active),
            state @ MemberState::Pending => Err(Refused::WrongState(node, state.to_string())),
        }
    }

    /// From one state of a serving member to another.
    pub(super) fn turn(&mut self, node: NodeId, from: MemberState, to: MemberState) -> Result<bool, Refused> {
        let entry = self.entry(node)?;
        if entry.member.state == to {
            return Ok(false);
        }
        if entry.member.state != from {
            return Err(Refused::WrongState(node, entry.member.state.to_string()));
        }
        if let Some(entry) = self.members.get_mut(&node) {
            entry.member.state = to;
        }
        self.edge_generation += 1;
        Ok(true)
    }

    pub(super) fn remove(&mut self, node: NodeId, rekeying: &Rekeying) -> Result<bool, Refused> {
        if self.gone.contains_key(&node) {
            return Ok(false);
        }
        let state = self.entry(node)?.member.state;
        if !state.may_link() {
            return Err(Refused::WrongState(node, state.to_string()));
        }
        let serves = |state: MemberState| matches!(state, MemberState::Active | MemberState::Draining);
        if !self.members.iter().any(|(other, entry)| *other != node && serves(entry.member.state)) {
            return Err(Refused::LastMember(node));
        }
        self.take_keys(rekeying, Some(node))?;
        self.forget(node);
        if serves(state) {
            self.edge_generation += 1;
        }
        Ok(true)
    }

    pub(super) fn renew(&mut self, node: NodeId, certificate: &NodeCertificate) -> Result<bool, Refused> {
        let entry = self.entry(node)?;
        if entry.certificate.as_ref() == Some(certificate) {
            return Ok(false);
        }
        if !entry.member.state.may_link() {
            return Err(Refused::WrongState(node, entry.member.state.to_string()));
        }
        check::certificate(certificate, newest(&self.authorities).ok_or(Refused::NotFounded)?)?;
        if let Some(entry) = self.members.get_mut(&node) {
            entry.certificate = Some(certificate.clone());
        }
        Ok(true)
    }

    pub(super) fn announce(
        &mut self,
        node: NodeId,
        peer_address: &str,
        client_address: &str,
        version: &str,
    ) -> Result<bool, Refused> {
        check::address(peer_address)?;
        check::address(client_address)?;
        check::version(version)?;
        self.entry(node)?;
        let Some(Entry { member, .. }) = self.members.get_mut(&node) else { return Err(Refused::UnknownNode(node)) };
        let told = (peer_address, client_address, version);
        if (member.peer_address.as_str(), member.client_address.as_str(), member.version.as_str()) == told {
            return Ok(false);
        }
        if member.client_address != client_address
            && matches!(member.state, MemberState::Active | MemberState::Draining)
        {
            self.edge_generation += 1;
        }
        let (peer_address, client_address) = (peer_address.to_owned(), client_address.to_owned());
        (member.peer_address, member.client_address, member.version) =
            (peer_address, client_address, version.to_owned());
        Ok(true)
    }

    fn entry(&self, node: NodeId) -> Result<&Entry, Refused> {
        if self.gone.contains_key(&node) {
            return Err(Refused::Removed(node));
        }
        self.members.get(&node).ok_or(Refused::UnknownNode(node))
    }

    /// Takes a member out, and remembers that it is out.
    fn forget(&mut self, node: NodeId) {
        let Some(entry) = self.members.remove(&node) else { return };
        self.sealed.keys.remove(&node);
        self.remember_gone(node, entry.member.name);
    }

    /// Whether a node or edge has this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.members.values().any(|entry| entry.member.name == name)
            || self.edges.values().any(|edge| edge.name == name)
    }

    /// Its key may not ask again.
    pub(super) fn remember_gone(&mut self, node: NodeId, name: String) {
        if self.gone.len() >= REMOVED_MAX {
            let oldest = self.gone.iter().min_by_key(|(node, gone)| (gone.at, **node)).map(|(node, _)| *node);
            if let Some(oldest) = oldest {
                self.gone.remove(&oldest);
            }
        }
        self.gone.insert(node, Gone { name, at: self.clock });
    }
}
