//! What a client says.

use bytes::Bytes;
use prost::Message as _;

use super::{
    Broken, DecodeError, account, array, blob, copy, decode, device, exactly, link, offset, opaque, optional, or_empty,
    present, proof, request_id, within,
};
use crate::blob::BlobRequest;
use crate::frame::{ClientFrame, DeliveryNumber, Relation, Request};
use crate::invite::InviteCode;
use crate::{limits, wire};

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
                Kind::OpenBlob(f) => Request::Blob(BlobRequest::Open {
                    blob: blob(&f.blob)?,
                    bytes: match f.bytes {
                        1..=limits::BLOB_BYTES_MAX => f.bytes,
                        _ => return Err(Broken("bytes")),
                    },
                    secret_hash: array(&f.secret_hash, "secret_hash")?,
                }),
                Kind::PutBlob(f) => Request::Blob(BlobRequest::Put {
                    blob: blob(&f.blob)?,
                    secret: array(&f.secret, "secret")?,
                    offset: offset(f.offset)?,
                    part: within(f.part, limits::BLOB_PART_BYTES_MAX, "part")?,
                }),
                Kind::FetchBlob(f) => {
                    Request::Blob(BlobRequest::Fetch { blob: blob(&f.blob)?, offset: offset(f.offset)? })
                }
                Kind::RemoveBlob(f) => {
                    Request::Blob(BlobRequest::Remove { blob: blob(&f.blob)?, secret: array(&f.secret, "secret")? })
                }
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
                    Request::Blob(BlobRequest::Open { blob, bytes, secret_hash }) => Kind::OpenBlob(wire::OpenBlob {
                        blob: copy(&blob.0),
                        bytes: *bytes,
                        secret_hash: copy(secret_hash),
                    }),
                    Request::Blob(BlobRequest::Put { blob, secret, offset, part }) => Kind::PutBlob(wire::PutBlob {
                        blob: copy(&blob.0),
                        secret: copy(secret),
                        offset: *offset,
                        part: part.clone(),
                    }),
                    Request::Blob(BlobRequest::Fetch { blob, offset }) => {
                        Kind::FetchBlob(wire::FetchBlob { blob: copy(&blob.0), offset: *offset })
                    }
                    Request::Blob(BlobRequest::Remove { blob, secret }) => {
                        Kind::RemoveBlob(wire::RemoveBlob { blob: copy(&blob.0), secret: copy(secret) })
                    }
                },
            ),
        };
        wire::ClientFrame { request, kind: Some(kind) }.encode_to_vec().into()
    }
}
