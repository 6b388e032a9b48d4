//! Bytes to frames and back. The only place that sees the generated structs of the frames.

use std::num::NonZeroU64;

use bytes::Bytes;
use prost::Message as _;

use crate::frame::{
    Answer, ClientFrame, ClosingReason, Deliver, DeliveryNumber, Envelope, ListedDevice, Refusal, RefusalCode,
    Registration, RejectReason, Relation, Request, RequestId, RetryReason, ServerFrame, Work,
};
use crate::ids::{AccountTag, Address, DeviceId, EnvelopeId, UnixMillis};
use crate::invite::InviteCode;
use crate::keys::{
    Bundle, Bundles, DeviceKeys, EnvelopeKey, Identity, KemPreKey, KeyCounts, NewDevice, OneTimePreKey, SignedPreKey,
};
use crate::{limits, wire};

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`limits::FRAME_BYTES_MAX`]. Close the connection.
    #[error("a frame of {len} bytes, {max} are allowed", max = limits::FRAME_BYTES_MAX)]
    TooLarge {
        /// In bytes.
        len: usize,
    },
    /// Not the protobuf message that was expected. Close the connection.
    #[error("not a frame")]
    Malformed,
    /// A kind of frame that this build does not know. Refuse it and go on.
    #[error("unknown kind of frame")]
    Unsupported {
        /// What to refuse, if it can be named.
        id: Option<RequestId>,
    },
    /// A field breaks its rule. Refuse the frame and go on.
    #[error("field {field} breaks its rule")]
    Invalid {
        /// What to refuse, if it can be named.
        id: Option<RequestId>,
        /// Name in the `.proto` file.
        field: &'static str,
    },
}

