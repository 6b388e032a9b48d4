//! Commands about the account and its devices.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;

use endtoend_client::address::ServerAddress;
use endtoend_client::clock;
use endtoend_client::engine::linking::{self, LinkDeviceError, LinkNews};
use endtoend_client::engine::recovery::Returning;
use endtoend_client::engine::{AccountAnswer, AccountRequest, OwnDevice};
use endtoend_client::handle::Handle;
use endtoend_client::profile::Profile;
use endtoend_client::transport::{Network, NetworkSettings};
use endtoend_crypto_e2e::NAME_BYTES_MAX;
use endtoend_protocol::{DeviceId, limits};
use serde_json::{Value, json};

use crate::args::Arguments;
use crate::failure::{Failure, Kind};
use crate::opening::{open, open_with_password, start, stop};
use crate::outcome::done;
use crate::waiting::Waiting;
use crate::{network, output, password};

/// Asks the server, within the command's time.
async fn ask(arguments: &Arguments, request: AccountRequest) -> Result<AccountAnswer, Failure> {
    let engine = open(arguments, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        Ok(waiting.during(engine.handle().account(request)).await??)
    }
    .await;
    stop(engine, done).await
}

const CHANGED: &str = "the password is changed; other devices are logged out, and what `recovery --on` left is gone";

/// What is told when somebody has waited for too long.
pub(crate) const LATE: &str = "the server did not answer in time";

/// Bytes of the line that six digits are looked for in.
const DIGITS_LINE_MAX: u64 = 64;

/// What cannot be undone is done when a person has typed the word.
pub(crate) fn confirm(arguments: &Arguments, yes: bool, what: &str, word: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if arguments.json || !io::stdin().is_terminal() {
        return Err(Failure::new(Kind::Usage, "this asks a person").hint("with --yes it does not ask"));
    }
    output::line(&format!("{what}\nType {word} to go on:"))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == word { Ok(()) } else { Err(Failure::new(Kind::Failed, "nothing was changed")) }
}

pub(crate) async fn logout(arguments: &Arguments, everywhere: bool) -> Result<(), Failure> {
    ask(arguments, AccountRequest::Logout { everywhere }).await?;
    let text = if everywhere { "all devices are logged out" } else { "this device is logged out" };
    done(arguments, &json!({ "event": "logout", "everywhere": everywhere }), text)
}

pub(crate) async fn devices(arguments: &Arguments, remove: Option<DeviceId>, yes: bool) -> Result<(), Failure> {
    let Some(device) = remove else {
        let AccountAnswer::Devices(devices) = ask(arguments, AccountRequest::Devices).await? else {
            return Err(Failure::new(Kind::Failed, "the server answered something else than was asked"));
        };
        for device in devices {
            let waits = device.active_at > clock::now();
            done(arguments, &device_object(&device, waits), &device_line(&device, waits))?;
        }
        return Ok(());
    };
    let what = format!(
        "This removes device {device} from the account: its keys, its login, and what waits for it.\n\
         It keeps the identity key that it has: if it is in wrong hands, tell your contacts to compare safety numbers."
    );
    confirm(arguments, yes, &what, "remove")?;
    ask(arguments, AccountRequest::RemoveDevice(device)).await?;
    done(arguments, &json!({ "event": "removed", "device": device.get() }), &format!("removed device {device}"))
}

/// On an existing device: agrees with a new one, and lets it in when a person has typed the digits that it shows. They are
/// not shown here: whoever has to copy them has compared them.
pub(crate) async fn let_in(arguments: &Arguments, code: &str) -> Result<(), Failure> {
    let engine = open(arguments, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        let meet = AccountRequest::Meet { code: code.to_owned() };
        let AccountAnswer::Digits(agreed) = waiting.during(engine.handle().account(meet)).await?? else {
            return Err(Failure::new(Kind::Failed, "the server answered something else than was asked"));
        };
        match arguments.json {
            true => output::json_line(&json!({ "event": "type_digits" }))?,
            false => output::line(
                "The new device will be able to read and write as you. Type the six digits that it shows:",
            )?,
        }
        let mut typed = String::new();
        io::stdin().lock().take(DIGITS_LINE_MAX).read_line(&mut typed)?;
        let bare = |digits: &str| digits.chars().filter(char::is_ascii_digit).collect::<String>();
        if bare(&typed) != bare(&agreed) {
            let different = "these are not its digits: somebody may be in between, and nothing was given away";
            return Err(Failure::new(Kind::Failed, different).hint("if it was a slip, begin anew with `link`"));
        }
        // The person may have taken a while.
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        waiting.during(engine.handle().account(AccountRequest::LetIn)).await??;
        Ok(())
    }
    .await;
    stop(engine, done).await?;
    self::done(arguments, &json!({ "event": "let_in" }), "the new device is let in")
}

