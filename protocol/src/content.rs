//! What people say to each other, inside the ratchet. A [`Parcel`](crate::Parcel) carries it.

use std::fmt;

use prost::Message as _;

use crate::codec::DecodeError;
use crate::ids::{AccountTag, EnvelopeId, MessageId, UnixMillis};
use crate::own::OwnNews;
use crate::said::{Said, Wire};
use crate::{limits, wire};

/// One message between people.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// The same in every envelope that carries it.
    pub id: MessageId,
    /// When it was written, by the sender's clock.
    pub sent_at: UnixMillis,
    /// How the sender is called, at most [`limits::HANDLE_BYTES_MAX`] bytes. Believe it only if it leads to the sender's
    /// tag.
    pub sender_handle: Option<String>,
    /// What was written.
    pub kind: ContentKind,
}

/// Grows with every build that understands kinds of content which the one before did not.
pub const KINDS_VERSION: u32 = 5;

/// The kinds of content that this build understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// What one person says to the other.
    Said(Said),
    /// An envelope of the reader's did not open at the writer's, who asks for its message again. Never shown.
    Unopened(EnvelopeId),
    /// What the account has said to somebody, for its own other devices.
    Copy {
        /// To whom.
        to: AccountTag,
        /// How they are called.
        handle: String,
        /// What. Never that somebody is typing, nor a face.
        said: Said,
    },
    /// What the account has decided about somebody, for its own other devices.
    Decision {
        /// About whom.
        about: AccountTag,
        /// How they are called; empty when that is not known.
        handle: String,
        /// What, as the client names it.
        standing: String,
    },
    /// What the account has settled for itself, for its own other devices. Never shown.
    Own(OwnNews),
    /// Written by a newer version: shown as such, never dropped.
    Unknown,
}

/// Something to say: 1 to [`limits::TEXT_BYTES_MAX`] bytes of UTF-8. `Debug` shows the length, never the words.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(String);

/// Why a string is no [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing was said.
    #[error("the text is empty")]
    Empty,
    /// Too much was said.
    #[error("the text has {len} bytes, {max} are allowed", max = limits::TEXT_BYTES_MAX)]
    TooLong {
        /// In bytes.
        len: usize,
    },
}

impl Text {
    /// # Errors
    /// `Empty`, or `TooLong` above [`limits::TEXT_BYTES_MAX`].
    pub fn new(text: String) -> Result<Self, TextError> {
        match text.len() {
            0 => Err(TextError::Empty),
            1..=limits::TEXT_BYTES_MAX => Ok(Self(text)),
            len => Err(TextError::TooLong { len }),
        }
    }
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The words.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} B)", self.0.len())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({}, {:?})", self.id, self.kind)
    }
}

