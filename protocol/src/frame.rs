//! Everything a client and a server may say, as values that keep every rule.
//!
//! Matches on these enums have no `_` arm, so that a new frame shows every place to change.

use std::fmt;

use bytes::Bytes;

use crate::ids::{AccountTag, Address, DeviceId, EnvelopeId, UnixMillis};
use crate::keys::{Bundles, DeviceKeys, Identity, KeyCounts, NewDevice};
use crate::limits;

/// Correlates a request and its answer on one connection. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub std::num::NonZeroU64);

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// Gets exactly one [`ServerFrame::Answer`] or [`ServerFrame::Refused`].
    Request {
        /// Repeated by the answer.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// Gets exactly one `Accepted`, `Retry` or `Rejected`, unless the connection ends first.
    Send(Envelope),
    /// The device has stored every delivery up to and including this one.
    Ack {
        /// A number that was delivered on this attachment.
        up_to: DeliveryNumber,
    },
}

/// What a client may ask. The order of the handshake is `Hello`, then one of the authentications, then the rest.
///
/// `Debug` shows which it is and for whom, never a credential.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// First frame of a connection: the versions the client speaks, inclusive.
    Hello {
        /// Oldest.
        version_min: u32,
        /// Newest.
        version_max: u32,
    },
    /// OPAQUE registration, first step.
    RegisterStart {
        /// The account to create.
        account: AccountTag,
        /// RegistrationRequest.
        opaque: Bytes,
    },
    /// Creates the account and its first device.
    RegisterFinish {
        /// RegistrationRecord.
        opaque: Bytes,
        /// Hybrid signature, see [`limits::HYBRID_SIGNATURE_BYTES`].
        device_proof: Bytes,
        /// The device and what it publishes.
        device: Box<NewDevice>,
    },
    /// OPAQUE login, first step.
    LoginStart {
        /// Whose account.
        account: AccountTag,
        /// KE1.
        opaque: Bytes,
    },
    /// OPAQUE login, last step.
    LoginFinish {
        /// KE3.
        opaque: Bytes,
        /// A registered device of the account.
        device: DeviceId,
        /// Hybrid signature.
        device_proof: Bytes,
    },
    /// Goes on with an access token.
    Resume {
        /// See [`limits::ACCESS_TOKEN_BYTES`].
        token: Bytes,
        /// Hybrid signature.
        device_proof: Bytes,
    },
    /// Adds to the published keys of the connection's device.
    PublishKeys(Box<DeviceKeys>),
    /// Asks for what is needed to write to an account.
    FetchBundles {
        /// Whose.
        account: AccountTag,
    },
    /// Asks for an account's identity key and its devices' envelope keys. Takes no one-time keys.
    FetchIdentity {
        /// Whose.
        account: AccountTag,
    },
    /// Asks for deliveries.
    Attach,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { version_min, version_max } => write!(f, "Hello({version_min}..={version_max})"),
            Self::RegisterStart { account, .. } => write!(f, "RegisterStart({account:?})"),
            Self::RegisterFinish { .. } => f.write_str("RegisterFinish"),
            Self::LoginStart { account, .. } => write!(f, "LoginStart({account:?})"),
            Self::LoginFinish { device, .. } => write!(f, "LoginFinish({device:?})"),
            Self::Resume { .. } => f.write_str("Resume"),
            Self::PublishKeys(_) => f.write_str("PublishKeys"),
            Self::FetchBundles { account } => write!(f, "FetchBundles({account:?})"),
            Self::FetchIdentity { account } => write!(f, "FetchIdentity({account:?})"),
            Self::Attach => f.write_str("Attach"),
        }
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFrame {
    /// The request was carried out.
    Answer {
        /// Of the request.
        id: RequestId,
        /// Its result.
        answer: Answer,
    },
    /// A request was not carried out.
    Refused {
        /// Of the request; `None` when it could not be read.
        id: Option<RequestId>,
        /// Why.
        refusal: Refusal,
    },
    /// The envelope is safe: its device has it, or it is committed to disk.
    Accepted {
        /// Which.
        id: EnvelopeId,
        /// When, by the server's clock.
        at: UnixMillis,
    },
    /// Not accepted for now: send the same envelope again later.
    Retry {
        /// Which.
        id: EnvelopeId,
        /// Not before this many milliseconds.
        after_ms: u64,
        /// Why.
        reason: RetryReason,
    },
    /// Will never be accepted.
    Rejected {
        /// Which.
        id: EnvelopeId,
        /// Why.
        reason: RejectReason,
    },
    /// An envelope for this device.
    Deliver(Deliver),
    /// The connection ends after this frame.
    Closing(ClosingReason),
}