/// On a new device: shows a code, then digits, and waits until an existing device has let it in.
pub(crate) async fn link(arguments: &Arguments, server_password: Option<&Path>) -> Result<(), Failure> {
    let server = address(arguments, "link")?;
    let server_password = server_password.map(password::server_password).transpose()?;
    let home = arguments.home()?;
    let known = Profile::exists(&home);
    // One password for the profile and, when its tokens have ended, for the account.
    let password = password::ask(arguments, !known)?;
    let chosen = network::choose(arguments, &NetworkSettings::default(), Some(&server))?;
    let mut profile = match known {
        true => Profile::open(&home, password.as_bytes())?,
        false => Profile::create(&home, password.as_bytes())?,
    };
    match known {
        true => network::keep(arguments, &mut profile, Some(&server))?,
        false => profile.database().write(|store| store.set_network(&chosen))?,
    }
    let json = arguments.json;
    let news = |news: LinkNews| {
        let written = match (&news, json) {
            (LinkNews::Code(code), true) => output::json_line(&json!({ "event": "link_code", "code": code })),
            (LinkNews::Code(code), false) => output::line(&format!(
                "On a device of yours: endtoend-cli devices --link {code}\nThe code is good for ten minutes."
            )),
            (LinkNews::Digits(digits), true) => output::json_line(&json!({ "event": "link_digits", "digits": digits })),
            (LinkNews::Digits(digits), false) => {
                output::line(&format!("Type these digits on your other device: {digits}"))
            }
        };
        // Whoever reads no more learns it from the end.
        drop(written);
    };
    let connect_timeout = arguments.connect_timeout();
    let network = profile.network()?;
    let linked = linking::link(&mut profile, &network, server, server_password, connect_timeout, news);
    let patience = arguments.timeout.unwrap_or(limits::LINK_LIFE);
    let linked = tokio::time::timeout(patience, network::telling(&network, linked)).await;
    network.close().await;
    let handle =
        linked.map_err(|_| Failure::new(Kind::TimedOut, "nobody has let this device in").hint("begin anew"))??;
    let device = profile.database().read().account()?.map(|account| account.device.get());
    done(
        arguments,
        &json!({ "event": "linked", "handle": handle.as_str(), "device": device, "home": home.display().to_string() }),
        &format!("this is a device of {handle} now"),
    )
}

/// Calls a device by a name.
pub(crate) async fn name_device(arguments: &Arguments, name: &[String]) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Kind::Usage, text);
    let [number, name] = name else { return Err(usage("--name needs a number and a name".to_owned())) };
    let device = number.parse().ok().and_then(|number| DeviceId::new(number).ok());
    let device = device.ok_or_else(|| usage(format!("{number} is no number of a device")))?;
    if name.len() > NAME_BYTES_MAX {
        return Err(usage(format!("a name has at most {NAME_BYTES_MAX} bytes")));
    }
    ask(arguments, AccountRequest::NameDevice(device, name.clone())).await?;
    let object = json!({ "event": "named", "device": device.get(), "name": name });
    done(arguments, &object, &format!("device {device} is called {}", output::harmless(name)))
}

/// Leaves a backup at the server, or takes it away.
pub(crate) async fn recovery(arguments: &Arguments, on: bool) -> Result<(), Failure> {
    let text = match on {
        true => {
            let (engine, password) = open_with_password(arguments, true)?;
            let done = async {
                let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
                waiting.during(engine.handle().account(AccountRequest::KeepBackup { password })).await??;
                Ok(())
            }
            .await;
            stop(engine, done).await?;
            "whoever has this account's password can come back with `recover`"
        }
        false => {
            ask(arguments, AccountRequest::ForgetBackup).await?;
            "the password alone does not bring this account back"
        }
    };
    done(arguments, &json!({ "event": "recovery", "on": on }), text)
}