impl Content {
    /// The bytes that a [`Parcel`](crate::Parcel) carries. `ContentKind::Unknown` has none of its own and encodes without a
    /// kind.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match &self.kind {
            ContentKind::Said(said) => Some(match Wire::from(said) {
                Wire::Text(text) => wire::content::Kind::Text(text),
                Wire::File(file) => wire::content::Kind::File(file),
                Wire::Edit(edit) => wire::content::Kind::Edit(edit),
                Wire::Deletion(deletion) => wire::content::Kind::Deletion(deletion),
                Wire::Reaction(reaction) => wire::content::Kind::Reaction(reaction),
                Wire::Receipt(receipt) => wire::content::Kind::Receipt(receipt),
                Wire::Typing(typing) => wire::content::Kind::Typing(typing),
                Wire::Timer(timer) => wire::content::Kind::Timer(timer),
                Wire::Card(card) => wire::content::Kind::Card(card),
                Wire::Face(face) => wire::content::Kind::Face(face),
            }),
            ContentKind::Unopened(id) => {
                let envelope_id = bytes::Bytes::copy_from_slice(id.as_bytes());
                Some(wire::content::Kind::Unopened(wire::Unopened { envelope_id }))
            }
            ContentKind::Copy { to, handle, said } => Some(wire::content::Kind::Copy(wire::Copy {
                account: bytes::Bytes::copy_from_slice(to.as_bytes()),
                handle: handle.clone(),
                said: match Wire::from(said) {
                    Wire::Text(text) => Some(wire::copy::Said::Text(text)),
                    Wire::File(file) => Some(wire::copy::Said::File(file)),
                    Wire::Edit(edit) => Some(wire::copy::Said::Edit(edit)),
                    Wire::Deletion(deletion) => Some(wire::copy::Said::Deletion(deletion)),
                    Wire::Reaction(reaction) => Some(wire::copy::Said::Reaction(reaction)),
                    Wire::Receipt(receipt) => Some(wire::copy::Said::Receipt(receipt)),
                    Wire::Timer(timer) => Some(wire::copy::Said::Timer(timer)),
                    Wire::Card(card) => Some(wire::copy::Said::Card(card)),
                    Wire::Typing(_) | Wire::Face(_) => None,
                },
            })),
            ContentKind::Decision { about, handle, standing } => Some(wire::content::Kind::Decision(wire::Decision {
                account: bytes::Bytes::copy_from_slice(about.as_bytes()),
                handle: handle.clone(),
                standing: standing.clone(),
            })),
            ContentKind::Own(news) => Some(wire::content::Kind::Own(news.into())),
            ContentKind::Unknown => None,
        };
        wire::Content {
            message_id: bytes::Bytes::copy_from_slice(self.id.as_bytes()),
            sent_at_ms: self.sent_at.get(),
            sender_handle: self.sender_handle.clone().unwrap_or_default(),
            kind,
        }
        .encode_to_vec()
    }

    /// # Errors
    /// `Malformed` when the bytes are no protobuf, `Invalid` when a field breaks its rule.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let content = wire::Content::decode(bytes).map_err(|_| DecodeError::Malformed)?;
        let invalid = |field| DecodeError::Invalid { id: None, field };
        Ok(Self {
            id: MessageId::from_slice(&content.message_id).map_err(|_| invalid("message_id"))?,
            sent_at: UnixMillis::new(content.sent_at_ms),
            sender_handle: match content.sender_handle.len() {
                0 => None,
                1..=limits::HANDLE_BYTES_MAX => Some(content.sender_handle),
                _ => return Err(invalid("sender_handle")),
            },
            kind: match content.kind {
                Some(wire::content::Kind::Text(text)) => said(Wire::Text(text))?,
                Some(wire::content::Kind::File(file)) => said(Wire::File(file))?,
                Some(wire::content::Kind::Edit(edit)) => said(Wire::Edit(edit))?,
                Some(wire::content::Kind::Deletion(deletion)) => said(Wire::Deletion(deletion))?,
                Some(wire::content::Kind::Reaction(reaction)) => said(Wire::Reaction(reaction))?,
                Some(wire::content::Kind::Receipt(receipt)) => said(Wire::Receipt(receipt))?,
                Some(wire::content::Kind::Typing(typing)) => said(Wire::Typing(typing))?,
                Some(wire::content::Kind::Timer(timer)) => said(Wire::Timer(timer))?,
                Some(wire::content::Kind::Card(card)) => said(Wire::Card(card))?,
                Some(wire::content::Kind::Face(face)) => said(Wire::Face(face))?,
                Some(wire::content::Kind::Unopened(unopened)) => {
                    let id = EnvelopeId::from_slice(&unopened.envelope_id).map_err(|_| invalid("envelope_id"))?;
                    ContentKind::Unopened(id)
                }
                Some(wire::content::Kind::Copy(copy)) => {
                    let to = AccountTag::from_slice(&copy.account).map_err(|_| invalid("account"))?;
                    let handle = bounded(copy.handle, "handle")?;
                    let said = match copy.said {
                        Some(wire::copy::Said::Text(text)) => Wire::Text(text).check()?,
                        Some(wire::copy::Said::File(file)) => Wire::File(file).check()?,
                        Some(wire::copy::Said::Edit(edit)) => Wire::Edit(edit).check()?,
                        Some(wire::copy::Said::Deletion(deletion)) => Wire::Deletion(deletion).check()?,
                        Some(wire::copy::Said::Reaction(reaction)) => Wire::Reaction(reaction).check()?,
                        Some(wire::copy::Said::Receipt(receipt)) => Wire::Receipt(receipt).check()?,
                        Some(wire::copy::Said::Timer(timer)) => Wire::Timer(timer).check()?,
                        Some(wire::copy::Said::Card(card)) => Wire::Card(card).check()?,
                        None => None,
                    };
                    said.map_or(ContentKind::Unknown, |said| ContentKind::Copy { to, handle, said })
                }
                Some(wire::content::Kind::Decision(decision)) => ContentKind::Decision {
                    about: AccountTag::from_slice(&decision.account).map_err(|_| invalid("account"))?,
                    handle: bounded(decision.handle, "handle")?,
                    standing: bounded(decision.standing, "standing")?,
                },
                Some(wire::content::Kind::Own(own)) => {
                    OwnNews::check(own)?.map_or(ContentKind::Unknown, ContentKind::Own)
                }
                None => ContentKind::Unknown,
            },
        })
    }
}

