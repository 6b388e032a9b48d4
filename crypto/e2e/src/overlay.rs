//! libsignal's stores, over the records as they are and the changes so far.
//!
//! An operation works on the overlay. If it succeeds the changes are its result; if not they are thrown away, and
//! nothing has happened.

use std::cell::RefCell;

use async_trait::async_trait;
use endtoend_protocol::{AccountTag, Address, DeviceId};
use libsignal_protocol::{
    Direction, GenericSignedPreKey as _, IdentityChange, IdentityKey, IdentityKeyPair, IdentityKeyStore, KyberPreKeyId,
    KyberPreKeyRecord, KyberPreKeyStore, PreKeyId, PreKeyRecord, PreKeyStore, ProtocolAddress, PublicKey,
    SessionRecord, SessionStore, SignalProtocolError, SignedPreKeyId, SignedPreKeyRecord, SignedPreKeyStore,
};
use zeroize::Zeroizing;

use crate::identity::Own;
use crate::records::{Changes, LAST_RESORT, ONE_TIME, RecordKey, Records, RecordsError};

type Result<T> = std::result::Result<T, SignalProtocolError>;

/// The records of one device, and what an operation changes in them.
pub(crate) struct Overlay<'a> {
    records: &'a dyn Records,
    peer: Address,
    own: Own,
    changes: Changes,
    /// libsignal's error type cannot carry ours: it waits here.
    failure: Option<RecordsError>,
    replayed: bool,
}

impl<'a> Overlay<'a> {
    /// For an operation with one peer.
    pub(crate) fn new(records: &'a dyn Records, peer: Address) -> std::result::Result<Self, RecordsError> {
        let own = Own::read(records)?;
        Ok(Self { records, peer, own, changes: Changes::default(), failure: None, replayed: false })
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }
    pub(crate) fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }
    /// A last-resort key was about to be used a second time for the same message.
    pub(crate) fn replayed(&self) -> bool {
        self.replayed
    }
    pub(crate) fn take_failure(&mut self) -> Option<RecordsError> {
        self.failure.take()
    }

    pub(crate) fn read(&mut self, key: &RecordKey) -> Result<Option<Zeroizing<Vec<u8>>>> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.records.get(key).map_err(|error| self.fail(error)),
        }
    }

    pub(crate) fn trusted_identity(&mut self, account: AccountTag) -> Result<Option<IdentityKey>> {
        let key = RecordKey::PeerIdentity(account);
        let Some(bytes) = self.read(&key)? else { return Ok(None) };
        IdentityKey::decode(&bytes).map(Some).map_err(|_| self.fail(RecordsError::damaged(&key)))
    }

    /// The session with the peer. One whose other end has an identity that is not trusted any more is no session.
    pub(crate) fn session(&mut self) -> Result<Option<SessionRecord>> {
        let key = RecordKey::Session(self.peer);
        let Some(bytes) = self.read(&key)? else { return Ok(None) };
        let session = SessionRecord::deserialize(&bytes).map_err(|_| self.fail(RecordsError::damaged(&key)))?;
        let theirs = session.remote_identity_key_bytes()?;
        let trusted = self.trusted_identity(self.peer.account)?.map(|identity| identity.serialize().to_vec());
        Ok((theirs.is_none() || theirs == trusted).then_some(session))
    }

    fn fail(&mut self, error: RecordsError) -> SignalProtocolError {
        self.failure.get_or_insert(error);
        SignalProtocolError::InvalidState("records", "see the failure beside".to_owned())
    }

    fn check_peer(&self, address: &ProtocolAddress) -> Result<()> {
        if *address == protocol_address(self.peer)? {
            Ok(())
        } else {
            Err(SignalProtocolError::InvalidArgument("another address than the operation is for".to_owned()))
        }
    }
}

/// The name by which libsignal knows a device: the tag in lower-case hex, and the device's number.
pub(crate) fn protocol_address(address: Address) -> Result<ProtocolAddress> {
    let name = address.account.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(ProtocolAddress::new(name, signal_device(address.device)?))
}

pub(crate) fn signal_device(device: DeviceId) -> Result<libsignal_protocol::DeviceId> {
    libsignal_protocol::DeviceId::new(device.get())
        .map_err(|_| SignalProtocolError::InvalidArgument("device number".to_owned()))
}

/// One overlay as the five stores that libsignal wants, each of them by mutable reference.
#[derive(Clone, Copy)]
pub(crate) struct Stores<'o, 'a>(pub(crate) &'o RefCell<Overlay<'a>>);

