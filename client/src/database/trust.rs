//! What a person has said about somebody on this device: how he is called here, and that his identity was compared.

use endtoend_crypto_e2e::{RecordKey, Records as _};
use endtoend_protocol::{AccountTag, Comparison, limits};
use rusqlite::params;

use super::{DatabaseError, Store, array};
use crate::nickname::Nickname;

const NICKNAME: &str = "nickname";

impl Store<'_> {
    /// Calls somebody otherwise on this device, or with `None` by his handle again.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_nickname(&self, tag: AccountTag, nickname: Option<&Nickname>) -> Result<(), DatabaseError> {
        let sealed = nickname.map(|name| self.sealer.seal(NICKNAME, tag.as_bytes(), name.as_str().as_bytes()));
        self.connection.execute("UPDATE contacts SET nickname = ? WHERE tag = ?", params![sealed, tag.as_bytes()])?;
        Ok(())
    }

    pub(super) fn nickname(&self, tag: AccountTag, sealed: &[u8]) -> Result<Nickname, DatabaseError> {
        let opened = self.sealer.open(NICKNAME, tag.as_bytes(), sealed)?;
        let text = std::str::from_utf8(&opened).ok().and_then(|text| text.parse().ok());
        text.ok_or(DatabaseError::Invalid("contacts.nickname"))
    }

    /// The identity key of an account that is trusted, whether or not anybody has compared it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn trusted_identity(&self, tag: AccountTag) -> Result<Option<[u8; 33]>, DatabaseError> {
        let stored = self.get(&RecordKey::PeerIdentity(tag))?;
        stored.map(|key| array(&key, "identity")).transpose()
    }

    /// Notes that a person has compared this identity key of somebody, who has the devices that are known now, or with `None` that he
    /// takes that back. It counts as long as no other is met.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_verified(&self, tag: AccountTag, identity: Option<&[u8; 33]>) -> Result<(), DatabaseError> {
        self.connection.execute("UPDATE contacts SET verified = ? WHERE tag = ?", params![identity, tag.as_bytes()])?;
        let known = self.seen_devices(tag)?;
        self.set_compared_devices(tag, Some(known.as_slice()).filter(|known| !known.is_empty()))
    }

    /// What a person has compared of somebody: the identity that is trusted, and the devices that there were.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn comparison(&self, tag: AccountTag) -> Result<Option<Comparison>, DatabaseError> {
        if !self.contact(tag)?.is_some_and(|contact| contact.verified) {
            return Ok(None);
        }
        let Some(identity) = self.trusted_identity(tag)? else { return Ok(None) };
        let mut devices = self.compared_devices(tag)?.unwrap_or_default();
        devices.truncate(limits::DEVICES_MAX);
        Ok(Some(Comparison { identity, devices }))
    }

    /// Whether the key that was compared is the one that is trusted.
    pub(super) fn is_verified(&self, tag: AccountTag, compared: Option<Vec<u8>>) -> Result<bool, DatabaseError> {
        let Some(compared) = compared else { return Ok(false) };
        Ok(self.trusted_identity(tag)? == Some(array(&compared, "contacts.verified")?))
    }
}