fn said(wire: Wire) -> Result<ContentKind, DecodeError> {
    Ok(wire.check()?.map_or(ContentKind::Unknown, ContentKind::Said))
}

/// What an existing device gives a new one of the same person. `Debug` shows whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Provision {
    /// How the account is called.
    pub handle: String,
    /// Its tag.
    pub account: AccountTag,
    /// Of the server's oblivious function.
    pub oprf_key: [u8; limits::OPRF_ELEMENT_BYTES],
    /// The identity's key pair, as libsignal writes it.
    pub identity: Vec<u8>,
    /// Lets the device in.
    pub secret: [u8; 32],
    /// Whom the account knows, at most [`limits::ACQUAINTANCES_MAX`].
    pub people: Vec<Acquaintance>,
}

/// Somebody whom an account knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// Who.
    pub account: AccountTag,
    /// How they are called.
    pub handle: String,
    /// The identity key that is trusted, if one is.
    pub identity: Option<[u8; limits::SIGNAL_PUBLIC_KEY_BYTES]>,
    /// What was decided about them, as the client names it; empty for nothing.
    pub standing: String,
}

impl fmt::Debug for Provision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provision({:?})", self.account)
    }
}

fn bounded(text: String, field: &'static str) -> Result<String, DecodeError> {
    match text.len() {
        0..=limits::HANDLE_BYTES_MAX => Ok(text),
        _ => Err(DecodeError::Invalid { id: None, field }),
    }
}

impl Provision {
    /// The bytes that are sealed for the new device.
    pub fn encode(&self) -> Vec<u8> {
        let copy = bytes::Bytes::copy_from_slice;
        let person = |person: &Acquaintance| wire::Acquaintance {
            account: copy(person.account.as_bytes()),
            handle: person.handle.clone(),
            identity: person.identity.map(|key| copy(&key)).unwrap_or_default(),
            standing: person.standing.clone(),
        };
        wire::Provision {
            handle: self.handle.clone(),
            account: copy(self.account.as_bytes()),
            oprf_key: copy(&self.oprf_key),
            identity: copy(&self.identity),
            secret: copy(&self.secret),
            people: self.people.iter().map(person).collect(),
        }
        .encode_to_vec()
    }

    /// # Errors
    /// `Malformed` when the bytes are no protobuf, `Invalid` when a field breaks its rule.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let provision = wire::Provision::decode(bytes).map_err(|_| DecodeError::Malformed)?;
        let invalid = |field| DecodeError::Invalid { id: None, field };
        if provision.people.len() > limits::ACQUAINTANCES_MAX {
            return Err(invalid("people"));
        }
        let person = |person: wire::Acquaintance| {
            Ok(Acquaintance {
                account: AccountTag::from_slice(&person.account).map_err(|_| invalid("people.account"))?,
                handle: bounded(person.handle, "people.handle")?,
                identity: match person.identity.len() {
                    0 => None,
                    _ => Some(person.identity.as_ref().try_into().map_err(|_| invalid("people.identity"))?),
                },
                standing: bounded(person.standing, "people.standing")?,
            })
        };
        Ok(Self {
            handle: bounded(provision.handle, "handle")?,
            account: AccountTag::from_slice(&provision.account).map_err(|_| invalid("account"))?,
            oprf_key: provision.oprf_key.as_ref().try_into().map_err(|_| invalid("oprf_key"))?,
            identity: provision.identity.to_vec(),
            secret: provision.secret.as_ref().try_into().map_err(|_| invalid("secret"))?,
            people: provision.people.into_iter().map(person).collect::<Result<_, _>>()?,
        })
    }
}
