//! What went wrong, what to do next, and the exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use endtoend_client::backup::{BackupError, RestoreError};
use endtoend_client::database::DatabaseError;
use endtoend_client::engine::linking::LinkDeviceError;
use endtoend_client::engine::{
    AccountError, AddError, ArrangeError, AttachError, DecideError, FaceError, FileError, NicknameError, OfflineReason,
    RemoveError, RequestError, SendError, StartError, VerifyError, Way,
};
use endtoend_client::face::PortraitError;
use endtoend_client::files::{PrepareError, SaveError};
use endtoend_client::profile::ProfileError;
use endtoend_client::transport::ConnectError;
use endtoend_protocol::RefusalCode;

use crate::output;

/// The closed list of ways to fail. docs/cli.md lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Failed,
    Usage,
    Refused,
    Unreachable,
    TimedOut,
    /// Whoever read our output has gone: not worth a word.
    OutputClosed,
}

/// Ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    text: String,
    /// What to do next.
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn because(kind: Kind, error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        Self::new(kind, text)
    }

    /// What went wrong, where the program goes on all the same.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::OutputClosed => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Unreachable => 4,
            Kind::TimedOut => 5,
        }
    }

    const fn name(&self) -> &'static str {
        match self.kind {
            Kind::OutputClosed => "output_closed",
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Refused => "refused",
            Kind::Unreachable => "unreachable",
            Kind::TimedOut => "timed_out",
        }
    }

    /// Says it on standard error, and with `--json` also as the last object on standard output.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if self.kind != Kind::OutputClosed {
            output::note(&format!("endtoend-cli: {}", self.text));
            if let Some(hint) = &self.hint {
                output::note(&format!("  {hint}"));
            }
            if json {
                let object = serde_json::json!({
                    "event": "error", "error": self.name(), "exit_code": self.exit_code(), "text": self.text,
                    "hint": self.hint,
                });
                // Nothing is left to do when this can't be written either.
                let _written = output::json_line(&object);
            }
        }
        ExitCode::from(self.exit_code())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::OutputClosed, "the output was closed"),
            _ => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<OfflineReason> for Failure {
    fn from(reason: OfflineReason) -> Self {
        let kind = match &reason {
            // It says more about the server's moment than about us.
            OfflineReason::Unreachable(_) | OfflineReason::Refused(RefusalCode::Busy | RefusalCode::Unavailable) => {
                Kind::Unreachable
            }
            OfflineReason::Refused(_) => Kind::Refused,
            OfflineReason::Tor(trouble) if !trouble.is_permanent() => Kind::Unreachable,
            OfflineReason::Idle
            | OfflineReason::Untrusted(_)
            | OfflineReason::Closed(_)
            | OfflineReason::Protocol
            | OfflineReason::Misnumbered(_)
            | OfflineReason::Storage(_)
            | OfflineReason::Tor(_)
            | OfflineReason::OnionKey(_)
            | OfflineReason::Locked
            | OfflineReason::Stopped => Kind::Failed,
        };
        let failure = Self::new(kind, reason.to_string());
        match reason {
            OfflineReason::Unreachable(_) => failure
                .hint("is the server running, and is --server its present address? Messages stay queued meanwhile"),
            OfflineReason::Closed(_) => {
                failure.hint("if another copy of this profile is in use, end it: one device, one place")
            }
            _ => failure,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Tor(trouble) => OfflineReason::Tor(trouble).into(),
            error if error.is_permanent() => Self::because(Kind::Failed, &error),
            error => Self::because(Kind::Unreachable, &error),
        }
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        let hint = match &error {
            ProfileError::Missing(_) => "make one with `endtoend-cli register`, or name another folder with --home",
            ProfileError::Exists(_) => "name another folder with --home",
            ProfileError::Locked(_) => "end the other endtoend-cli, or name another folder with --home",
            ProfileError::WrongPassword => "try again; without the password nobody can open this profile",
            ProfileError::VaultDamaged(_) | ProfileError::DatabaseDamaged { .. } | ProfileError::DatabaseMissing(_) => {
                "nothing was changed: restore the whole folder from a backup, or name another folder with --home"
            }
            ProfileError::Newer => "install the newer version, or name another folder with --home",
            ProfileError::Derive => "64 MiB of memory are needed for this",
            ProfileError::Unusable { .. } => "the folder must be yours and writable, on a disk with room",
        };
        Self::because(Kind::Failed, &error).hint(hint)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        let failure = Self::because(Kind::Failed, &error);
        match error {
            DatabaseError::Full => failure.hint("make room and try again: nothing was changed"),
            DatabaseError::Limit { .. } => failure.hint("wait until the server has taken some of what is queued"),
            DatabaseError::Unreadable | DatabaseError::Sealed { .. } | DatabaseError::Invalid(_) => {
                failure.hint("the profile is damaged: restore the whole folder from a backup")
            }
            DatabaseError::Newer | DatabaseError::Stopped | DatabaseError::Records(_) | DatabaseError::Sqlite(_) => {
                failure
            }
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Database(error) => error.into(),
            StartError::Thread(_) => Self::because(Kind::Failed, &error),
        }
    }
}