/// The result of a [`Request`]. `Debug` shows which it is, never a credential.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `Hello`.
    Welcome {
        /// Spoken from here on.
        version: u32,
        /// Fresh for each connection: what a device proof covers.
        challenge: [u8; limits::CHALLENGE_BYTES],
        /// The server's clock.
        server_time: UnixMillis,
        /// Sends that may wait for their answer, at least 1.
        send_window: u32,
    },
    /// To `RegisterStart`: RegistrationResponse.
    RegisterChallenge {
        /// OPAQUE message.
        opaque: Bytes,
    },
    /// To `LoginStart`: KE2.
    LoginChallenge {
        /// OPAQUE message.
        opaque: Bytes,
    },
    /// To the last step of each authentication.
    Authenticated {
        /// For whom the connection now speaks.
        address: Address,
        /// For `Resume` on the next connection.
        token: Bytes,
        /// End of the token's life.
        token_expires: UnixMillis,
        /// One-time keys left.
        keys: KeyCounts,
    },
    /// To `PublishKeys`: one-time keys held now.
    KeysPublished(KeyCounts),
    /// To `FetchBundles`.
    Bundles(Box<Bundles>),
    /// To `FetchIdentity`.
    Identity(Box<Identity>),
    /// To `Attach`.
    Attached,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Welcome { version, .. } => write!(f, "Welcome({version})"),
            Self::RegisterChallenge { .. } => f.write_str("RegisterChallenge"),
            Self::LoginChallenge { .. } => f.write_str("LoginChallenge"),
            Self::Authenticated { address, .. } => write!(f, "Authenticated({address:?})"),
            Self::KeysPublished(counts) => write!(f, "KeysPublished({counts:?})"),
            Self::Bundles(bundles) => write!(f, "Bundles({} devices)", bundles.devices.len()),
            Self::Identity(_) => f.write_str("Identity"),
            Self::Attached => f.write_str("Attached"),
        }
    }
}

/// One end-to-end encrypted message for one device.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Chosen by the sender and kept across retries.
    pub id: EnvelopeId,
    /// Who can open it.
    pub to: Address,
    /// PQ envelope, 1 to [`limits::ENVELOPE_BYTES_MAX`] bytes.
    pub body: Bytes,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({}, {} B for {:?})", self.id, self.body.len(), self.to)
    }
}

/// Counts deliveries of one attachment from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryNumber(pub u64);

/// An envelope on its way to its device.
#[derive(Clone, PartialEq, Eq)]
pub struct Deliver {
    /// What the device acknowledges.
    pub delivery: DeliveryNumber,
    /// The sender's name for it.
    pub id: EnvelopeId,
    /// When the server took it, by the server's clock.
    pub accepted_at: UnixMillis,
    /// PQ envelope.
    pub body: Bytes,
}

impl fmt::Debug for Deliver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deliver({:?}, {}, {} B)", self.delivery, self.id, self.body.len())
    }
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of a closed list; the detail stays on the server.
    pub code: RefusalCode,
    /// When a repeat may succeed, in milliseconds; `None` when it cannot.
    pub retry_after_ms: Option<std::num::NonZeroU64>,
}

impl From<RefusalCode> for Refusal {
    fn from(code: RefusalCode) -> Self {
        Self { code, retry_after_ms: None }
    }
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }
        impl $name {
            /// Every value, for tests and documents.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// Stable name, for logs and `--json`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why a request was refused. A value that this build does not know decodes as [`RefusalCode::Unsupported`].
    RefusalCode {
        /// Unknown frame kind.
        Unsupported = "unsupported",
        /// A field breaks its rule.
        Invalid = "invalid",
        /// No common protocol version.
        Version = "version",
        /// The frame has no place in the connection's state.
        OutOfOrder = "out_of_order",
        /// Log in first.
        NotAuthenticated = "not_authenticated",
        /// Account, password, token or device proof; which one is not told.
        BadCredentials = "bad_credentials",
        /// Somebody has the handle.
        HandleTaken = "handle_taken",
        /// The server takes no new accounts.
        RegistrationClosed = "registration_closed",
        /// Nobody has the handle.
        UnknownAccount = "unknown_account",
        /// More one-time keys than the server keeps.
        TooManyKeys = "too_many_keys",
        /// The node is at its limit.
        Busy = "busy",
        /// The store did not answer.
        Unavailable = "unavailable",
    }
}
codes! {
    /// Why an envelope was not accepted for now. An unknown value decodes as [`RetryReason::Busy`].
    RetryReason {
        /// The node is at its limit.
        Busy = "busy",
        /// The recipient's queue is at its limit.
        QueueFull = "queue_full",
        /// The store did not confirm.
        Unavailable = "unavailable",
        /// More sends in flight than `Welcome` allowed.
        Window = "window",
    }
}
codes! {
    /// Why an envelope will never be accepted.
    RejectReason {
        /// No such account, or no such device of it.
        UnknownRecipient = "unknown_recipient",
    }
}
codes! {
    /// Why the server ends a connection. An unknown value decodes as [`ClosingReason::ShuttingDown`].
    ClosingReason {
        /// Not a frame.
        Malformed = "malformed",
        /// A frame over [`limits::FRAME_BYTES_MAX`].
        TooLarge = "too_large",
        /// A deadline passed.
        TooSlow = "too_slow",
        /// [`limits::REFUSALS_MAX`] was reached.
        TooManyErrors = "too_many_errors",
        /// The device attached on another connection.
        Replaced = "replaced",
        /// The node stops.
        ShuttingDown = "shutting_down",
        /// A record of the secure channel did not open.
        ChannelBroken = "channel_broken",
    }
}
