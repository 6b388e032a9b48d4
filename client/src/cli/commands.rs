//! What each command does.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use endtoend_client::database::{Direction, Page, Pending, Question};
use endtoend_client::engine::{Engine, Event, Options, Registration, Way};
use endtoend_client::handle::Handle;
use endtoend_client::profile::{self, Profile};
use endtoend_client::transport::NetworkSettings;
use endtoend_protocol::{InviteCode, MessageId};
use serde_json::json;

use crate::args::{Arguments, Command};
use crate::conversation::{self, show_unread};
use crate::failure::{Failure, IDENTITY, Kind};
use crate::opening::{open, stop};
use crate::waiting::{News, Waiting};
use crate::{
    account, chat, deeds, faces, files, kept, messages, network, output, password, people, sending, shells, tor,
    transfer, whole,
};

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Register { handle, invite, server_password_file } => {
            register(arguments, handle, invite.clone(), server_password_file.as_deref()).await
        }
        Command::Login => login(arguments).await,
        Command::Send(send) => sending::send(arguments, send).await,
        Command::Attach(attach) => files::attach(arguments, attach).await,
        Command::Fetch(fetch) => files::fetch(arguments, fetch).await,
        Command::Edit { with, message, text } => deeds::edit(arguments, with, *message, text).await,
        Command::Delete { with, message, for_everyone } => {
            deeds::delete(arguments, with, *message, *for_everyone).await
        }
        Command::React { with, message, emoji, .. } => deeds::react(arguments, with, *message, emoji.as_deref()).await,
        Command::Timer { with, after, off } => deeds::timer(arguments, with, *after, *off).await,
        Command::Settings { receipts, typing } => deeds::settings(arguments, *receipts, *typing).await,
        Command::Listen { count } => listen(arguments, *count).await,
        Command::History { with, limit, before, after } => {
            let page = before.map(Page::Before).or(after.map(Page::After)).unwrap_or(Page::Last);
            history(arguments, with, page, *limit).await
        }
        Command::Card(card) => faces::card(arguments, card).await,
        Command::Face(face) => faces::face(arguments, face).await,
        Command::Conversations(what) => kept::conversations(arguments, what).await,
        Command::Draft(what) => kept::draft(arguments, what).await,
        Command::Outbox { retry: Some(message), with: Some(with), .. } => retry(arguments, with, *message).await,
        Command::Outbox { cancel: Some(message), with: Some(with), .. } => {
            files::cancel(arguments, with, *message, Way::Up).await
        }
        Command::Outbox { .. } => outbox(arguments).await,
        Command::Search { words, has_file, with, theirs, own, since, until, limit } => {
            let direction = theirs.then_some(Direction::In).or(own.then_some(Direction::Out));
            let (since, until, has_file) = (*since, *until, *has_file);
            let question = Question { words: words.join(" "), with: None, direction, since, until, has_file };
            search(arguments, question, with.clone(), *limit).await
        }
        Command::Chat { with } => chat::chat(arguments, with).await,
        Command::Verify(verify) => people::verify(arguments, verify).await,
        Command::Logout { everywhere } => account::logout(arguments, *everywhere).await,
        Command::Link { server_password_file } => account::link(arguments, server_password_file.as_deref()).await,
        Command::Devices { link: Some(code), .. } => account::let_in(arguments, code).await,
        Command::Devices { name, .. } if !name.is_empty() => account::name_device(arguments, name).await,
        Command::Recover { handle, server_password_file } => {
            account::recover(arguments, handle, server_password_file.as_deref()).await
        }
        Command::Recovery { on, .. } => account::recovery(arguments, *on).await,
        Command::Devices { remove, yes, .. } => account::devices(arguments, *remove, *yes).await,
        Command::Contacts(contacts) => people::contacts(arguments, contacts).await,
        Command::Block { with, undo } => people::block(arguments, with, *undo).await,
        Command::Password { new_password_file } => account::password(arguments, new_password_file.as_deref()).await,
        Command::DeleteAccount { yes } => account::delete(arguments, *yes).await,
        Command::Backup { to, passphrase_file } => whole::backup(arguments, to, passphrase_file.as_deref()).await,
        Command::Restore { from, passphrase_file, history_only, server_password_file } => {
            let server_password = server_password_file.as_deref();
            whole::restore(arguments, from, passphrase_file.as_deref(), *history_only, server_password).await
        }
        Command::Export { to, yes } => whole::export(arguments, to, *yes).await,
        Command::Profiles => profiles(arguments),
        Command::Completions { shell } => shells::completions(*shell),
        Command::Man { to } => shells::man(to.as_deref()),
        Command::Tor { what } => tor::tor(arguments, what).await,
        Command::Status => status(arguments).await,
        Command::Wipe { yes } => wipe(arguments, *yes),
    }
}

