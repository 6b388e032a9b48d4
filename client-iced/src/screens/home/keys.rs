//! What keys do that no field has taken, and which of them no field is to take.

use endtoend_client::database::{Body, Direction, MessageRef, StoredMessage};
use endtoend_client::handle::Handle;
use endtoend_protocol::{Emoji, UnixMillis};
use iced::keyboard::key::Named;
use iced::keyboard::{Key, Modifiers};
use iced::widget::{Column, column, container, row, scrollable, text};
use iced::{Element, Fill};

use super::lines::REACTIONS;
use super::palette::Command;
use super::view::over;
use super::{ChatMessage, Home, MEDIUM, Message, NARROW, Over, files};
use crate::action::Action;
use crate::focus::button;
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui::{self, id};

/// What the sheet says: keys, and what they do.
pub(super) const SHEET: [(&str, &str); 31] = [
    ("Ctrl + K", "keys-palette"),
    ("Ctrl + F", "keys-list"),
    ("Ctrl + N", "keys-new"),
    ("Ctrl + ,", "keys-settings"),
    ("Ctrl + L", "keys-lock"),
    ("Ctrl + /", "keys-sheet"),
    ("Esc", "keys-back"),
    ("Alt + ↑ ↓", "keys-neighbour"),
    ("Alt + Shift + ↓", "next-unread"),
    ("Ctrl + 1 … 9", "keys-nth"),
    ("Enter", "keys-send"),
    ("Shift + Enter", "keys-line"),
    ("↑", "keys-edit"),
    ("Ctrl + O", "keys-file"),
    ("Ctrl + V", "keys-paste"),
    ("Ctrl + E", "keys-emoji"),
    (":", "keys-naming"),
    ("Ctrl + I", "details"),
    ("Ctrl + G", "to-day"),
    ("Ctrl + End", "to-the-end"),
    ("Ctrl + ↑ ↓", "keys-choose"),
    ("Ctrl + R", "answer"),
    ("Ctrl + Shift + E", "edit"),
    ("Ctrl + Shift + C", "copy"),
    ("Alt + 1 … 6", "keys-react"),
    ("Ctrl + Enter", "keys-open"),
    ("Ctrl + Delete", "delete-here"),
    ("Tab", "keys-field"),
    ("↑ ↓ ← →", "keys-arrows"),
    ("Enter, Space", "keys-press"),
    ("Page ↑ ↓", "keys-page"),
];

/// Whether a key is the window's, also while a message is written. `chosen`: so is a message.
pub(super) fn is_of_window(key: &Key, modifiers: Modifiers, chosen: bool) -> bool {
    match key.as_ref() {
        Key::Named(Named::Tab | Named::Escape) => true,
        Key::Named(Named::PageUp | Named::PageDown) => modifiers.is_empty(),
        Key::Named(Named::ArrowUp | Named::ArrowDown) => modifiers.command() || modifiers.alt(),
        Key::Named(Named::End) => modifiers.command(),
        Key::Named(Named::Enter | Named::Delete) => modifiers.command() && chosen,
        Key::Character(letter) if modifiers.command() && modifiers.shift() => {
            chosen && matches!(letter.to_lowercase().as_str(), "e" | "c")
        }
        Key::Character(letter) if modifiers.command() => {
            matches!(letter, "k" | "f" | "n" | "o" | "e" | "i" | "g" | "r" | "l" | "," | "/") || digit(letter).is_some()
        }
        Key::Character(letter) if modifiers.alt() => chosen && digit(letter).is_some(),
        _ => false,
    }
}

/// What keys do on every page, where nothing has taken them.
pub fn everywhere(key: Named, modifiers: Modifiers) -> Vec<Action> {
    match key {
        Named::Tab if !modifiers.command() && !modifiers.alt() => vec![Action::FocusNext(modifiers.shift())],
        Named::PageUp | Named::PageDown if modifiers.is_empty() => vec![Action::TurnPage(key == Named::PageDown)],
        _ => Vec::new(),
    }
}

/// From 1 to 9.
fn digit(letter: &str) -> Option<usize> {
    letter.parse().ok().filter(|digit| (1..=9).contains(digit))
}

