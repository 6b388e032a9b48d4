//! Files: one that is to be sent, and those of messages.

use std::path::{Path, PathBuf};

use endtoend_client::database::{Body, Direction, FileState, MessageRef, MessageState, StoredFile, StoredMessage};
use endtoend_client::engine::Way;
use endtoend_client::files::Source;
use endtoend_protocol::{MessageId, Shown};
use iced::widget::{Column, Row, column, container, row, scrollable, space, text};
use iced::{Center, Element, Fill};

use super::begun::Mark;
use super::chat::Chat;
use super::view::over;
use super::{ChatMessage, Home, Message};
use crate::action::Action;
use crate::calendar;
use crate::failure::{Failure, fault};
use crate::focus::button;
use crate::order::Order;
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui::{self, id};
use crate::waveform::waveform;

/// Longest path, in bytes, as Linux has it.
const PATH_BYTES_MAX: usize = 4_096;
/// Files whose way is followed at a time; what was not followed is still fetched and sent.
const MOVED_MAX: usize = 64;

/// Files that are sent at once, each as a message of its own.
const FILES_MAX: usize = 20;
/// Highest list of them, in logical pixels.
const LIST_HEIGHT_MAX: f32 = 180.0;

/// Files that are to be sent.
#[derive(Debug, Default)]
pub(super) struct Attaching {
    /// Of one more, while it is typed.
    path: String,
    pub(super) files: Vec<Source>,
    /// The system's window is open.
    choosing: bool,
}

/// What a file is called.
fn called(t: &Strings, source: &Source) -> String {
    match source {
        Source::File(path) => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        Source::Bytes(_, bytes) => format!("{} · {}", t.get("picture-pasted"), length(t, bytes.len() as u64)),
    }
}

impl Home {
    /// A file was let fall on the window: asks whether it is meant for whom is written to. Where somebody is named, it is a picture
    /// of a code; in the settings, what is asked for there.
    pub fn dropped(&mut self, path: &Path) -> Vec<Action> {
        if self.new_chat.is_some() {
            return vec![Action::Order(Order::ReadCode(Some(path.to_owned())))];
        }
        if let Some(page) = &mut self.settings {
            return page.dropped(path);
        }
        self.attach(vec![Source::File(path.to_owned())])
    }

    /// These are to be sent, beside those that were chosen before. Nothing is, before that is meant.
    pub(super) fn attach(&mut self, files: Vec<Source>) -> Vec<Action> {
        if !self.may_write() {
            return Vec::new();
        }
        let attaching = self.attaching.get_or_insert_default();
        let before = attaching.files.len();
        let new = files.into_iter().filter(|file| !attaching.files.contains(file)).collect::<Vec<_>>();
        attaching.files.extend(new);
        if attaching.files.len() > FILES_MAX {
            attaching.files.truncate(FILES_MAX.max(before));
            self.failure = Some(Failure::new("files-too-many"));
        }
        vec![Action::Focus(id::FILE)]
    }

    /// The system's window is to be opened, to choose files in.
    pub(super) fn choose_files(&mut self) -> Vec<Action> {
        match self.attaching.as_mut().filter(|attaching| !attaching.choosing) {
            Some(attaching) => {
                attaching.choosing = true;
                vec![Action::Order(Order::Choose)]
            }
            None => Vec::new(),
        }
    }

    /// These were chosen in it, or pasted; none when it was closed.
    pub(super) fn chosen_files(&mut self, files: Vec<Source>) -> Vec<Action> {
        if let Some(attaching) = &mut self.attaching {
            attaching.choosing = false;
        }
        if files.is_empty() || self.settings.is_some() { Vec::new() } else { self.attach(files) }
    }

    pub(super) fn file_removed(&mut self, at: usize) -> Vec<Action> {
        if let Some(attaching) = self.attaching.as_mut().filter(|attaching| at < attaching.files.len()) {
            attaching.files.remove(at);
        }
        Vec::new()
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
        let Attaching { path, mut files, .. } = attaching;
        let path = path.trim();
        if !path.is_empty() {
            files.push(Source::File(PathBuf::from(path)));
        }
        if files.is_empty() || !may_write {
            return Vec::new();
        }
        let answered = chat.mark.take_if(|mark| matches!(mark, Mark::Answer(..)));
        let answered = answered.and_then(|mark| match mark {
            Mark::Answer(to, _) => Some(to),
            Mark::Edit(..) => None,
        });
        vec![Action::Order(Order::Attach(chat.with.clone(), files, answered)), Action::Focus(id::COMPOSER)]
    }

