//! `chat`: two people, line by line.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use endtoend_client::database::{Body, Direction, FileState, Page, StoredMessage};
use endtoend_client::engine::{
    AttachError, Attaching, Change, ConnectionState, EngineHandle, Event, FileError, FileStep, SendError,
};
use endtoend_client::files::{Manner, Source};
use endtoend_client::handle::Handle;
use endtoend_client::transport::NetworkSettings;
use endtoend_protocol::MessageId;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use serde_json::json;
use tokio::sync::mpsc;

use crate::args::Arguments;
use crate::chat_line::{Meaning, meaning};
use crate::conversation::{self, Line, show_unread};
use crate::failure::{Failure, Kind};
use crate::opening::{open, stop};
use crate::typed::{Say, Typed};
use crate::waiting::{News, Waiting};
use crate::{files, messages, network, output, transfer};

/// Lines of history shown on entering.
const SHOWN_ON_ENTRY: u32 = 10;
/// Lines typed ahead.
const LINES_MAX: usize = 16;

/// Prints above the line that is being typed.
type Printer = Arc<Mutex<Box<dyn FnMut(String) -> std::io::Result<()> + Send>>>;

/// The terminal's settings before the line editor changed them, put back however the chat ends.
struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    fn now() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // A terminal that is gone needs nothing put back.
            let _gone = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, settings);
        }
    }
}

pub(crate) async fn chat(arguments: &Arguments, with: &Handle) -> Result<(), Failure> {
    let _terminal = Terminal::now();
    let engine = open(arguments, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, arguments.timeout)?;
        let handle = engine.handle();
        let (mut lines, printer) = keyboard()?;
        let print = |text: String| {
            let mut printer = printer.lock().unwrap_or_else(PoisonError::into_inner);
            (*printer)(text)
        };
        let say = |text: &str, object: serde_json::Value| match arguments.json {
            true => print(object.to_string()),
            false => print(text.to_owned()),
        };
        if !arguments.json {
            let (messages, notices) = conversation::history(&handle, with, Page::Last, SHOWN_ON_ENTRY).await?;
            for line in conversation::merged(&messages, &notices, true) {
                let shown = match &line {
                    Line::Message(message) => message.shown,
                    Line::Notice(notice) => notice.shown,
                };
                if shown {
                    print(line.spoken())?;
                }
            }
        }
        let mut own = Typed::default();
        let earlier = handle.history(with.clone(), SHOWN_ON_ENTRY).await?;
        let theirs = |message: &&StoredMessage| message.direction == Direction::In;
        let last: Cell<Option<MessageId>> = Cell::new(earlier.iter().rev().find(theirs).map(|message| message.id));
        let (mut typing, mut acted, mut saves) = (true, false, HashMap::new());
        let (mut may_have_come, mut may_be_done, mut missed) = (true, true, false);
        loop {
            let shown = |line: &Line<'_>| {
                if let Line::Message(message) = line {
                    last.set(Some(message.id));
                }
                say(&line.spoken(), line.received_object())
            };
            // Each of these asks the engine, which seals many messages at a time before it answers: not for each line and each event.
            if std::mem::take(&mut may_have_come) {
                show_unread(&handle, Some(with), u64::MAX, &shown).await?;
            }
            if std::mem::take(&mut missed) {
                own.catch_up(&handle, with, &say).await?;
            }
            waiting.check_connection()?;
            if !typing
                && std::mem::take(&mut may_be_done)
                && saves.is_empty()
                && own.all_settled(&handle).await?
                && (!acted || handle.waiting_for(with.clone()).await? == 0)
            {
                // What has become of the last of them was said meanwhile.
                while let Some(event) = waiting.happened() {
                    mark(&mut own, with, &event, &say)?;
                }
                own.catch_up(&handle, with, &say).await?;
                return Ok(());
            }
            tokio::select! {
                line = lines.recv(), if typing => match line {
                    None => typing = false,
                    Some(line) if line.trim().is_empty() => {}
                    Some(line) => match meaning(&line, &own.ids, last.get()) {
                        Meaning::Wrong(why) => output::note(&why),
                        Meaning::Circuit => {
                            handle.new_circuits().await.map_err(|error| Failure::new(Kind::Failed, error.to_string()))?;
                            output::note("other circuits are used from now on");
                        }
                        Meaning::Bridges(path) => match network::read_bridges(&path) {
                            Err(failure) => output::note(failure.text()),
                            Ok(bridges) => {
                                let settings = NetworkSettings { bridges, ..handle.network().await? };
                                handle.set_network(settings).await?;
                                output::note("the connection is closed, and Tor begins anew");
                            }
                        },
                        Meaning::Say(text) => own.push(handle.send(with.clone(), text).await?),
                        Meaning::Answer(id, text) => match handle.answer(with.clone(), text, id).await {
                            Err(SendError::NotAllowed(why)) => output::note(&why.to_string()),
                            sent => own.push(sent?),
                        },
                        Meaning::Attach(path) => {
                            let (to, source, manner) = (with.clone(), Source::File(path), Manner::Usual);
                            let attaching = handle.attach(Attaching { to, source, manner, reply_to: None });
                            match waiting.unless_interrupted(attaching).await? {
                                Err(error @ (AttachError::Prepare(_) | AttachError::Busy)) => {
                                    output::note(&error.to_string());
                                }
                                attached => own.push(attached?),
                            }
                        }
                        Meaning::Save(id, path) => match handle.fetch_file(with.clone(), id).await {
                            Err(error @ FileError::NoFile) => output::note(&error.to_string()),
                            fetches => {
                                fetches?;
                                saves.insert(id, path);
                                let saving = save_those_here(&handle, with, &mut saves, &say);
                                waiting.unless_interrupted(saving).await??;
                            }
                        },
                        Meaning::Do(deed) => match handle.act(with.clone(), deed).await {
                            Err(error @ (SendError::NotAllowed(_) | SendError::NoConversation(_))) => {
                                output::note(&error.to_string());
                            }
                            done => {
                                done?;
                                acted = true;
                            }
                        },
                    },
                },
                news = waiting.next() => match news {
                    News::Interrupted => return Ok(()),
                    News::TimedOut if typing => return Ok(()),
                    News::TimedOut => return Err(waiting.timed_out()),
                    News::Event(None) => (may_have_come, may_be_done, missed) = (true, true, true),
                    News::Event(Some(event)) => {
                        may_have_come |= matches!(event, Event::Received { .. } | Event::Noticed(_) | Event::Changed { .. });
                        may_be_done |= !matches!(event, Event::Sent { .. });
                        mark(&mut own, with, &event, &say)?;
                        if matches!(event, Event::File { step: FileStep::Is(_), .. }) {
                            waiting.unless_interrupted(save_those_here(&handle, with, &mut saves, &say)).await??;
                        }
                    }
                },
            }
        }
    }
    .await;
    stop(engine, done).await
}

