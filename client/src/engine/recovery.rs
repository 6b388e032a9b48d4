//! Coming back with the password alone, where a backup was left at the server.

use std::time::Duration;

use endtoend_crypto_core::backup;
use endtoend_crypto_core::opaque::ClientLogin;
use endtoend_protocol::{Answer, Provision, Request};
use zeroize::Zeroizing;

use super::establish::{EstablishError, evaluate};
use super::linking::{Here, LinkDeviceError, enter};
use crate::address::ServerAddress;
use crate::handle::Handle;
use crate::profile::Profile;
use crate::transport::Network;

/// Somebody who has proved the password of an account and has opened its backup, on a connection that is not for long.
pub struct Returning {
    here: Here,
    server: ServerAddress,
    server_password: Option<Zeroizing<Vec<u8>>>,
    handle: Handle,
    given: Provision,
    delay: Duration,
}

impl Returning {
    /// Proves the password, and opens the backup.
    ///
    /// # Errors
    /// `NoBackup`, or `Offline` with what the server said; it says `bad_credentials` of an unknown account too.
    pub async fn prove(
        network: &Network,
        server: ServerAddress,
        server_password: Option<Zeroizing<Vec<u8>>>,
        handle: Handle,
        password: &[u8],
        connect_timeout: Duration,
    ) -> Result<Self, LinkDeviceError> {
        Self::prove_with(network, server, server_password, handle, password, connect_timeout, None).await
    }

    /// Proves the password, and takes what a backup file has in the place of what was left at the server.
    ///
    /// # Errors
    /// `OtherAccount` when the server leads from the handle to another account than the file's; otherwise see
    /// [`Returning::prove`].
    pub async fn prove_with(
        network: &Network,
        server: ServerAddress,
        server_password: Option<Zeroizing<Vec<u8>>>,
        handle: Handle,
        password: &[u8],
        connect_timeout: Duration,
        given: Option<Provision>,
    ) -> Result<Self, LinkDeviceError> {
        let mut here = Here::arrive(network, &server, server_password.as_ref(), connect_timeout).await?;
        let account = evaluate(&mut here.talk, &handle, &here.oprf_key).await?;
        let (attempt, opaque) = ClientLogin::start(&mut rand::rng(), password).map_err(EstablishError::from)?;
        let start = Request::LoginStart { account, opaque: opaque.into() };
        let Answer::LoginChallenge { opaque } = here.talk.ask(start).await? else {
            return Err(EstablishError::Protocol.into());
        };
        let done = attempt.finish(&mut rand::rng(), password, &opaque).map_err(EstablishError::from)?;
        let Answer::PasswordProved { backup, delay_ms } =
            here.talk.ask(Request::LoginNew { opaque: done.ke3.into() }).await?
        else {
            return Err(EstablishError::Protocol.into());
        };
        let given = match given {
            Some(given) if given.account == account => given,
            Some(_) => return Err(LinkDeviceError::OtherAccount),
            None => {
                let sealed = backup.ok_or(LinkDeviceError::NoBackup)?;
                let opened = backup::open(&done.export_key, account.as_bytes(), &sealed);
                let opened = opened.map_err(|_| LinkDeviceError::Malformed)?;
                Provision::decode(&opened).map_err(|_| LinkDeviceError::Malformed)?
            }
        };
        if given.account != account {
            return Err(LinkDeviceError::Malformed);
        }
        Ok(Self { here, server, server_password, handle, given, delay: Duration::from_millis(delay_ms) })
    }

    /// How long the new device has to wait, so that whoever has another one can object.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Makes this profile a further device of the account.
    ///
    /// # Errors
    /// See [`LinkDeviceError`].
    pub async fn enter(self, profile: &mut Profile) -> Result<Handle, LinkDeviceError> {
        if profile.database().read().account()?.is_some() {
            return Err(LinkDeviceError::Registered);
        }
        let Self { here, server, server_password, handle, given, .. } = self;
        enter(profile, here, &server, server_password, handle, given, None).await
    }
}
