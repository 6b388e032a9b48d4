//! Messages, and what changes about them, as they are told to people and to programs.

use std::time::Duration;

use endtoend_client::database::{Body, Direction, StoredMessage, Why};
use endtoend_client::engine::Change;
use endtoend_client::handle::Handle;
use endtoend_client::nickname::Nickname;
use endtoend_protocol::{Emoji, Lifetime, MessageId, UnixMillis};
use serde_json::{Value, json};

use crate::output::{harmless, time};
use crate::transfer;

/// Whom a message is from or to: a handle, or `#` and the tag of somebody who did not name himself.
pub(crate) fn peer(message: &StoredMessage) -> String {
    match &message.handle {
        Some(handle) => handle.to_string(),
        None => format!("#{}", hex::encode(message.peer.as_bytes())),
    }
}

fn text(message: &StoredMessage) -> Option<&str> {
    match &message.body {
        Body::Text(text) => Some(text.as_str()),
        Body::File(_) | Body::Card(_) | Body::Deleted | Body::Unknown => None,
    }
}

fn card(message: &StoredMessage) -> Option<Value> {
    match &message.body {
        Body::Card(card) => Some(json!({
            "handle": card.link.handle.as_str(), "name": card.name.as_ref().map(Nickname::as_str),
            "link": card.link.to_string(), "identity": hex::encode(card.link.identity),
        })),
        Body::Text(_) | Body::File(_) | Body::Deleted | Body::Unknown => None,
    }
}

fn file(message: &StoredMessage) -> Option<Value> {
    match &message.body {
        Body::File(stored) => Some(transfer::object(stored)),
        Body::Text(_) | Body::Card(_) | Body::Deleted | Body::Unknown => None,
    }
}

fn ms(at: Option<UnixMillis>) -> Option<u64> {
    at.map(UnixMillis::get)
}

/// What was said about a message, for both kinds of object.
fn marked(mut object: Value, message: &StoredMessage) -> Value {
    let marks = &message.marks;
    let emoji = |emoji: &Option<Emoji>| emoji.as_ref().map(|emoji| emoji.as_str().to_owned());
    if let Some(fields) = object.as_object_mut() {
        fields.insert("file".to_owned(), json!(file(message)));
        fields.insert("card".to_owned(), json!(card(message)));
        fields.insert("deleted".to_owned(), json!(message.body == Body::Deleted));
        fields.insert("reply_to".to_owned(), json!(marks.reply_to.map(|reply| reply.id.to_string())));
        fields.insert("edited_at_ms".to_owned(), json!(ms(marks.edited_at)));
        fields.insert("lives_for_s".to_owned(), json!(marks.lives_for.map(Lifetime::as_secs)));
        fields.insert("delivered_at_ms".to_owned(), json!(ms(marks.delivered_at)));
        fields.insert("read_at_ms".to_owned(), json!(ms(marks.read_at)));
        fields.insert("their_reaction".to_owned(), json!(emoji(&marks.their_reaction)));
        fields.insert("own_reaction".to_owned(), json!(emoji(&marks.own_reaction)));
    }
    object
}

/// A lifetime for people.
pub(crate) fn lifetime(lifetime: Lifetime) -> String {
    humantime::format_duration(Duration::from_secs(lifetime.as_secs().into())).to_string()
}

/// What is otherwise in a conversation, as `listen --json` and `chat --json` print it.
pub(crate) fn changed_object(with: Option<&Handle>, id: Option<MessageId>, change: Change) -> Value {
    let lives_for_s = match change {
        Change::Timer(lifetime) => lifetime.map(Lifetime::as_secs),
        _ => None,
    };
    json!({
        "event": "changed", "with": with.map(Handle::as_str), "message_id": id.map(|id| id.to_string()),
        "change": change.as_str(), "lives_for_s": lives_for_s,
    })
}

