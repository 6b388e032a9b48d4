//! From a stranger's first frame to a device: which request has a place when, and what it leads to. No actix here.

use endtoend_protocol::{AccountTag, Answer, Refusal, RefusalCode, Request, UnixMillis, limits};

use crate::services::{Guest, Login, PasswordLogin, Services};

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
    LoggingIn(Box<PasswordLogin>),
    /// Somebody knows the password of this account and may add a device.
    Proved(AccountTag),
    /// The connection speaks for a device.
    Authenticated(Login),
    /// It has added a device that has to wait, so that the owner can object. It may do nothing more.
    Waiting,
}

impl Stage {
    pub(super) fn login(&self) -> Option<Login> {
        match self {
            Self::Authenticated(login) => Some(*login),
            Self::Connected
            | Self::Greeted
            | Self::Registering(_)
            | Self::LoggingIn(_)
            | Self::Proved(_)
            | Self::Waiting => None,
        }
    }
}

/// Carries out one request of the handshake. A refusal leads back to `Greeted`, so that the client may try again.
pub(super) async fn step(
    stage: Stage,
    request: Request,
    services: &Services,
    guest: &mut Guest,
    now: UnixMillis,
) -> (Stage, Result<Answer, Refusal>) {
    match try_step(stage, request, services, guest, now).await {
        Ok((stage, answer)) => (stage, Ok(answer)),
        Err((stage, refusal)) => (stage, Err(refusal)),
    }
}

async fn try_step(
    stage: Stage,
    request: Request,
    services: &Services,
    guest: &mut Guest,
    now: UnixMillis,
) -> Result<(Stage, Answer), (Stage, Refusal)> {
    let greeted = |refusal| (Stage::Greeted, refusal);
    let stays = |answer| (Stage::Greeted, answer);
    let authenticated = |(login, answer)| (Stage::Authenticated(login), answer);
    let added = |(login, answer): (Option<Login>, _)| (login.map_or(Stage::Waiting, Stage::Authenticated), answer);
    match (stage, request) {
        (Stage::Connected, Request::Hello { version_min, version_max, server_password }) => {
            let version = endtoend_protocol::VERSION;
            if !(version_min..=version_max).contains(&version) {
                return Err((Stage::Connected, RefusalCode::Version.into()));
            }
            let checked = services.check_server_password(&server_password, guest).await;
            checked.map_err(|refusal| (Stage::Connected, refusal))?;
            let welcome = Answer::Welcome {
                version,
                challenge: guest.greet(),
                server_time: now,
                send_window: limits::SEND_WINDOW,
                oprf_key: services.oprf_key(),
                registration: services.registration(),
            };
            Ok((Stage::Greeted, welcome))
        }
        (Stage::Greeted, Request::Evaluate { blinded }) => {
            services.evaluate_for_guest(blinded, guest).await.map(stays).map_err(greeted)
        }
        (stage @ (Stage::Greeted | Stage::Proved(_)), Request::ShowWork { nonce }) => match guest.show_work(nonce) {
            Ok(()) => Ok((stage, Answer::Done)),
            Err(code) => Err((stage, code.into())),
        },
        // A login that is under way goes on.
        (stage @ (Stage::Greeted | Stage::LoggingIn(_) | Stage::Proved(_)), Request::NewChallenge) => {
            Ok((stage, Answer::Challenge { challenge: guest.new_challenge() }))
        }
        (Stage::Greeted, Request::RegisterStart { account, opaque }) => {
            let opaque = services.register_start(account, &opaque, guest).await.map_err(greeted)?;
            Ok((Stage::Registering(account), Answer::RegisterChallenge { opaque }))
        }
        (Stage::Registering(account), Request::RegisterFinish { opaque, device_proof, device, invite }) => services
            .register_finish(account, opaque, *device, invite, device_proof, guest, now)
            .await
            .map(authenticated)
            .map_err(greeted),
        (Stage::Greeted, Request::LoginStart { account, opaque }) => {
            let (login, opaque) = services.login_start(account, &opaque, guest, now).await.map_err(greeted)?;
            Ok((Stage::LoggingIn(Box::new(login)), Answer::LoginChallenge { opaque }))
        }
        (Stage::LoggingIn(login), Request::LoginFinish { opaque, device, device_proof }) => services
            .login_finish(*login, &opaque, device, device_proof, guest, now)
            .await
            .map(authenticated)
            .map_err(greeted),
        (Stage::LoggingIn(login), Request::LoginNew { opaque }) => {
            let (account, answer) = services.login_new(*login, &opaque, now).await.map_err(greeted)?;
            Ok((Stage::Proved(account), answer))
        }
        (Stage::Proved(proved), Request::AddDevice { account, link: None, device_proof, device })
            if account == proved =>
        {
            let added_device = services.add_device(account, None, *device, device_proof, guest, now).await;
            added_device.map(added).map_err(|refusal| match refusal.code {
                RefusalCode::Work => (Stage::Proved(proved), refusal),
                _ => (Stage::Greeted, refusal),
            })
        }
        (Stage::Greeted, Request::AddDevice { account, link: link @ Some(_), device_proof, device }) => {
            services.add_device(account, link, *device, device_proof, guest, now).await.map(added).map_err(greeted)
        }
        (Stage::Greeted, Request::OfferLink { link, offer }) => {
            services.offer_link(link, offer, guest, now).await.map(stays).map_err(greeted)
        }
        (Stage::Greeted, Request::FetchAnswer { link }) => {
            services.link_answer(link, guest, now).await.map(stays).map_err(greeted)
        }
        (Stage::Greeted, Request::Resume { token, device_proof }) => {
            services.resume(token, device_proof, guest, now).await.map(authenticated).map_err(greeted)
        }
        (Stage::Greeted, Request::Refresh { token, device_proof }) => {
            services.refresh(&token, device_proof, guest, now).await.map(authenticated).map_err(greeted)
        }
        (Stage::Waiting, _) => Err((Stage::Waiting, RefusalCode::DeviceWaits.into())),
        (stage, request) => {
            let code = if is_for_devices(&request) { RefusalCode::NotAuthenticated } else { RefusalCode::OutOfOrder };
            Err((stage, code.into()))
        }
    }
}

/// Whether a request has its place after a login.
pub(super) fn is_for_devices(request: &Request) -> bool {
    match request {
        Request::PublishKeys(_)
        | Request::FetchIdentity { .. }
        | Request::FetchBundles { .. }
        | Request::Attach
        | Request::FetchOffer { .. }
        | Request::AnswerLink { .. }
        | Request::FetchDevices
        | Request::RenameDevice { .. }
        | Request::RemoveDevice { .. }
        | Request::Logout { .. }
        | Request::SetRelation { .. }
        | Request::PasswordStart { .. }
        | Request::PasswordFinish { .. }
        | Request::SetBackup(_)
        | Request::Blob(_) => true,
        Request::Hello { .. }
        | Request::Evaluate { .. }
        | Request::ShowWork { .. }
        | Request::NewChallenge
        | Request::RegisterStart { .. }
        | Request::RegisterFinish { .. }
        | Request::LoginStart { .. }
        | Request::LoginFinish { .. }
        | Request::LoginNew { .. }
        | Request::AddDevice { .. }
        | Request::OfferLink { .. }
        | Request::FetchAnswer { .. }
        | Request::Refresh { .. }
        | Request::Resume { .. } => false,
    }
}
