//! What the window asks for, and what it is told. Neither does anything.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use endtoend_client::address::ServerAddress;
use endtoend_client::contact_link::ContactLink;
use endtoend_client::database::{
    Conversation, Draft, MessageRef, Notice, Page, PeerDevice, Settings, Standing, StoredMessage,
};
use endtoend_client::engine::{ConnectionState, Deed, Event, OwnDevice, Removing, Verification, Way};
use endtoend_client::face::Cut;
use endtoend_client::files::Source;
use endtoend_client::handle::Handle;
use endtoend_client::nickname::Nickname;
use endtoend_client::transport::programs::Program;
use endtoend_client::transport::{BridgeLine, NetworkSettings, NetworkStatus, TorTrouble};
use endtoend_protocol::{Arrangement, DeviceId, InviteCode, Lifetime, MessageId, Text, UnixMillis};

use crate::failure::Failure;
use crate::picture::{Drawn, Scale};
use crate::preferences::Preferences;
use crate::said::Link;
use crate::secret::Secret;

/// What the window asks for. None of it is done in `update`.
#[derive(Clone, Debug)]
pub enum Order {
    /// Open the profile, or make one, and have an account.
    Enter(Box<Entry>),
    /// Stop that.
    Cancel,
    /// Destroy a profile that no account came of.
    StartOver,
    /// The servers that were used last.
    Servers,
    /// What a code in a picture says: in this file, or in one that is chosen in the system's window.
    ReadCode(Option<PathBuf>),
    /// Bridges: in this file, or in one that is chosen in the system's window, as lines or as a picture of a code.
    ReadBridges(Option<PathBuf>),
    /// Whether the programs are here that these bridges need.
    Programs(Box<NetworkSettings>),
    /// Which way the profile takes to the network.
    Network,
    /// Take this one.
    SetNetwork(Box<NetworkSettings>),
    /// From now on by other circuits through Tor.
    NewCircuits,
    /// Whether the server answers, and how soon.
    Check,
    /// Keep what was chosen.
    Keep(Preferences),
    /// The list.
    Conversations,
    /// One line of it.
    Conversation(Handle),
    /// Messages.
    Load(Load),
    /// Messages that have these words, in all conversations. Numbered like a [`Load`].
    Search(u64, String),
    /// Something to say.
    Send {
        /// To whom.
        to: Handle,
        /// What.
        text: Text,
        /// The message that it answers.
        answer: Option<MessageId>,
    },
    /// Files, each to say something with, and the message that the first of them answers.
    Attach(Handle, Vec<Source>, Option<MessageId>),
    /// The system's window to choose files in.
    Choose,
    /// The picture that is in the clipboard, unless words are.
    Paste,
    /// The picture of a message, unpacked.
    Picture(Handle, MessageRef, Scale),
    /// The picture that somebody shows, unpacked.
    Face(FaceRef),
    /// How this account shows itself.
    OwnFace,
    /// A picture to show oneself by: in this file, or in one that is chosen in the system's window.
    FaceSource(Option<PathBuf>),
    /// Show oneself otherwise.
    SetFace(FaceChange),
    /// The file of a message is to come, or to be tried again.
    FetchFile(Handle, MessageId),
    /// No further with that: it is not fetched, or neither it nor its message is sent.
    CancelFile(Handle, MessageId, Way),
    /// Out of the profile, among what was downloaded, by this name or one like it.
    SaveFile(Handle, MessageId, String),
    /// Have the system play what was spoken in that message.
    Play(Handle, MessageId),
    /// Take away what the system has played.
    ForgetPlayed,
    /// The first message of somebody that nobody has seen.
    FirstUnread(Handle),
    /// A link, by whatever the system opens such links with.
    Open(Link),
    /// Something to do.
    Act(Handle, Deed),
    /// What the server has refused, once more.
    Retry(Handle, MessageId),
    /// A person has seen these messages and notices of somebody.
    Seen(Handle, Vec<i64>, Vec<i64>),
    /// How long messages live.
    Timer(Handle),
    /// What to compare.
    Verify(Handle),
    /// The new identity is trusted.
    AcceptIdentity(Handle),
    /// This identity was compared; with `None` none was.
    MarkVerified(Handle, Option<[u8; 33]>),
    /// Accept, ignore, block.
    Decide(Handle, Standing),
    /// What was begun and not sent, of all conversations.
    Drafts,
    /// Keep what was begun for somebody; `None` when nothing is any more.
    KeepDraft(Handle, Option<Draft>),
    /// Keep a conversation above the others, or tell nobody of its messages.
    Arrange(Handle, Arrangement),
    /// What somebody is called on this device.
    Name(Handle, Option<Nickname>),
    /// How this account is passed on.
    OwnLink,
    /// Know the person of this link. Whether a person has it from the other himself, so that nothing is left to compare.
    Add(Box<ContactLink>, bool),
    /// Messages with files from and to somebody, latest first.
    Shared(Handle),
    /// The devices that somebody has.
    DevicesOf(Handle),
    /// Everything that was said with somebody goes, and perhaps that somebody.
    RemoveConversation(Removing),
    /// What is told to others.
    Settings,
    /// Tell otherwise.
    SetSettings(Settings),
    /// Of this account.
    Devices,
    /// Out of this account.
    RemoveDevice(DeviceId),
    /// Into this account: what the new device shows.
    Meet(String),
    /// The digits are the same.
    LetIn,
    /// Close the profile until its password is given again.
    Lock,
    /// A person is there.
    Active,
    /// After how long without anybody the profile locks itself.
    LockAfter,
    /// After so long, or with `None` never.
    SetLockAfter(Option<Duration>),
    /// What lies on the disk.
    Usage,
    /// Files that were fetched go from this device.
    ClearFiles,
    /// Everything into one file, sealed under this.
    Backup(Secret),
    /// Everything into one file that anybody can read.
    Export,
}