/// A rule that a field breaks: its name in the `.proto` file. [`DecodeError::Invalid`] adds the request.
struct Broken(&'static str);
type Checked<T> = Result<T, Broken>;

fn array<const N: usize>(bytes: &[u8], field: &'static str) -> Checked<[u8; N]> {
    bytes.try_into().map_err(|_| Broken(field))
}
fn exactly(bytes: Bytes, len: usize, field: &'static str) -> Checked<Bytes> {
    if bytes.len() == len { Ok(bytes) } else { Err(Broken(field)) }
}
fn within(bytes: Bytes, max: usize, field: &'static str) -> Checked<Bytes> {
    if (1..=max).contains(&bytes.len()) { Ok(bytes) } else { Err(Broken(field)) }
}
fn present<T>(value: Option<T>, field: &'static str) -> Checked<T> {
    value.ok_or(Broken(field))
}
fn at_most<T, U>(
    items: Vec<T>,
    max: usize,
    field: &'static str,
    check: impl FnMut(T) -> Checked<U>,
) -> Checked<Vec<U>> {
    if items.len() > max {
        return Err(Broken(field));
    }
    items.into_iter().map(check).collect()
}
/// Empty bytes stand for nothing.
fn optional<T>(bytes: Bytes, check: impl FnOnce(Bytes) -> Checked<T>) -> Checked<Option<T>> {
    if bytes.is_empty() { Ok(None) } else { check(bytes).map(Some) }
}
fn or_empty(bytes: &Option<Bytes>) -> Bytes {
    bytes.clone().unwrap_or_default()
}
fn link(bytes: &[u8]) -> Checked<[u8; limits::LINK_BYTES]> {
    array(bytes, "link")
}
fn opaque(bytes: Bytes) -> Checked<Bytes> {
    within(bytes, limits::OPAQUE_BYTES_MAX, "opaque")
}
fn proof(bytes: Bytes) -> Checked<Bytes> {
    exactly(bytes, limits::HYBRID_SIGNATURE_BYTES, "device_proof")
}
fn account(bytes: &[u8]) -> Checked<AccountTag> {
    AccountTag::from_slice(bytes).map_err(|_| Broken("account"))
}
fn device(number: u32) -> Checked<DeviceId> {
    DeviceId::new(number).map_err(|_| Broken("device"))
}
fn envelope_id(bytes: &[u8]) -> Checked<EnvelopeId> {
    EnvelopeId::from_slice(bytes).map_err(|_| Broken("id"))
}
fn body(bytes: Bytes) -> Checked<Bytes> {
    within(bytes, limits::ENVELOPE_BYTES_MAX, "body")
}
fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
fn request_id(number: u64) -> Option<RequestId> {
    NonZeroU64::new(number).map(RequestId)
}
fn decode<M: prost::Message + Default>(bytes: Bytes) -> Result<M, DecodeError> {
    if bytes.len() > limits::FRAME_BYTES_MAX {
        return Err(DecodeError::TooLarge { len: bytes.len() });
    }
    M::decode(bytes).map_err(|_| DecodeError::Malformed)
}

impl ClientFrame {
    /// # Errors
    /// See [`DecodeError`]: its variants say whether the connection can go on.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        use wire::client_frame::Kind;
        let frame: wire::ClientFrame = decode(bytes)?;
        let id = request_id(frame.request);
        let kind = frame.kind.ok_or(DecodeError::Unsupported { id })?;
        let checked = (|| {
            let request = match kind {
                Kind::Send(send) => return send.checked().map(Self::Send),
                Kind::RetriesHeard(heard) => return Ok(Self::RetriesHeard { count: heard.count }),
                Kind::Ack(ack) => return Ok(Self::Ack { up_to: DeliveryNumber(ack.up_to) }),
                Kind::Hello(f) => Request::Hello {
                    version_min: f.version_min,
                    version_max: f.version_max,
                    server_password: match f.server_password.len() {
                        0..=limits::SERVER_PASSWORD_BYTES_MAX => f.server_password,
                        _ => return Err(Broken("server_password")),
                    },
                },
                Kind::Evaluate(f) => Request::Evaluate { blinded: array(&f.blinded, "blinded")? },
                Kind::ShowWork(f) => Request::ShowWork { nonce: f.nonce },
                Kind::NewChallenge(wire::NewChallenge {}) => Request::NewChallenge,
                Kind::LoginNew(f) => Request::LoginNew { opaque: opaque(f.opaque)? },
                Kind::AddDevice(f) => f.checked()?,
                Kind::OfferLink(f) => Request::OfferLink {
                    link: link(&f.link)?,
                    offer: within(f.offer, limits::LINK_OFFER_BYTES_MAX, "offer")?,
                },
                Kind::FetchAnswer(f) => Request::FetchAnswer { link: link(&f.link)? },
                Kind::FetchOffer(f) => Request::FetchOffer { link: link(&f.link)? },
                Kind::AnswerLink(f) => Request::AnswerLink {
                    link: link(&f.link)?,
                    sealed: within(f.sealed, limits::LINK_SEALED_BYTES_MAX, "sealed")?,
                    secret_hash: optional(f.secret_hash, |hash| array(&hash, "secret_hash"))?,
                },
                Kind::Refresh(f) => Request::Refresh {
                    token: exactly(f.token, limits::REFRESH_TOKEN_BYTES, "token")?,
                    device_proof: proof(f.device_proof)?,
                },
                Kind::FetchDevices(wire::FetchDevices {}) => Request::FetchDevices,
                Kind::RenameDevice(f) => Request::RenameDevice {
                    device: device(f.device)?,
                    name: within(f.name, limits::DEVICE_NAME_BYTES_MAX, "name")?,
                },
                Kind::RemoveDevice(f) => Request::RemoveDevice { device: device(f.device)? },
                Kind::Logout(f) => Request::Logout { everywhere: f.everywhere },
                Kind::SetRelation(f) => {
                    let relation = match wire::Relation::try_from(f.relation) {
                        Ok(wire::Relation::None) => None,
                        Ok(wire::Relation::Accepted) => Some(Relation::Accepted),
                        Ok(wire::Relation::Blocked) => Some(Relation::Blocked),
                        Err(_) => return Err(Broken("relation")),
                    };
                    Request::SetRelation { account: account(&f.account)?, relation }
                }
                Kind::PasswordStart(f) => Request::PasswordStart {
                    opaque: opaque(f.opaque)?,
                    registration: optional(f.registration, opaque)?,
                },
                Kind::PasswordFinish(f) => {
                    Request::PasswordFinish { opaque: opaque(f.opaque)?, record: optional(f.record, opaque)? }
                }
                Kind::SetBackup(f) => {
                    Request::SetBackup(optional(f.backup, |backup| within(backup, limits::BACKUP_BYTES_MAX, "backup"))?)
                }
                Kind::RegisterStart(f) => {
                    Request::RegisterStart { account: account(&f.account)?, opaque: opaque(f.opaque)? }
                }
                Kind::RegisterFinish(f) => f.checked()?,
                Kind::LoginStart(f) => Request::LoginStart { account: account(&f.account)?, opaque: opaque(f.opaque)? },
                Kind::LoginFinish(f) => Request::LoginFinish {
                    opaque: opaque(f.opaque)?,
                    device: device(f.device)?,
                    device_proof: proof(f.device_proof)?,
                },
                Kind::Resume(f) => Request::Resume {
                    token: exactly(f.token, limits::ACCESS_TOKEN_BYTES, "token")?,
                    device_proof: proof(f.device_proof)?,
                },
                Kind::PublishKeys(f) => Request::PublishKeys(Box::new(present(f.keys, "keys")?.checked()?)),
                Kind::FetchBundles(f) => Request::FetchBundles { account: account(&f.account)? },
                Kind::FetchIdentity(f) => Request::FetchIdentity { account: account(&f.account)? },
                Kind::Attach(wire::Attach {}) => Request::Attach,
            };
            Ok(Self::Request { id: id.ok_or(Broken("request"))?, request })
        })();
        checked.map_err(|Broken(field)| DecodeError::Invalid { id, field })
    }

    /// The bytes of the frame.
    pub fn encode(&self) -> Bytes {
        use wire::client_frame::Kind;
        let (request, kind) = match self {
            Self::Send(envelope) => (0, Kind::Send(envelope.into())),
            Self::RetriesHeard { count } => (0, Kind::RetriesHeard(wire::RetriesHeard { count: *count })),
            Self::Ack { up_to } => (0, Kind::Ack(wire::Ack { up_to: up_to.0 })),
            Self::Request { id, request } => (
                id.0.get(),
                match request {
                    Request::Hello { version_min, version_max, server_password } => Kind::Hello(wire::Hello {
                        version_min: *version_min,
                        version_max: *version_max,
                        server_password: server_password.clone(),
                    }),
                    Request::Evaluate { blinded } => Kind::Evaluate(wire::Evaluate { blinded: copy(blinded) }),
                    Request::ShowWork { nonce } => Kind::ShowWork(wire::ShowWork { nonce: *nonce }),
                    Request::NewChallenge => Kind::NewChallenge(wire::NewChallenge {}),
                    Request::LoginNew { opaque } => Kind::LoginNew(wire::LoginNew { opaque: opaque.clone() }),
                    Request::AddDevice { account, link, device_proof, device } => Kind::AddDevice(wire::AddDevice {
                        account: copy(account.as_bytes()),
                        link: link.map(|(link, _)| copy(&link)).unwrap_or_default(),
                        secret: link.map(|(_, secret)| copy(&secret)).unwrap_or_default(),
                        device_key: device.device_key.clone(),
                        device_proof: device_proof.clone(),
                        registration_id: device.registration_id,
                        identity_key: copy(&device.identity_key),
                        keys: Some((&**device).into()),
                    }),
                    Request::OfferLink { link, offer } => {
                        Kind::OfferLink(wire::OfferLink { link: copy(link), offer: offer.clone() })
                    }
                    Request::FetchAnswer { link } => Kind::FetchAnswer(wire::FetchAnswer { link: copy(link) }),
                    Request::FetchOffer { link } => Kind::FetchOffer(wire::FetchOffer { link: copy(link) }),
                    Request::AnswerLink { link, sealed, secret_hash } => Kind::AnswerLink(wire::AnswerLink {
                        link: copy(link),
                        sealed: sealed.clone(),
                        secret_hash: secret_hash.map(|hash| copy(&hash)).unwrap_or_default(),
                    }),
                    Request::Refresh { token, device_proof } => {
                        Kind::Refresh(wire::Refresh { token: token.clone(), device_proof: device_proof.clone() })
                    }
                    Request::FetchDevices => Kind::FetchDevices(wire::FetchDevices {}),
                    Request::RenameDevice { device, name } => {
                        Kind::RenameDevice(wire::RenameDevice { device: device.get().into(), name: name.clone() })
                    }
                    Request::RemoveDevice { device } => {
                        Kind::RemoveDevice(wire::RemoveDevice { device: device.get().into() })
                    }
                    Request::Logout { everywhere } => Kind::Logout(wire::Logout { everywhere: *everywhere }),
                    Request::SetRelation { account, relation } => Kind::SetRelation(wire::SetRelation {
                        account: copy(account.as_bytes()),
                        relation: match relation {
                            None => wire::Relation::None,
                            Some(Relation::Accepted) => wire::Relation::Accepted,
                            Some(Relation::Blocked) => wire::Relation::Blocked,
                        }
                        .into(),
                    }),
                    Request::PasswordStart { opaque, registration } => Kind::PasswordStart(wire::PasswordStart {
                        opaque: opaque.clone(),
                        registration: or_empty(registration),
                    }),
                    Request::PasswordFinish { opaque, record } => {
                        Kind::PasswordFinish(wire::PasswordFinish { opaque: opaque.clone(), record: or_empty(record) })
                    }
                    Request::SetBackup(backup) => Kind::SetBackup(wire::SetBackup { backup: or_empty(backup) }),
                    Request::RegisterStart { account, opaque } => Kind::RegisterStart(wire::RegisterStart {
                        account: copy(account.as_bytes()),
                        opaque: opaque.clone(),
                    }),
                    Request::RegisterFinish { opaque, device_proof, device, invite } => {
                        Kind::RegisterFinish(wire::RegisterFinish {
                            opaque: opaque.clone(),
                            device_key: device.device_key.clone(),
                            device_proof: device_proof.clone(),
                            registration_id: device.registration_id,
                            identity_key: copy(&device.identity_key),
                            keys: Some((&**device).into()),
                            invite: invite.as_ref().map(|InviteCode(code)| copy(code)).unwrap_or_default(),
                        })
                    }
                    Request::LoginStart { account, opaque } => {
                        Kind::LoginStart(wire::LoginStart { account: copy(account.as_bytes()), opaque: opaque.clone() })
                    }
                    Request::LoginFinish { opaque, device, device_proof } => Kind::LoginFinish(wire::LoginFinish {
                        opaque: opaque.clone(),
                        device: device.get().into(),
                        device_proof: device_proof.clone(),
                    }),
                    Request::Resume { token, device_proof } => {
                        Kind::Resume(wire::Resume { token: token.clone(), device_proof: device_proof.clone() })
                    }
                    Request::PublishKeys(keys) => Kind::PublishKeys(wire::PublishKeys { keys: Some((&**keys).into()) }),
                    Request::FetchBundles { account } => {
                        Kind::FetchBundles(wire::FetchBundles { account: copy(account.as_bytes()) })
                    }
                    Request::FetchIdentity { account } => {
                        Kind::FetchIdentity(wire::FetchIdentity { account: copy(account.as_bytes()) })
                    }
                    Request::Attach => Kind::Attach(wire::Attach {}),
                },
            ),
        };
        wire::ClientFrame { request, kind: Some(kind) }.encode_to_vec().into()
    }
}

