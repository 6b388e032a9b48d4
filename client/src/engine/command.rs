//! Everything the engine can be told, with its answers.

use std::path::PathBuf;
use std::time::Duration;

use endtoend_protocol::{Arrangement, InviteCode, Lifetime, MessageId, RefusalCode, Text};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::courier::Way;
use super::event::{ConnectionState, OfflineReason};
use super::requests::{AccountAnswer, AccountRequest, RequestError};
use super::say::Deed;
use crate::address::ServerAddress;
use crate::amend::Refused;
use crate::backup::{BackupError, Summary};
use crate::card::Card;
use crate::contact_link::ContactLink;
use crate::database::{
    Contact, Conversation, DatabaseError, Draft, Notice, Page, PeerDevice, Pending, Question, Settings, Standing,
    StoredMessage, Unreadable,
};
use crate::face::Face;
use crate::files::{Manner, PrepareError, SaveError, Source};
use crate::handle::Handle;
use crate::nickname::Nickname;
use crate::profile::ProfileError;
use crate::transport::NetworkSettings;

/// Where an answer goes. Nobody may be waiting for it.
pub type Reply<T> = oneshot::Sender<T>;

/// A password. `Debug` shows nothing of it.
pub struct Password(pub Zeroizing<String>);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What the engine can be told. [`super::EngineHandle`] has a method for each.
#[derive(Debug)]
pub enum Command {
    /// Create the account and its first device. Answered once it exists.
    Register(Box<Registration>, Reply<Result<(), AccountError>>),
    /// Connect with the password even if a token is kept. Answered once online.
    Login(Reply<Result<(), AccountError>>),
    /// Queue a text, which may answer a message of the same conversation. Answered once it is on disk.
    Send(Handle, Text, Option<MessageId>, Reply<Result<MessageId, SendError>>),
    /// Seal a file and queue a message with it. Answered once both are on disk: the file itself may go then.
    Attach(Box<Attaching>, Reply<Result<MessageId, AttachError>>),
    /// Fetch the file of a message, or have one tried again that did not get to the server. Answered once that is noted.
    FetchFile(Handle, MessageId, Reply<Result<(), FileError>>),
    /// `Down`: fetch a file no further. `Up`: send neither a file of ours nor its message. Nothing is left on this disk of what did
    /// not get where it was to go. Whoever means the one never gets the other.
    CancelFile(Handle, MessageId, Way, Reply<Result<(), FileError>>),
    /// Open a file that is here to a place of a person's, which is replaced only when the flag says so.
    SaveFile(Handle, MessageId, PathBuf, bool, Reply<Result<(), FileError>>),
    /// Open a file that is here in memory, to show it: at most [`SHOWN_BYTES_MAX`](crate::files::SHOWN_BYTES_MAX), and a picture only
    /// when it is one that can be shown.
    ReadFile(Handle, MessageId, Reply<Result<Zeroizing<Vec<u8>>, FileError>>),
    /// Edit, delete, react, or set how long messages live. Answered once it is on disk.
    Act(Handle, Deed, Reply<Result<(), SendError>>),
    /// How many rows wait to be accepted for somebody: messages, and what is said about them.
    Waiting(Handle, Reply<Result<usize, DatabaseError>>),
    /// How long messages of a conversation live that are written from now on.
    Timer(Handle, Reply<Result<Option<Lifetime>, DatabaseError>>),
    /// What was chosen.
    Settings(Reply<Result<Settings, DatabaseError>>),
    /// Choose otherwise.
    SetSettings(Settings, Reply<Result<(), DatabaseError>>),
    /// One of our own messages.
    Find(MessageId, Reply<Result<Option<StoredMessage>, DatabaseError>>),
    /// One message of a conversation, of either side.
    Message(Handle, MessageId, Reply<Result<Option<StoredMessage>, DatabaseError>>),
    /// The best messages that have some words, at most so many: of one person or of all. Works without a server.
    Search(Box<Question>, Option<Handle>, u32, Reply<Result<Vec<StoredMessage>, DatabaseError>>),
    /// Messages of ours that the server has not taken, and why, oldest first, at most so many.
    Pending(u32, Reply<Result<Vec<Pending>, DatabaseError>>),
    /// Send a message once more that the server has refused. Answered once it is queued.
    Retry(Handle, MessageId, Reply<Result<(), SendError>>),
    /// A page of the messages with somebody, oldest first.
    History(Handle, Page, u32, Reply<Result<Vec<StoredMessage>, DatabaseError>>),
    /// The first messages that nobody has seen, of one person or of all.
    Unread(Option<Handle>, u32, Reply<Result<Vec<StoredMessage>, DatabaseError>>),
    /// A person has seen these.
    MarkShown(Vec<i64>, Reply<Result<(), DatabaseError>>),
    /// The first notices about messages that did not come as they should, that nobody has seen: of one person or of all.
    UnseenNotices(Option<Handle>, u32, Reply<Result<Vec<Notice>, DatabaseError>>),
    /// The notices about somebody's messages that stand in the history at or after the message with this number.
    Notices(Handle, i64, Reply<Result<Vec<Notice>, DatabaseError>>),
    /// A person has seen these notices.
    MarkNoticesShown(Vec<i64>, Reply<Result<(), DatabaseError>>),
    /// Something about the account itself. Answered by the server.
    Account(AccountRequest, Reply<Result<AccountAnswer, RequestError>>),
    /// What a list of conversations shows, at most so many.
    Conversations(u32, Reply<Result<Vec<Conversation>, DatabaseError>>),
    /// The line of that list about somebody; `None` when that person is not known.
    Conversation(Handle, Reply<Result<Option<Conversation>, DatabaseError>>),
    /// Everybody that is known.
    Contacts(Reply<Result<Vec<Contact>, DatabaseError>>),
    /// Accept, block, ignore somebody, or take that back. The server hears of it when there is one.
    Decide(Handle, Standing, Reply<Result<(), DecideError>>),
    /// What to compare with somebody. Asks the server when that person's identity is not known yet.
    Verify(Handle, Reply<Result<Verification, VerifyError>>),
    /// Note that a person has compared this identity key of somebody, or with `None` that he takes that back.
    MarkVerified(Handle, Option<[u8; 33]>, Reply<Result<Verification, VerifyError>>),
    /// Call somebody otherwise on the devices of this account, or by his handle again. Works without a server.
    Nickname(Handle, Option<Nickname>, Reply<Result<(), NicknameError>>),
    /// Keep the conversation with somebody above the others, or tell nobody of its messages, on the devices of this account. What is so
    /// now is in [`Contact::arrangement`]. Works without a server.
    Arrange(Handle, Arrangement, Reply<Result<(), ArrangeError>>),
    /// Take everything that was said with somebody from this device and, of what was written before now, from the own other ones, for good.
    /// Answered with how many messages went, once they have. Works without a server.
    Remove(Box<Removing>, Reply<Result<u64, RemoveError>>),
    /// The devices that somebody has, as they are known here. Works without a server.
    DevicesOf(Handle, Reply<Result<Vec<PeerDevice>, VerifyError>>),
    /// What was begun for somebody and not sent, in place of what was begun before; `None`: nothing any more. It stays on this device,
    /// and goes when the same words are sent. Works without a server, and for whoever is not known yet.
    SetDraft(Handle, Option<Draft>, Reply<Result<(), DatabaseError>>),
    /// What was begun for somebody.
    Draft(Handle, Reply<Result<Option<Draft>, DatabaseError>>),
    /// What was begun and for whom, the latest first, at most so many.
    Drafts(u32, Reply<Result<Vec<(Handle, Draft)>, DatabaseError>>),
    /// Show this account so to those who are accepted, and on its other devices. It is told on the next connections. Works without a server.
    SetFace(Box<Face>, Reply<Result<(), FaceError>>),
    /// How somebody who is accepted shows himself, or with `None` this account. Nothing of whoever is not.
    Face(Option<Handle>, Reply<Result<Face, DatabaseError>>),
    /// Pass somebody on to somebody, which may answer a message of the same conversation. Answered once it is on disk.
    SendCard(Handle, Box<Card>, Option<MessageId>, Reply<Result<MessageId, SendError>>),
    /// How somebody is passed on whose identity is known here, or this account.
    LinkOf(Handle, Reply<Result<ContactLink, VerifyError>>),
    /// How this account is passed on.
    OwnLink(Reply<Result<ContactLink, VerifyError>>),
    /// Accept somebody whose link was given by another way than the server, which has then to show the identity in it.
    /// `compared`: a person has it from the other himself, so that nothing is left to compare.
    AddContact {
        /// Who.
        link: Box<ContactLink>,
        /// Whether the contact counts as verified.
        compared: bool,
        /// Where the answer goes.
        reply: Reply<Result<Verification, AddError>>,
    },
    /// Trust the changed identity of somebody. Answered with what there is to compare now.
    AcceptIdentity(Handle, Reply<Result<Verification, VerifyError>>),
    /// Close the connection and the profile, and forget its keys and the password. Answered once that is done. Until the profile is
    /// unlocked, whatever else is asked is answered as by an engine that has stopped, and nothing is received.
    Lock(Reply<Result<(), Stopped>>),
    /// Open the profile again, and connect if the engine was connected before.
    Unlock(Password, Reply<Result<(), UnlockError>>),
    /// Somebody is there: the time after which the profile locks itself begins anew. Without the first of these it never does.
    Active,
    /// After what time without anybody the profile locks itself; `None`: never.
    LockAfter(Reply<Result<Option<Duration>, DatabaseError>>),
    /// Sets that: a second or more. It is kept in the profile.
    SetLockAfter(Option<Duration>, Reply<Result<(), DatabaseError>>),
    /// What was chosen about the way to the network.
    Network(Reply<Result<NetworkSettings, DatabaseError>>),
    /// Choose otherwise. It is kept in the profile. Answered once it is on disk; what is connected is closed at once, and nothing more
    /// goes the way before. Whoever chooses a way that [exposes](crate::transport::Choice::exposes) a person has told him before.
    SetNetwork(Box<NetworkSettings>, Reply<Result<(), DatabaseError>>),
    /// Close what is connected, and come back on other circuits.
    NewCircuits(Reply<Result<(), Stopped>>),
    /// Write everything into one file, sealed under a passphrase. Answered when it is whole. The engine goes on meanwhile.
    Backup(PathBuf, Password, Reply<Result<Summary, BackupError>>),
    /// Write people and messages into one file that anybody can read.
    Export(PathBuf, Reply<Result<Summary, BackupError>>),
    /// Take the files that others have sent from this disk; they are offered again. Answered with how many bytes that were.
    ClearFiles(Reply<Result<u64, DatabaseError>>),
    /// How things are.
    Status(Reply<Result<Status, DatabaseError>>),
    /// Close the connection and the profile.
    Shutdown,
}

