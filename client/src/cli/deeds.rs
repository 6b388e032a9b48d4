//! What a person does to a conversation, beside writing.

use endtoend_client::engine::Deed;
use endtoend_client::handle::Handle;
use endtoend_protocol::{Emoji, Lifetime, MessageId, Text};
use serde_json::json;

use crate::args::Arguments;
use crate::failure::{Failure, Kind};
use crate::opening::{open, stop};
use crate::waiting::{News, Waiting};
use crate::{messages, output};

/// A reaction that somebody has typed.
pub(crate) fn emoji(text: &str) -> Result<Emoji, Failure> {
    Emoji::new(text.to_owned())
        .ok_or_else(|| Failure::new(Kind::Usage, "a reaction has 1 to 64 bytes, and no spaces or controls"))
}

/// Does it, and waits until the server has everything that is for the other side.
async fn act(arguments: &Arguments, with: &Handle, message: Option<MessageId>, deed: Deed) -> Result<(), Failure> {
    let engine = open(arguments, true)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        engine.handle().act(with.clone(), deed).await?;
        while engine.handle().waiting_for(with.clone()).await? > 0 {
            waiting.check_connection()?;
            match waiting.next().await {
                News::Event(_) => {}
                News::TimedOut => return Err(waiting.timed_out()),
                News::Interrupted => return Err(Failure::new(Kind::Failed, "interrupted; it is told later")),
            }
        }
        Ok(())
    }
    .await;
    stop(engine, done).await?;
    let message = message.map(|id| id.to_string());
    match arguments.json {
        true => output::json_line(&json!({ "event": "done", "with": with.as_str(), "message_id": message }))?,
        false => output::line("done")?,
    }
    Ok(())
}

pub(crate) async fn edit(arguments: &Arguments, with: &Handle, message: MessageId, text: &str) -> Result<(), Failure> {
    let text = Text::new(text.to_owned()).map_err(|error| Failure::new(Kind::Usage, error.to_string()))?;
    act(arguments, with, Some(message), Deed::Edit(message, text)).await
}

pub(crate) async fn delete(
    arguments: &Arguments,
    with: &Handle,
    message: MessageId,
    for_everyone: bool,
) -> Result<(), Failure> {
    let deed = if for_everyone { Deed::DeleteForEveryone(message) } else { Deed::DeleteForMe(message) };
    act(arguments, with, Some(message), deed).await
}

pub(crate) async fn react(
    arguments: &Arguments,
    with: &Handle,
    message: MessageId,
    text: Option<&str>,
) -> Result<(), Failure> {
    act(arguments, with, Some(message), Deed::React(message, text.map(emoji).transpose()?)).await
}

pub(crate) async fn timer(
    arguments: &Arguments,
    with: &Handle,
    after: Option<Lifetime>,
    off: bool,
) -> Result<(), Failure> {
    if after.is_some() || off {
        return act(arguments, with, None, Deed::Timer(after)).await;
    }
    let engine = open(arguments, false)?;
    let timer = engine.handle().timer(with.clone()).await;
    let timer = stop(engine, timer.map_err(Failure::from)).await?;
    let seconds = timer.map(Lifetime::as_secs);
    match (arguments.json, timer) {
        (true, _) => output::json_line(&json!({ "event": "timer", "with": with.as_str(), "lives_for_s": seconds }))?,
        (false, Some(timer)) => output::line(&format!("messages disappear after {}", messages::lifetime(timer)))?,
        (false, None) => output::line("messages stay")?,
    }
    Ok(())
}

pub(crate) async fn settings(
    arguments: &Arguments,
    receipts: Option<bool>,
    typing: Option<bool>,
) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let done = async {
        let mut settings = engine.handle().settings().await?;
        settings.receipts = receipts.unwrap_or(settings.receipts);
        settings.typing = typing.unwrap_or(settings.typing);
        engine.handle().set_settings(settings).await?;
        Ok(settings)
    }
    .await;
    let settings = stop(engine, done).await?;
    let word = |on| if on { "on" } else { "off" };
    match arguments.json {
        true => output::json_line(
            &json!({ "event": "settings", "receipts": settings.receipts, "typing": settings.typing }),
        )?,
        false => {
            output::line(&format!("receipts     {}", word(settings.receipts)))?;
            output::line(&format!("typing       {}", word(settings.typing)))?;
        }
    }
    Ok(())
}