impl ServerFrame {
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        use wire::server_frame::Kind;
        let frame: wire::ServerFrame = decode(bytes)?;
        let id = request_id(frame.request);
        let kind = frame.kind.ok_or(DecodeError::Unsupported { id })?;
        let checked = (|| {
            let answer = match kind {
                Kind::Refused(f) => {
                    let refusal = Refusal {
                        code: refusal_code(f.code()),
                        retry_after_ms: NonZeroU64::new(f.retry_after_ms),
                        work: work(f.work_bits, f.work_counter)?,
                    };
                    return Ok(Self::Refused { id, refusal });
                }
                Kind::Accepted(f) => {
                    return Ok(Self::Accepted { id: envelope_id(&f.id)?, at: UnixMillis::new(f.accepted_at_ms) });
                }
                Kind::Retry(f) => {
                    let reason = match f.reason() {
                        wire::RetryReason::QueueFull => RetryReason::QueueFull,
                        wire::RetryReason::Unavailable => RetryReason::Unavailable,
                        wire::RetryReason::Window => RetryReason::Window,
                        wire::RetryReason::Devices => RetryReason::Devices,
                        wire::RetryReason::Rate => RetryReason::Rate,
                        wire::RetryReason::ShuttingDown => RetryReason::ShuttingDown,
                        wire::RetryReason::Busy | wire::RetryReason::Unspecified => RetryReason::Busy,
                    };
                    return Ok(Self::Retry { id: envelope_id(&f.id)?, after_ms: f.after_ms, reason });
                }
                Kind::Rejected(f) => {
                    let reason = match f.reason() {
                        wire::RejectReason::UnknownRecipient | wire::RejectReason::Unspecified => {
                            RejectReason::UnknownRecipient
                        }
                    };
                    return Ok(Self::Rejected { id: envelope_id(&f.id)?, reason });
                }
                Kind::Deliver(f) => {
                    return Ok(Self::Deliver(Deliver {
                        delivery: DeliveryNumber(f.delivery),
                        id: envelope_id(&f.id)?,
                        accepted_at: UnixMillis::new(f.accepted_at_ms),
                        body: body(f.body)?,
                    }));
                }
                Kind::DevicesChanged(f) => return Ok(Self::DevicesChanged { version: f.version }),
                Kind::Closing(f) => {
                    return Ok(Self::Closing { reason: closing_reason(f.reason()), after_ms: f.after_ms });
                }
                Kind::Welcome(f) => Answer::Welcome {
                    version: f.version,
                    challenge: array(&f.challenge, "challenge")?,
                    server_time: UnixMillis::new(f.server_time_ms),
                    send_window: match f.send_window {
                        0 => return Err(Broken("send_window")),
                        window => window,
                    },
                    oprf_key: array(&f.oprf_key, "oprf_key")?,
                    registration: match f.registration() {
                        wire::Registration::Open => Registration::Open,
                        wire::Registration::Invite => Registration::Invite,
                        wire::Registration::Closed | wire::Registration::Unspecified => Registration::Closed,
                    },
                },
                Kind::Evaluated(f) => Answer::Evaluated { evaluation: array(&f.evaluation, "evaluation")? },
                Kind::Challenge(f) => Answer::Challenge { challenge: array(&f.challenge, "challenge")? },
                Kind::PasswordProved(f) => Answer::PasswordProved {
                    backup: optional(f.backup, |backup| within(backup, limits::BACKUP_BYTES_MAX, "backup"))?,
                    delay_ms: f.delay_ms,
                },
                Kind::Offer(f) => Answer::Offer { offer: within(f.offer, limits::LINK_OFFER_BYTES_MAX, "offer")? },
                Kind::LinkAnswer(f) => Answer::LinkAnswer(match (f.account.len(), f.sealed.len()) {
                    (0, 0) => None,
                    _ => Some((account(&f.account)?, within(f.sealed, limits::LINK_SEALED_BYTES_MAX, "sealed")?)),
                }),
                Kind::Devices(f) => Answer::Devices {
                    version: f.version,
                    devices: at_most(f.devices, limits::DEVICES_MAX, "devices", wire::Device::checked)?,
                },
                Kind::PasswordChallenge(f) => Answer::PasswordChallenge {
                    opaque: opaque(f.opaque)?,
                    registration: optional(f.registration, opaque)?,
                },
                Kind::Done(wire::Done {}) => Answer::Done,
                Kind::RegisterChallenge(f) => Answer::RegisterChallenge { opaque: opaque(f.opaque)? },
                Kind::LoginChallenge(f) => Answer::LoginChallenge { opaque: opaque(f.opaque)? },
                Kind::Authenticated(f) => Answer::Authenticated {
                    address: Address { account: account(&f.account)?, device: device(f.device)? },
                    token: exactly(f.token, limits::ACCESS_TOKEN_BYTES, "token")?,
                    token_expires: UnixMillis::new(f.token_expires_ms),
                    keys: KeyCounts { one_time: f.one_time_pre_keys, one_time_kem: f.one_time_kem_pre_keys },
                    refresh_token: optional(f.refresh_token, |token| {
                        exactly(token, limits::REFRESH_TOKEN_BYTES, "refresh_token")
                    })?,
                    devices_version: f.devices_version,
                },
                Kind::KeysPublished(f) => Answer::KeysPublished(KeyCounts {
                    one_time: f.one_time_pre_keys,
                    one_time_kem: f.one_time_kem_pre_keys,
                }),
                Kind::Bundles(f) => Answer::Bundles(Box::new(f.checked()?)),
                Kind::Identity(f) => Answer::Identity(Box::new(f.checked()?)),
                Kind::Attached(wire::Attached {}) => Answer::Attached,
            };
            Ok(Self::Answer { id: id.ok_or(Broken("request"))?, answer })
        })();
        checked.map_err(|Broken(field)| DecodeError::Invalid { id, field })
    }

    /// The bytes of the frame.
    pub fn encode(&self) -> Bytes {
        self.prepare().0.encode_to_vec().into()
    }

    /// For whoever must know the length first, and has a buffer.
    pub fn prepare(&self) -> PreparedServerFrame {
        use wire::server_frame::Kind;
        let (request, kind) = match self {
            Self::Refused { id, refusal } => (
                id.map_or(0, |id| id.0.get()),
                Kind::Refused(wire::Refused {
                    code: refusal_code_number(refusal.code).into(),
                    retry_after_ms: refusal.retry_after_ms.map_or(0, NonZeroU64::get),
                    work_bits: refusal.work.map_or(0, |work| work.bits.into()),
                    work_counter: refusal.work.map_or(0, |work| work.counter),
                }),
            ),
            Self::Accepted { id, at } => {
                (0, Kind::Accepted(wire::Accepted { id: copy(id.as_bytes()), accepted_at_ms: at.get() }))
            }
            Self::Retry { id, after_ms, reason } => (
                0,
                Kind::Retry(wire::Retry {
                    id: copy(id.as_bytes()),
                    after_ms: *after_ms,
                    reason: match reason {
                        RetryReason::Busy => wire::RetryReason::Busy,
                        RetryReason::QueueFull => wire::RetryReason::QueueFull,
                        RetryReason::Unavailable => wire::RetryReason::Unavailable,
                        RetryReason::Window => wire::RetryReason::Window,
                        RetryReason::Devices => wire::RetryReason::Devices,
                        RetryReason::Rate => wire::RetryReason::Rate,
                        RetryReason::ShuttingDown => wire::RetryReason::ShuttingDown,
                    }
                    .into(),
                }),
            ),
            Self::Rejected { id, reason } => (
                0,
                Kind::Rejected(wire::Rejected {
                    id: copy(id.as_bytes()),
                    reason: match reason {
                        RejectReason::UnknownRecipient => wire::RejectReason::UnknownRecipient,
                    }
                    .into(),
                }),
            ),
            Self::Deliver(deliver) => (
                0,
                Kind::Deliver(wire::Deliver {
                    delivery: deliver.delivery.0,
                    id: copy(deliver.id.as_bytes()),
                    accepted_at_ms: deliver.accepted_at.get(),
                    body: deliver.body.clone(),
                }),
            ),
            Self::DevicesChanged { version } => (0, Kind::DevicesChanged(wire::DevicesChanged { version: *version })),
            Self::Closing { reason, after_ms } => {
                (0, Kind::Closing(wire::Closing { reason: closing_number(*reason).into(), after_ms: *after_ms }))
            }
            Self::Answer { id, answer } => (
                id.0.get(),
                match answer {
                    Answer::Welcome { version, challenge, server_time, send_window, oprf_key, registration } => {
                        Kind::Welcome(wire::Welcome {
                            version: *version,
                            challenge: copy(challenge),
                            server_time_ms: server_time.get(),
                            send_window: *send_window,
                            oprf_key: copy(oprf_key),
                            registration: match registration {
                                Registration::Open => wire::Registration::Open,
                                Registration::Invite => wire::Registration::Invite,
                                Registration::Closed => wire::Registration::Closed,
                            }
                            .into(),
                        })
                    }
                    Answer::Evaluated { evaluation } => {
                        Kind::Evaluated(wire::Evaluated { evaluation: copy(evaluation) })
                    }
                    Answer::Challenge { challenge } => Kind::Challenge(wire::Challenge { challenge: copy(challenge) }),
                    Answer::PasswordProved { backup, delay_ms } => {
                        Kind::PasswordProved(wire::PasswordProved { backup: or_empty(backup), delay_ms: *delay_ms })
                    }
                    Answer::Offer { offer } => Kind::Offer(wire::Offer { offer: offer.clone() }),
                    Answer::LinkAnswer(answer) => {
                        let (account, sealed) = match answer {
                            Some((account, sealed)) => (copy(account.as_bytes()), sealed.clone()),
                            None => Default::default(),
                        };
                        Kind::LinkAnswer(wire::LinkAnswer { account, sealed })
                    }
                    Answer::Devices { version, devices } => Kind::Devices(wire::Devices {
                        version: *version,
                        devices: devices.iter().map(Into::into).collect(),
                    }),
                    Answer::PasswordChallenge { opaque, registration } => {
                        Kind::PasswordChallenge(wire::PasswordChallenge {
                            opaque: opaque.clone(),
                            registration: or_empty(registration),
                        })
                    }
                    Answer::Done => Kind::Done(wire::Done {}),
                    Answer::RegisterChallenge { opaque } => {
                        Kind::RegisterChallenge(wire::RegisterChallenge { opaque: opaque.clone() })
                    }
                    Answer::LoginChallenge { opaque } => {
                        Kind::LoginChallenge(wire::LoginChallenge { opaque: opaque.clone() })
                    }
                    Answer::Authenticated { address, token, token_expires, keys, refresh_token, devices_version } => {
                        Kind::Authenticated(wire::Authenticated {
                            account: copy(address.account.as_bytes()),
                            device: address.device.get().into(),
                            token: token.clone(),
                            token_expires_ms: token_expires.get(),
                            one_time_pre_keys: keys.one_time,
                            one_time_kem_pre_keys: keys.one_time_kem,
                            refresh_token: or_empty(refresh_token),
                            devices_version: *devices_version,
                        })
                    }
                    Answer::KeysPublished(keys) => Kind::KeysPublished(wire::KeysPublished {
                        one_time_pre_keys: keys.one_time,
                        one_time_kem_pre_keys: keys.one_time_kem,
                    }),
                    Answer::Bundles(bundles) => Kind::Bundles((&**bundles).into()),
                    Answer::Identity(identity) => Kind::Identity((&**identity).into()),
                    Answer::Attached => Kind::Attached(wire::Attached {}),
                },
            ),
        };
        PreparedServerFrame(wire::ServerFrame { request, kind: Some(kind) })
    }
}

