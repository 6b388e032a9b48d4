//! What one person can say to another inside a [`Content`](crate::Content), and the checked parts of it.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::codec::DecodeError;
use crate::content::Text;
use crate::file::Attached;
use crate::ids::MessageId;
use crate::{limits, wire};

/// A message of the same conversation. Two people may have used one id, so it also says who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which.
    pub id: MessageId,
    /// Whether the reader of this wrote it; otherwise its sender did.
    pub of_reader: bool,
}

/// How long a message lives: 1 second to [`limits::LIFETIME_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(NonZeroU32);

impl Lifetime {
    /// `None` outside of the bounds. Fractions of a second are dropped.
    pub fn new(lifetime: Duration) -> Option<Self> {
        let seconds = u32::try_from(lifetime.as_secs()).ok().and_then(NonZeroU32::new)?;
        (lifetime <= limits::LIFETIME_MAX).then_some(Self(seconds))
    }

    /// From a number of seconds.
    pub fn from_secs(seconds: u32) -> Option<Self> {
        Self::new(Duration::from_secs(seconds.into()))
    }

    /// In seconds.
    pub const fn as_secs(self) -> u32 {
        self.0.get()
    }
}

/// A reaction: 1 to [`limits::EMOJI_BYTES_MAX`] bytes of UTF-8 without controls, marks of direction and spaces. `Debug` shows the
/// length.
#[derive(Clone, PartialEq, Eq)]
pub struct Emoji(String);

impl Emoji {
    /// `None` when it breaks the rule.
    pub fn new(text: String) -> Option<Self> {
        let steers = |c: char| {
            c.is_control()
                || c.is_whitespace()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        let good = (1..=limits::EMOJI_BYTES_MAX).contains(&text.len()) && !text.chars().any(steers);
        good.then_some(Self(text))
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Emoji {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Emoji({} B)", self.0.len())
    }
}

/// A text, with what it answers and how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The words.
    pub text: Text,
    /// The message that it answers.
    pub reply_to: Option<Reference>,
    /// For good when `None`. Counts from acceptance at the writer's, from being seen at the reader's.
    pub lives_for: Option<Lifetime>,
}

/// Somebody, as he may be added. `Debug` shows nothing of him.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    /// 1 to [`limits::CARD_LINK_BYTES_MAX`] bytes. Whether it is a link is for its reader to say.
    pub link: String,
    /// What whoever passes him on calls him, at most [`limits::HANDLE_BYTES_MAX`] bytes; empty for nothing.
    pub name: String,
    /// The message that it answers.
    pub reply_to: Option<Reference>,
    /// As of a text.
    pub lives_for: Option<Lifetime>,
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({} B)", self.link.len())
    }
}

/// How somebody shows himself. `Debug` shows lengths.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Face {
    /// At most [`limits::HANDLE_BYTES_MAX`] bytes; empty for none.
    pub name: String,
    /// At most [`limits::FACE_PICTURE_BYTES_MAX`]; empty for none.
    pub picture: bytes::Bytes,
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Face({} B, {} B)", self.name.len(), self.picture.len())
    }
}

impl From<&Face> for wire::Face {
    fn from(Face { name, picture }: &Face) -> Self {
        Self { name: name.clone(), picture: picture.clone() }
    }
}

impl TryFrom<wire::Face> for Face {
    type Error = DecodeError;

    fn try_from(wire::Face { name, picture }: wire::Face) -> Result<Self, DecodeError> {
        if name.len() > limits::HANDLE_BYTES_MAX {
            return Err(invalid("name"));
        }
        if picture.len() > limits::FACE_PICTURE_BYTES_MAX {
            return Err(invalid("picture"));
        }
        Ok(Self { name, picture })
    }
}

/// What has come of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// A device of the reader's has it.
    Delivered,
    /// The reader has seen it.
    Read,
}

/// What one person can say to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Words.
    Text(Written),
    /// A file.
    File(Box<Attached>),
    /// Other words for a text of the sender's own.
    Edit {
        /// Which.
        id: MessageId,
        /// They are in force unless a later edit is.
        text: Text,
    },
    /// A message of the sender's own is to be gone on both sides.
    Delete(MessageId),
    /// One for each message and person.
    React {
        /// To which message.
        to: Reference,
        /// `None` takes it back.
        emoji: Option<Emoji>,
    },
    /// What has come of the reader's own messages.
    Receipt {
        /// So far they have come.
        progress: Progress,
        /// 1 to [`limits::RECEIPT_IDS_MAX`].
        ids: Vec<MessageId>,
    },
    /// The sender is writing.
    Typing {
        /// Not any more.
        stopped: bool,
    },
    /// From now on messages of this conversation live so long, whoever writes them.
    Timer(Option<Lifetime>),
    /// Somebody else.
    Card(Box<Card>),
    /// How the sender shows himself.
    Face(Face),
}

impl From<Text> for Said {
    fn from(text: Text) -> Self {
        Self::Text(Written { text, reply_to: None, lives_for: None })
    }
}

pub(crate) fn invalid(field: &'static str) -> DecodeError {
    DecodeError::Invalid { id: None, field }
}

fn id_bytes(id: MessageId) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(id.as_bytes())
}

fn message_id(bytes: &[u8]) -> Result<MessageId, DecodeError> {
    MessageId::from_slice(bytes).map_err(|_| invalid("message_id"))
}