/// Saves files that were asked for and have come. What cannot be saved is told, and nothing is replaced.
async fn save_those_here(
    engine: &EngineHandle,
    with: &Handle,
    saves: &mut HashMap<MessageId, Option<PathBuf>>,
    say: Say<'_>,
) -> Result<(), Failure> {
    let asked: Vec<MessageId> = saves.keys().copied().collect();
    for id in asked {
        let stored = match engine.message(with.clone(), id).await?.map(|message| message.body) {
            Some(Body::File(stored)) if stored.state == FileState::Fetching => continue,
            Some(Body::File(stored)) => stored,
            _ => {
                saves.remove(&id);
                continue;
            }
        };
        let to = files::place(saves.remove(&id).flatten().as_deref(), &stored);
        match engine.save_file(with.clone(), id, to.clone(), false).await {
            Ok(()) => say(
                &format!("  ✓ saved {}", to.display()),
                json!({ "event": "saved", "message_id": id.to_string(), "path": to.display().to_string() }),
            )?,
            Err(error) => output::note(&error.to_string()),
        }
    }
    Ok(())
}

/// Shows what became of the lines of this chat.
fn mark(own: &mut Typed, with: &Handle, event: &Event, say: Say<'_>) -> std::io::Result<()> {
    match event {
        Event::Sent { id, .. } => own.sent(*id, say),
        Event::Accepted { id, at } => own.accepted(*id, *at, say),
        Event::Rejected { id, reason } => own.refused(*id, *reason, say),
        Event::IdentityChanged { handle, .. } if handle.as_ref() == Some(with) => say(
            &format!("  ! the identity of {with} has changed: {}", crate::failure::IDENTITY),
            json!({ "event": "identity_changed", "with": with.as_str() }),
        ),
        Event::ClockOff { by, ahead } => {
            say(&format!("  ! {}", output::clock_off(*by, *ahead)), output::clock_off_object(*by, *ahead))
        }
        Event::Connection(ConnectionState::Online) => say("  (online)", json!({ "event": "online" })),
        Event::Changed { id: Some(id), change: change @ (Change::Delivered | Change::Read), .. } => {
            own.received(with, *id, *change, say)
        }
        Event::Changed { with: Some(other), id, change } if other == with => {
            let text = messages::changed(Some(other), *change).unwrap_or_default();
            match text.is_empty() {
                true => Ok(()),
                false => say(&text, messages::changed_object(Some(other), *id, *change)),
            }
        }
        Event::File { with: Some(other), message, step } if other == with => {
            let object = transfer::step_object(Some(with.as_str()), message.id, *step);
            match transfer::step_words(*step) {
                Some(text) => say(&text, object),
                None => Ok(()),
            }
        }
        Event::Connection(_)
        | Event::Network(_)
        | Event::File { .. }
        | Event::Changed { .. }
        | Event::Received { .. }
        | Event::AllSent { .. }
        | Event::Noticed(_)
        | Event::Delayed { .. }
        | Event::IdentityChanged { .. }
        | Event::DevicesChanged
        | Event::Decided { .. }
        | Event::BadKeys { .. }
        | Event::Unreadable { .. } => Ok(()),
    }
}

/// Reads lines on a thread of its own, because reading a keyboard blocks. The channel ends with Ctrl-D or Ctrl-C.
fn keyboard() -> Result<(mpsc::Receiver<String>, Printer), Failure> {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        })?;
        return Ok((lines, Arc::new(Mutex::new(Box::new(|text| output::line(&text))))));
    }
    let config = Config::builder().auto_add_history(true).build();
    let mut editor: Editor<(), MemHistory> =
        Editor::with_history(config, MemHistory::new()).map_err(std::io::Error::other)?;
    let mut above = editor.create_external_printer().map_err(std::io::Error::other)?;
    let printer: Printer =
        Arc::new(Mutex::new(Box::new(move |text| above.print(format!("{text}\n")).map_err(std::io::Error::other))));
    std::thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
        loop {
            match editor.readline("> ") {
                Ok(line) => {
                    if sender.blocking_send(line).is_err() {
                        return;
                    }
                }
                // Ctrl-D, Ctrl-C, or no terminal any more.
                Err(_) => return,
            }
        }
    })?;
    Ok((lines, printer))
}