/// A frame that can be written.
#[derive(Debug)]
pub struct PreparedServerFrame(wire::ServerFrame);

impl PreparedServerFrame {
    /// Bytes of the frame.
    pub fn bytes(&self) -> usize {
        self.0.encoded_len()
    }

    /// Appends them.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.0.encode_raw(out);
    }
}

impl wire::Send {
    fn checked(self) -> Checked<Envelope> {
        Ok(Envelope {
            id: envelope_id(&self.id)?,
            to: Address { account: account(&self.account)?, device: device(self.device)? },
            body: body(self.body)?,
            devices_version: self.devices_version,
        })
    }
}
impl From<&Envelope> for wire::Send {
    fn from(envelope: &Envelope) -> Self {
        Self {
            id: copy(envelope.id.as_bytes()),
            account: copy(envelope.to.account.as_bytes()),
            device: envelope.to.device.get().into(),
            body: envelope.body.clone(),
            devices_version: envelope.devices_version,
        }
    }
}

impl wire::RegisterFinish {
    fn checked(self) -> Checked<Request> {
        Ok(Request::RegisterFinish {
            device: new_device(self.keys, self.device_key, self.registration_id, &self.identity_key)?,
            opaque: opaque(self.opaque)?,
            device_proof: proof(self.device_proof)?,
            invite: optional(self.invite, |invite| array(&invite, "invite").map(InviteCode))?,
        })
    }
}

