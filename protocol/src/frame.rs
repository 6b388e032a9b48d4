//! Everything a client and a server may say, as values that keep every rule.
//!
//! Matches on these enums have no `_` arm, so that a new frame shows every place to change.

use std::fmt;

use bytes::Bytes;

use crate::blob::BlobRequest;
use crate::ids::{AccountTag, Address, DeviceId, EnvelopeId, UnixMillis};
use crate::invite::InviteCode;
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
    /// It sends what it was told to send again before what came after it for the same device. Said before the first `Send`, and
    /// before the next one after a `Retry`; whoever does not is not kept in order over a `Retry`.
    RetriesHeard {
        /// How many `Retry` frames of this connection it has dealt with.
        count: u64,
    },
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
        /// For a server that asks for one, at most [`limits::SERVER_PASSWORD_BYTES_MAX`]; else empty.
        server_password: Bytes,
    },
    /// Asks for the account of a handle, which the server does not learn.
    Evaluate {
        /// Blinded element.
        blinded: [u8; limits::OPRF_ELEMENT_BYTES],
    },
    /// Solves the puzzle of the last refusal with [`RefusalCode::Work`]: pays for one request.
    ShowWork {
        /// See [`Work`].
        nonce: u64,
    },
    /// Asks for another challenge.
    NewChallenge,
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
        /// Where one is needed.
        invite: Option<InviteCode>,
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
    /// OPAQUE login, last step, for a device to add.
    LoginNew {
        /// KE3.
        opaque: Bytes,
    },
    /// Adds a device.
    AddDevice {
        /// Whose.
        account: AccountTag,
        /// What an existing device has given: the link and the secret; `None` after a proof of the password.
        link: Option<([u8; limits::LINK_BYTES], [u8; 32])>,
        /// Hybrid signature.
        device_proof: Bytes,
        /// The device and what it publishes.
        device: Box<NewDevice>,
    },
    /// A new device waits for an existing one.
    OfferLink {
        /// Random name.
        link: [u8; limits::LINK_BYTES],
        /// 1 to [`limits::LINK_OFFER_BYTES_MAX`] bytes.
        offer: Bytes,
    },
    /// The new device asks for the answer.
    FetchAnswer {
        /// Which.
        link: [u8; limits::LINK_BYTES],
    },
    /// The existing device asks for the offer.
    FetchOffer {
        /// Which.
        link: [u8; limits::LINK_BYTES],
    },
    /// The existing device answers the new one: first to agree, then to let it in.
    AnswerLink {
        /// Which.
        link: [u8; limits::LINK_BYTES],
        /// 1 to [`limits::LINK_SEALED_BYTES_MAX`] bytes for the new device.
        sealed: Bytes,
        /// BLAKE3 of the secret inside; `None` for the agreement that comes before it.
        secret_hash: Option<[u8; 32]>,
    },
    /// Goes on with a refresh token, which is replaced.
    Refresh {
        /// See [`limits::REFRESH_TOKEN_BYTES`].
        token: Bytes,
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
    /// Asks for the list of the account's devices.
    FetchDevices,
    /// Gives a device another name.
    RenameDevice {
        /// Which.
        device: DeviceId,
        /// Sealed, 1 to [`limits::DEVICE_NAME_BYTES_MAX`] bytes.
        name: Bytes,
    },
    /// Removes a device with its keys, tokens and queue.
    RemoveDevice {
        /// Which.
        device: DeviceId,
    },
    /// Ends tokens.
    Logout {
        /// Of all devices.
        everywhere: bool,
    },
    /// What the account decides about another; `None` forgets it.
    SetRelation {
        /// About whom.
        account: AccountTag,
        /// What.
        relation: Option<Relation>,
    },
    /// Proves the password once more, first step.
    PasswordStart {
        /// KE1.
        opaque: Bytes,
        /// RegistrationRequest for another password; `None` to delete the account.
        registration: Option<Bytes>,
    },
    /// Changes the password, or deletes the account when there is no record.
    PasswordFinish {
        /// KE3.
        opaque: Bytes,
        /// RegistrationRecord.
        record: Option<Bytes>,
    },
    /// Keeps something for devices to come; `None` forgets it.
    SetBackup(Option<Bytes>),
    /// About an attachment.
    Blob(BlobRequest),
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { version_min, version_max, .. } => write!(f, "Hello({version_min}..={version_max})"),
            Self::RegisterStart { account, .. } => write!(f, "RegisterStart({account:?})"),
            Self::RegisterFinish { .. } => f.write_str("RegisterFinish"),
            Self::LoginStart { account, .. } => write!(f, "LoginStart({account:?})"),
            Self::LoginFinish { device, .. } => write!(f, "LoginFinish({device:?})"),
            Self::Resume { .. } => f.write_str("Resume"),
            Self::PublishKeys(_) => f.write_str("PublishKeys"),
            Self::FetchBundles { account } => write!(f, "FetchBundles({account:?})"),
            Self::FetchIdentity { account } => write!(f, "FetchIdentity({account:?})"),
            Self::Attach => f.write_str("Attach"),
            Self::Evaluate { .. } => f.write_str("Evaluate"),
            Self::NewChallenge => f.write_str("NewChallenge"),
            Self::ShowWork { .. } => f.write_str("ShowWork"),
            Self::LoginNew { .. } => f.write_str("LoginNew"),
            Self::AddDevice { account, .. } => write!(f, "AddDevice({account:?})"),
            Self::OfferLink { .. } => f.write_str("OfferLink"),
            Self::FetchAnswer { .. } => f.write_str("FetchAnswer"),
            Self::FetchOffer { .. } => f.write_str("FetchOffer"),
            Self::AnswerLink { .. } => f.write_str("AnswerLink"),
            Self::Refresh { .. } => f.write_str("Refresh"),
            Self::FetchDevices => f.write_str("FetchDevices"),
            Self::RenameDevice { device, .. } => write!(f, "RenameDevice({device})"),
            Self::RemoveDevice { device } => write!(f, "RemoveDevice({device})"),
            Self::Logout { everywhere } => write!(f, "Logout(everywhere: {everywhere})"),
            Self::SetRelation { account, relation } => write!(f, "SetRelation({account:?}, {relation:?})"),
            Self::PasswordStart { .. } => f.write_str("PasswordStart"),
            Self::PasswordFinish { .. } => f.write_str("PasswordFinish"),
            Self::SetBackup(_) => f.write_str("SetBackup"),
            Self::Blob(request) => write!(f, "Blob({request:?})"),
        }
    }
}