/// The same for people; nothing of what they see by themselves.
pub(crate) fn changed(with: Option<&Handle>, change: Change) -> Option<String> {
    let who = with.map_or("somebody", Handle::as_str);
    match change {
        Change::Edited => Some(format!("  ~ a message with {who} was edited")),
        Change::Deleted => Some(format!("  ~ a message with {who} was deleted")),
        Change::Reacted => Some(format!("  ~ {who}: a reaction")),
        Change::Typing { stopped: false } => Some(format!("  ~ {who} is writing")),
        Change::Timer(Some(time)) => Some(format!("  ~ messages with {who} disappear after {}", lifetime(time))),
        Change::Timer(None) => Some(format!("  ~ messages with {who} stay")),
        Change::Removed => Some(format!("  ~ the conversation with {who} was removed")),
        Change::Face => Some(format!("  ~ {who} has another name or picture")),
        Change::Delivered | Change::Read | Change::Expired | Change::Typing { stopped: true } | Change::Settled => None,
    }
}

/// A message as `listen --json` and `chat --json` print it.
pub(crate) fn received_object(message: &StoredMessage) -> Value {
    let object = json!({
        "event": "message", "from": peer(message), "text": text(message), "message_id": message.id.to_string(),
        "sent_at_ms": message.sent_at.get(), "accepted_at_ms": ms(message.accepted_at),
        "received_at_ms": ms(message.received_at), "wire_bytes": message.wire_bytes,
    });
    marked(object, message)
}

/// A message as `history --json` prints it.
pub(crate) fn history_object(message: &StoredMessage) -> Value {
    let object = json!({
        "event": "history", "with": peer(message), "direction": message.direction.as_str(), "text": text(message),
        "message_id": message.id.to_string(), "state": message.state.as_str(), "sent_at_ms": message.sent_at.get(),
        "accepted_at_ms": ms(message.accepted_at), "received_at_ms": ms(message.received_at),
        "wire_bytes": message.wire_bytes, "shown": message.shown,
    });
    marked(object, message)
}

/// A message as `outbox --json` prints it.
pub(crate) fn pending_object(message: &StoredMessage, why: Why) -> Value {
    json!({
        "event": "pending", "to": peer(message), "message_id": message.id.to_string(), "state": message.state.as_str(),
        "why": why.as_str(), "sent_at_ms": message.sent_at.get(), "text": text(message), "file": file(message),
    })
}

/// The outcome as `send --json` prints it.
pub(crate) fn sent_object(message: &StoredMessage) -> Value {
    json!({
        "event": "send", "to": peer(message), "message_id": message.id.to_string(), "state": message.state.as_str(),
        "sent_at_ms": message.sent_at.get(), "accepted_at_ms": ms(message.accepted_at),
        "wire_bytes": message.wire_bytes,
    })
}

/// A message for people.
pub(crate) fn spoken(message: &StoredMessage) -> String {
    let who = match message.direction {
        Direction::In => peer(message),
        Direction::Out => "you".to_owned(),
    };
    let mut words = match &message.body {
        Body::Text(text) => harmless(text.as_str()),
        Body::File(stored) => transfer::spoken(stored),
        Body::Card(card) => {
            let name =
                card.name.as_ref().map_or_else(String::new, |name| format!(" \u{201c}{}\u{201d}", name.as_str()));
            format!("[{}{name}: {}]", card.link.handle, card.link)
        }
        Body::Deleted => "(deleted)".to_owned(),
        Body::Unknown => "(needs a newer version of this program)".to_owned(),
    };
    let marks = &message.marks;
    if marks.reply_to.is_some() {
        words.insert_str(0, "↳ ");
    }
    if marks.edited_at.is_some() {
        words.push_str(" (edited)");
    }
    for emoji in marks.their_reaction.iter().chain(&marks.own_reaction) {
        words.push(' ');
        words.push_str(emoji.as_str());
    }
    let state = match message.direction {
        Direction::In => String::new(),
        Direction::Out => format!(" ({})", message.state.as_str()),
    };
    format!("{} {who}: {words}{state}", time(message.sent_at))
}