#[async_trait(?Send)]
impl IdentityKeyStore for Stores<'_, '_> {
    async fn get_identity_key_pair(&self) -> Result<IdentityKeyPair> {
        self.0.borrow().own.identity_key_pair()
    }
    async fn get_local_registration_id(&self) -> Result<u32> {
        Ok(self.0.borrow().own.registration_id)
    }
    /// Identities are trusted elsewhere, never by what a message says.
    async fn save_identity(&mut self, address: &ProtocolAddress, _: &IdentityKey) -> Result<IdentityChange> {
        self.0.borrow().check_peer(address)?;
        Ok(IdentityChange::NewOrUnchanged)
    }
    async fn is_trusted_identity(
        &self,
        address: &ProtocolAddress,
        identity: &IdentityKey,
        _: Direction,
    ) -> Result<bool> {
        let mut overlay = self.0.borrow_mut();
        overlay.check_peer(address)?;
        let account = overlay.peer.account;
        Ok(overlay.trusted_identity(account)?.is_some_and(|trusted| trusted == *identity))
    }
    async fn get_identity(&self, address: &ProtocolAddress) -> Result<Option<IdentityKey>> {
        let mut overlay = self.0.borrow_mut();
        overlay.check_peer(address)?;
        let account = overlay.peer.account;
        overlay.trusted_identity(account)
    }
}

#[async_trait(?Send)]
impl SessionStore for Stores<'_, '_> {
    async fn load_session(&self, address: &ProtocolAddress) -> Result<Option<SessionRecord>> {
        let mut overlay = self.0.borrow_mut();
        overlay.check_peer(address)?;
        overlay.session()
    }
    async fn store_session(&mut self, address: &ProtocolAddress, record: &SessionRecord) -> Result<()> {
        let mut overlay = self.0.borrow_mut();
        overlay.check_peer(address)?;
        let key = RecordKey::Session(overlay.peer);
        overlay.changes.put(key, record.serialize()?);
        Ok(())
    }
}

#[async_trait(?Send)]
impl PreKeyStore for Stores<'_, '_> {
    async fn get_pre_key(&self, id: PreKeyId) -> Result<PreKeyRecord> {
        let bytes = self.0.borrow_mut().read(&RecordKey::OneTimePreKey(id.into()))?;
        PreKeyRecord::deserialize(&bytes.ok_or(SignalProtocolError::InvalidPreKeyId)?)
    }
    async fn save_pre_key(&mut self, id: PreKeyId, record: &PreKeyRecord) -> Result<()> {
        self.0.borrow_mut().changes.put(RecordKey::OneTimePreKey(id.into()), record.serialize()?);
        Ok(())
    }
    async fn remove_pre_key(&mut self, id: PreKeyId) -> Result<()> {
        self.0.borrow_mut().changes.delete(RecordKey::OneTimePreKey(id.into()));
        Ok(())
    }
}

#[async_trait(?Send)]
impl SignedPreKeyStore for Stores<'_, '_> {
    async fn get_signed_pre_key(&self, id: SignedPreKeyId) -> Result<SignedPreKeyRecord> {
        let bytes = self.0.borrow_mut().read(&RecordKey::SignedPreKey(id.into()))?;
        SignedPreKeyRecord::deserialize(&bytes.ok_or(SignalProtocolError::InvalidSignedPreKeyId)?)
    }
    async fn save_signed_pre_key(&mut self, id: SignedPreKeyId, record: &SignedPreKeyRecord) -> Result<()> {
        self.0.borrow_mut().changes.put(RecordKey::SignedPreKey(id.into()), record.serialize()?);
        Ok(())
    }
}

#[async_trait(?Send)]
impl KyberPreKeyStore for Stores<'_, '_> {
    async fn get_kyber_pre_key(&self, id: KyberPreKeyId) -> Result<KyberPreKeyRecord> {
        let bytes = self.0.borrow_mut().read(&RecordKey::KemPreKey(id.into()))?;
        let bytes = bytes.ok_or(SignalProtocolError::InvalidKyberPreKeyId)?;
        let (_, record) = bytes.split_first().ok_or(SignalProtocolError::InvalidKyberPreKeyId)?;
        KyberPreKeyRecord::deserialize(record)
    }
    async fn save_kyber_pre_key(&mut self, id: KyberPreKeyId, record: &KyberPreKeyRecord) -> Result<()> {
        let value = [&[ONE_TIME][..], &record.serialize()?].concat();
        self.0.borrow_mut().changes.put(RecordKey::KemPreKey(id.into()), value);
        Ok(())
    }
    /// A one-time key is deleted. A last-resort key stays, and each use of it is remembered.
    async fn mark_kyber_pre_key_used(
        &mut self,
        id: KyberPreKeyId,
        signed: SignedPreKeyId,
        base_key: &PublicKey,
    ) -> Result<()> {
        let mut overlay = self.0.borrow_mut();
        let key = RecordKey::KemPreKey(id.into());
        let kind = overlay.read(&key)?.and_then(|bytes| bytes.first().copied());
        if kind == Some(LAST_RESORT) {
            let base_key = base_key.serialize().as_ref().try_into();
            let base_key = base_key.map_err(|_| SignalProtocolError::InvalidKyberPreKeyId)?;
            let used = RecordKey::KemUsed { kem: id.into(), signed: signed.into(), base_key };
            if overlay.read(&used)?.is_some() {
                overlay.replayed = true;
                return Err(SignalProtocolError::InvalidKyberPreKeyId);
            }
            overlay.changes.put(used, [1]);
        } else {
            overlay.changes.delete(key);
        }
        Ok(())
    }
}