/// Makes this profile a device of an account whose password is known and whose backup is at the server.
pub(crate) async fn recover(
    arguments: &Arguments,
    handle: &Handle,
    server_password: Option<&Path>,
) -> Result<(), Failure> {
    let server = address(arguments, "recover")?;
    let server_password = server_password.map(password::server_password).transpose()?;
    let home = arguments.home()?;
    let password = password::ask(arguments, false)?;
    let mut existing = if Profile::exists(&home) { Some(Profile::open(&home, password.as_bytes())?) } else { None };
    if let Some(profile) = &mut existing
        && profile.database().read().account()?.is_some()
    {
        return Err(LinkDeviceError::Registered.into());
    }
    let connect_timeout = arguments.connect_timeout();
    let before = existing.as_mut().map(|profile| profile.database().read().network()).transpose()?;
    let chosen = network::choose(arguments, &before.unwrap_or_default(), Some(&server))?;
    let patience = arguments.timeout_by(chosen.choice.way_to(&server.host));
    let (network, late) = (Network::new(chosen.clone(), &home), |_| Failure::new(Kind::TimedOut, LATE));
    let prove =
        Returning::prove(&network, server, server_password, handle.clone(), password.as_bytes(), connect_timeout);
    let entered = async {
        let returning = tokio::time::timeout(patience, network::telling(&network, prove)).await.map_err(late)??;
        // Only now: with a wrong password there would be a profile that only that one opens.
        let mut profile = match existing {
            Some(profile) => profile,
            None => Profile::create(&home, password.as_bytes())?,
        };
        profile.database().write(|store| store.set_network(&chosen))?;
        let delay = returning.delay();
        let handle = tokio::time::timeout(patience, returning.enter(&mut profile)).await.map_err(late)??;
        Ok::<_, Failure>((profile, handle, delay))
    }
    .await;
    network.close().await;
    network::forget(&home, &network, entered.is_err());
    let (mut profile, handle, delay) = entered?;
    let device = profile.database().read().account()?.map(|account| account.device.get());
    let text = match delay.is_zero() {
        true => format!("this is a device of {handle} now"),
        false => format!(
            "this will be a device of {handle} in {}: until then its other devices show it, and can remove it",
            humantime::format_duration(delay)
        ),
    };
    let waits_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let object = json!({
        "event": "recovered", "handle": handle.as_str(), "device": device, "home": home.display().to_string(),
        "waits_ms": waits_ms,
    });
    done(arguments, &object, &text)
}

/// The address that a command without a profile needs.
fn address(arguments: &Arguments, command: &str) -> Result<ServerAddress, Failure> {
    arguments.server.clone().ok_or_else(|| {
        Failure::new(Kind::Usage, format!("{command} needs --server"))
            .hint("use the address that `endtoend serve` prints, like endtoend://host:port/#pin=…")
    })
}

fn device_object(device: &OwnDevice, waits: bool) -> Value {
    json!({
        "event": "device", "device": device.device.get(), "name": device.name, "added_at_ms": device.added_at.get(),
        "active_at_ms": device.active_at.get(), "waits": waits,
    })
}

fn device_line(device: &OwnDevice, waits: bool) -> String {
    let name = device.name.as_ref().map_or_else(String::new, |name| format!(" ({})", output::harmless(name)));
    let added = output::time(device.added_at);
    let waits = if waits { format!(", may begin {}", output::time(device.active_at)) } else { String::new() };
    format!("device {}{name}, added {added}{waits}", device.device)
}

/// First at the server, then here: if the second fails, the profile opens with the old password and says so.
pub(crate) async fn password(arguments: &Arguments, new: Option<&Path>) -> Result<(), Failure> {
    let home = arguments.home()?;
    if !Profile::exists(&home) {
        return Err(endtoend_client::profile::ProfileError::Missing(home).into());
    }
    let old = password::ask(arguments, false)?;
    let new = password::new_password(new)?;
    let profile = Profile::open(&home, old.as_bytes())?;
    let engine = start(arguments, profile, old.clone(), true)?;
    let changed = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        let request = AccountRequest::ChangePassword { old: old.clone(), new: new.clone() };
        Ok(waiting.during(engine.handle().account(request)).await??)
    }
    .await;
    stop(engine, changed).await?;
    Profile::change_password(&home, old.as_bytes(), new.as_bytes()).map_err(|error| {
        Failure::from(error).hint("the account has the new password; this profile still opens with the old one")
    })?;
    done(arguments, &json!({ "event": "password_changed" }), CHANGED)
}

pub(crate) async fn delete(arguments: &Arguments, yes: bool) -> Result<(), Failure> {
    let what = "This deletes the account on the server: its handle is free for anybody, and what waits for you is gone.\n\
                Messages on this device and on those of others stay. Nothing brings the account back.";
    confirm(arguments, yes, what, "delete")?;
    let home = arguments.home()?;
    if !Profile::exists(&home) {
        return Err(endtoend_client::profile::ProfileError::Missing(home).into());
    }
    let password = password::ask(arguments, false)?;
    let profile = Profile::open(&home, password.as_bytes())?;
    let engine = start(arguments, profile, password.clone(), true)?;
    let deleted = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        Ok(waiting.during(engine.handle().account(AccountRequest::Delete { password })).await??)
    }
    .await;
    stop(engine, deleted).await?;
    done(arguments, &json!({ "event": "deleted" }), "the account is deleted; `endtoend-cli wipe` destroys the profile")
}