/// Lists the profiles that lie side by side.
fn profiles(arguments: &Arguments) -> Result<(), Failure> {
    let first = arguments.first_home()?;
    for (name, home) in profile::profiles(&first)? {
        let name = name.as_ref().map(ToString::to_string);
        match arguments.json {
            true => {
                output::json_line(&json!({ "event": "profile", "profile": name, "home": home.display().to_string() }))?;
            }
            false => output::line(&format!("{}  {}", name.as_deref().unwrap_or("(first)"), home.display()))?,
        }
    }
    Ok(())
}

/// What no wipe reaches.
const AFTER_WIPE: &str = "The account goes on existing on the server. Flash storage and file systems that copy on write \
     may keep old blocks, the sealed key among them: only the password guards those.";

/// Destroys the profile, after a person has said that he means it.
fn wipe(arguments: &Arguments, yes: bool) -> Result<(), Failure> {
    let home = arguments.home()?;
    if !yes {
        if arguments.json || !io::stdin().is_terminal() {
            return Err(Failure::new(Kind::Usage, "wipe asks a person").hint("with --yes it does not ask"));
        }
        output::line(&format!(
            "This destroys the profile in {}: account keys, contacts, all messages. Nothing brings them back.\n\
             {AFTER_WIPE}\nType wipe to go on:",
            home.display()
        ))?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if answer.trim() != "wipe" {
            return Err(Failure::new(Kind::Failed, "nothing was destroyed"));
        }
    }
    let wiped = profile::wipe(&home)?;
    let names = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let (removed, left) = (names(&wiped.removed), names(&wiped.left));
    match arguments.json {
        true => output::json_line(&json!({ "event": "wiped", "removed": removed, "left": left }))?,
        false => {
            output::line(&format!("destroyed {} files", removed.len()))?;
            for path in left {
                output::line(&format!("left alone, not ours: {path}"))?;
            }
        }
    }
    output::note(AFTER_WIPE);
    Ok(())
}

async fn register(
    arguments: &Arguments,
    handle: &Handle,
    invite: Option<InviteCode>,
    server_password: Option<&Path>,
) -> Result<(), Failure> {
    let Some(server) = &arguments.server else {
        return Err(Failure::new(Kind::Usage, "register needs --server")
            .hint("use the address that `endtoend serve` prints, like endtoend://host:port/#pin=…"));
    };
    let server_password = server_password.map(password::server_password).transpose()?;
    let home = arguments.home()?;
    let known = Profile::exists(&home);
    let password = password::ask(arguments, !known)?;
    // Before there is a profile: whoever does not want this has none.
    let chosen = network::choose(arguments, &NetworkSettings::default(), Some(server))?;
    let mut profile = match known {
        true => Profile::open(&home, password.as_bytes())?,
        false => Profile::create(&home, password.as_bytes())?,
    };
    match known {
        true => network::keep(arguments, &mut profile, Some(server))?,
        false => profile.database().write(|store| store.set_network(&chosen))?,
    }
    let way = profile.database().read().network()?.choice.way_to(&server.host);
    let engine =
        Engine::start(profile, Options { password, online: false, connect_timeout: arguments.connect_timeout() })?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.timeout_by(way)))?;
        let registration = Registration { server: server.clone(), handle: handle.clone(), invite, server_password };
        waiting.during(engine.handle().register(registration)).await??;
        let status = engine.handle().status().await?;
        match arguments.json {
            true => output::json_line(&json!({
                "event": "registered", "handle": handle.as_str(), "device": status.device,
                "server": server.to_string(), "home": home.display().to_string(),
            }))?,
            false => output::line(&format!("registered {handle}; the profile is in {}", home.display()))?,
        }
        Ok(())
    }
    .await;
    stop(engine, done).await
}