/// What an account has decided about another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// May write.
    Accepted,
    /// Is not heard, and not told.
    Blocked,
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
    /// The account's list of devices has changed.
    DevicesChanged {
        /// Its version now.
        version: u32,
    },
    /// The connection ends after this frame.
    Closing {
        /// Why.
        reason: ClosingReason,
        /// With [`ClosingReason::ShuttingDown`]: come back after this many milliseconds, at most
        /// [`limits::COME_BACK_MAX`]. Otherwise 0.
        after_ms: u64,
    },
}

/// Who may create an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Whoever reaches the server.
    Open,
    /// Whoever has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// A puzzle that a stranger has to solve. The challenge is the connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Leading zero bits, 1 to [`limits::WORK_BITS_MAX`].
    pub bits: u8,
    /// Tells it from others on the connection.
    pub counter: u64,
}

/// An entry of the list of devices. `Debug` shows no name.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// Its number.
    pub device: DeviceId,
    /// Sealed by the client, at most [`limits::DEVICE_NAME_BYTES_MAX`] bytes.
    pub name: Option<Bytes>,
    /// By the server's clock.
    pub added_at: UnixMillis,
    /// Before it, the device waits.
    pub active_at: UnixMillis,
}

impl fmt::Debug for ListedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListedDevice({})", self.device)
    }
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
        /// Public key of the oblivious function.
        oprf_key: [u8; limits::OPRF_ELEMENT_BYTES],
        /// Who may create an account.
        registration: Registration,
    },
    /// To `Evaluate`.
    Evaluated {
        /// Element and proof.
        evaluation: [u8; limits::OPRF_EVALUATION_BYTES],
    },
    /// To `NewChallenge`.
    Challenge {
        /// What the next proof covers.
        challenge: [u8; limits::CHALLENGE_BYTES],
    },
    /// To `LoginNew`: `AddDevice` may follow.
    PasswordProved {
        /// What the other devices have sealed for this moment.
        backup: Option<Bytes>,
        /// In milliseconds; the device has to wait so long.
        delay_ms: u64,
    },
    /// To `FetchOffer`.
    Offer {
        /// What the new device has offered.
        offer: Bytes,
    },
    /// To `FetchAnswer`: account and sealed part, `None` for as long as nobody has answered.
    LinkAnswer(Option<(AccountTag, Bytes)>),
    /// To `FetchDevices`.
    Devices {
        /// Version of the list.
        version: u32,
        /// All devices, in the order of their numbers.
        devices: Vec<ListedDevice>,
    },
    /// To `PasswordStart`.
    PasswordChallenge {
        /// KE2.
        opaque: Bytes,
        /// RegistrationResponse, when one was asked for.
        registration: Option<Bytes>,
    },
    /// To requests that have nothing to tell.
    Done,
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
        /// For `Refresh`; `None` in answer to `Resume`.
        refresh_token: Option<Bytes>,
        /// Version of the account's list of devices.
        devices_version: u32,
    },
    /// To `PublishKeys`: one-time keys held now.
    KeysPublished(KeyCounts),
    /// To `FetchBundles`.
    Bundles(Box<Bundles>),
    /// To `FetchIdentity`.
    Identity(Box<Identity>),
    /// To `Attach`.
    Attached,
    /// To `Open` and `Put` of a blob: so many bytes of it are there, from its beginning.
    BlobHas(u64),
    /// To `Fetch` of a blob.
    BlobPart {
        /// Length of the whole.
        bytes: u64,
        /// From where it was asked, at most [`limits::BLOB_PART_BYTES_MAX`]; empty at the end.
        part: Bytes,
    },
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
            Self::BlobHas(have) => write!(f, "BlobHas({have})"),
            Self::BlobPart { bytes, part } => write!(f, "BlobPart({} of {bytes} B)", part.len()),
            Self::Evaluated { .. } => f.write_str("Evaluated"),
            Self::Challenge { .. } => f.write_str("Challenge"),
            Self::PasswordProved { .. } => f.write_str("PasswordProved"),
            Self::Offer { .. } => f.write_str("Offer"),
            Self::LinkAnswer(answer) => write!(f, "LinkAnswer({})", if answer.is_some() { "there" } else { "not yet" }),
            Self::Devices { version, devices } => write!(f, "Devices({version}, {devices:?})"),
            Self::PasswordChallenge { .. } => f.write_str("PasswordChallenge"),
            Self::Done => f.write_str("Done"),
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
    /// The recipient's list of devices as the sender knows it.
    pub devices_version: u32,
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
    /// What to solve, with [`RefusalCode::Work`].
    pub work: Option<Work>,
}

