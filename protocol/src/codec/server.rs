//! What a server says.

use std::num::NonZeroU64;

use bytes::Bytes;
use prost::Message as _;

use super::numbers::{closing_number, closing_reason, refusal_code, refusal_code_number};
use super::parts::work;
use super::{
    Broken, DecodeError, account, array, at_most, body, copy, decode, device, envelope_id, exactly, offset, opaque,
    optional, or_empty, request_id, within,
};
use crate::frame::{Answer, Deliver, DeliveryNumber, Refusal, Registration, RejectReason, RetryReason, ServerFrame};
use crate::ids::{Address, UnixMillis};
use crate::keys::KeyCounts;
use crate::{limits, wire};

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
                Kind::BlobHas(f) => Answer::BlobHas(offset(f.have)?),
                Kind::BlobPart(f) => Answer::BlobPart {
                    bytes: offset(f.bytes)?,
                    part: match f.part.len() {
                        0..=limits::BLOB_PART_BYTES_MAX => f.part,
                        _ => return Err(Broken("part")),
                    },
                },
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
                    Answer::BlobHas(have) => Kind::BlobHas(wire::BlobHas { have: *have }),
                    Answer::BlobPart { bytes, part } => {
                        Kind::BlobPart(wire::BlobPart { bytes: *bytes, part: part.clone() })
                    }
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