impl wire::AddDevice {
    fn checked(self) -> Checked<Request> {
        let secret = optional(self.secret, |secret| array(&secret, "secret"))?;
        Ok(Request::AddDevice {
            device: new_device(self.keys, self.device_key, self.registration_id, &self.identity_key)?,
            account: account(&self.account)?,
            link: match (optional(self.link, |bytes| link(&bytes))?, secret) {
                (Some(link), Some(secret)) => Some((link, secret)),
                (None, None) => None,
                _ => return Err(Broken("secret")),
            },
            device_proof: proof(self.device_proof)?,
        })
    }
}

fn new_device(
    keys: Option<wire::DeviceKeys>,
    device_key: Bytes,
    registration_id: u32,
    identity_key: &[u8],
) -> Checked<Box<NewDevice>> {
    let keys = present(keys, "keys")?.checked()?;
    Ok(Box::new(NewDevice {
        device_key: exactly(device_key, limits::DEVICE_KEY_BYTES, "device_key")?,
        registration_id,
        identity_key: array(identity_key, "identity_key")?,
        signed_pre_key: present(keys.signed_pre_key, "signed_pre_key")?,
        last_resort_kem_pre_key: present(keys.last_resort_kem_pre_key, "last_resort_kem_pre_key")?,
        envelope_key: present(keys.envelope_key, "envelope_key")?,
        one_time_pre_keys: keys.one_time_pre_keys,
        one_time_kem_pre_keys: keys.one_time_kem_pre_keys,
    }))
}