/// The picture that somebody shows, as it is at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FaceRef {
    /// Who.
    pub of: Handle,
    /// BLAKE3 of the picture: another one is another picture.
    pub hash: [u8; 32],
    /// How large it is to be.
    pub scale: Scale,
}

/// How this account shows itself to those whom it has accepted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnFace {
    /// What it calls itself.
    pub name: Option<Nickname>,
    /// How it looks in a list, and alone.
    pub pictures: Option<[Drawn; 2]>,
}

impl OwnFace {
    /// How it looks, so large.
    pub fn picture(&self, scale: Scale) -> Option<&Drawn> {
        let [small, large] = self.pictures.as_ref()?;
        Some(match scale {
            Scale::Small => small,
            Scale::Large => large,
        })
    }
}

/// A picture that somebody has chosen to show himself by, and that is not cut yet. `Debug` shows its size.
#[derive(Clone, PartialEq)]
pub struct FaceSource {
    /// Its file.
    pub bytes: Arc<Vec<u8>>,
    /// All of it, small.
    pub drawn: Drawn,
}

impl std::fmt::Debug for FaceSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaceSource({} B)", self.bytes.len())
    }
}

/// What is otherwise about how this account shows itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaceChange {
    /// Another name, or with `Some(None)` none.
    pub name: Option<Option<Nickname>>,
    /// Another picture.
    pub picture: PictureChange,
}

/// What becomes of a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PictureChange {
    /// It stays.
    #[default]
    None,
    /// It goes.
    Remove,
    /// This one is shown, this square of it.
    New(FaceSource, Cut),
}

/// How much a profile takes on the disk, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// People, messages, keys.
    pub messages: u64,
    /// Files of messages.
    pub files: u64,
    /// Where all that lies.
    pub home: String,
}

/// A backup or an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it lies.
    pub path: PathBuf,
    /// How many are in it.
    pub people: u64,
    /// How many are in it.
    pub messages: u64,
}

/// A way into an account.
#[derive(Clone, Debug)]
pub enum Entry {
    /// The profile is here.
    Unlock(Secret),
    /// There is no account yet.
    Register(Ticket, Option<InviteCode>),
    /// This is a further device, and another one is at hand.
    Link(Arrival),
    /// This is a further device, and there is a backup at the server.
    Recover(Ticket),
    /// This is a further device, and there is a backup in a file.
    Restore(Restoring),
}

/// Everything that a backup file needs to become a device again.
#[derive(Clone, Debug)]
pub struct Restoring {
    /// Where it lies.
    pub path: PathBuf,
    /// What opens it.
    pub passphrase: Secret,
    /// Of the server itself, if it asks for one.
    pub server_password: Option<Secret>,
    /// Of the account, and of the profile that is made.
    pub password: Secret,
    /// By which way; `None` as usual.
    pub network: Option<NetworkSettings>,
}

/// At which server, and what this device's profile is opened with.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Where.
    pub server: ServerAddress,
    /// Of the server itself, if it asks for one.
    pub server_password: Option<Secret>,
    /// Of the profile, and of the account.
    pub password: Secret,
    /// By which way; `None` as the profile has it, or as usual.
    pub network: Option<NetworkSettings>,
}

/// The same, and who comes.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Who.
    pub handle: Handle,
    /// Where.
    pub arrival: Arrival,
}

/// What is happening while a person waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key is made of the password.
    Opening,
    /// The server is asked.
    Asking,
    /// What was said is brought into a new profile.
    Restoring,
    /// The server waits for an existing device, which needs this.
    Code(String),
    /// Both devices have to show this.
    Digits(String),
}

/// Which messages. Numbered, so that what was asked for before is known when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Number of the question.
    pub number: u64,
    /// With whom.
    pub with: Handle,
    /// Which.
    pub page: Page,
    /// How many.
    pub limit: u32,
}

/// Who this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// What the account is called.
    pub handle: Handle,
    /// Number of this device.
    pub device: u8,
    /// Where the account lives.
    pub server: ServerAddress,
}

