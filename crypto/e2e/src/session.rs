//! Signal sessions inside PQ envelopes: what a message goes through on its way out and in.

use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use endtoend_protocol::{AccountTag, Address, Bundle, DeviceId, EnvelopeId, EnvelopeKey, Identity, UnixMillis};
use libsignal_protocol::{
    CiphertextMessageType, IdentityKey, PreKeyBundle, PreKeySignalMessage, PublicKey, SessionUsabilityRequirements,
    SignalMessage, SignalProtocolError, kem, message_decrypt_prekey, message_decrypt_signal, message_encrypt,
    process_prekey_bundle,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::envelope::{self, BadEnvelope, Public, Secret};
use crate::guard::{self, Hostile};
use crate::identity::envelope_key_is_signed;
use crate::overlay::{Overlay, Stores, protocol_address, signal_device};
use crate::padding::{self, BadPadding};
use crate::random::Rand09;
use crate::records::{Changes, RecordKey, Records, RecordsError};

/// How long what a server says about somebody's keys is good for: to seal envelopes with, and to go on in a session that was
/// not answered. The owner keeps replaced keys for this time, for the time that a message waits in its sender's outbox and
/// on a server, and then destroys them.
pub const PEER_KEYS_AGE_MAX: Duration = Duration::from_secs(6 * 24 * 3600);

/// Why there is no session with a device.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The account has another identity than the one that is trusted. A person must look at it.
    #[error("the identity has changed")]
    IdentityChanged {
        /// The one in the bundle.
        identity: [u8; 33],
    },
    /// A signature does not verify, a key is of low order or of another kind. Nobody honest publishes such a bundle.
    #[error("the published keys do not verify")]
    BadKeys,
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Why a message was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is none with post-quantum protection, or it is stale: start one.
    #[error("no session with the device")]
    NoSession,
    /// Longer than the largest size class.
    #[error("the content is too long")]
    TooLong,
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Why an envelope was not opened. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The session has opened a message at this place before. Under an envelope id that is new this is no repeat: its
    /// sender has gone back to an older state.
    #[error("the message was opened before")]
    Duplicate {
        /// Who it says wrote it.
        peer: Address,
    },
    /// Its sender is not known: find out the account's identity, trust it, and open again.
    #[error("the sender is not known yet")]
    UnknownPeer {
        /// Who it says wrote it.
        peer: Address,
        /// With which identity.
        identity: [u8; 33],
    },
    /// Its sender has another identity than the one that is trusted.
    #[error("the sender's identity has changed")]
    IdentityChanged {
        /// Who it says wrote it.
        peer: Address,
        /// With which identity.
        identity: [u8; 33],
    },
    /// It is sealed for a key that this device does not have, or not any more.
    #[error("the envelope is for a key that is not here")]
    UnknownKey,
    /// There is no session for it, or its one-time keys are gone.
    #[error("no session for the message")]
    NoSession {
        /// Who it says wrote it.
        peer: Address,
    },
    /// There is a session that does not open it: one side has lost its state, or somebody has forged it.
    #[error("the session does not open the message")]
    Undecryptable {
        /// Who it says wrote it.
        peer: Address,
    },
    /// Something does not verify.
    #[error("the message does not verify")]
    Forged,
    /// No honest client makes such a message.
    #[error("the message is malformed on purpose")]
    Hostile,
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl From<BadEnvelope> for OpenError {
    fn from(_: BadEnvelope) -> Self {
        Self::Forged
    }
}
impl From<BadPadding> for OpenError {
    fn from(_: BadPadding) -> Self {
        Self::Hostile
    }
}
impl From<Hostile> for OpenError {
    fn from(_: Hostile) -> Self {
        Self::Hostile
    }
}

/// A message that was opened and whose sender is proved.
#[derive(Debug)]
pub struct Opened {
    /// Who wrote it.
    pub from: Address,
    /// What was sealed.
    pub content: Content,
    /// It began a session, and used up one-time keys.
    pub new_session: bool,
}

/// Plaintext. `Debug` shows its length.
pub struct Content(Zeroizing<Vec<u8>>);

impl std::ops::Deref for Content {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} B)", self.0.len())
    }
}

