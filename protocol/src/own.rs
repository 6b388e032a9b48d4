//! What an account has settled for itself, for its own other devices.

use crate::codec::DecodeError;
use crate::ids::{AccountTag, DeviceId, MessageId, UnixMillis};
use crate::person::Person;
use crate::said::{Face, invalid};
use crate::{limits, wire};

/// Whether whoever looks at the devices of an account is told of the messages of a conversation. They come all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Muted {
    /// He is told.
    #[default]
    No,
    /// Not before this moment.
    Until(UnixMillis),
    /// Not until that is taken back.
    ForGood,
}

impl Muted {
    /// Whether nobody is told at this moment.
    pub fn at(self, now: UnixMillis) -> bool {
        match self {
            Self::No => false,
            Self::Until(until) => now < until,
            Self::ForGood => true,
        }
    }
}

/// How a conversation is kept in a list of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrangement {
    /// Above the others.
    pub pinned: bool,
    /// Whether anybody is told of its messages.
    pub muted: Muted,
}

/// A person has compared an identity key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The key.
    pub identity: [u8; limits::SIGNAL_PUBLIC_KEY_BYTES],
    /// The devices that its account had then, as far as they were known, at most [`limits::DEVICES_MAX`].
    pub devices: Vec<DeviceId>,
}

/// News for the own other devices. Of two about the same the later counts.
#[derive(Clone, PartialEq, Eq)]
pub enum OwnNews {
    /// What somebody is called on the devices of this account.
    Nickname {
        /// Who.
        about: AccountTag,
        /// At most [`limits::HANDLE_BYTES_MAX`] bytes; empty for his handle.
        name: String,
    },
    /// A person has compared somebody's identity key.
    Compared {
        /// Whose.
        about: AccountTag,
        /// Which; `None`: it does not count any more.
        compared: Option<Comparison>,
    },
    /// What was chosen.
    Choices {
        /// Whether the writers of messages hear that they came and were seen.
        receipts: bool,
        /// Whether others hear that this person is writing.
        typing: bool,
    },
    /// How a conversation is kept.
    Arranged {
        /// Whom with.
        with: AccountTag,
        /// How.
        arrangement: Arrangement,
    },
    /// How this account shows itself.
    Face(Face),
    /// What was said with somebody until then is to be gone.
    Removed {
        /// Whom with.
        with: AccountTag,
        /// And that person is not known any more.
        contact: bool,
    },
    /// What was settled about people before a device came to the account: 1 to [`limits::ACQUAINTANCES_MAX`].
    People(Vec<Person>),
    /// Messages of somebody's were seen.
    Seen {
        /// Whose.
        with: AccountTag,
        /// 1 to [`limits::RECEIPT_IDS_MAX`].
        ids: Vec<MessageId>,
    },
}

impl std::fmt::Debug for OwnNews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nickname { .. } => "Nickname",
            Self::Compared { .. } => "Compared",
            Self::Choices { .. } => "Choices",
            Self::Arranged { .. } => "Arranged",
            Self::Face(_) => "Face",
            Self::Removed { .. } => "Removed",
            Self::People(_) => "People",
            Self::Seen { .. } => "Seen",
        })
    }
}

impl From<Option<&Comparison>> for wire::Compared {
    fn from(compared: Option<&Comparison>) -> Self {
        let Some(Comparison { identity, devices }) = compared else { return Self::default() };
        let devices = devices.iter().map(|device| device.get()).collect();
        Self { identity: bytes::Bytes::copy_from_slice(identity), devices, ..Self::default() }
    }
}

impl Comparison {
    pub(crate) fn check(wire: &wire::Compared) -> Result<Option<Self>, DecodeError> {
        if wire.identity.is_empty() {
            return Ok(None);
        }
        if wire.devices.len() > limits::DEVICES_MAX {
            return Err(invalid("devices"));
        }
        let device = |number: &u8| DeviceId::new((*number).into()).map_err(|_| invalid("devices"));
        Ok(Some(Self {
            identity: wire.identity.as_ref().try_into().map_err(|_| invalid("identity"))?,
            devices: wire.devices.iter().map(device).collect::<Result<_, _>>()?,
        }))
    }
}