impl Home {
    /// A key that no field has taken.
    pub fn key(&mut self, pressed: &Key, modifiers: Modifiers, now: UnixMillis, t: &Strings) -> Vec<Action> {
        if matches!(pressed, Key::Named(Named::Escape)) {
            return self.escape();
        }
        if let Some(actions) = self.palette_key(pressed, t).or_else(|| self.picker_key(pressed, modifiers, t)) {
            return actions;
        }
        if self.lightbox.is_some() {
            return match pressed.as_ref() {
                Key::Named(Named::ArrowLeft) => self.next_picture(false),
                Key::Named(Named::ArrowRight) => self.next_picture(true),
                Key::Named(Named::Tab) => everywhere(Named::Tab, modifiers),
                _ => Vec::new(),
            };
        }
        match pressed.as_ref() {
            Key::Named(way @ (Named::ArrowUp | Named::ArrowDown)) if modifiers.alt() => {
                match (way == Named::ArrowDown, modifiers.shift()) {
                    (true, true) => self.next_unread(),
                    (down, _) => self.open_neighbour(down),
                }
            }
            Key::Named(way @ (Named::ArrowUp | Named::ArrowDown)) if modifiers.command() => {
                self.choose_next(way == Named::ArrowDown)
            }
            Key::Named(Named::End) if modifiers.command() => self.command(Command::ToEnd),
            Key::Named(Named::Enter) if modifiers.command() => self.open_chosen(now),
            Key::Named(Named::Delete) if modifiers.command() => {
                self.with_chosen(now, |of| Some(ChatMessage::Delete(of, false)))
            }
            Key::Character(letter) if modifiers.command() && modifiers.shift() => {
                match letter.to_lowercase().as_str() {
                    "e" => self.edit_chosen(now),
                    "c" => self.with_chosen(now, |of| Some(ChatMessage::CopyText(of))),
                    _ => Vec::new(),
                }
            }
            Key::Character(letter) if modifiers.command() => self.command_key(letter, now),
            Key::Character(letter) if modifiers.alt() => {
                let face = digit(letter).and_then(|digit| REACTIONS.get(digit - 1));
                let face = face.and_then(|face| Emoji::new((*face).to_owned()));
                self.with_chosen(now, |of| face.map(|face| ChatMessage::React(of, face)))
            }
            Key::Named(key) => everywhere(key, modifiers),
            _ => Vec::new(),
        }
    }

    fn command_key(&mut self, letter: &str, now: UnixMillis) -> Vec<Action> {
        match letter {
            "k" => self.show_palette(self.palette.is_none()),
            "f" => self.command(Command::Filter),
            "n" => self.command(Command::NewChat),
            "," => self.command(Command::Settings),
            "l" => self.command(Command::Lock),
            "/" => self.command(Command::Sheet),
            // While something lies over the conversation, these would change what is not seen.
            _ if self.is_covered() => Vec::new(),
            "o" => self.command(Command::Attach),
            "e" => self.command(Command::Emoji),
            "i" => self.command(Command::Details),
            "g" => self.command(Command::ToDay),
            "r" => self.with_chosen(now, |of| Some(ChatMessage::Answer(of))),
            letter => {
                let nth = digit(letter).and_then(|digit| self.in_order().nth(digit - 1).cloned());
                nth.map(|with| self.open(with)).unwrap_or_default()
            }
        }
    }

    /// What is shown below everything that lies over it. It is [`CHATS`](super::CHATS) at last.
    pub fn page(&self) -> u8 {
        match (&self.settings, &self.chat) {
            (Some(_), _) => 1,
            (None, Some(_)) if self.panel && self.width < MEDIUM => 2,
            (None, Some(_)) if self.width < NARROW => 3,
            (None, _) => super::CHATS.1,
        }
    }

    /// What lies over that, and beside it.
    pub fn over(&self) -> Over {
        let layers = [
            self.new_chat.is_some(),
            self.attaching.is_some(),
            self.lightbox.is_some(),
            self.asked.is_some(),
            self.palette.is_some(),
            self.sheet,
        ];
        let count = |all: &[bool]| all.iter().map(|there| u8::from(*there)).sum();
        let told = self.failure.is_some() || self.saved.is_some();
        Over { layers: count(&layers), beside: count(&[self.panel, self.picker.is_some(), told]) }
    }

    /// Whether something lies over the conversation.
    pub(super) fn is_covered(&self) -> bool {
        self.settings.is_some()
            || self.new_chat.is_some()
            || self.attaching.is_some()
            || self.palette.is_some()
            || self.lightbox.is_some()
            || self.asked.is_some()
            || self.sheet
    }

    /// One step back from wherever this is.
    pub(super) fn escape(&mut self) -> Vec<Action> {
        let back = vec![Action::FocusBack];
        if self.sheet {
            self.sheet = false;
            return back;
        }
        if self.asked.take().is_some() || self.palette.take().is_some() || self.lightbox.take().is_some() {
            return back;
        }
        if self.attaching.take().is_some() || self.new_chat.take().is_some() || self.picker.take().is_some() {
            return back;
        }
        if self.chat.as_mut().is_some_and(|chat| chat.naming.take().is_some()) {
            return back;
        }
        if self.settings.take().is_some() {
            return back;
        }
        if self.failure.take().is_some() || self.saved.take().is_some() {
            return Vec::new();
        }
        if self.panel {
            self.panel = false;
            return back;
        }
        if !self.filter.is_empty() {
            return self.look_for(String::new());
        }
        if let Some(chat) = &mut self.chat {
            chat.step_back();
        }
        back
    }

