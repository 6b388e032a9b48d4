//! Files: one that is to be sent, and those of messages.

use std::path::{Path, PathBuf};

use endtoend_client::database::{Body, Direction, FileState, MessageRef, MessageState, StoredFile, StoredMessage};
use endtoend_client::engine::Way;
use endtoend_protocol::MessageId;
use iced::Element;
use iced::widget::{Row, button, column, text};

use super::chat::{Chat, Mark};
use super::view::over;
use super::{ChatMessage, Home, Message};
use crate::app::Action;
use crate::failure::{Failure, fault};
use crate::order::Order;
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui::{self, id};

/// Longest path, in bytes, as Linux has it.
const PATH_BYTES_MAX: usize = 4_096;
/// Files whose way is followed at a time; what was not followed is still fetched and sent.
const MOVED_MAX: usize = 64;

/// A file that is to be sent.
#[derive(Debug, Default)]
pub(super) struct Attaching {
    path: String,
}

impl Home {
    /// A file was let fall on the window: asks whether it is meant for whom is written to.
    pub fn dropped(&mut self, path: &Path) -> Vec<Action> {
        match path.to_str() {
            Some(path) if self.settings.is_none() && self.new_chat.is_none() => self.attach(path),
            Some(_) => Vec::new(),
            None => {
                self.failure = Some(Failure::new("file-name"));
                Vec::new()
            }
        }
    }

    pub(super) fn attach(&mut self, path: &str) -> Vec<Action> {
        if !self.may_write() {
            return Vec::new();
        }
        self.attaching = Some(Attaching { path: path.to_owned() });
        vec![Action::Focus(id::FILE)]
    }

    pub(super) fn file_edited(&mut self, path: String) -> Vec<Action> {
        if let Some(attaching) = self.attaching.as_mut().filter(|_| path.len() <= PATH_BYTES_MAX) {
            attaching.path = path;
        }
        Vec::new()
    }

    /// It is meant.
    pub(super) fn file_done(&mut self) -> Vec<Action> {
        let may_write = self.may_write();
        let (Some(attaching), Some(chat)) = (self.attaching.take(), &mut self.chat) else { return Vec::new() };
        let path = attaching.path.trim();
        if path.is_empty() || !may_write {
            return Vec::new();
        }
        let answered = chat.mark.take_if(|mark| matches!(mark, Mark::Answer(..)));
        let answered = answered.and_then(|mark| match mark {
            Mark::Answer(to, _) => Some(to.id),
            Mark::Edit(..) => None,
        });
        vec![Action::Order(Order::Attach(chat.with.clone(), PathBuf::from(path), answered))]
    }

    pub(super) fn attaching_view<'a>(&'a self, t: &'a Strings, attaching: &'a Attaching) -> Element<'a, Message> {
        let to = self.chat.as_ref().map(|chat| chat.with.to_string()).unwrap_or_default();
        let field =
            ui::field(t.get("file-path"), id::FILE, "", &attaching.path, Message::FileEdited, Message::FileDone);
        let ready = !attaching.path.trim().is_empty();
        let foot = ui::foot(
            ui::quiet(t.get("cancel"), Message::Attach(false)),
            ui::primary(t.get("send"), ready.then_some(Message::FileDone)),
        );
        let card = column![ui::head(t.with("file-to", [("name", to)])), field, ui::note(t.get("file-note")), foot];
        over(card.spacing(16).into(), Message::Attach(false))
    }
}

impl Chat {
    /// So much of a file has moved.
    pub(super) fn moved(&mut self, message: MessageId, done: u64, bytes: u64) {
        if self.moved.len() < MOVED_MAX || self.moved.contains_key(&message) {
            self.moved.insert(message, (done, bytes));
        }
    }

    /// Something is to be done with the file of a message.
    pub(super) fn file(&mut self, what: &ChatMessage, of: MessageRef) -> Vec<Action> {
        let Some(Body::File(stored)) = self.timeline.find(of).map(|message| &message.body) else { return Vec::new() };
        let order = match what {
            ChatMessage::Fetch(_) => Order::FetchFile(self.with.clone(), of.id),
            ChatMessage::StopFile(_) => {
                // As it was shown: if it is otherwise by now, it is not that what was meant.
                let way = if stored.state == FileState::Fetching { Way::Down } else { Way::Up };
                Order::CancelFile(self.with.clone(), of.id, way)
            }
            ChatMessage::Save(_) => Order::SaveFile(self.with.clone(), of.id, stored.file.name.as_str().to_owned()),
            _ => return Vec::new(),
        };
        if matches!(what, ChatMessage::StopFile(_)) {
            self.moved.remove(&of.id);
        }
        vec![Action::Order(order)]
    }
}

/// How large a file is, in the units of decimal prefixes.
pub(super) fn length(t: &Strings, bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = bytes / (unit / 10);
        format!("{}{}{}", tenths / 10, t.get("decimal-mark"), tenths % 10)
    };
    match bytes {
        0..1_000 => t.with("size-bytes", [("count", bytes)]),
        1_000..1_000_000 => t.with("size-kilobytes", [("count", tenths(1_000))]),
        1_000_000..1_000_000_000 => t.with("size-megabytes", [("count", tenths(1_000_000))]),
        _ => t.with("size-gigabytes", [("count", tenths(1_000_000_000))]),
    }
}

/// The file of a message: what it is, where it stands, and what can be done with it.
pub(super) fn shown<'a>(
    t: &'a Strings,
    chat: &'a Chat,
    message: &'a StoredMessage,
    stored: &'a StoredFile,
) -> Element<'a, Message> {
    let of = MessageRef { direction: message.direction, id: message.id };
    let whole = length(t, stored.file.bytes);
    let far = || match chat.moved.get(&message.id) {
        Some((done, _)) => t.with("file-far", [("done", length(t, *done)), ("all", whole.clone())]),
        None => whole.clone(),
    };
    let (words, style): (String, fn(&iced::Theme) -> text::Style) = match stored.state {
        FileState::Failed(why) => (format!("{whole} · {}", t.get(fault(why))), styles::bad),
        FileState::Sending | FileState::Fetching => (far(), styles::muted),
        FileState::Offered | FileState::Here => (whole.clone(), styles::muted),
    };
    let deed = |key: &'static str, message| {
        button(text(t.get(key)).size(size::NOTE))
            .padding([5, 12])
            .style(styles::quiet)
            .on_press(Message::Chat(message))
            .into()
    };
    let own = message.direction == Direction::Out;
    let deeds: Vec<Element<'a, Message>> = match stored.state {
        FileState::Sending | FileState::Fetching => vec![deed("cancel", ChatMessage::StopFile(of))],
        FileState::Offered => vec![deed("file-fetch", ChatMessage::Fetch(of))],
        FileState::Here => vec![deed("file-save", ChatMessage::Save(of))],
        // Whose message has not left: another device of one's own has nothing to stop.
        FileState::Failed(_) if own && message.state == MessageState::Queued => {
            vec![deed("file-again", ChatMessage::Fetch(of)), deed("cancel", ChatMessage::StopFile(of))]
        }
        FileState::Failed(_) => vec![deed("file-again", ChatMessage::Fetch(of))],
    };
    let name = ui::strong(stored.file.name.as_str()).wrapping(text::Wrapping::WordOrGlyph);
    column![name, ui::note(words).style(style), Row::with_children(deeds).spacing(6)].spacing(5).into()
}
