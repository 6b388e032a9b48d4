//! The lines of a backup and of an export.
//!
//! The first is a [`Head`], then come people, then messages in their order, and the last is an [`End`], which counts them. Ids and
//! keys are hexadecimal, times milliseconds since 1970 UTC; a field that is not known is left out. Fields may be added within a
//! version.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// Version of the format. A newer one is refused.
pub const VERSION: u32 = 1;
/// Longest line, in bytes: the longest text, each byte of it escaped, and room for the rest.
pub const LINE_BYTES_MAX: usize = 512 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Whose it is.
    Head(Box<Head>),
    /// Somebody.
    Contact(Box<ContactRecord>),
    /// What was said.
    Message(Box<MessageRecord>),
    /// Nothing comes after it.
    End(End),
}

/// Whose it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`VERSION`].
    pub version: u32,
    /// By the clock of the device that it was made on.
    pub made_at_ms: u64,
    /// Where the account lives.
    pub server: String,
    /// How it is called.
    pub handle: String,
    /// Its tag, 64 digits.
    pub account: String,
    /// Whether the writers of messages hear that they came and were seen.
    pub receipts: bool,
    /// Whether others hear that this person is writing.
    pub typing: bool,
    /// How it shows itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<FaceRecord>,
    /// In a backup only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
}

/// How somebody shows himself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaceRecord {
    /// What he calls himself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A JPEG, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// Since when, by the clock of whoever said it.
    pub at_ms: u64,
}

impl fmt::Debug for FaceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaceRecord({})", self.at_ms)
    }
}

/// What makes a backup worth its seal. Overwritten when it is dropped; `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The public key of the server's oblivious function, 64 digits.
    pub oprf_key: String,
    /// The identity's key pair as libsignal writes it.
    pub identity: String,
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.identity.zeroize();
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} at {})", self.handle, self.server)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// Somebody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactRecord {
    /// The tag, or what stands in for it, 64 digits.
    pub account: String,
    /// The server has not said yet which account it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unaddressed: bool,
    /// How they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// How they are called on this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// `request`, `accepted`, `blocked` or `ignored`.
    pub standing: String,
    /// The identity key that is trusted, 66 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether a person has compared it.
    pub verified: bool,
    /// How long messages live that are written from now on, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lives_for_s: Option<u32>,
    /// The conversation stands above the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Nobody is told of its messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<MutedRecord>,
    /// What was begun and not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<DraftRecord>,
    /// How they show themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<FaceRecord>,
}

/// Until when nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MutedRecord {
    /// None: until that is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// What was begun and not sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftRecord {
    /// The words so far.
    pub text: String,
    /// The message that it is to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// The message that has these words instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edits: Option<String>,
    /// What was begun before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

impl fmt::Debug for DraftRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DraftRecord({} B)", self.text.len())
    }
}

impl fmt::Debug for ContactRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContactRecord({})", self.account)
    }
}

/// What was said.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// With whom: the tag, 64 digits.
    pub with: String,
    /// `in` or `out`.
    pub direction: String,
    /// The writer's name for it.
    pub id: String,
    /// Where it stands.
    pub state: String,
    /// The words; none for a message that was deleted, or that a newer version has to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it has instead of words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileRecord>,
    /// Somebody who is passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<CardRecord>,
    /// Deleted for everyone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// What a newer version has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// By the writer's clock.
    pub sent_at_ms: u64,
    /// By the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at_ms: Option<u64>,
    /// By this device's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at_ms: Option<u64>,
    /// Length of the frame that carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire_bytes: Option<u64>,
    /// Whether a person has seen it.
    pub shown: bool,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Reply>,
    /// When its words were last changed, by its writer's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at_ms: Option<u64>,
    /// When it came to the other side, by this device's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at_ms: Option<u64>,
    /// When the other side saw it, by this device's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at_ms: Option<u64>,
    /// The other side's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub their_reaction: Option<String>,
    /// Our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_reaction: Option<String>,
}

impl fmt::Debug for MessageRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageRecord({} {})", self.direction, self.id)
    }
}

/// Somebody who is passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRecord {
    /// His link.
    pub link: String,
    /// What whoever passes him on calls him.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The file of a message, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// What it is called.
    pub name: String,
    /// What kind it is said to be.
    pub media_type: String,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3, 64 digits.
    pub hash: String,
    /// In a backup only: the whole of what the message says of it, with what opens it, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Sealed>,
    /// In a backup only, of our own: it had not got to the server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsent: bool,
}

/// What opens a file. Overwritten when it is dropped; `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

impl Drop for Sealed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

/// A message of the same conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// `in` or `out`: who wrote it.
    pub direction: String,
    /// The writer's name for it.
    pub id: String,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// People.
    pub contacts: u64,
    /// Messages.
    pub messages: u64,
}
