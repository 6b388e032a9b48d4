//! Files: sent, fetched, saved.

use std::path::{Path, PathBuf};

use endtoend_client::database::{Body, FileState, StoredFile};
use endtoend_client::engine::{Attaching, EngineHandle, Event, FileStep, Way};
use endtoend_client::files::{Manner, Source};
use endtoend_client::handle::Handle;
use endtoend_protocol::{MessageId, Voice};
use serde_json::json;

use crate::args::{Arguments, Attach, Fetch};
use crate::failure::{Failure, Kind};
use crate::opening::{open, stop};
use crate::sending::settled;
use crate::waiting::{News, Waiting};
use crate::{messages, output, transfer};

pub(crate) async fn attach(arguments: &Arguments, attach: &Attach) -> Result<(), Failure> {
    let manner = match attach.voice {
        Some(duration) => {
            let usage = || Failure::new(Kind::Usage, "a waveform has up to 128 bytes in hexadecimal");
            let waveform = hex::decode(&attach.waveform).map_err(|_| usage())?;
            let duration = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
            Manner::Voice(Voice::new(duration, waveform).ok_or_else(usage)?)
        }
        None if attach.as_it_is => Manner::AsItIs,
        None => Manner::Usual,
    };
    let engine = open(arguments, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        let (to, source) = (attach.to.clone(), Source::File(attach.file.clone()));
        let attaching = Attaching { to, source, manner, reply_to: attach.reply_to };
        let handle = engine.handle();
        let id = waiting.unless_interrupted(handle.attach(attaching)).await??;
        waiting.moved();
        if arguments.json {
            output::json_line(&transfer::step_object(Some(attach.to.as_str()), id, FileStep::Is(FileState::Sending)))?;
        }
        let outcome = settled(&handle, &mut waiting, id, &attach.to).await;
        if let Some(message) = handle.find(id).await? {
            match arguments.json {
                true => output::json_line(&messages::sent_object(&message))?,
                false if outcome.is_err() => output::note(&format!("the message {id} stays queued")),
                false => output::line(&format!("{} {id}", message.state.as_str()))?,
            }
        }
        outcome
    }
    .await;
    stop(engine, done).await
}

/// Where to save a file.
pub(crate) fn place(given: Option<&Path>, stored: &StoredFile) -> PathBuf {
    let name = stored.file.name.as_str();
    match given {
        None => PathBuf::from(name),
        Some(path) if path.is_dir() => path.join(name),
        Some(path) => path.to_owned(),
    }
}

async fn stored(engine: &EngineHandle, with: &Handle, id: MessageId) -> Result<StoredFile, Failure> {
    let missing = || Failure::new(Kind::Failed, "there is no such message with a file in this conversation");
    match engine.message(with.clone(), id).await?.map(|message| message.body) {
        Some(Body::File(stored)) => Ok(*stored),
        _ => Err(missing().hint("`history` shows the messages; with --json also their ids")),
    }
}

pub(crate) async fn fetch(arguments: &Arguments, fetch: &Fetch) -> Result<(), Failure> {
    if fetch.cancel {
        return cancel(arguments, &fetch.with, fetch.message, Way::Down).await;
    }
    let (with, id) = (&fetch.with, fetch.message);
    let engine = open(arguments, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        let handle = engine.handle();
        let to = place(fetch.to.as_deref(), &stored(&handle, with, id).await?);
        // Before anything is fetched for nothing.
        if !fetch.overwrite && to.symlink_metadata().is_ok() {
            return Err(exists(&to));
        }
        handle.fetch_file(with.clone(), id).await?;
        let mut bar = transfer::Bar::new();
        let file = loop {
            let found = stored(&handle, with, id).await?;
            match found.state {
                FileState::Here | FileState::Sending => break found,
                FileState::Failed(fault) => return Err(transfer::failed(fault, false)),
                FileState::Offered => return Err(Failure::new(Kind::Failed, "the file was cancelled")),
                FileState::Fetching => {}
            }
            waiting.check_connection()?;
            match waiting.next().await {
                News::Event(Some(Event::File { message, step, .. })) if message.id == id => {
                    waiting.moved();
                    bar.show(step);
                    if arguments.json {
                        output::json_line(&transfer::step_object(Some(with.as_str()), id, step))?;
                    }
                }
                News::Event(_) => {}
                News::TimedOut => return Err(waiting.timed_out()),
                News::Interrupted => return Err(Failure::new(Kind::Failed, "interrupted; `fetch` goes on with it")),
            }
        };
        waiting.unless_interrupted(handle.save_file(with.clone(), id, to.clone(), fetch.overwrite)).await??;
        match arguments.json {
            true => output::json_line(&json!({
                "event": "saved", "with": with.as_str(), "message_id": id.to_string(),
                "path": to.display().to_string(), "file": transfer::object(&file),
            }))?,
            false => output::line(&format!("saved {}", to.display()))?,
        }
        Ok(())
    }
    .await;
    stop(engine, done).await
}

fn exists(path: &Path) -> Failure {
    Failure::new(Kind::Failed, format!("{} exists", path.display()))
        .hint("name another place with --to, or replace it with --overwrite")
}

/// Gives up what is on its way. What has got to the server of a file that is not sent is removed there, now or later.
pub(crate) async fn cancel(arguments: &Arguments, with: &Handle, id: MessageId, way: Way) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let done = engine.handle().cancel_file(with.clone(), id, way).await;
    stop(engine, done.map_err(Failure::from)).await?;
    match (arguments.json, way) {
        (true, _) => {
            output::json_line(&json!({ "event": "done", "with": with.as_str(), "message_id": id.to_string() }))?;
        }
        (false, Way::Down) => output::line("the file is fetched no further")?,
        (false, Way::Up) => output::line("neither the file nor its message is sent")?,
    }
    Ok(())
}