impl From<&Arrangement> for wire::Arranged {
    fn from(Arrangement { pinned, muted }: &Arrangement) -> Self {
        let muted_until_ms = match muted {
            Muted::No => 0,
            Muted::Until(until) => until.get(),
            Muted::ForGood => u64::MAX,
        };
        Self { pinned: *pinned, muted_until_ms, ..Self::default() }
    }
}

impl From<&wire::Arranged> for Arrangement {
    fn from(wire: &wire::Arranged) -> Self {
        let muted = match wire.muted_until_ms {
            0 => Muted::No,
            u64::MAX => Muted::ForGood,
            until => Muted::Until(UnixMillis::new(until)),
        };
        Self { pinned: wire.pinned, muted }
    }
}

impl From<&OwnNews> for wire::Own {
    fn from(news: &OwnNews) -> Self {
        let copy = bytes::Bytes::copy_from_slice;
        let account = |tag: &AccountTag| copy(tag.as_bytes());
        let news = match news {
            OwnNews::Nickname { about, name } => {
                wire::own::News::Nickname(wire::Nickname { account: account(about), name: name.clone() })
            }
            OwnNews::Compared { about, compared } => {
                wire::own::News::Compared(wire::Compared { account: account(about), ..compared.as_ref().into() })
            }
            OwnNews::Choices { receipts, typing } => {
                wire::own::News::Choices(wire::Choices { receipts: *receipts, typing: *typing })
            }
            OwnNews::Arranged { with, arrangement } => {
                wire::own::News::Arranged(wire::Arranged { account: account(with), ..arrangement.into() })
            }
            OwnNews::Face(face) => wire::own::News::Face(face.into()),
            OwnNews::Removed { with, contact } => {
                wire::own::News::Removed(wire::Removed { account: account(with), contact: *contact })
            }
            OwnNews::People(people) => {
                wire::own::News::People(wire::People { people: people.iter().map(Into::into).collect() })
            }
            OwnNews::Seen { with, ids } => {
                let message_ids = ids.iter().map(|id| copy(id.as_bytes())).collect();
                wire::own::News::Seen(wire::Seen { account: account(with), message_ids })
            }
        };
        Self { news: Some(news) }
    }
}

impl OwnNews {
    /// `None` for what a newer version says.
    pub(crate) fn check(wire: wire::Own) -> Result<Option<Self>, DecodeError> {
        let account = |bytes: &[u8]| AccountTag::from_slice(bytes).map_err(|_| invalid("account"));
        let Some(news) = wire.news else { return Ok(None) };
        Ok(Some(match news {
            wire::own::News::Nickname(wire) => match wire.name.len() {
                0..=limits::HANDLE_BYTES_MAX => Self::Nickname { about: account(&wire.account)?, name: wire.name },
                _ => return Err(invalid("name")),
            },
            wire::own::News::Compared(wire) => {
                Self::Compared { about: account(&wire.account)?, compared: Comparison::check(&wire)? }
            }
            wire::own::News::Choices(wire) => Self::Choices { receipts: wire.receipts, typing: wire.typing },
            wire::own::News::Arranged(wire) => {
                Self::Arranged { with: account(&wire.account)?, arrangement: (&wire).into() }
            }
            wire::own::News::Face(wire) => Self::Face(wire.try_into()?),
            wire::own::News::Removed(wire) => Self::Removed { with: account(&wire.account)?, contact: wire.contact },
            wire::own::News::People(wire) => {
                if !(1..=limits::ACQUAINTANCES_MAX).contains(&wire.people.len()) {
                    return Err(invalid("people"));
                }
                Self::People(wire.people.into_iter().map(Person::check).collect::<Result<_, _>>()?)
            }
            wire::own::News::Seen(wire) => {
                if !(1..=limits::RECEIPT_IDS_MAX).contains(&wire.message_ids.len()) {
                    return Err(invalid("message_ids"));
                }
                let id = |id: &bytes::Bytes| MessageId::from_slice(id).map_err(|_| invalid("message_ids"));
                let ids = wire.message_ids.iter().map(id).collect::<Result<_, _>>()?;
                Self::Seen { with: account(&wire.account)?, ids }
            }
        }))
    }
}