/// Begins a session with a device from what it published. Trusts the identity if none is trusted for the account yet.
///
/// # Errors
/// See [`SessionError`].
pub fn start_session<R: CryptoRng + ?Sized>(
    records: &dyn Records,
    rng: &mut R,
    own: Address,
    peer: Address,
    identity_key: &[u8; 33],
    bundle: &Bundle,
    now: UnixMillis,
) -> Result<Changes, SessionError> {
    if peer == own || peer.device != bundle.device {
        return Err(SessionError::BadKeys);
    }
    let mut overlay = Overlay::new(records, peer)?;
    let identity = IdentityKey::decode(identity_key).map_err(|_| SessionError::BadKeys)?;
    let (bundle, envelope_key) = check_bundle(&identity, bundle).ok_or(SessionError::BadKeys)?;
    match overlay.trusted_identity(peer.account) {
        Ok(None) => overlay.changes().put(RecordKey::PeerIdentity(peer.account), *identity_key),
        Ok(Some(trusted)) if trusted == identity => {}
        Ok(Some(_)) => return Err(SessionError::IdentityChanged { identity: *identity_key }),
        Err(_) => return Err(failure(&mut overlay).map_or(SessionError::BadKeys, Into::into)),
    }
    overlay.changes().put(RecordKey::PeerEnvelopeKey(peer), envelope_key.to_bytes());
    let overlay = RefCell::new(overlay);
    let done = guard::catch(|| {
        let (mut sessions, mut identities) = (Stores(&overlay), Stores(&overlay));
        let address = protocol_address(peer)?;
        let rng = &mut Rand09(rng);
        at_once(process_prekey_bundle(&address, &mut sessions, &mut identities, &bundle, time(now), rng))
    });
    let mut overlay = overlay.into_inner();
    match done {
        Ok(Ok(())) if is_usable(&mut overlay, now) => Ok(overlay.into_changes()),
        _ => Err(failure(&mut overlay).map_or(SessionError::BadKeys, Into::into)),
    }
}

/// Learns who an account is from what its server says: trusts the identity if none is trusted yet, and keeps the
/// devices' envelope keys, so that a message from a stranger can be believed and answered.
///
/// # Errors
/// See [`SessionError`]. A message alone never makes its sender known: anybody can write any sender into it.
pub fn learn_identity(
    records: &dyn Records,
    account: AccountTag,
    identity: &Identity,
) -> Result<Changes, SessionError> {
    let mut changes = Changes::default();
    let key = IdentityKey::decode(&identity.identity_key).map_err(|_| SessionError::BadKeys)?;
    guard::check_contributory(key.public_key()).map_err(|Hostile| SessionError::BadKeys)?;
    match records.get(&RecordKey::PeerIdentity(account))? {
        None => changes.put(RecordKey::PeerIdentity(account), identity.identity_key),
        Some(trusted) if trusted.as_slice() == identity.identity_key => {}
        Some(_) => return Err(SessionError::IdentityChanged { identity: identity.identity_key }),
    }
    for (device, envelope_key) in &identity.envelope_keys {
        let public = check_envelope_key(&key, envelope_key).ok_or(SessionError::BadKeys)?;
        changes.put(RecordKey::PeerEnvelopeKey(Address { account, device: *device }), public.to_bytes());
    }
    Ok(changes)
}

/// Whether messages for the device can be sealed.
///
/// # Errors
/// When the records cannot be read.
pub fn has_session(records: &dyn Records, peer: Address, now: UnixMillis) -> Result<bool, RecordsError> {
    let mut overlay = Overlay::new(records, peer)?;
    let usable = is_usable(&mut overlay, now) && records.get(&RecordKey::PeerEnvelopeKey(peer))?.is_some();
    failure(&mut overlay).map_or(Ok(usable), Err)
}

