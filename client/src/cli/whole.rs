//! Commands about a profile as a whole: one file to come back from, and one to read elsewhere.

use std::path::Path;

use endtoend_client::backup::{OpenedBackup, Restored, Summary};
use endtoend_client::engine::linking::LinkDeviceError;
use endtoend_client::engine::recovery::Returning;
use endtoend_client::profile::{Profile, ProfileError};
use endtoend_client::transport::{Network, NetworkSettings};
use serde_json::json;

use crate::account::{LATE, confirm};
use crate::args::Arguments;
use crate::failure::{Failure, Kind};
use crate::opening::{open, stop};
use crate::outcome::done;
use crate::{network, output, password};

pub(crate) async fn backup(arguments: &Arguments, to: &Path, passphrase: Option<&Path>) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let written = async {
        let passphrase = password::passphrase(passphrase, true)?;
        Ok(engine.handle().backup(to.to_owned(), passphrase).await?)
    }
    .await;
    let Summary { contacts, messages } = stop(engine, written).await?;
    let object =
        json!({ "event": "backup", "path": to.display().to_string(), "contacts": contacts, "messages": messages });
    done(arguments, &object, &format!("{} has {contacts} people and {messages} messages", to.display()))
}

pub(crate) async fn export(arguments: &Arguments, to: &Path, yes: bool) -> Result<(), Failure> {
    let what = "This writes everything that was said into a file that anybody can read who gets at it.";
    confirm(arguments, yes, what, "export")?;
    let engine = open(arguments, false)?;
    let written = engine.handle().export(to.to_owned()).await.map_err(Failure::from);
    let Summary { contacts, messages } = stop(engine, written).await?;
    let object =
        json!({ "event": "export", "path": to.display().to_string(), "contacts": contacts, "messages": messages });
    done(arguments, &object, &format!("{} has {contacts} people and {messages} messages", to.display()))
}

/// Opens the backup and asks the server first: until both are right there is no profile.
pub(crate) async fn restore(
    arguments: &Arguments,
    from: &Path,
    passphrase: Option<&Path>,
    history_only: bool,
    server_password: Option<&Path>,
) -> Result<(), Failure> {
    let server_password = server_password.map(password::server_password).transpose()?;
    let home = arguments.home()?;
    let known = Profile::exists(&home);
    let password = password::ask(arguments, !known)?;
    let passphrase = password::passphrase(passphrase, false)?;
    let opened = OpenedBackup::open(from, passphrase.as_bytes())?;
    let begun = match known {
        true => Some(begun(&home, password.as_bytes(), &opened)?),
        false => None,
    };
    let late = |_| Failure::new(Kind::TimedOut, LATE);
    let server = arguments.server.clone().unwrap_or_else(|| opened.server().clone());
    let chosen = network::choose(arguments, &NetworkSettings::default(), Some(&server))?;
    let patience = arguments.timeout_by(chosen.choice.way_to(&server.host));
    let network = Network::new(chosen.clone(), &home);
    let returning = match history_only {
        true => None,
        false => {
            let connect_timeout = arguments.connect_timeout();
            let (handle, given) = (opened.handle().clone(), Some(opened.provision()?));
            let secret = password.as_bytes();
            let prove =
                Returning::prove_with(&network, server, server_password, handle, secret, connect_timeout, given);
            let proved = tokio::time::timeout(patience, network::telling(&network, prove)).await;
            let proved = proved.map_err(late).and_then(|proved| Ok(proved?));
            if proved.is_err() {
                network.close().await;
                network::forget(&home, &network, true);
            }
            Some(proved?)
        }
    };
    let handle = opened.handle().clone();
    let (mut profile, restored) = match begun {
        Some(profile) => (profile, Restored::default()),
        None => opened.restore(&home, password.as_bytes())?,
    };
    profile.database().write(|store| store.set_network(&chosen))?;
    let mut waits = std::time::Duration::ZERO;
    if let Some(returning) = returning {
        waits = returning.delay();
        let entered = tokio::time::timeout(patience, returning.enter(&mut profile)).await;
        network.close().await;
        entered.map_err(late).and_then(|entered| Ok(entered?)).map_err(|failure: Failure| {
            failure.hint("what was said is restored; say the same once more to make this a device of the account")
        })?;
    }
    let device = profile.database().read().account()?.map(|account| account.device.get());
    let Restored { contacts, messages } = restored;
    let object = json!({
        "event": "restored", "handle": handle.as_str(), "device": device, "home": home.display().to_string(),
        "contacts": contacts, "messages": messages, "waits_ms": u64::try_from(waits.as_millis()).unwrap_or(u64::MAX),
    });
    done(arguments, &object, &format!("restored {contacts} people and {messages} messages of {handle}"))?;
    if !waits.is_zero() {
        let waits = humantime::format_duration(waits);
        output::note(&format!(
            "it is a device of the account in {waits}: its other devices show it, and can remove it"
        ));
    }
    if device.is_some() {
        output::note("if the old device is lost, remove it: `devices` lists them");
    }
    Ok(())
}

/// A profile that an earlier attempt has restored from the same account's backup, and that is no device yet.
fn begun(home: &Path, password: &[u8], opened: &OpenedBackup) -> Result<Profile, Failure> {
    let mut profile = Profile::open(home, password)?;
    let store = profile.database().read();
    if store.account()?.is_some() {
        return Err(LinkDeviceError::Registered.into());
    }
    match store.restored()? {
        Some(account) if account == opened.account() => Ok(profile),
        Some(_) => Err(LinkDeviceError::OtherAccount.into()),
        None => Err(ProfileError::Exists(home.to_owned()).into()),
    }
}