pub(crate) fn lifetime(seconds: u32) -> Result<Option<Lifetime>, DecodeError> {
    match seconds {
        0 => Ok(None),
        seconds => Lifetime::from_secs(seconds).map(Some).ok_or(invalid("lives_for_s")),
    }
}

fn text(body: String) -> Result<Text, DecodeError> {
    Text::new(body).map_err(|_| invalid("text"))
}

pub(crate) fn seconds(lifetime: Option<Lifetime>) -> u32 {
    lifetime.map_or(0, Lifetime::as_secs)
}

impl From<Reference> for wire::Reference {
    fn from(reference: Reference) -> Self {
        Self { message_id: id_bytes(reference.id), of_reader: reference.of_reader }
    }
}

impl TryFrom<wire::Reference> for Reference {
    type Error = DecodeError;

    fn try_from(reference: wire::Reference) -> Result<Self, DecodeError> {
        Ok(Self { id: message_id(&reference.message_id)?, of_reader: reference.of_reader })
    }
}

/// What can be said, as it lies in a content or in a copy for the own devices.
pub(crate) enum Wire {
    Text(wire::Text),
    File(wire::File),
    Edit(wire::Edit),
    Deletion(wire::Deletion),
    Reaction(wire::Reaction),
    Receipt(wire::Receipt),
    Typing(wire::Typing),
    Timer(wire::Timer),
    Card(wire::Card),
    Face(wire::Face),
}

impl From<&Said> for Wire {
    fn from(said: &Said) -> Self {
        match said {
            Said::Text(written) => Self::Text(wire::Text {
                body: written.text.as_str().to_owned(),
                reply_to: written.reply_to.map(Into::into),
                lives_for_s: seconds(written.lives_for),
            }),
            Said::File(attached) => Self::File((&**attached).into()),
            Said::Edit { id, text } => {
                Self::Edit(wire::Edit { message_id: id_bytes(*id), body: text.as_str().to_owned() })
            }
            Said::Delete(id) => Self::Deletion(wire::Deletion { message_id: id_bytes(*id) }),
            Said::React { to, emoji } => Self::Reaction(wire::Reaction {
                to: Some((*to).into()),
                emoji: emoji.as_ref().map(|emoji| emoji.0.clone()).unwrap_or_default(),
            }),
            Said::Receipt { progress, ids } => Self::Receipt(wire::Receipt {
                progress: match progress {
                    Progress::Delivered => wire::Progress::Delivered.into(),
                    Progress::Read => wire::Progress::Read.into(),
                },
                message_ids: ids.iter().copied().map(id_bytes).collect(),
            }),
            Said::Typing { stopped } => Self::Typing(wire::Typing { stopped: *stopped }),
            Said::Timer(lifetime) => Self::Timer(wire::Timer { lives_for_s: seconds(*lifetime) }),
            Said::Card(card) => Self::Card(wire::Card {
                link: card.link.clone(),
                name: card.name.clone(),
                reply_to: card.reply_to.map(Into::into),
                lives_for_s: seconds(card.lives_for),
            }),
            Said::Face(face) => Self::Face(face.into()),
        }
    }
}

impl Wire {
    /// `None` for what a newer version says.
    pub(crate) fn check(self) -> Result<Option<Said>, DecodeError> {
        Ok(Some(match self {
            Self::Text(wire) => Said::Text(Written {
                text: text(wire.body)?,
                reply_to: wire.reply_to.map(TryInto::try_into).transpose()?,
                lives_for: lifetime(wire.lives_for_s)?,
            }),
            Self::File(wire) => Said::File(Box::new(wire.try_into()?)),
            Self::Edit(wire) => Said::Edit { id: message_id(&wire.message_id)?, text: text(wire.body)? },
            Self::Deletion(wire) => Said::Delete(message_id(&wire.message_id)?),
            Self::Reaction(wire) => Said::React {
                to: wire.to.ok_or(invalid("to"))?.try_into()?,
                emoji: match wire.emoji.len() {
                    0 => None,
                    _ => Some(Emoji::new(wire.emoji).ok_or(invalid("emoji"))?),
                },
            },
            Self::Receipt(wire) => {
                let progress = match wire::Progress::try_from(wire.progress) {
                    Ok(wire::Progress::Delivered) => Progress::Delivered,
                    Ok(wire::Progress::Read) => Progress::Read,
                    Ok(wire::Progress::Unknown) | Err(_) => return Ok(None),
                };
                if !(1..=limits::RECEIPT_IDS_MAX).contains(&wire.message_ids.len()) {
                    return Err(invalid("message_ids"));
                }
                let ids = wire.message_ids.iter().map(|id| message_id(id)).collect::<Result<_, _>>()?;
                Said::Receipt { progress, ids }
            }
            Self::Typing(wire) => Said::Typing { stopped: wire.stopped },
            Self::Timer(wire) => Said::Timer(lifetime(wire.lives_for_s)?),
            Self::Card(wire) => {
                if !(1..=limits::CARD_LINK_BYTES_MAX).contains(&wire.link.len()) {
                    return Err(invalid("link"));
                }
                if wire.name.len() > limits::HANDLE_BYTES_MAX {
                    return Err(invalid("name"));
                }
                Said::Card(Box::new(Card {
                    link: wire.link,
                    name: wire.name,
                    reply_to: wire.reply_to.map(TryInto::try_into).transpose()?,
                    lives_for: lifetime(wire.lives_for_s)?,
                }))
            }
            Self::Face(wire) => Said::Face(wire.try_into()?),
        }))
    }
}