/// Seals `content` for a device: the body of an [`Envelope`](endtoend_protocol::Envelope).
///
/// # Errors
/// See [`SealError`].
pub fn seal<R: CryptoRng + ?Sized>(
    records: &dyn Records,
    rng: &mut R,
    own: Address,
    to: Address,
    id: EnvelopeId,
    content: &[u8],
    now: UnixMillis,
) -> Result<(Bytes, Changes), SealError> {
    let mut overlay = Overlay::new(records, to)?;
    if !is_usable(&mut overlay, now) {
        return Err(failure(&mut overlay).map_or(SealError::NoSession, Into::into));
    }
    let key = records.get(&RecordKey::PeerEnvelopeKey(to))?.ok_or(SealError::NoSession)?;
    let key = Public::from_bytes(&key).map_err(|_| RecordsError::damaged(&RecordKey::PeerEnvelopeKey(to)))?;
    let mut text = padding::framed(&[&address_bytes(own), &address_bytes(to)], content);
    padding::to_size_class(&mut text).map_err(|_| SealError::TooLong)?;
    let overlay = RefCell::new(overlay);
    let message = guard::catch(|| {
        let (mut sessions, mut identities) = (Stores(&overlay), Stores(&overlay));
        let address = protocol_address(to)?;
        at_once(message_encrypt(&text, &address, &mut sessions, &mut identities, time(now), &mut Rand09(rng)))
    });
    let mut overlay = overlay.into_inner();
    let message = match message {
        Ok(Ok(message)) => message,
        Ok(Err(_)) | Err(Hostile) => return Err(failure(&mut overlay).map_or(SealError::NoSession, Into::into)),
    };
    let head = [&address_bytes(own)[..], &[message.message_type() as u8]];
    let mut plaintext = padding::framed(&head, message.serialize());
    padding::to_envelope_step(&mut plaintext);
    Ok((envelope::seal(rng, &key, to, id, &plaintext), overlay.into_changes()))
}

/// Opens an envelope that was delivered under `id`.
///
/// # Errors
/// See [`OpenError`].
pub fn open<R: CryptoRng + ?Sized>(
    records: &dyn Records,
    rng: &mut R,
    own: Address,
    id: EnvelopeId,
    body: &[u8],
    now: UnixMillis,
) -> Result<(Opened, Changes), OpenError> {
    let secret = records.get(&RecordKey::EnvelopeKey(envelope::key_id(body)?))?.ok_or(OpenError::UnknownKey)?;
    let secret = secret.as_slice().try_into().map_err(|_| OpenError::UnknownKey)?;
    let open_envelope = |secret: &Secret| envelope::open(secret, own, id, body);
    let plaintext = match records.ready_keys() {
        Some(ready) => ready.with(secret, open_envelope)?,
        None => open_envelope(&Secret::from_bytes(secret))?,
    };
    let (from, kind, message) = read_sender(&plaintext)?;
    if from == own {
        return Err(OpenError::Hostile);
    }
    let message = guard::catch(|| Incoming::parse(kind, message))??;
    let mut overlay = Overlay::new(records, from)?;
    message.check_identity(&mut overlay, from)?;
    let overlay = RefCell::new(overlay);
    let text = guard::catch(|| message.decrypt(from, &overlay, rng));
    let mut overlay = overlay.into_inner();
    let text = match text {
        Ok(Ok(text)) => Zeroizing::new(text),
        Ok(Err(error)) => return Err(not_opened(&mut overlay, from, &error)),
        Err(Hostile) => return Err(OpenError::Hostile),
    };
    let content = read_addresses(&text, from, own)?;
    let usable = match overlay.session() {
        Ok(Some(session)) => session.has_usable_sender_chain(time(now), POST_QUANTUM).unwrap_or(false),
        Ok(None) | Err(_) => false,
    };
    if !usable {
        return Err(failure(&mut overlay).map_or(OpenError::Hostile, Into::into));
    }
    let new_session = matches!(message, Incoming::PreKey(_));
    let content = Content(Zeroizing::new(content.to_vec()));
    Ok((Opened { from, content, new_session }, overlay.into_changes()))
}

/// No session without PQXDH and without SPQR is ever used.
const POST_QUANTUM: SessionUsabilityRequirements =
    SessionUsabilityRequirements::EstablishedWithPqxdh.union(SessionUsabilityRequirements::Spqr);