    /// The list has the keys.
    pub(super) fn focus_filter(&mut self) -> Vec<Action> {
        self.settings = None;
        let mut actions = if self.width < NARROW { self.leave_chat() } else { Vec::new() };
        actions.push(Action::Focus(id::FILTER));
        actions
    }

    /// People as the list shows them: requests first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Handle> {
        let (requests, others): (Vec<_>, Vec<_>) = self.listed().partition(|known| Self::is_request(known));
        requests.into_iter().chain(others).filter_map(|known| known.contact.handle.as_ref())
    }

    /// The conversation below the open one, or above it.
    fn open_neighbour(&mut self, down: bool) -> Vec<Action> {
        let all: Vec<&Handle> = self.in_order().collect();
        let open = self.chat.as_ref().and_then(|chat| all.iter().position(|with| **with == chat.with));
        let next = match (open, down) {
            (None, _) => all.first(),
            (Some(at), true) => all.get(at + 1),
            (Some(at), false) => at.checked_sub(1).and_then(|at| all.get(at)),
        };
        let next = next.map(|with| (*with).clone());
        next.map(|with| self.open(with)).unwrap_or_default()
    }

    /// The next conversation below the open one in which something was not read; from the last on, the first one.
    pub(super) fn next_unread(&mut self) -> Vec<Action> {
        let all: Vec<&Handle> = self.in_order().collect();
        let open = self.chat.as_ref().and_then(|chat| all.iter().position(|with| **with == chat.with));
        let from = open.map_or(0, |at| at + 1);
        let unread = |with: &&&Handle| self.contact(with).is_some_and(|known| known.unread > 0);
        let next = all.iter().cycle().skip(from).take(all.len()).find(unread).map(|with| (*with).clone());
        next.map(|with| self.open(with)).unwrap_or_default()
    }

    /// The message after the chosen one, or before it; at first the last one that is here.
    fn choose_next(&mut self, down: bool) -> Vec<Action> {
        let Some(chat) = &mut self.chat else { return Vec::new() };
        let messages = chat.timeline.messages();
        let named = |message: &StoredMessage| MessageRef { direction: message.direction, id: message.id };
        let at = chat.chosen.and_then(|of| messages.iter().position(|message| named(message) == of));
        let next = match (at, down) {
            (None, false) => messages.last(),
            (None, true) => None,
            (Some(at), true) => messages.get(at + 1),
            (Some(0), false) => messages.first(),
            (Some(at), false) => messages.get(at - 1),
        };
        chat.chosen = next.map(named);
        match chat.chosen {
            Some(_) => vec![Action::ShowChosen],
            // Below the last one there is the field.
            None => vec![Action::Focus(id::COMPOSER)],
        }
    }

    fn with_chosen(&mut self, now: UnixMillis, deed: impl FnOnce(MessageRef) -> Option<ChatMessage>) -> Vec<Action> {
        let chosen = self.chat.as_ref().filter(|_| !self.is_covered()).and_then(|chat| chat.chosen);
        let deed = chosen.and_then(deed);
        deed.map(|deed| self.update(Message::Chat(deed), now)).unwrap_or_default()
    }

    fn edit_chosen(&mut self, now: UnixMillis) -> Vec<Action> {
        self.with_chosen(now, |of| (of.direction == Direction::Out).then_some(ChatMessage::Edit(of)))
    }

    /// What a click on the chosen message's file would do: open a picture, fetch, save.
    fn open_chosen(&mut self, now: UnixMillis) -> Vec<Action> {
        let Some(chat) = &self.chat else { return Vec::new() };
        let Some(message) = chat.chosen.and_then(|of| chat.timeline.find(of)) else { return Vec::new() };
        let Body::File(stored) = &message.body else { return Vec::new() };
        let of = MessageRef { direction: message.direction, id: message.id };
        let deed = files::deeds_of(message, stored).into_iter().next().map(|(_, deed)| deed);
        match self.open_picture(of) {
            actions if actions.is_empty() => self.with_chosen(now, |_| deed),
            actions => actions,
        }
    }

    pub(super) fn sheet_view<'a>(&self, t: &'a Strings) -> Element<'a, Message> {
        let line = |(keys, about): (&'static str, &'static str)| {
            row![text(keys).size(size::NOTE).font(STRONG).width(150), ui::note(t.get(about)).width(Fill)]
                .spacing(12)
                .into()
        };
        let lines = Column::with_children(SHEET.map(line)).spacing(7).padding(iced::padding::right(16)); // The bar is beside the words.
        let list = container(scrollable(lines).style(styles::scroll).width(Fill)).max_height(480);
        // At the head: below the list there is no room in a low window.
        let close = button(text("×").size(size::HEAD)).padding([2, 10]).style(styles::plain);
        let head = row![ui::head(t.get("keys")).width(Fill), close.on_press(Message::Sheet(false))];
        over(column![head, list].spacing(16).into(), Message::Sheet(false))
    }
}
