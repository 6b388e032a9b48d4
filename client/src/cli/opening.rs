//! The engine that a command works with.

use endtoend_client::engine::{Engine, Options};
use endtoend_client::profile::{Profile, ProfileError};
use zeroize::Zeroizing;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::{network, password};

/// Opens the profile and starts its engine.
pub(crate) fn open(arguments: &Arguments, online: bool) -> Result<Engine, Failure> {
    Ok(open_with_password(arguments, online)?.0)
}

/// For a command that proves the password to the server once more.
pub(crate) fn open_with_password(arguments: &Arguments, online: bool) -> Result<(Engine, Zeroizing<String>), Failure> {
    let home = arguments.home()?;
    if !Profile::exists(&home) {
        return Err(ProfileError::Missing(home).into());
    }
    let password = password::ask(arguments, false)?;
    let profile = Profile::open(&home, password.as_bytes())?;
    Ok((start(arguments, profile, password.clone(), online)?, password))
}

pub(crate) fn start(
    arguments: &Arguments,
    mut profile: Profile,
    password: Zeroizing<String>,
    online: bool,
) -> Result<Engine, Failure> {
    if let Some(server) = &arguments.server {
        profile.database().write(|store| store.move_to(server))?;
    }
    network::keep(arguments, &mut profile, arguments.server.as_ref())?;
    let connect_timeout = arguments.connect_timeout();
    Ok(Engine::start(profile, Options { password, online, connect_timeout })?)
}

/// Stops the engine whatever came of the command.
pub(crate) async fn stop<T>(engine: Engine, result: Result<T, Failure>) -> Result<T, Failure> {
    engine.stop().await;
    result
}