/// A conversation that is to go. What waits to be sent does not leave, unless it is sealed already and its reader stays known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removing {
    /// Whom with.
    pub with: Handle,
    /// And whoever it is with is not known any more: neither what was decided, compared or chosen about him nor how he shows himself. The
    /// server hears that nothing is decided. What he writes later comes as from a stranger, and another identity than his is noticed still.
    pub contact: bool,
}

/// Why a conversation stays. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is nothing to remove.
    #[error("{0} is not known on this device")]
    Unknown(Handle),
    /// Only what was written to oneself can go.
    #[error("that is this account's own name")]
    Oneself,
    /// Take the block back first, or remove the conversation alone: with a contact its block would go.
    #[error("{0} is blocked")]
    Blocked(Handle),
    /// The profile could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attaching {
    /// To whom.
    pub to: Handle,
    /// What it is.
    pub source: Source,
    /// How it is sent.
    pub manner: Manner,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
}

/// Why a file was not queued. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It could not be read or sealed.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A message with it could not be queued.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Wait for one of them.
    #[error("too many files are being sealed or saved")]
    Busy,
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// Why nothing was done with the file of a message.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nothing was said to them yet, and they have said nothing.
    #[error("there is no conversation with {0} yet")]
    NoConversation(Handle),
    /// There is no such message, or it has no file.
    #[error("there is no such message with a file in this conversation")]
    NoFile,
    /// Fetch it first.
    #[error("the file is not on this device yet")]
    NotHere,
    /// There is nothing to cancel.
    #[error("the file is not on its way")]
    NotMoving,
    /// Cancel the other thing, if that is meant.
    #[error("{}", match .0 {
        Way::Up => "the file is not being fetched: it is to be sent, and its message waits for it",
        Way::Down => "the file is not to be sent: it is being fetched",
    })]
    OtherWay(Way),
    /// Save it, and open it with a program that you trust with it.
    #[error("the file is too large to be shown, or no picture that can be")]
    TooLarge,
    /// It could not be opened, or not to that place.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Wait for one of them.
    #[error("too many files are being sealed or saved")]
    Busy,
    /// The profile could not be read or written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// What an account is created with.
