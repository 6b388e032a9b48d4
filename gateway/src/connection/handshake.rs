//! From a stranger's first frame to a device: which request has a place when, and what it leads to. No actix here.

use endtoend_protocol::{AccountTag, Address, Answer, Refusal, RefusalCode, Request, UnixMillis, limits};

use crate::services::{Accounts, Login, Peer};

/// Where a connection stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing was said.
    Connected,
    /// Versions are agreed upon; who is there is not known.
    Greeted,
    /// Between the steps of a registration.
    Registering(AccountTag),
    /// Between the steps of a login.
    LoggingIn(Box<Login>),
    /// The connection speaks for this device.
    Authenticated(Address),
}

impl Stage {
    pub(super) fn device(&self) -> Option<Address> {
        match self {
            Self::Authenticated(address) => Some(*address),
            Self::Connected | Self::Greeted | Self::Registering(_) | Self::LoggingIn(_) => None,
        }
    }
}

/// Carries out one request of the handshake. A refusal leads back to `Greeted`, so that the client may try again.
pub(super) async fn step(
    stage: Stage,
    request: Request,
    accounts: &Accounts,
    peer: Peer,
    now: UnixMillis,
) -> (Stage, Result<Answer, Refusal>) {
    match try_step(stage, request, accounts, peer, now).await {
        Ok((stage, answer)) => (stage, Ok(answer)),
        Err((stage, refusal)) => (stage, Err(refusal)),
    }
}

async fn try_step(
    stage: Stage,
    request: Request,
    accounts: &Accounts,
    peer: Peer,
    now: UnixMillis,
) -> Result<(Stage, Answer), (Stage, Refusal)> {
    let greeted = |refusal| (Stage::Greeted, refusal);
    let authenticated = |answer| match answer {
        Answer::Authenticated { address, .. } => (Stage::Authenticated(address), answer),
        other => (Stage::Greeted, other),
    };
    match (stage, request) {
        (Stage::Connected, Request::Hello { version_min, version_max }) => {
            let version = endtoend_protocol::VERSION;
            if !(version_min..=version_max).contains(&version) {
                return Err((Stage::Connected, RefusalCode::Version.into()));
            }
            let Peer { challenge, .. } = peer;
            let send_window = limits::SEND_WINDOW;
            Ok((Stage::Greeted, Answer::Welcome { version, challenge, server_time: now, send_window }))
        }
        (Stage::Greeted, Request::RegisterStart { account, opaque }) => {
            let opaque = accounts.register_start(account, &opaque).map_err(greeted)?;
            Ok((Stage::Registering(account), Answer::RegisterChallenge { opaque }))
        }
        (Stage::Registering(account), Request::RegisterFinish { opaque, device_proof, device }) => accounts
            .register_finish(account, opaque, *device, device_proof, peer, now)
            .await
            .map(authenticated)
            .map_err(greeted),
        (Stage::Greeted, Request::LoginStart { account, opaque }) => {
            let (login, opaque) = accounts.login_start(account, &opaque).await.map_err(greeted)?;
            Ok((Stage::LoggingIn(Box::new(login)), Answer::LoginChallenge { opaque }))
        }
        (Stage::LoggingIn(login), Request::LoginFinish { opaque, device, device_proof }) => accounts
            .login_finish(*login, &opaque, device, device_proof, peer, now)
            .await
            .map(authenticated)
            .map_err(greeted),
        (Stage::Greeted, Request::Resume { token, device_proof }) => {
            accounts.resume(token, device_proof, peer, now).await.map(authenticated).map_err(greeted)
        }
        (stage, request) => {
            let code = match request {
                Request::PublishKeys(_)
                | Request::FetchIdentity { .. }
                | Request::FetchBundles { .. }
                | Request::Attach => RefusalCode::NotAuthenticated,
                Request::Hello { .. }
                | Request::RegisterStart { .. }
                | Request::RegisterFinish { .. }
                | Request::LoginStart { .. }
                | Request::LoginFinish { .. }
                | Request::Resume { .. } => RefusalCode::OutOfOrder,
            };
            Err((stage, code.into()))
        }
    }
}
