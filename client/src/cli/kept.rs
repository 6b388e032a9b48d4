//! Commands about what this profile keeps of conversations beside their messages: how they are listed, and what was begun.

use endtoend_client::clock;
use endtoend_client::database::{Conversation, Draft};
use endtoend_client::engine::Removing;
use endtoend_client::handle::Handle;
use endtoend_client::nickname::Nickname;
use endtoend_protocol::{Muted, Text, UnixMillis};
use serde_json::{Value, json};

use crate::account::confirm;
use crate::args::{self, Arguments, Mute};
use crate::failure::{Failure, Kind};
use crate::opening::{open, stop};
use crate::outcome::done;
use crate::output;
use crate::{messages, people};

/// Drafts that `draft` prints: as many as there may be.
const DRAFTS_SHOWN: u32 = endtoend_client::database::DRAFTS_MAX;

pub(crate) async fn conversations(arguments: &Arguments, what: &args::Conversations) -> Result<(), Failure> {
    if let (true, Some(with)) = (what.remove, &what.with) {
        return remove(arguments, with, what.contact, what.yes).await;
    }
    let engine = open(arguments, false)?;
    let listed = async {
        let handle = engine.handle();
        let Some(with) = &what.with else { return Ok(handle.conversations(what.limit).await?) };
        let unknown = || {
            Failure::new(Kind::Failed, format!("{with} is not known on this device"))
                .hint("write to them first, or add them by their link")
        };
        let mut arrangement = handle.conversation(with.clone()).await?.ok_or_else(unknown)?.contact.arrangement;
        arrangement.pinned = what.pin.unwrap_or(arrangement.pinned);
        arrangement.muted = match what.mute {
            None => arrangement.muted,
            Some(Mute::Off) => Muted::No,
            Some(Mute::On) => Muted::ForGood,
            Some(Mute::For(time)) => Muted::Until(clock::now().plus(time)),
        };
        if what.pin.is_some() || what.mute.is_some() {
            handle.arrange(with.clone(), arrangement).await?;
        }
        Ok(handle.conversation(with.clone()).await?.into_iter().collect())
    }
    .await;
    for conversation in stop(engine, listed).await? {
        done(arguments, &object(&conversation), &line(&conversation))?;
    }
    Ok(())
}

/// Removes a conversation, after a person has said that he means it. His other devices hear of it on the next connection.
async fn remove(arguments: &Arguments, with: &Handle, contact: bool, yes: bool) -> Result<(), Failure> {
    let who = if contact { format!(", and {with} is not known any more") } else { String::new() };
    let what = format!(
        "This removes everything that was said with {with}, here and on your other devices, with files and what waits to be sent{who}.\n\
         Nothing brings it back. {with} is not told, and keeps what has come there."
    );
    confirm(arguments, yes, &what, "remove")?;
    let engine = open(arguments, false)?;
    let removed = engine.handle().remove(Removing { with: with.clone(), contact }).await.map_err(Failure::from);
    let messages = stop(engine, removed).await?;
    let object =
        json!({ "event": "conversation_removed", "with": with.as_str(), "messages": messages, "contact": contact });
    done(arguments, &object, &format!("removed {messages} messages with {with}"))
}

/// Until when nobody is told, if that has an end.
fn muted_until(muted: Muted) -> Option<UnixMillis> {
    match muted {
        Muted::Until(until) => Some(until),
        Muted::No | Muted::ForGood => None,
    }
}

fn object(Conversation { contact, last, unread }: &Conversation) -> Value {
    let muted = contact.arrangement.muted;
    json!({
        "event": "conversation", "with": people::name(contact), "standing": contact.standing.as_str(),
        "nickname": contact.nickname.as_ref().map(Nickname::as_str),
        "face_name": contact.face_name.as_ref().map(Nickname::as_str), "unread": unread,
        "last": last.as_ref().map(messages::history_object), "pinned": contact.arrangement.pinned,
        "muted": muted.at(clock::now()), "muted_until_ms": muted_until(muted).map(UnixMillis::get),
    })
}

fn line(Conversation { contact, last, unread }: &Conversation) -> String {
    let mut text = people::name(contact);
    text.push_str(&people::called(contact));
    if contact.arrangement.pinned {
        text.push_str(", pinned");
    }
    if contact.arrangement.muted.at(clock::now()) {
        let until = muted_until(contact.arrangement.muted);
        text.push_str(&until.map_or(", muted".to_owned(), |until| format!(", muted until {}", output::time(until))));
    }
    if *unread > 0 {
        text.push_str(&format!(", {unread} unread"));
    }
    if let Some(last) = last {
        text.push_str(&format!(": {}", messages::spoken(last)));
    }
    text
}

pub(crate) async fn draft(arguments: &Arguments, what: &args::Draft) -> Result<(), Failure> {
    let begun = what
        .text
        .as_ref()
        .map(|text| {
            let text = Text::new(text.clone()).map_err(|error| Failure::new(Kind::Usage, error.to_string()))?;
            Ok::<_, Failure>(Draft { text, answers: what.reply_to, edits: None })
        })
        .transpose()?;
    let engine = open(arguments, false)?;
    let kept = async {
        let handle = engine.handle();
        let Some(with) = &what.with else { return Ok(handle.drafts(DRAFTS_SHOWN).await?) };
        if begun.is_some() || what.drop {
            handle.set_draft(with.clone(), begun).await?;
        }
        let kept = handle.draft(with.clone()).await?;
        Ok::<_, Failure>(kept.into_iter().map(|draft| (with.clone(), draft)).collect())
    }
    .await;
    for (with, draft) in stop(engine, kept).await? {
        show(arguments, &with, &draft)?;
    }
    Ok(())
}

fn show(arguments: &Arguments, with: &Handle, Draft { text, answers, edits }: &Draft) -> Result<(), Failure> {
    let (answers, edits) = (answers.map(|id| id.to_string()), edits.as_ref().map(|edits| edits.of.to_string()));
    let object =
        json!({ "event": "draft", "with": with.as_str(), "text": text.as_str(), "reply_to": answers, "edits": edits });
    let mark = if answers.is_some() { "\u{21b3} " } else { "" };
    done(arguments, &object, &format!("{with}: {mark}{}", output::harmless(text.as_str())))
}
