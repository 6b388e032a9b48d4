//! What the engine tells.

use std::time::Duration;

use endtoend_protocol::{
    AccountTag, ClosingReason, EnvelopeId, Lifetime, MessageId, RefusalCode, RejectReason, RetryReason, UnixMillis,
};

use super::acks::Misnumbered;
use crate::database::{FileState, MessageRef, Notice};
use crate::handle::Handle;
use crate::transport::{NetworkStatus, OnionKeyTrouble, TorTrouble};

/// News. Whoever falls behind misses some: the database has everything that matters, so asking again is enough.
#[derive(Clone, Debug)]
pub enum Event {
    /// The connection's state changed.
    Connection(ConnectionState),
    /// The way to the network changed, or how it stands with Tor.
    Network(NetworkStatus),
    /// Something in a conversation is otherwise than it was.
    Changed {
        /// In the conversation with whom; `None` when the name is not known.
        with: Option<Handle>,
        /// Which message, when it is one.
        id: Option<MessageId>,
        /// What.
        change: Change,
    },
    /// This device's clock and the server's are more than [`CLOCK_SKEW_MAX`](endtoend_protocol::limits::CLOCK_SKEW_MAX)
    /// apart: times look wrong, and certificates or tokens may be refused.
    ClockOff {
        /// By so much.
        by: Duration,
        /// Whether this device's clock is the later one.
        ahead: bool,
    },
    /// A file is otherwise than it was, or further on its way.
    File {
        /// In the conversation with whom; `None` when the name is not known.
        with: Option<Handle>,
        /// Whose.
        message: MessageRef,
        /// What.
        step: FileStep,
    },
    /// A message was stored and waits to be shown.
    Received {
        /// From whom; `None` when the sender did not name himself.
        from: Option<Handle>,
        /// Which.
        id: MessageId,
    },
    /// A message of ours left for the first time, or again.
    Sent {
        /// Which.
        id: MessageId,
        /// Length of the frame, in bytes.
        wire_bytes: u64,
    },
    /// A message of ours is safe.
    Accepted {
        /// Which.
        id: MessageId,
        /// By the server's clock.
        at: UnixMillis,
    },
    /// The server will never take this message of ours.
    Rejected {
        /// Which.
        id: MessageId,
        /// Why.
        reason: RejectReason,
    },
    /// Nothing waits to be sent to somebody any more.
    AllSent {
        /// To whom.
        to: AccountTag,
    },
    /// The server asked to wait; it is tried again.
    Delayed {
        /// Which envelope.
        id: EnvelopeId,
        /// Why.
        reason: RetryReason,
    },
    /// Somebody has a new identity key: sending waits until it is accepted.
    IdentityChanged {
        /// Whose.
        tag: AccountTag,
        /// By name, when it is known.
        handle: Option<Handle>,
    },
    /// The server gave keys that do not verify: sending to this account is tried again later.
    BadKeys {
        /// Whose.
        handle: Option<Handle>,
    },
    /// Messages of a sending device are missing, or came otherwise than they were sent. The notice is kept.
    Noticed(Box<Notice>),
    /// A device was added to the account, or removed from it: look at the list.
    DevicesChanged,
    /// The server has heard what was decided about somebody.
    Decided {
        /// About whom.
        tag: AccountTag,
    },
    /// An envelope did not open. A note of it is kept.
    Unreadable {
        /// Which.
        id: EnvelopeId,
        /// One of a closed list of words.
        reason: &'static str,
        /// Its sender is asked for it again, so it may still come.
        asked_again: bool,
    },
}

/// What has become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStep {
    /// So much of it has gone up or come down.
    Moved {
        /// In bytes, without seals and filling.
        done: u64,
        /// Its length.
        bytes: u64,
    },
    /// It stands there now.
    Is(FileState),
}