impl wire::Device {
    fn checked(self) -> Checked<ListedDevice> {
        Ok(ListedDevice {
            device: device(self.device)?,
            name: optional(self.name, |name| within(name, limits::DEVICE_NAME_BYTES_MAX, "name"))?,
            added_at: UnixMillis::new(self.added_at_ms),
            active_at: UnixMillis::new(self.active_at_ms),
        })
    }
}
impl From<&ListedDevice> for wire::Device {
    fn from(listed: &ListedDevice) -> Self {
        Self {
            device: listed.device.get().into(),
            name: or_empty(&listed.name),
            added_at_ms: listed.added_at.get(),
            active_at_ms: listed.active_at.get(),
        }
    }
}

fn work(bits: u32, counter: u64) -> Checked<Option<Work>> {
    match u8::try_from(bits) {
        Ok(0) if counter == 0 => Ok(None),
        Ok(bits @ 1..=limits::WORK_BITS_MAX) => Ok(Some(Work { bits, counter })),
        _ => Err(Broken("work_bits")),
    }
}

impl wire::DeviceKeys {
    fn checked(self) -> Checked<DeviceKeys> {
        Ok(DeviceKeys {
            signed_pre_key: self.signed_pre_key.map(wire::SignedPreKey::checked).transpose()?,
            last_resort_kem_pre_key: self.last_resort_kem_pre_key.map(wire::KemPreKey::checked).transpose()?,
            envelope_key: self.envelope_key.map(wire::EnvelopeKey::checked).transpose()?,
            one_time_pre_keys: at_most(
                self.one_time_pre_keys,
                limits::ONE_TIME_PRE_KEYS_UPLOAD_MAX,
                "one_time_pre_keys",
                wire::OneTimePreKey::checked,
            )?,
            one_time_kem_pre_keys: at_most(
                self.one_time_kem_pre_keys,
                limits::ONE_TIME_KEM_PRE_KEYS_UPLOAD_MAX,
                "one_time_kem_pre_keys",
                wire::KemPreKey::checked,
            )?,
        })
    }
}
impl From<&DeviceKeys> for wire::DeviceKeys {
    fn from(keys: &DeviceKeys) -> Self {
        Self {
            signed_pre_key: keys.signed_pre_key.as_ref().map(Into::into),
            last_resort_kem_pre_key: keys.last_resort_kem_pre_key.as_ref().map(Into::into),
            envelope_key: keys.envelope_key.as_ref().map(Into::into),
            one_time_pre_keys: keys.one_time_pre_keys.iter().map(Into::into).collect(),
            one_time_kem_pre_keys: keys.one_time_kem_pre_keys.iter().map(Into::into).collect(),
        }
    }
}
impl From<&NewDevice> for wire::DeviceKeys {
    fn from(device: &NewDevice) -> Self {
        Self {
            signed_pre_key: Some((&device.signed_pre_key).into()),
            last_resort_kem_pre_key: Some((&device.last_resort_kem_pre_key).into()),
            envelope_key: Some((&device.envelope_key).into()),
            one_time_pre_keys: device.one_time_pre_keys.iter().map(Into::into).collect(),
            one_time_kem_pre_keys: device.one_time_kem_pre_keys.iter().map(Into::into).collect(),
        }
    }
}