#[derive(Clone)]
pub struct Registration {
    /// Where it is to live.
    pub server: ServerAddress,
    /// How it is to be called.
    pub handle: Handle,
    /// For a server that takes only those who were invited.
    pub invite: Option<InviteCode>,
    /// For a server that asks everybody for its password.
    pub server_password: Option<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registration({} at {})", self.handle, self.server)
    }
}

/// Why there is no account, or no connection for it.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// This profile has one.
    #[error("this profile belongs to an account already")]
    Registered,
    /// This profile has none.
    #[error("this profile has no account yet")]
    NotRegistered,
    /// A registration or login is under way.
    #[error("another registration or login is under way")]
    Busy,
    /// The server said no, or could not be reached, or is not the right one.
    #[error(transparent)]
    Offline(#[from] OfflineReason),
    /// The profile could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Keys could not be made.
    #[error("the keys of this device could not be made")]
    Keys,
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// Why a text was not queued.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Register first.
    #[error("this profile has no account yet")]
    NotRegistered,
    /// Compare safety numbers, then accept the new identity.
    #[error("the identity of {0} has changed")]
    IdentityChanged(Handle),
    /// Take the block back first.
    #[error("{0} is blocked")]
    Blocked(Handle),
    /// Nothing was said to them yet, or the server has not said yet which account that is.
    #[error("there is no conversation with {0} yet")]
    NoConversation(Handle),
    /// Only what the server has refused is sent once more by hand; the rest is tried again anyway.
    #[error("that message was not refused")]
    NotRefused,
    /// The rules of conversations do not allow it.
    #[error(transparent)]
    NotAllowed(#[from] Refused),
    /// The profile could not be written, or the outbox is at its limit.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// Why nothing was decided about somebody.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// Go online once: only the server can say which account a handle belongs to.
    #[error("{0} is not known on this device yet, and the server cannot be asked")]
    Unknown(Handle),
    /// The server does not say which account a handle belongs to.
    #[error("the server refused to look up the handle: {0}")]
    Refused(RefusalCode),
    /// The profile could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// What two people compare to know that nobody sits between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// With whom.
    pub with: Handle,
    /// 60 digits, the same on both sides. For the new identity, if it has changed.
    pub safety_number: String,
    /// Our identity key, 33 bytes.
    pub own_identity: [u8; 33],
    /// The identity key that the safety number is for, 33 bytes.
    pub peer_identity: [u8; 33],
    /// Whether it is another than the one trusted so far: sending waits for it to be accepted.
    pub changed: bool,
    /// Whether a person has compared it before.
    pub verified: bool,
}

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Register first.
    #[error("this profile has no account yet")]
    NotRegistered,
    /// Go online and ask again.
    #[error("the identity of {0} is not known on this device")]
    Unknown(Handle),
    /// There is nothing to accept.
    #[error("the identity of {0} has not changed")]
    NotChanged(Handle),
    /// Compare anew.
    #[error("the identity of {0} is not the one that was compared")]
    NotCompared(Handle),
    /// The server said no.
    #[error("the server refused: {0}")]
    Refused(RefusalCode),
    /// The server's keys for that person contradict each other.
    #[error("the keys that the server gave for {0} do not verify")]
    BadKeys(Handle),
    /// The profile could not be read or written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// The engine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct Stopped;

/// Why a profile was not unlocked.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// It is open.
    #[error("the profile is not locked")]
    NotLocked,
    /// Most likely the password.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The profile could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// Why somebody is not called otherwise.
#[derive(Debug, thiserror::Error)]
pub enum NicknameError {
    /// Write to him first, or add him by his link.
    #[error("{0} is not known on this device")]
    Unknown(Handle),
    /// The profile could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// Why this account does not show itself otherwise.
#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    /// Register first.
    #[error("this profile has no account yet")]
    NotRegistered,
    /// The profile could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// Why a conversation is not kept otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ArrangeError {
    /// Write to him first, or add him by his link.
    #[error("{0} is not known on this device")]
    Unknown(Handle),
    /// The profile could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// Why somebody was not added by his link. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Register first.
    #[error("this profile has no account yet")]
    NotRegistered,
    /// The link is this account's own.
    #[error("that is this account's own link")]
    Oneself,
    /// Nobody can write from one server to another.
    #[error("the link is of another server")]
    OtherServer,
    /// Go online once: only the server can say which account a handle belongs to.
    #[error("{0} is not known on this device yet, and the server cannot be asked")]
    Unknown(Handle),
    /// The server does not say which account a handle belongs to.
    #[error("the server refused to look up the handle: {0}")]
    Refused(RefusalCode),
    /// Compare safety numbers: the link is an old one, or somebody is in between.
    #[error("the link has another identity of {0} than is known on this device")]
    OtherIdentity(Handle),
    /// The link is of no use.
    #[error("the identity in the link is no key")]
    BadKey,
    /// The profile could not be read or written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

/// How things are.
#[derive(Clone, Debug)]
pub struct Status {
    /// Of this profile's account; `None` before a registration.
    pub handle: Option<Handle>,
    /// Where the account lives.
    pub server: Option<ServerAddress>,
    /// Number of this device.
    pub device: Option<u8>,
    /// Whether the server has confirmed the registration.
    pub registered: bool,
    /// Of the connection.
    pub connection: ConnectionState,
    /// Messages that wait to be accepted by the server: one for each device of their recipients.
    pub outbox: usize,
    /// Messages that nobody has seen.
    pub unread: u64,
    /// The last envelopes that did not open.
    pub unreadable: Vec<Unreadable>,
    /// Deliveries of what was here already. A server repeats after a crash, so a few are no alarm.
    pub repeats: u64,
}