/// What is otherwise in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A text has other words.
    Edited,
    /// A message was deleted.
    Deleted,
    /// Somebody has reacted to a message, or taken that back.
    Reacted,
    /// A message of ours has come.
    Delivered,
    /// A message of ours was seen.
    Read,
    /// A message's life is over: it is gone.
    Expired,
    /// The other side is writing.
    Typing {
        /// Not any more.
        stopped: bool,
    },
    /// Messages live so long from now on.
    Timer(Option<Lifetime>),
    /// The other side shows itself otherwise: another name or picture.
    Face,
    /// The conversation was removed, on this device or another of this account, as far as it had come; whoever it was with may not be
    /// known any more, and has no name here then.
    Removed,
    /// Another device of this account has written this message; or it has settled something about that person, or with oneself for the
    /// account: what was decided, compared, chosen or seen, what somebody is called, how the conversation is kept, and how this account shows itself.
    Settled,
}

impl Change {
    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reacted => "reacted",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Expired => "expired",
            Self::Typing { stopped: false } => "typing",
            Self::Typing { stopped: true } => "typing_stopped",
            Self::Timer(_) => "timer",
            Self::Face => "face",
            Self::Removed => "removed",
            Self::Settled => "settled",
        }
    }
}

/// Whether there is a server to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// No.
    Offline {
        /// When it is tried again, by this device's clock; `None` when a person must act first.
        retry_at: Option<UnixMillis>,
        /// Why not.
        why: OfflineReason,
    },
    /// Soon.
    Connecting,
    /// Yes: authenticated and attached.
    Online,
}

/// Why there is no connection. Its text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfflineReason {
    /// The engine was opened to work offline, or there is no account yet.
    #[error("not connected")]
    Idle,
    /// Network or server are away.
    #[error("{0}")]
    Unreachable(String),
    /// Something is there, but not the server that was meant.
    #[error("{0}")]
    Untrusted(String),
    /// The server said no.
    #[error("the server refused: {code}{hint}", code = .0, hint = hint(*.0))]
    Refused(RefusalCode),
    /// The server ended the connection and gave a reason.
    #[error("the server closed the connection: {0}")]
    Closed(ClosingReason),
    /// The server broke the protocol.
    #[error("the server broke the protocol; is it the same version?")]
    Protocol,
    /// The server numbers its deliveries otherwise than from 1 without a gap.
    #[error("the server broke the protocol: {0}")]
    Misnumbered(Misnumbered),
    /// The profile could not be read or written.
    #[error("the profile failed: {0}")]
    Storage(String),
    /// Tor cannot be used.
    #[error(transparent)]
    Tor(TorTrouble),
    /// The server is an onion service that is for some, and this profile is none of them.
    #[error(transparent)]
    OnionKey(OnionKeyTrouble),
    /// The profile is locked: unlock it.
    #[error("the profile is locked")]
    Locked,
    /// The engine ended.
    #[error("stopped")]
    Stopped,
}

fn hint(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::BadCredentials => {
            ": password or device is not the account's, or this machine's clock is off by more than a minute"
        }
        RefusalCode::HandleTaken => ": choose another handle",
        RefusalCode::RegistrationClosed => ": ask its operator for an account",
        RefusalCode::Version => ": one of the two programs is too old",
        RefusalCode::UnknownAccount => ": nobody has that handle",
        RefusalCode::Busy | RefusalCode::Unavailable | RefusalCode::Rate | RefusalCode::Work => ": try again later",
        RefusalCode::ServerPassword => ": give its password with --server-password-file; its operator knows it",
        RefusalCode::Invite => ": give an invitation that is still valid with --invite; its operator makes them",
        RefusalCode::TooManyDevices => ": remove a device of the account first",
        RefusalCode::DeviceWaits => ": a device that was added by password has to wait, so that the owner can object",
        RefusalCode::Disabled => ": its operator has disabled the account",
        RefusalCode::UnknownLink => ": the code is wrong or too old; begin anew on the new device",
        RefusalCode::UnknownDevice => ": the account has no such device",
        RefusalCode::UnknownBlob => ": the attachment is not there, or not any more",
        RefusalCode::BlobElsewhere => ": the attachment goes on elsewhere",
        RefusalCode::BlobBudget => ": there is no room for so large an attachment at the moment",
        RefusalCode::Unsupported
        | RefusalCode::Invalid
        | RefusalCode::OutOfOrder
        | RefusalCode::NotAuthenticated
        | RefusalCode::TooManyKeys => "",
    }
}