const REGISTER: &str = "make an account with `endtoend-cli --server ADDRESS register --handle NAME`";

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Offline(reason) => reason.into(),
            AccountError::Database(error) => error.into(),
            AccountError::Registered => {
                Self::because(Kind::Failed, &error).hint("name another folder with --home for another account")
            }
            AccountError::NotRegistered => Self::because(Kind::Failed, &error).hint(REGISTER),
            AccountError::Busy | AccountError::Keys | AccountError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Database(error) => error.into(),
            SendError::NotRegistered => Self::because(Kind::Failed, &error).hint(REGISTER),
            SendError::IdentityChanged(_) => Self::because(Kind::Failed, &error).hint(IDENTITY),
            SendError::Blocked(_) => {
                Self::because(Kind::Failed, &error).hint("take the block back with `block --with … --undo`")
            }
            SendError::NoConversation(_) => Self::because(Kind::Failed, &error).hint("write something first"),
            SendError::NotAllowed(_) => {
                Self::because(Kind::Failed, &error).hint("`history` shows the messages; with --json also their ids")
            }
            SendError::NotRefused | SendError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Send(error) => error.into(),
            AttachError::Prepare(error) => {
                let failure = Self::because(Kind::Failed, &error);
                match error {
                    PrepareError::DamagedPicture => failure
                        .hint("with --as-it-is it is sent byte for byte, with whatever a camera has written into it"),
                    PrepareError::Unwritable(_) => failure.hint("a sealed copy needs as much room as the file"),
                    PrepareError::Unreadable { .. } | PrepareError::TooLong | PrepareError::GivenUp => failure,
                }
            }
            AttachError::Busy | AttachError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Database(error) => error.into(),
            FileError::Save(error) => {
                let failure = Self::because(Kind::Failed, &error);
                match error {
                    SaveError::Exists(_) => {
                        failure.hint("name another place with --to, or replace it with --overwrite")
                    }
                    SaveError::Damaged => failure.hint("`fetch` fetches it again"),
                    SaveError::Unreadable(_) => {
                        failure.hint("nothing was changed; see to the disk and the profile's folder, and try again")
                    }
                    SaveError::Unwritable { .. } | SaveError::GivenUp => failure,
                }
            }
            FileError::NoFile => {
                Self::because(Kind::Failed, &error).hint("`history` shows the messages; with --json also their ids")
            }
            FileError::OtherWay(Way::Up) => {
                Self::because(Kind::Failed, &error).hint("`outbox --cancel ID --with …` gives up both")
            }
            FileError::OtherWay(Way::Down) => {
                Self::because(Kind::Failed, &error).hint("`fetch --with … --message ID --cancel` gives it up")
            }
            FileError::NotHere => Self::because(Kind::Failed, &error).hint("`fetch` it first"),
            FileError::NoConversation(_)
            | FileError::NotMoving
            | FileError::TooLarge
            | FileError::Busy
            | FileError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<DecideError> for Failure {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Database(error) => error.into(),
            DecideError::Refused(code) => OfflineReason::Refused(code).into(),
            DecideError::Unknown(_) => Self::because(Kind::Unreachable, &error).hint("connect once"),
            DecideError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<LinkDeviceError> for Failure {
    fn from(error: LinkDeviceError) -> Self {
        match error {
            LinkDeviceError::Database(error) => error.into(),
            LinkDeviceError::Offline(reason) => reason.into(),
            LinkDeviceError::Registered => {
                Self::because(Kind::Failed, &error).hint("name another folder with --home for another account")
            }
            LinkDeviceError::OtherAccount => {
                Self::because(Kind::Failed, &error).hint("name another folder with --home for another account")
            }
            LinkDeviceError::NoBackup => Self::because(Kind::Failed, &error).hint(
                "use `link`, if a device is still in the account; `recovery --on` leaves a backup for the next time",
            ),
            LinkDeviceError::Provision(_) | LinkDeviceError::Malformed | LinkDeviceError::Keys => {
                Self::because(Kind::Failed, &error).hint("begin anew with `link`")
            }
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Database(error) => error.into(),
            RequestError::Refused(code) => OfflineReason::Refused(code).into(),
            RequestError::Unanswered(reason) => reason.into(),
            RequestError::NotRegistered => Self::because(Kind::Failed, &error).hint(REGISTER),
            RequestError::BadCode(_) => Self::because(Kind::Failed, &error)
                .hint("begin anew with `link` on the new device, and copy its code whole"),
            RequestError::Busy | RequestError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

/// What to do about a changed identity.
pub(crate) const IDENTITY: &str = "it may be a new device, or somebody in between: compare safety numbers with `verify \
     --with`, by another way than this one; then `verify --with … --accept`";

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Database(error) => error.into(),
            VerifyError::Refused(code) => OfflineReason::Refused(code).into(),
            VerifyError::NotRegistered => Self::because(Kind::Failed, &error).hint(REGISTER),
            VerifyError::NotCompared(_) => Self::because(Kind::Failed, &error).hint(IDENTITY),
            VerifyError::Unknown(_) | VerifyError::NotChanged(_) | VerifyError::BadKeys(_) | VerifyError::Stopped => {
                Self::because(Kind::Failed, &error)
            }
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Database(error) => error.into(),
            BackupError::NotRegistered => Self::because(Kind::Failed, &error).hint(REGISTER),
            BackupError::Exists(_) => Self::because(Kind::Failed, &error).hint("name another file: none is replaced"),
            BackupError::Derive => Self::because(Kind::Failed, &error).hint("64 MiB of memory are needed for this"),
            BackupError::Unusable { .. } => {
                Self::because(Kind::Failed, &error).hint("the folder must be writable, on a disk with room")
            }
            BackupError::Busy | BackupError::GivenUp => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Database(error) => error.into(),
            RestoreError::Profile(error) => error.into(),
            RestoreError::WrongPassphrase => Self::because(Kind::Failed, &error).hint("try again, or use another copy"),
            RestoreError::Derive => {
                Self::because(Kind::Failed, &error).hint("as much memory as on the other machine is needed")
            }
            RestoreError::Newer => Self::because(Kind::Failed, &error).hint("install the newer version"),
            RestoreError::Unusable { .. }
            | RestoreError::Read(_)
            | RestoreError::NotABackup
            | RestoreError::Damaged => Self::because(Kind::Failed, &error).hint("use another copy of the file"),
        }
    }
}

impl From<FaceError> for Failure {
    fn from(error: FaceError) -> Self {
        match error {
            FaceError::Database(error) => error.into(),
            FaceError::NotRegistered => {
                Self::because(Kind::Failed, &error).hint("make an account with `endtoend-cli register`")
            }
            FaceError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<PortraitError> for Failure {
    fn from(error: PortraitError) -> Self {
        Self::because(Kind::Failed, &error)
    }
}

impl From<ArrangeError> for Failure {
    fn from(error: ArrangeError) -> Self {
        match error {
            ArrangeError::Database(error) => error.into(),
            ArrangeError::Unknown(_) => {
                Self::because(Kind::Failed, &error).hint("write to them first, or add them by their link")
            }
            ArrangeError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Database(error) => error.into(),
            RemoveError::Blocked(_) => Self::because(Kind::Failed, &error)
                .hint("with the contact its block would go: take it back with `block --with … --undo`, or leave out --contact"),
            RemoveError::Oneself => Self::because(Kind::Failed, &error).hint("without --contact your notes are removed"),
            RemoveError::Unknown(_) | RemoveError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<NicknameError> for Failure {
    fn from(error: NicknameError) -> Self {
        match error {
            NicknameError::Database(error) => error.into(),
            NicknameError::Unknown(_) => {
                Self::because(Kind::Failed, &error).hint("write to them first, or add them by their link")
            }
            NicknameError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}

impl From<AddError> for Failure {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Database(error) => error.into(),
            AddError::Refused(code) => OfflineReason::Refused(code).into(),
            AddError::Unknown(_) => Self::because(Kind::Unreachable, &error).hint("connect once"),
            AddError::NotRegistered => Self::because(Kind::Failed, &error).hint(REGISTER),
            AddError::OtherServer => {
                Self::because(Kind::Failed, &error).hint("people of different servers cannot write to each other")
            }
            AddError::OtherIdentity(_) => Self::because(Kind::Failed, &error).hint(IDENTITY),
            AddError::Oneself | AddError::BadKey | AddError::Stopped => Self::because(Kind::Failed, &error),
        }
    }
}
