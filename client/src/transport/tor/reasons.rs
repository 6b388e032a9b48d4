//! The library's errors, in words that say what to do.

use std::io;

use arti_client::status::{BlockageKind, BootstrapStatus};
use arti_client::{ErrorKind, HasKind as _};

use crate::transport::trouble::{Said, TorTrouble};
use crate::transport::{ConnectError, OnionKeyTrouble};

/// Why no stream was opened.
pub(super) fn of_stream(error: &arti_client::Error, bridged: bool) -> ConnectError {
    let away = |kind: io::ErrorKind, text: &'static str| ConnectError::Unreachable(io::Error::new(kind, text));
    match error.kind() {
        ErrorKind::ForbiddenStreamTarget | ErrorKind::InvalidStreamTarget => ConnectError::NotThroughTor,
        ErrorKind::RemoteHostResolutionFailed | ErrorKind::RemoteHostNotFound => {
            away(io::ErrorKind::NotFound, "the exit from Tor does not find the server's name")
        }
        ErrorKind::RemoteConnectionRefused | ErrorKind::RemoteStreamError => {
            away(io::ErrorKind::ConnectionRefused, "the exit from Tor does not reach the server: is it running?")
        }
        ErrorKind::RemoteNetworkFailed | ErrorKind::RemoteNetworkTimeout | ErrorKind::ExitTimeout => {
            away(io::ErrorKind::TimedOut, "the server does not answer at the exit from Tor")
        }
        ErrorKind::ExitPolicyRejected | ErrorKind::NoExit => {
            away(io::ErrorKind::PermissionDenied, "no exit from Tor leads to the server's port")
        }
        ErrorKind::OnionServiceAddressInvalid => ConnectError::NotThroughTor,
        ErrorKind::OnionServiceNotFound | ErrorKind::OnionServiceNotRunning => {
            away(io::ErrorKind::NotFound, "the onion service is not there: is the server running?")
        }
        ErrorKind::OnionServiceConnectionFailed | ErrorKind::OnionServiceProtocolViolation => {
            away(io::ErrorKind::ConnectionAborted, "the onion service does not answer")
        }
        ErrorKind::OnionServiceMissingClientAuth => ConnectError::OnionKey(OnionKeyTrouble::Missing),
        ErrorKind::OnionServiceWrongClientAuth => ConnectError::OnionKey(OnionKeyTrouble::Wrong),
        ErrorKind::LocalNetworkError => ConnectError::Tor(TorTrouble::NoNetwork),
        ErrorKind::TorAccessFailed if bridged => ConnectError::Tor(TorTrouble::BridgeRefused),
        ErrorKind::TorAccessFailed => ConnectError::Tor(TorTrouble::Blocked),
        ErrorKind::ClockSkew => ConnectError::Tor(TorTrouble::ClockWrong),
        ErrorKind::ExternalToolFailed => ConnectError::Tor(TorTrouble::ProgramFailed),
        ErrorKind::DirectoryExpired | ErrorKind::TorDirectoryUnusable | ErrorKind::BootstrapRequired => {
            ConnectError::Tor(TorTrouble::Stuck)
        }
        _ => away(io::ErrorKind::Other, "Tor did not get through to the server"),
    }
}

/// Why Tor was not even made.
pub(super) fn of_making(error: &arti_client::Error) -> TorTrouble {
    let why = chain(error);
    match error.kind() {
        ErrorKind::FsPermissions
        | ErrorKind::PersistentStateAccessFailed
        | ErrorKind::CacheAccessFailed
        | ErrorKind::KeystoreAccessFailed
        | ErrorKind::LocalResourceAlreadyInUse => TorTrouble::Folder { why },
        ErrorKind::ClockSkew => TorTrouble::ClockWrong,
        ErrorKind::ExternalToolFailed => TorTrouble::ProgramFailed,
        _ => TorTrouble::Failed { why },
    }
}

/// What an attempt to start has ended with.
pub(super) fn of_start(error: &arti_client::Error) -> Said {
    match error.kind() {
        ErrorKind::ClockSkew => Said::Clock,
        ErrorKind::ExternalToolFailed => Said::Program,
        ErrorKind::LocalNetworkError => Said::Offline,
        _ => Said::Other,
    }
}

/// What hinders a start that goes on.
pub(super) fn of_status(status: &BootstrapStatus) -> Option<Said> {
    // What many relays say of the time is in no field: without this word the person hears that it is stuck.
    if status.to_string().contains("Clock is") {
        return Some(Said::Clock);
    }
    status.blocked().map(|blockage| of_blockage(&blockage.kind()))
}

fn of_blockage(kind: &BlockageKind) -> Said {
    match kind {
        BlockageKind::Offline => Said::Offline,
        BlockageKind::Filtering => Said::Filtered,
        BlockageKind::ClockSkewed => Said::Clock,
        _ => Said::Other,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