async fn login(arguments: &Arguments) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        waiting.during(engine.handle().login()).await??;
        let status = engine.handle().status().await?;
        let handle = status.handle.as_ref().map(Handle::as_str);
        match arguments.json {
            true => output::json_line(&json!({ "event": "login", "handle": handle, "device": status.device }))?,
            false => output::line(&format!("logged in as {}", handle.unwrap_or_default()))?,
        }
        Ok(())
    }
    .await;
    stop(engine, done).await
}

async fn listen(arguments: &Arguments, count: Option<u64>) -> Result<(), Failure> {
    let engine = open(arguments, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, arguments.timeout)?;
        let mut left = count.unwrap_or(u64::MAX);
        loop {
            left = show_unread(&engine.handle(), None, left, &|line| match arguments.json {
                true => output::json_line(&line.received_object()),
                false => output::line(&line.spoken()),
            })
            .await?;
            if left == 0 {
                return Ok(());
            }
            waiting.check_connection()?;
            match waiting.next().await {
                News::Event(Some(event)) => tell(arguments.json, &event)?,
                News::Event(None) => {}
                News::Interrupted => return Ok(()),
                News::TimedOut if count.is_none() => return Ok(()),
                News::TimedOut => return Err(waiting.timed_out()),
            }
        }
    }
    .await;
    stop(engine, done).await
}

/// What is said when the account has other devices than before.
pub(crate) const DEVICES_CHANGED: &str =
    "a device was added to your account, or removed: look at `devices`, and remove what is not yours";

/// News that a person has to know of.
fn tell(json: bool, event: &Event) -> io::Result<()> {
    match event {
        Event::Unreadable { id, reason, asked_again } => match json {
            true => output::json_line(&json!({
                "event": "unreadable", "envelope_id": id.to_string(), "reason": reason, "asked_again": asked_again,
            })),
            false if *asked_again => output::line(&format!("a message could not be opened ({reason}): asking again")),
            false => output::line(&format!("a message could not be opened ({reason})")),
        },
        Event::ClockOff { by, ahead } => match json {
            true => output::json_line(&output::clock_off_object(*by, *ahead)),
            false => output::line(&output::clock_off(*by, *ahead)),
        },
        Event::IdentityChanged { tag, handle } => {
            let who = handle.as_ref().map_or_else(|| format!("#{}", hex::encode(tag.as_bytes())), Handle::to_string);
            match json {
                true => output::json_line(&json!({ "event": "identity_changed", "with": who })),
                false => output::line(&format!("the identity of {who} has changed: {IDENTITY}")),
            }
        }
        Event::DevicesChanged => match json {
            true => output::json_line(&json!({ "event": "devices_changed" })),
            false => output::line(DEVICES_CHANGED),
        },
        Event::Changed { with, id, change } => {
            let object = messages::changed_object(with.as_ref(), *id, *change);
            match (json, messages::changed(with.as_ref(), *change)) {
                (true, _) => output::json_line(&object),
                (false, Some(text)) => output::line(&text),
                (false, None) => Ok(()),
            }
        }
        Event::File { with, message, step } => transfer::tell(json, with.as_ref(), message.id, *step),
        Event::Network(status) => match json {
            true => output::json_line(&network::status_object(status)),
            // A line of it is told where it is waited for.
            false => Ok(()),
        },
        Event::Connection(_)
        | Event::Received { .. }
        | Event::AllSent { .. }
        | Event::Noticed(_)
        | Event::Sent { .. }
        | Event::Accepted { .. }
        | Event::Rejected { .. }
        | Event::Delayed { .. }
        | Event::Decided { .. }
        | Event::BadKeys { .. } => Ok(()),
    }
}

