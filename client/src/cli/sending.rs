//! A message that is sent, and what comes of it.

use std::io::{self, Read as _};

use endtoend_client::database::MessageState;
use endtoend_client::engine::{EngineHandle, Event};
use endtoend_client::handle::Handle;
use endtoend_client::profile::{Profile, ProfileError};
use endtoend_protocol::{MessageId, RejectReason, Text, limits};

use crate::args::{Arguments, Send};
use crate::failure::{Failure, IDENTITY, Kind};
use crate::opening::{start, stop};
use crate::waiting::{News, Waiting};
use crate::{messages, output, password, transfer};

/// The text to send: the option, or what is left of standard input without its last line end.
fn text(send: &Send) -> Result<Text, Failure> {
    let text = match &send.text {
        Some(text) => text.clone(),
        None => {
            let mut text = String::new();
            let most = limits::TEXT_BYTES_MAX as u64 + 2;
            io::stdin().lock().take(most + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => Failure::new(Kind::Usage, "the text is not UTF-8"),
                _ => error.into(),
            })?;
            let line_end = text.strip_suffix('\n').map(|rest| rest.strip_suffix('\r').unwrap_or(rest).len());
            text.truncate(line_end.unwrap_or(text.len()));
            text
        }
    };
    Text::new(text).map_err(|error| Failure::new(Kind::Usage, error.to_string()).hint("say it in several messages"))
}

pub(crate) async fn send(arguments: &Arguments, send: &Send) -> Result<(), Failure> {
    let home = arguments.home()?;
    if !Profile::exists(&home) {
        return Err(ProfileError::Missing(home).into());
    }
    // The password stands before the text on standard input, and a bad text must not cost a key derivation.
    let password = password::ask(arguments, false)?;
    let text = text(send)?;
    let profile = Profile::open(&home, password.as_bytes())?;
    let engine = start(arguments, profile, password, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        // A handle that this device does not know is looked up first.
        let (handle, to) = (engine.handle(), send.to.clone());
        let id = match send.reply_to {
            Some(answered) => waiting.during(handle.answer(to, text, answered)).await??,
            None => waiting.during(handle.send(to, text)).await??,
        };
        let outcome = settled(&engine.handle(), &mut waiting, id, &send.to).await;
        if let Some(message) = engine.handle().find(id).await? {
            match arguments.json {
                true => output::json_line(&messages::sent_object(&message))?,
                false if message.state == MessageState::Queued => {
                    output::note("the message stays queued and is sent later");
                }
                false => output::line(&format!("{} {}", message.state.as_str(), message.id))?,
            }
        }
        outcome
    }
    .await;
    stop(engine, done).await
}

/// Waits until the server has taken a message or never will.
pub(crate) async fn settled(
    engine: &EngineHandle,
    waiting: &mut Waiting,
    id: MessageId,
    to: &Handle,
) -> Result<(), Failure> {
    let mut bar = transfer::Bar::new();
    loop {
        match engine.find(id).await?.map(|message| message.state) {
            Some(MessageState::Queued) => {
                if let Some(fault) = transfer::fault(engine, id).await? {
                    return Err(transfer::failed(fault, true));
                }
            }
            Some(MessageState::Accepted | MessageState::Delivered | MessageState::Read | MessageState::Received) => {
                return Ok(());
            }
            Some(MessageState::Rejected(RejectReason::UnknownRecipient)) => {
                return Err(Failure::new(Kind::Refused, format!("nobody has the handle {to}")));
            }
            None => return Err(Failure::new(Kind::Failed, "the message is not in the database")),
        }
        waiting.check_connection()?;
        match waiting.next().await {
            News::Event(Some(Event::IdentityChanged { handle, .. })) if handle.as_ref() == Some(to) => {
                let text = format!("the identity of {to} has changed; the message stays queued");
                return Err(Failure::new(Kind::Failed, text).hint(IDENTITY));
            }
            News::Event(Some(Event::File { step, message, .. })) if message.id == id => {
                waiting.moved();
                bar.show(step);
            }
            News::Event(Some(Event::BadKeys { .. })) => {
                output::note("the server gave keys that do not verify; trying again");
            }
            News::Event(_) => {}
            News::TimedOut => return Err(waiting.timed_out()),
            News::Interrupted => return Err(Failure::new(Kind::Failed, "interrupted; the message stays queued")),
        }
    }
}