/// What the window is told.
#[derive(Clone, Debug)]
pub enum News {
    /// How far an entry is.
    Step(Step),
    /// The profile is open and has an account.
    Entered(Box<Me>),
    /// The profile is good and has no account.
    NoAccount,
    /// There is no way in. Whether there is a profile now.
    NotEntered(Failure, bool),
    /// The person did not want to wait. Whether there is a profile now.
    Cancelled(bool),
    /// The profile that no account came of is gone.
    StartedOver(Result<(), Failure>),
    /// The servers that were used last, latest first.
    Servers(Vec<ServerAddress>),
    /// What a code in a picture says; `None` when no file was chosen.
    Code(Result<Option<String>, Failure>),
    /// Bridges that were read; `None` when no file was chosen.
    Bridges(Result<Option<Vec<BridgeLine>>, Failure>),
    /// The programs that bridges need, or which of them is missing.
    Programs(Result<Vec<Program>, TorTrouble>),
    /// Which way is taken, and how it stands with Tor.
    Network(NetworkStatus),
    /// Which way the profile takes.
    NetworkChosen(Result<Box<NetworkSettings>, Failure>),
    /// It takes this one from now on, or not.
    NetworkSet(Result<Box<NetworkSettings>, Failure>),
    /// Other circuits are used, or not.
    Circuits(Result<(), Failure>),
    /// The server has answered after so long, or not.
    Checked(Result<Duration, Failure>),
    /// Of the connection.
    Connection(ConnectionState),
    /// The engine has something to tell.
    Event(Box<Event>),
    /// So many things happened that some were not told: look at everything again.
    Missed,
    /// The list.
    Conversations(Result<Vec<Conversation>, Failure>),
    /// One line of it.
    Conversation(Handle, Result<Option<Box<Conversation>>, Failure>),
    /// What was asked for, oldest first.
    Loaded(Load, Result<(Vec<StoredMessage>, Vec<Notice>), Failure>),
    /// What has the words of a question, best first.
    Found(u64, Result<Vec<StoredMessage>, Failure>),
    /// The first message of somebody that nobody has seen; `None` when all were.
    FirstUnread(Handle, Option<MessageRef>),
    /// It is on disk.
    Queued(Handle),
    /// It is not, and here it is again.
    NotQueued(Handle, Text, Failure),
    /// They are sealed and queued; or, of those that are not, why the first is not.
    Attached(Handle, Result<(), Failure>),
    /// These were chosen or pasted, to be sent. None when the window for that was closed.
    Chosen(Vec<Source>),
    /// The picture of a message, so large at most.
    Picture(Handle, MessageRef, Scale, Result<Drawn, Failure>),
    /// The picture that somebody shows; `None` when it cannot be drawn, or is another one by now.
    Face(FaceRef, Option<Drawn>),
    /// How this account shows itself.
    OwnFace(Result<Box<OwnFace>, Failure>),
    /// A picture to show oneself by; `None` when none was chosen.
    FaceSource(Result<Option<FaceSource>, Failure>),
    /// This account shows itself otherwise, or not.
    FaceSet(Result<Box<OwnFace>, Failure>),
    /// It lies there now.
    Saved(Result<PathBuf, Failure>),
    /// What was done to a conversation.
    Acted(Handle, Result<(), Failure>),
    /// What was seen is noted.
    SeenNoted(Handle),
    /// How long messages live.
    Timer(Handle, Option<Lifetime>),
    /// What to compare.
    Verification(Handle, Result<Box<Verification>, Failure>),
    /// A link was given to the system.
    Opened,
    /// It was decided.
    Decided(Handle, Result<(), Failure>),
    /// What was begun and not sent.
    Drafts(Result<Vec<(Handle, Draft)>, Failure>),
    /// A conversation is kept otherwise, or not.
    Arranged(Result<(), Failure>),
    /// Somebody is called otherwise, or not.
    Named(Handle, Result<(), Failure>),
    /// The person of a link is known, or not.
    Added(Handle, Result<(), Failure>),
    /// The code of somebody was read and is the one that the server shows, or not.
    Compared(Handle, Result<Box<Verification>, Failure>),
    /// Messages with files.
    Shared(Handle, Result<Vec<StoredMessage>, Failure>),
    /// The devices that somebody has.
    DevicesOf(Handle, Result<Vec<PeerDevice>, Failure>),
    /// A conversation is gone, or not.
    Removed(Handle, Result<(), Failure>),
    /// How this account is passed on: a link.
    OwnLink(Result<String, Failure>),
    /// What is told to others.
    Settings(Result<Settings, Failure>),
    /// Of this account.
    Devices(Result<Vec<OwnDevice>, Failure>),
    /// A new device shows the same digits, if it is the right one.
    Digits(Result<String, Failure>),
    /// The new device is in, or was not let in.
    LetIn(Result<(), Failure>),
    /// After how long the profile locks itself.
    LockAfter(Result<Option<Duration>, Failure>),
    /// What lies on the disk.
    Usage(Result<Usage, Failure>),
    /// A backup or an export is whole.
    Written(Result<Written, Failure>),
    /// So many bytes are free again.
    Cleared(Result<u64, Failure>),
    /// Something else failed.
    Failed(Failure),
    /// The time, now and then.
    Now(UnixMillis),
}