/// How long libsignal 0.85.3 uses a session that was not answered.
const LIBSIGNAL_UNANSWERED_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Each message of a session that was not answered needs the keys that the session began with, so it is used as long as those
/// are surely there. libsignal's own bound is longer: it is asked about a later moment.
fn is_usable(overlay: &mut Overlay<'_>, now: UnixMillis) -> bool {
    let wanted = POST_QUANTUM | SessionUsabilityRequirements::NotStale;
    let later = now.plus(LIBSIGNAL_UNANSWERED_MAX.saturating_sub(PEER_KEYS_AGE_MAX));
    match overlay.session() {
        Ok(Some(session)) => session.has_usable_sender_chain(time(later), wanted).unwrap_or(false),
        Ok(None) | Err(_) => false,
    }
}

fn failure(overlay: &mut Overlay<'_>) -> Option<RecordsError> {
    overlay.take_failure()
}

/// Checks everything in a bundle that libsignal 0.85.3 does not, and the envelope key's signature.
fn check_bundle(identity: &IdentityKey, bundle: &Bundle) -> Option<(PreKeyBundle, Public)> {
    let curve = |bytes: &[u8]| {
        let key = PublicKey::deserialize(bytes).ok()?;
        guard::check_contributory(&key).ok()?;
        Some(key)
    };
    curve(&identity.serialize())?;
    let one_time = match &bundle.one_time_pre_key {
        Some(key) => Some((key.id.into(), curve(&key.public)?)),
        None => None,
    };
    let kem_key = kem::PublicKey::deserialize(&bundle.kem_pre_key.public).ok()?;
    if kem_key.key_type() != kem::KeyType::MLKEM1024 {
        return None;
    }
    let envelope_key = check_envelope_key(identity, &bundle.envelope_key)?;
    let bundle = PreKeyBundle::new(
        bundle.registration_id,
        signal_device(bundle.device).ok()?,
        one_time,
        bundle.signed_pre_key.id.into(),
        curve(&bundle.signed_pre_key.public)?,
        bundle.signed_pre_key.signature.to_vec(),
        bundle.kem_pre_key.id.into(),
        kem_key,
        bundle.kem_pre_key.signature.to_vec(),
        *identity,
    );
    Some((bundle.ok()?, envelope_key))
}

fn check_envelope_key(identity: &IdentityKey, key: &EnvelopeKey) -> Option<Public> {
    let signed = envelope_key_is_signed(identity, key);
    if signed { Public::new(key.id, &key.x25519, &key.ml_kem).ok() } else { None }
}

/// `account(32) || device(1)`
pub(crate) fn address_bytes(address: Address) -> [u8; 33] {
    let mut bytes = [0; 33];
    let (account, device) = bytes.split_at_mut(32);
    account.copy_from_slice(address.account.as_bytes());
    device.fill(address.device.get());
    bytes
}

/// Reads `account(32) || device(1)`.
fn read_address(bytes: &[u8]) -> Option<(Address, &[u8])> {
    let (account, rest) = bytes.split_first_chunk::<32>()?;
    let (device, rest) = rest.split_first()?;
    let device = DeviceId::new((*device).into()).ok()?;
    Some((Address { account: AccountTag::new(*account), device }, rest))
}

/// Reads the envelope's plaintext: `sender || kind(1) || len(4, LE) || message || zeros`.
fn read_sender(plaintext: &[u8]) -> Result<(Address, u8, &[u8]), OpenError> {
    let (from, rest) = read_address(plaintext).ok_or(OpenError::Hostile)?;
    let (kind, rest) = rest.split_first().ok_or(OpenError::Hostile)?;
    Ok((from, *kind, padding::unpad(rest)?))
}

/// Reads the ratchet's plaintext: `sender || recipient || len(4, LE) || content || zeros`. libsignal 0.85.3 binds
/// identity keys only; these are the addresses, which must be those of the envelope and our own.
fn read_addresses(text: &[u8], from: Address, to: Address) -> Result<&[u8], OpenError> {
    let (sender, rest) = read_address(text).ok_or(OpenError::Hostile)?;
    let (recipient, rest) = read_address(rest).ok_or(OpenError::Hostile)?;
    if sender != from || recipient != to {
        return Err(OpenError::Forged);
    }
    Ok(padding::unpad(rest)?)
}

