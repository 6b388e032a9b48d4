//! What went wrong, in words that say what to do. The engine's errors come here and get a name in `i18n/`.

use std::fmt::Display;

use endtoend_client::address::AddressError;
use endtoend_client::amend::Refused;
use endtoend_client::backup::{BackupError, RestoreError};
use endtoend_client::contact_link::ContactLinkError;
use endtoend_client::database::{DatabaseError, FileFault};
use endtoend_client::engine::linking::LinkDeviceError;
use endtoend_client::engine::{
    AccountError, AddError, ArrangeError, AttachError, DecideError, FaceError, FileError, NicknameError, OfflineReason,
    RemoveError, RequestError, SendError, StartError, VerifyError,
};
use endtoend_client::face::PortraitError;
use endtoend_client::files::{PrepareError, SaveError};
use endtoend_client::handle::BadHandle;
use endtoend_client::profile::ProfileError;
use endtoend_client::transport::{OnionKeyTrouble, TorTrouble};
use endtoend_protocol::RefusalCode;

use crate::picture::Undrawable;
use crate::preferences::PreferencesError;
use crate::strings::Strings;

/// Something that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is said about it.
    pub key: &'static str,
    /// What the system or the network said, for those who can use it. Never what a person has typed.
    pub detail: Option<String>,
}

impl Failure {
    /// Without anything to add.
    pub const fn new(key: &'static str) -> Self {
        Self { key, detail: None }
    }

    /// With what the system or the network said.
    pub(crate) fn because(key: &'static str, detail: &dyn Display) -> Self {
        Self { key, detail: Some(detail.to_string()) }
    }

    /// A file of a person's, which is not named: it is known which one was chosen.
    pub fn unreadable(error: &std::io::Error) -> Self {
        Self::because("file-unreadable", error)
    }

    /// For a person.
    pub fn say(&self, t: &Strings) -> String {
        match &self.detail {
            Some(detail) => format!("{} ({detail})", t.get(self.key)),
            None => t.get(self.key),
        }
    }
}

/// What a server's refusal means to a person.
pub const fn refusal(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::BadCredentials => "refused-credentials",
        RefusalCode::HandleTaken => "refused-handle-taken",
        RefusalCode::RegistrationClosed => "refused-registration-closed",
        RefusalCode::Version => "refused-version",
        RefusalCode::UnknownAccount => "refused-unknown-account",
        RefusalCode::Busy | RefusalCode::Unavailable | RefusalCode::Rate | RefusalCode::Work => "refused-later",
        RefusalCode::ServerPassword => "refused-server-password",
        RefusalCode::Invite => "refused-invite",
        RefusalCode::TooManyDevices => "refused-too-many-devices",
        RefusalCode::DeviceWaits => "refused-device-waits",
        RefusalCode::Disabled => "refused-disabled",
        RefusalCode::UnknownLink => "refused-unknown-link",
        RefusalCode::UnknownDevice => "refused-unknown-device",
        RefusalCode::Unsupported
        | RefusalCode::Invalid
        | RefusalCode::OutOfOrder
        | RefusalCode::NotAuthenticated
        | RefusalCode::TooManyKeys
        | RefusalCode::UnknownBlob
        | RefusalCode::BlobElsewhere
        | RefusalCode::BlobBudget => "refused-otherwise",
    }
}

impl From<RefusalCode> for Failure {
    fn from(code: RefusalCode) -> Self {
        let key = refusal(code);
        if key == "refused-otherwise" { Self::because(key, &code) } else { Self::new(key) }
    }
}