impl wire::SignedPreKey {
    fn checked(self) -> Checked<SignedPreKey> {
        Ok(SignedPreKey {
            id: self.id,
            public: array(&self.public, "signed_pre_key.public")?,
            signature: array(&self.signature, "signed_pre_key.signature")?,
        })
    }
}
impl From<&SignedPreKey> for wire::SignedPreKey {
    fn from(key: &SignedPreKey) -> Self {
        Self { id: key.id, public: copy(&key.public), signature: copy(&key.signature) }
    }
}

impl wire::OneTimePreKey {
    fn checked(self) -> Checked<OneTimePreKey> {
        Ok(OneTimePreKey { id: self.id, public: array(&self.public, "one_time_pre_key.public")? })
    }
}
impl From<&OneTimePreKey> for wire::OneTimePreKey {
    fn from(key: &OneTimePreKey) -> Self {
        Self { id: key.id, public: copy(&key.public) }
    }
}

impl wire::KemPreKey {
    fn checked(self) -> Checked<KemPreKey> {
        Ok(KemPreKey {
            id: self.id,
            public: exactly(self.public, limits::SIGNAL_KEM_KEY_BYTES, "kem_pre_key.public")?,
            signature: array(&self.signature, "kem_pre_key.signature")?,
        })
    }
}
impl From<&KemPreKey> for wire::KemPreKey {
    fn from(key: &KemPreKey) -> Self {
        Self { id: key.id, public: key.public.clone(), signature: copy(&key.signature) }
    }
}

impl wire::EnvelopeKey {
    fn checked(self) -> Checked<EnvelopeKey> {
        Ok(EnvelopeKey {
            id: self.id,
            x25519: array(&self.x25519, "envelope_key.x25519")?,
            ml_kem: exactly(self.ml_kem, limits::ML_KEM_KEY_BYTES, "envelope_key.ml_kem")?,
            signature: array(&self.signature, "envelope_key.signature")?,
        })
    }
}
impl From<&EnvelopeKey> for wire::EnvelopeKey {
    fn from(key: &EnvelopeKey) -> Self {
        Self { id: key.id, x25519: copy(&key.x25519), ml_kem: key.ml_kem.clone(), signature: copy(&key.signature) }
    }
}

impl wire::Identity {
    fn checked(self) -> Checked<Identity> {
        let envelope_keys = at_most(self.devices, limits::DEVICES_MAX, "devices", |entry| {
            Ok((device(entry.device)?, present(entry.envelope_key, "envelope_key")?.checked()?))
        })?;
        if envelope_keys.is_empty() {
            return Err(Broken("devices"));
        }
        let identity_key = array(&self.identity_key, "identity_key")?;
        Ok(Identity { devices_version: self.devices_version, identity_key, envelope_keys })
    }
}
impl From<&Identity> for wire::Identity {
    fn from(identity: &Identity) -> Self {
        let entry = |(device, key): &(DeviceId, EnvelopeKey)| wire::DeviceEnvelopeKey {
            device: device.get().into(),
            envelope_key: Some(key.into()),
        };
        Self {
            identity_key: copy(&identity.identity_key),
            devices: identity.envelope_keys.iter().map(entry).collect(),
            devices_version: identity.devices_version,
        }
    }
}

impl wire::Bundles {
    fn checked(self) -> Checked<Bundles> {
        let devices = at_most(self.devices, limits::DEVICES_MAX, "devices", wire::Bundle::checked)?;
        if devices.is_empty() {
            return Err(Broken("devices"));
        }
        let identity_key = array(&self.identity_key, "identity_key")?;
        Ok(Bundles { devices_version: self.devices_version, identity_key, devices })
    }
}
impl From<&Bundles> for wire::Bundles {
    fn from(bundles: &Bundles) -> Self {
        Self {
            identity_key: copy(&bundles.identity_key),
            devices: bundles.devices.iter().map(Into::into).collect(),
            devices_version: bundles.devices_version,
        }
    }
}