/// A message of the ratchet that has passed the guards.
enum Incoming {
    PreKey(PreKeySignalMessage),
    Whisper(SignalMessage),
}

impl Incoming {
    fn parse(kind: u8, bytes: &[u8]) -> Result<Self, Hostile> {
        if kind == CiphertextMessageType::PreKey as u8 {
            let message = PreKeySignalMessage::try_from(bytes).map_err(|_| Hostile)?;
            guard::check_pre_key_message(&message)?;
            Ok(Self::PreKey(message))
        } else if kind == CiphertextMessageType::Whisper as u8 {
            let message = SignalMessage::try_from(bytes).map_err(|_| Hostile)?;
            guard::check_message(&message)?;
            Ok(Self::Whisper(message))
        } else {
            Err(Hostile)
        }
    }

    /// A message never makes its sender known or trusted: anybody can write any sender into it.
    fn check_identity(&self, overlay: &mut Overlay<'_>, from: Address) -> Result<(), OpenError> {
        let trusted = overlay.trusted_identity(from.account);
        let trusted = trusted.map_err(|_| failure(overlay).map_or(OpenError::NoSession { peer: from }, Into::into))?;
        match (self, trusted) {
            (Self::PreKey(message), trusted) => {
                let key = message.identity_key();
                let identity = key.serialize().as_ref().try_into().map_err(|_| OpenError::Hostile)?;
                match trusted {
                    None => Err(OpenError::UnknownPeer { peer: from, identity }),
                    Some(trusted) if trusted == *key => Ok(()),
                    Some(_) => Err(OpenError::IdentityChanged { peer: from, identity }),
                }
            }
            (Self::Whisper(_), None) => Err(OpenError::NoSession { peer: from }),
            (Self::Whisper(_), Some(_)) => Ok(()),
        }
    }

    fn decrypt<R: CryptoRng + ?Sized>(
        &self,
        from: Address,
        overlay: &RefCell<Overlay<'_>>,
        rng: &mut R,
    ) -> Result<Vec<u8>, SignalProtocolError> {
        let address = protocol_address(from)?;
        let stores = Stores(overlay);
        let (mut sessions, mut identities, mut pre_keys, mut kem_pre_keys) = (stores, stores, stores, stores);
        let rng = &mut Rand09(rng);
        match self {
            Self::PreKey(message) => at_once(message_decrypt_prekey(
                message,
                &address,
                &mut sessions,
                &mut identities,
                &mut pre_keys,
                &stores,
                &mut kem_pre_keys,
                rng,
            )),
            Self::Whisper(message) => {
                at_once(message_decrypt_signal(message, &address, &mut sessions, &mut identities, rng))
            }
        }
    }
}

fn not_opened(overlay: &mut Overlay<'_>, peer: Address, error: &SignalProtocolError) -> OpenError {
    if let Some(failure) = failure(overlay) {
        return failure.into();
    }
    match error {
        _ if overlay.replayed() => OpenError::Duplicate { peer },
        SignalProtocolError::DuplicatedMessage(..) => OpenError::Duplicate { peer },
        SignalProtocolError::SessionNotFound(_)
        | SignalProtocolError::InvalidPreKeyId
        | SignalProtocolError::InvalidSignedPreKeyId
        | SignalProtocolError::InvalidKyberPreKeyId => OpenError::NoSession { peer },
        _ => OpenError::Undecryptable { peer },
    }
}

fn time(at: UnixMillis) -> SystemTime {
    // A moment that the type cannot hold is later than any session lives.
    UNIX_EPOCH.checked_add(Duration::from_millis(at.get())).unwrap_or(UNIX_EPOCH)
}

/// Runs a future whose stores never wait.
fn at_once<T>(future: impl Future<Output = Result<T, SignalProtocolError>>) -> Result<T, SignalProtocolError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(SignalProtocolError::InvalidState("stores", "a store waited".to_owned())),
    }
}