    pub(super) fn attaching_view<'a>(&'a self, t: &'a Strings, attaching: &'a Attaching) -> Element<'a, Message> {
        let to = self.chat.as_ref().map(|chat| chat.with.to_string()).unwrap_or_default();
        let field =
            ui::field(t.get("file-path"), id::FILE, "", &attaching.path, Message::FileEdited, Message::FileDone);
        let ready = !attaching.path.trim().is_empty() || !attaching.files.is_empty();
        let foot = ui::foot(
            ui::quiet(t.get("cancel"), Message::Attach(false)),
            ui::primary(t.get("send"), ready.then_some(Message::FileDone)),
        );
        let line = |(at, file): (usize, &Source)| {
            let name = ui::body(called(t, file)).width(Fill).wrapping(text::Wrapping::WordOrGlyph);
            let away = button(text("×").size(size::BODY)).padding([2, 8]).style(styles::plain);
            row![name, away.on_press(Message::FileRemoved(at))].spacing(8).align_y(Center).into()
        };
        let list = (!attaching.files.is_empty()).then(|| {
            let lines = Column::with_children(attaching.files.iter().enumerate().map(line)).spacing(4);
            let list = container(lines).padding([8, 12]).width(Fill).style(styles::boxed);
            container(scrollable(list).style(styles::scroll)).max_height(LIST_HEIGHT_MAX)
        });
        let choose = button(text(t.get("file-choose")).size(size::BODY))
            .padding([10, 18])
            .style(styles::quiet)
            .on_press_maybe((!attaching.choosing).then_some(Message::ChooseFiles));
        let card = column![ui::head(t.with("file-to", [("name", to)]))]
            .push(list)
            .push(row![choose, space().width(Fill)])
            .push(field)
            .push(ui::note(t.get("file-note")))
            .push(foot);
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

/// What can be done with the file of a message, where it stands; what is most likely meant comes first.
pub(super) fn deeds_of(message: &StoredMessage, stored: &StoredFile) -> Vec<(&'static str, ChatMessage)> {
    let of = MessageRef { direction: message.direction, id: message.id };
    let own = message.direction == Direction::Out;
    match stored.state {
        FileState::Sending | FileState::Fetching => vec![("cancel", ChatMessage::StopFile(of))],
        FileState::Offered => vec![("file-fetch", ChatMessage::Fetch(of))],
        FileState::Here if matches!(stored.file.shown, Shown::Voice(_)) => {
            vec![("play", ChatMessage::Play(of)), ("file-save", ChatMessage::Save(of))]
        }
        FileState::Here => vec![("file-save", ChatMessage::Save(of))],
        // Whose message has not left: another device of one's own has nothing to stop.
        FileState::Failed(_) if own && message.state == MessageState::Queued => {
            vec![("file-again", ChatMessage::Fetch(of)), ("cancel", ChatMessage::StopFile(of))]
        }
        FileState::Failed(_) => vec![("file-again", ChatMessage::Fetch(of))],
    }
}

/// How far a file is, or what is wrong with it: words, and whether they are bad news.
pub(super) fn standing(t: &Strings, chat: &Chat, message: &StoredMessage, stored: &StoredFile) -> (String, bool) {
    let whole = length(t, stored.file.bytes);
    match (stored.state, chat.moved.get(&message.id)) {
        (FileState::Failed(why), _) => (format!("{whole} · {}", t.get(fault(why))), true),
        (FileState::Sending | FileState::Fetching, Some((done, _))) => {
            (t.with("file-far", [("done", length(t, *done)), ("all", whole)]), false)
        }
        (FileState::Sending | FileState::Fetching | FileState::Offered | FileState::Here, _) => (whole, false),
    }
}

/// The file of a message: what it is, where it stands, and what can be done with it.
pub(super) fn shown<'a>(
    t: &'a Strings,
    chat: &'a Chat,
    message: &'a StoredMessage,
    stored: &'a StoredFile,
) -> Element<'a, Message> {
    let (words, bad) = standing(t, chat, message, stored);
    let style = if bad { styles::bad } else { styles::muted };
    let chosen = chat.chosen == Some(MessageRef { direction: message.direction, id: message.id });
    let deeds = deeds_of(message, stored).into_iter().map(|(key, message)| {
        let deed = button(text(t.get(key)).size(size::NOTE)).padding([5, 12]).style(styles::quiet);
        deed.on_press(Message::Chat(message)).by_tab(chosen).into()
    });
    let deeds = Row::with_children(deeds).spacing(6);
    if let Shown::Voice(voice) = &stored.file.shown {
        let seconds = u64::from(voice.duration_ms).div_ceil(1_000);
        let about = ui::note(format!("{} · {words}", calendar::span(t, seconds))).style(style);
        return column![waveform(voice.waveform()), about, deeds].spacing(5).into();
    }
    let name = ui::strong(stored.file.name.as_str()).wrapping(text::Wrapping::WordOrGlyph);
    column![name, ui::note(words).style(style), deeds].spacing(5).into()
}