impl From<RefusalCode> for Refusal {
    fn from(code: RefusalCode) -> Self {
        Self { code, retry_after_ms: None, work: None }
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
        /// This server asks everybody for its password.
        ServerPassword = "server_password",
        /// An invitation is needed, and none that is valid was shown.
        Invite = "invite",
        /// A limit.
        Rate = "rate",
        /// An address's limit: solve the puzzle and ask again, or wait.
        Work = "work",
        /// The account has as many devices as it may.
        TooManyDevices = "too_many_devices",
        /// The device was added by password and has to wait.
        DeviceWaits = "device_waits",
        /// The operator has disabled the account.
        Disabled = "disabled",
        /// No device waits under this name, or not any more.
        UnknownLink = "unknown_link",
        /// The account has no such device.
        UnknownDevice = "unknown_device",
        /// No blob has the name, or not any more; or its secret is another.
        UnknownBlob = "unknown_blob",
        /// A part of a blob begins elsewhere: ask how much is there.
        BlobElsewhere = "blob_elsewhere",
        /// The account may not leave so much now.
        BlobBudget = "blob_budget",
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
        /// The recipient's list of devices is another one.
        Devices = "devices",
        /// A limit of the account.
        Rate = "rate",
        /// The node stops: the next connection takes it.
        ShuttingDown = "shutting_down",
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
        /// The device was removed or logged out, or its account deleted or disabled.
        Removed = "removed",
    }
}