impl wire::Bundle {
    fn checked(self) -> Checked<Bundle> {
        Ok(Bundle {
            device: device(self.device)?,
            registration_id: self.registration_id,
            signed_pre_key: present(self.signed_pre_key, "signed_pre_key")?.checked()?,
            one_time_pre_key: self.one_time_pre_key.map(wire::OneTimePreKey::checked).transpose()?,
            kem_pre_key: present(self.kem_pre_key, "kem_pre_key")?.checked()?,
            envelope_key: present(self.envelope_key, "envelope_key")?.checked()?,
        })
    }
}
impl From<&Bundle> for wire::Bundle {
    fn from(bundle: &Bundle) -> Self {
        Self {
            device: bundle.device.get().into(),
            registration_id: bundle.registration_id,
            signed_pre_key: Some((&bundle.signed_pre_key).into()),
            one_time_pre_key: bundle.one_time_pre_key.as_ref().map(Into::into),
            kem_pre_key: Some((&bundle.kem_pre_key).into()),
            envelope_key: Some((&bundle.envelope_key).into()),
        }
    }
}

fn refusal_code(code: wire::RefusalCode) -> RefusalCode {
    use wire::RefusalCode as W;
    match code {
        W::Unsupported | W::Unspecified => RefusalCode::Unsupported,
        W::Invalid => RefusalCode::Invalid,
        W::Version => RefusalCode::Version,
        W::OutOfOrder => RefusalCode::OutOfOrder,
        W::NotAuthenticated => RefusalCode::NotAuthenticated,
        W::BadCredentials => RefusalCode::BadCredentials,
        W::HandleTaken => RefusalCode::HandleTaken,
        W::RegistrationClosed => RefusalCode::RegistrationClosed,
        W::UnknownAccount => RefusalCode::UnknownAccount,
        W::TooManyKeys => RefusalCode::TooManyKeys,
        W::Busy => RefusalCode::Busy,
        W::Unavailable => RefusalCode::Unavailable,
        W::ServerPassword => RefusalCode::ServerPassword,
        W::Invite => RefusalCode::Invite,
        W::Rate => RefusalCode::Rate,
        W::Work => RefusalCode::Work,
        W::TooManyDevices => RefusalCode::TooManyDevices,
        W::DeviceWaits => RefusalCode::DeviceWaits,
        W::Disabled => RefusalCode::Disabled,
        W::UnknownLink => RefusalCode::UnknownLink,
        W::UnknownDevice => RefusalCode::UnknownDevice,
    }
}
fn refusal_code_number(code: RefusalCode) -> wire::RefusalCode {
    use wire::RefusalCode as W;
    match code {
        RefusalCode::Unsupported => W::Unsupported,
        RefusalCode::Invalid => W::Invalid,
        RefusalCode::Version => W::Version,
        RefusalCode::OutOfOrder => W::OutOfOrder,
        RefusalCode::NotAuthenticated => W::NotAuthenticated,
        RefusalCode::BadCredentials => W::BadCredentials,
        RefusalCode::HandleTaken => W::HandleTaken,
        RefusalCode::RegistrationClosed => W::RegistrationClosed,
        RefusalCode::UnknownAccount => W::UnknownAccount,
        RefusalCode::TooManyKeys => W::TooManyKeys,
        RefusalCode::Busy => W::Busy,
        RefusalCode::Unavailable => W::Unavailable,
        RefusalCode::ServerPassword => W::ServerPassword,
        RefusalCode::Invite => W::Invite,
        RefusalCode::Rate => W::Rate,
        RefusalCode::Work => W::Work,
        RefusalCode::TooManyDevices => W::TooManyDevices,
        RefusalCode::DeviceWaits => W::DeviceWaits,
        RefusalCode::Disabled => W::Disabled,
        RefusalCode::UnknownLink => W::UnknownLink,
        RefusalCode::UnknownDevice => W::UnknownDevice,
    }
}
fn closing_reason(reason: wire::ClosingReason) -> ClosingReason {
    use wire::ClosingReason as W;
    match reason {
        W::Malformed => ClosingReason::Malformed,
        W::TooLarge => ClosingReason::TooLarge,
        W::TooSlow => ClosingReason::TooSlow,
        W::TooManyErrors => ClosingReason::TooManyErrors,
        W::Replaced => ClosingReason::Replaced,
        W::ChannelBroken => ClosingReason::ChannelBroken,
        W::Removed => ClosingReason::Removed,
        W::ShuttingDown | W::Unspecified => ClosingReason::ShuttingDown,
    }
}
fn closing_number(reason: ClosingReason) -> wire::ClosingReason {
    use wire::ClosingReason as W;
    match reason {
        ClosingReason::Malformed => W::Malformed,
        ClosingReason::TooLarge => W::TooLarge,
        ClosingReason::TooSlow => W::TooSlow,
        ClosingReason::TooManyErrors => W::TooManyErrors,
        ClosingReason::Replaced => W::Replaced,
        ClosingReason::ChannelBroken => W::ChannelBroken,
        ClosingReason::Removed => W::Removed,
        ClosingReason::ShuttingDown => W::ShuttingDown,
    }
}