impl From<OfflineReason> for Failure {
    fn from(reason: OfflineReason) -> Self {
        match reason {
            OfflineReason::Idle => Self::new("offline-idle"),
            OfflineReason::Unreachable(why) => Self::because("offline-unreachable", &why),
            OfflineReason::Untrusted(why) => Self::because("offline-untrusted", &why),
            OfflineReason::Refused(code) => code.into(),
            OfflineReason::Closed(why) => Self::because("offline-closed", &why),
            OfflineReason::Protocol | OfflineReason::Misnumbered(_) => Self::new("offline-protocol"),
            OfflineReason::Storage(why) => Self::because("profile-failed", &why),
            OfflineReason::Tor(trouble) => trouble.into(),
            OfflineReason::OnionKey(OnionKeyTrouble::Missing) => Self::new("onion-key-missing"),
            OfflineReason::OnionKey(OnionKeyTrouble::Wrong) => Self::new("onion-key-wrong"),
            OfflineReason::Locked => Self::new("profile-is-locked"),
            OfflineReason::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<TorTrouble> for Failure {
    fn from(trouble: TorTrouble) -> Self {
        match trouble {
            TorTrouble::NoNetwork => Self::new("tor-no-network"),
            TorTrouble::ClockWrong => Self::new("tor-clock-wrong"),
            TorTrouble::Blocked => Self::new("tor-blocked"),
            TorTrouble::BridgeRefused => Self::new("tor-bridge-refused"),
            TorTrouble::ProgramMissing { transport, wanted } if wanted.is_empty() => {
                Self::because("tor-program-unknown", &transport)
            }
            TorTrouble::ProgramMissing { transport, wanted } => {
                Self::because("tor-program-missing", &format!("{transport}: {}", wanted.join(", ")))
            }
            TorTrouble::ProgramFailed => Self::new("tor-program-failed"),
            TorTrouble::Folder { why } => Self::because("tor-folder", &why),
            TorTrouble::Failed { why } => Self::because("tor-failed", &why),
            TorTrouble::NotBuilt => Self::new("tor-not-built"),
            TorTrouble::Stuck => Self::new("tor-stuck"),
        }
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        match &error {
            ProfileError::Missing(_) => Self::new("profile-missing"),
            ProfileError::Exists(_) => Self::new("profile-exists"),
            ProfileError::Locked(_) => Self::new("profile-locked"),
            ProfileError::WrongPassword => Self::new("wrong-password"),
            ProfileError::VaultDamaged(_) | ProfileError::DatabaseMissing(_) | ProfileError::DatabaseDamaged { .. } => {
                Self::because("profile-damaged", &error)
            }
            ProfileError::Newer => Self::new("profile-newer"),
            ProfileError::Derive => Self::new("profile-memory"),
            ProfileError::Unusable { path, source } => {
                Self::because("profile-unusable", &format!("{}: {source}", path.display()))
            }
        }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Full => Self::new("disk-full"),
            DatabaseError::Limit { .. } => Self::new("outbox-full"),
            DatabaseError::Newer => Self::new("profile-newer"),
            DatabaseError::Stopped => Self::new("engine-stopped"),
            DatabaseError::Unreadable
            | DatabaseError::Sealed { .. }
            | DatabaseError::Invalid(_)
            | DatabaseError::Records(_)
            | DatabaseError::Sqlite(_) => Self::because("profile-failed", &error),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Exists(_) => Self::new("file-exists"),
            BackupError::NotRegistered => Self::new("account-missing"),
            BackupError::Busy => Self::new("backup-under-way"),
            BackupError::GivenUp => Self::new("backup-given-up"),
            BackupError::Derive => Self::new("profile-memory"),
            BackupError::Unusable { path, source } => {
                Self::because("file-unwritable", &format!("{}: {source}", path.display()))
            }
            BackupError::Database(error) => error.into(),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Database(error) => error.into(),
            StartError::Thread(error) => Self::because("engine-not-started", &error),
        }
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Offline(reason) => reason.into(),
            AccountError::Database(error) => error.into(),
            AccountError::Registered => Self::new("account-exists"),
            AccountError::NotRegistered => Self::new("account-missing"),
            AccountError::Busy => Self::new("account-busy"),
            AccountError::Keys => Self::new("keys-failed"),
            AccountError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<LinkDeviceError> for Failure {
    fn from(error: LinkDeviceError) -> Self {
        match error {
            LinkDeviceError::Registered => Self::new("account-exists"),
            LinkDeviceError::OtherAccount => Self::new("other-account"),
            LinkDeviceError::Offline(reason) => reason.into(),
            LinkDeviceError::Database(error) => error.into(),
            LinkDeviceError::NoBackup => Self::new("no-backup"),
            LinkDeviceError::Provision(_) | LinkDeviceError::Malformed => Self::because("link-failed", &error),
            LinkDeviceError::Keys => Self::new("keys-failed"),
        }
    }
}

impl From<ArrangeError> for Failure {
    fn from(error: ArrangeError) -> Self {
        match error {
            ArrangeError::Unknown(_) => Self::new("person-unknown"),
            ArrangeError::Database(error) => error.into(),
            ArrangeError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotRegistered => Self::new("account-missing"),
            SendError::IdentityChanged(_) => Self::new("send-identity-changed"),
            SendError::Blocked(_) => Self::new("send-blocked"),
            SendError::NoConversation(_) => Self::new("send-no-conversation"),
            SendError::NotRefused => Self::new("send-not-refused"),
            SendError::NotAllowed(why) => why.into(),
            SendError::Database(error) => error.into(),
            SendError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::new(match refused {
            Refused::NoSuchMessage => "refused-no-such-message",
            Refused::NotTheWriter => "refused-not-the-writer",
            Refused::Deleted => "refused-deleted",
            Refused::NoText => "refused-no-text",
            Refused::TooLong => "refused-too-long",
            Refused::Older => "refused-older",
            Refused::NotAccepted => "refused-not-accepted",
        })
    }
}

impl From<DecideError> for Failure {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Unknown(_) => Self::new("person-unknown"),
            DecideError::Refused(code) => code.into(),
            DecideError::Database(error) => error.into(),
            DecideError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<AddError> for Failure {
    fn from(error: AddError) -> Self {
        match error {
            AddError::NotRegistered => Self::new("account-missing"),
            AddError::Oneself => Self::new("link-own"),
            AddError::OtherServer => Self::new("link-other-server"),
            AddError::Unknown(_) => Self::new("person-unknown"),
            AddError::Refused(code) => code.into(),
            AddError::OtherIdentity(_) => Self::new("link-other-identity"),
            AddError::BadKey => Self::new("link-bad"),
            AddError::Database(error) => error.into(),
            AddError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<ContactLinkError> for Failure {
    fn from(error: ContactLinkError) -> Self {
        match error {
            ContactLinkError::Server(error) => error.into(),
            ContactLinkError::Handle(error) => error.into(),
            ContactLinkError::TooLong
            | ContactLinkError::NoPerson
            | ContactLinkError::Encoding
            | ContactLinkError::Identity => Self::new("link-bad"),
        }
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Unreadable { source, .. } => Self::because("file-unreadable", &source),
            PrepareError::TooLong => Self::new("file-too-long"),
            PrepareError::DamagedPicture => Self::new("file-damaged-picture"),
            PrepareError::Unwritable(source) => Self::because("profile-failed", &source),
            PrepareError::GivenUp => Self::new("engine-stopped"),
        }
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Prepare(error) => error.into(),
            AttachError::Send(error) => error.into(),
            AttachError::Busy => Self::new("file-busy"),
            AttachError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<PortraitError> for Failure {
    fn from(error: PortraitError) -> Self {
        match error {
            PortraitError::Unreadable(source) => Self::unreadable(&source),
            PortraitError::TooLong => Self::new("portrait-too-long"),
            PortraitError::NoPicture => Self::new("portrait-bad"),
        }
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Unknown(_) => Self::new("person-unknown"),
            RemoveError::Oneself => Self::new("removal-oneself"),
            RemoveError::Blocked(_) => Self::new("removal-blocked"),
            RemoveError::Database(error) => error.into(),
            RemoveError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<FaceError> for Failure {
    fn from(error: FaceError) -> Self {
        match error {
            FaceError::NotRegistered => Self::new("account-missing"),
            FaceError::Database(error) => error.into(),
            FaceError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<Undrawable> for Failure {
    fn from(error: Undrawable) -> Self {
        match error {
            Undrawable::NoPicture | Undrawable::Packing => Self::new("picture-bad"),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Unusable { source, .. } | RestoreError::Read(source) => Self::unreadable(&source),
            RestoreError::NotABackup => Self::new("backup-none"),
            RestoreError::Newer => Self::new("backup-newer"),
            RestoreError::WrongPassphrase => Self::new("backup-passphrase"),
            RestoreError::Damaged => Self::new("backup-damaged"),
            RestoreError::Derive => Self::new("profile-memory"),
            RestoreError::Profile(error) => error.into(),
            RestoreError::Database(error) => error.into(),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NoConversation(_) | FileError::NoFile => Self::new("refused-no-such-message"),
            FileError::NotHere => Self::new("file-not-here"),
            FileError::NotMoving | FileError::OtherWay(_) => Self::new("file-not-moving"),
            FileError::TooLarge => Self::new("file-too-large"),
            FileError::Save(error) => error.into(),
            FileError::Busy => Self::new("file-busy"),
            FileError::Database(error) => error.into(),
            FileError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<SaveError> for Failure {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Exists(_) => Self::new("file-exists"),
            SaveError::Unwritable { path, source } => {
                Self::because("file-unwritable", &format!("{}: {source}", path.display()))
            }
            SaveError::Damaged => Self::new("file-damaged"),
            SaveError::Unreadable(source) => Self::because("file-unreadable", &source),
            SaveError::GivenUp => Self::new("engine-stopped"),
        }
    }
}

/// What a person is told of a file that did not get where it should.
pub const fn fault(fault: FileFault) -> &'static str {
    match fault {
        FileFault::Gone => "fault-gone",
        FileFault::Forged => "fault-forged",
        FileFault::NoRoom => "fault-no-room",
        FileFault::NotTaken => "fault-not-taken",
        FileFault::Disk => "fault-disk",
        FileFault::Refused => "fault-refused",
    }
}

impl From<NicknameError> for Failure {
    fn from(error: NicknameError) -> Self {
        match error {
            NicknameError::Unknown(_) => Self::new("send-no-conversation"),
            NicknameError::Database(error) => error.into(),
            NicknameError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::NotRegistered => Self::new("account-missing"),
            VerifyError::Unknown(_) => Self::new("person-unknown"),
            VerifyError::NotChanged(_) => Self::new("identity-not-changed"),
            VerifyError::NotCompared(_) => Self::new("identity-not-compared"),
            VerifyError::Refused(code) => code.into(),
            VerifyError::BadKeys(_) => Self::new("bad-keys"),
            VerifyError::Database(error) => error.into(),
            VerifyError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NotRegistered => Self::new("account-missing"),
            RequestError::Busy => Self::new("account-busy"),
            RequestError::Refused(code) => code.into(),
            RequestError::BadCode(_) => Self::new("bad-link-code"),
            RequestError::Unanswered(reason) => reason.into(),
            RequestError::Database(error) => error.into(),
            RequestError::Stopped => Self::new("engine-stopped"),
        }
    }
}

impl From<PreferencesError> for Failure {
    fn from(error: PreferencesError) -> Self {
        Self::because("preferences-not-kept", &error)
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        Self::new(match error {
            AddressError::Scheme => "address-scheme",
            AddressError::HostMissing | AddressError::Host => "address-host",
            AddressError::Port => "address-port",
            AddressError::Path => "address-path",
            AddressError::PinMissing | AddressError::Pin => "address-pin",
        })
    }
}

impl From<BadHandle> for Failure {
    fn from(error: BadHandle) -> Self {
        Self::new(match error {
            BadHandle::Length => "handle-length",
            BadHandle::Character => "handle-character",
            BadHandle::MixedScripts => "handle-scripts",
            BadHandle::Confusable => "handle-confusable",
        })
    }
}
