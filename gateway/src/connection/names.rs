//! What a request is called in the log, and which step of the handshake it belongs to.

use endtoend_protocol::{BlobRequest, Request};

use crate::metrics::Step;

/// Tells nothing of what it holds.
pub(super) const fn name(request: &Request) -> &'static str {
    match request {
        Request::Hello { .. } => "hello",
        Request::Evaluate { .. } => "evaluate",
        Request::NewChallenge => "new_challenge",
        Request::ShowWork { .. } => "show_work",
        Request::RegisterStart { .. } => "register_start",
        Request::RegisterFinish { .. } => "register_finish",
        Request::LoginStart { .. } => "login_start",
        Request::LoginFinish { .. } => "login_finish",
        Request::LoginNew { .. } => "login_new",
        Request::AddDevice { .. } => "add_device",
        Request::OfferLink { .. } => "offer_link",
        Request::FetchAnswer { .. } => "fetch_answer",
        Request::Resume { .. } => "resume",
        Request::Refresh { .. } => "refresh",
        Request::Attach => "attach",
        Request::PublishKeys(_) => "publish_keys",
        Request::FetchIdentity { .. } => "fetch_identity",
        Request::FetchBundles { .. } => "fetch_bundles",
        Request::FetchDevices => "fetch_devices",
        Request::RenameDevice { .. } => "rename_device",
        Request::RemoveDevice { .. } => "remove_device",
        Request::FetchOffer { .. } => "fetch_offer",
        Request::AnswerLink { .. } => "answer_link",
        Request::SetRelation { .. } => "set_relation",
        Request::SetBackup(_) => "set_backup",
        Request::Logout { .. } => "logout",
        Request::PasswordStart { .. } => "password_start",
        Request::PasswordFinish { .. } => "password_finish",
        Request::Blob(BlobRequest::Open { .. }) => "open_blob",
        Request::Blob(BlobRequest::Put { .. }) => "put_blob",
        Request::Blob(BlobRequest::Fetch { .. }) => "fetch_blob",
        Request::Blob(BlobRequest::Remove { .. }) => "remove_blob",
    }
}

/// Which step of the handshake a request takes, and whether that is done with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) step: Step,
    pub(super) is_last: bool,
}

/// `None` for what may be asked in between, any number of times.
pub(super) const fn step(request: &Request) -> Option<Taken> {
    let (step, is_last) = match request {
        Request::Hello { .. } => (Step::Hello, true),
        Request::RegisterStart { .. } => (Step::Register, false),
        Request::RegisterFinish { .. } => (Step::Register, true),
        Request::LoginStart { .. } => (Step::Password, false),
        Request::LoginFinish { .. } | Request::LoginNew { .. } => (Step::Password, true),
        Request::AddDevice { .. } => (Step::AddDevice, true),
        Request::Resume { .. } => (Step::Resume, true),
        Request::Refresh { .. } => (Step::Refresh, true),
        _ => return None,
    };
    Some(Taken { step, is_last })
}