/// Messages that `outbox` prints: as many as may wait, but for those to many devices.
const PENDING_MAX: u32 = 10_000;

async fn outbox(arguments: &Arguments) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let pending = engine.handle().pending(PENDING_MAX).await;
    for Pending { message, why } in stop(engine, pending.map_err(Failure::from)).await? {
        let spoken = format!("{}: {} [{}]", messages::peer(&message), messages::spoken(&message), why.as_str());
        match arguments.json {
            true => output::json_line(&messages::pending_object(&message, why))?,
            false => output::line(&spoken)?,
        }
    }
    Ok(())
}

async fn retry(arguments: &Arguments, with: &Handle, message: MessageId) -> Result<(), Failure> {
    let engine = open(arguments, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        engine.handle().retry(with.clone(), message).await?;
        sending::settled(&engine.handle(), &mut waiting, message, with).await?;
        if let Some(message) = engine.handle().find(message).await? {
            match arguments.json {
                true => output::json_line(&messages::sent_object(&message))?,
                false => output::line(&format!("{} {}", message.state.as_str(), message.id))?,
            }
        }
        Ok(())
    }
    .await;
    stop(engine, done).await
}

async fn search(arguments: &Arguments, question: Question, with: Option<Handle>, limit: u32) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let found = engine.handle().search(question, with, limit).await;
    for message in stop(engine, found.map_err(Failure::from)).await? {
        match arguments.json {
            true => output::json_line(&messages::history_object(&message))?,
            false => output::line(&format!("{}: {}", messages::peer(&message), messages::spoken(&message)))?,
        }
    }
    Ok(())
}

async fn history(arguments: &Arguments, with: &Handle, page: Page, limit: u32) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let done = async {
        let (messages, notices) = conversation::history(&engine.handle(), with, page, limit).await?;
        for line in conversation::merged(&messages, &notices, true) {
            match arguments.json {
                true => output::json_line(&line.history_object())?,
                false => output::line(&line.spoken())?,
            }
        }
        Ok(())
    }
    .await;
    stop(engine, done).await
}

async fn status(arguments: &Arguments) -> Result<(), Failure> {
    let home = arguments.home()?;
    let engine = open(arguments, false)?;
    let done = async {
        let status = engine.handle().status().await?;
        let handle = status.handle.as_ref().map(Handle::as_str);
        let server = status.server.as_ref().map(ToString::to_string);
        if arguments.json {
            let unreadable: Vec<_> = status
                .unreadable
                .iter()
                .map(|note| {
                    json!({
                        "envelope_id": note.id.to_string(), "reason": note.reason,
                        "accepted_at_ms": note.accepted_at.get(), "received_at_ms": note.received_at.get(),
                    })
                })
                .collect();
            output::json_line(&json!({
                "event": "status", "home": home.display().to_string(), "handle": handle, "server": server,
                "device": status.device, "registered": status.registered, "outbox": status.outbox,
                "unread": status.unread, "unreadable": unreadable, "repeats": status.repeats,
            }))?;
            return Ok(());
        }
        output::line(&format!("profile      {}", home.display()))?;
        match (handle, status.registered) {
            (Some(handle), true) => output::line(&format!("account      {handle}"))?,
            (Some(handle), false) => output::line(&format!("account      {handle} (registration not confirmed)"))?,
            (None, _) => output::line("account      none yet")?,
        }
        if let Some(server) = server {
            output::line(&format!("server       {server}"))?;
        }
        output::line(&format!("outbox       {} waiting", status.outbox))?;
        output::line(&format!("unread       {}", status.unread))?;
        output::line(&format!("unreadable   {}", status.unreadable.len()))?;
        output::line(&format!("repeats      {}", status.repeats))?;
        Ok(())
    }
    .await;
    stop(engine, done).await
}
