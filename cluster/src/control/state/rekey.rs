//! New secrets and new authorities.

use super::{AUTHORITIES_MAX, ClusterState, KeyHash, NodeId, Refused, authority_of, check, newest, too_many};
use crate::control::command::Rekeying;

impl ClusterState {
    pub(super) fn rekey(&mut self, rekeying: &Rekeying) -> Result<bool, Refused> {
        if self.sealed == rekeying.sealed {
            return Ok(false);
        }
        self.take_keys(rekeying, None)?;
        Ok(true)
    }

    /// New secrets for all approved members but `without`.
    pub(super) fn take_keys(&mut self, rekeying: &Rekeying, without: Option<NodeId>) -> Result<(), Refused> {
        let Rekeying { sealed, authority } = rekeying;
        let staying = self.approved().map(|(node, _)| node).filter(|node| Some(*node) != without);
        check::sealed(sealed, self.sealed.generation + 1, staying)?;
        if let Some(authority) = authority {
            check::authority(authority)?;
            if self.authorities.iter().any(|known| known.key == authority.key) {
                return Err(Refused::Stale);
            }
            if self.authorities.len() >= AUTHORITIES_MAX {
                return Err(too_many("authorities in use", AUTHORITIES_MAX));
            }
            self.authorities.insert(0, authority.clone());
        }
        self.sealed = sealed.clone();
        Ok(())
    }

    pub(super) fn forget_authority(&mut self, key: &KeyHash) -> Result<bool, Refused> {
        if !self.authorities.iter().any(|authority| authority.key == *key) {
            return Ok(false);
        }
        let newest = newest(&self.authorities).is_some_and(|authority| authority.key == *key);
        if newest || self.is_used(key) {
            return Err(Refused::AuthorityInUse);
        }
        self.authorities.retain(|authority| authority.key != *key);
        Ok(true)
    }

    /// Authorities that nobody has a certificate of any more.
    pub fn unused_authorities(&self) -> impl Iterator<Item = KeyHash> {
        self.authorities.iter().skip(1).map(|authority| authority.key).filter(|key| !self.is_used(key))
    }

    fn is_used(&self, key: &KeyHash) -> bool {
        let mut used = self.members.values().filter_map(authority_of);
        used.any(|used| used == *key) || self.edges.values().any(|edge| edge.authority() == Some(*key))
    }
}
