//! What sections are made of: cards, choices, switches, and buttons that ask once more.

use iced::widget::button::{Status, Style};
use iced::widget::{Column, column, container, row, text};
use iced::{Center, Element, Fill, Length};

use super::{Grave, Message as M, SettingsPage};
use crate::focus::{self, button};
use crate::screens::home::Message;
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui;

/// A value with its name in the language that is spoken.
#[derive(Clone, PartialEq)]
pub(super) struct Named<T> {
    pub(super) value: T,
    words: String,
}

impl<T> Named<T> {
    pub(super) fn new(value: T, words: String) -> Self {
        Self { value, words }
    }
}

impl<T> std::fmt::Display for Named<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

/// A card, with what it is about at its head.
pub(super) fn card<'a>(title: String, content: Column<'a, Message>) -> Element<'a, Message> {
    container(column![ui::head(title), content.spacing(14)].spacing(16))
        .padding(22)
        .width(Fill)
        .style(styles::card)
        .into()
}

/// A choice of one of several, with what it is about before it, or above it where there is no room.
pub(super) fn choice<'a, T: ToString + PartialEq + Clone + 'static>(
    narrow: bool,
    label: String,
    all: Vec<T>,
    now: T,
    chosen: impl Fn(T) -> Message + 'a,
) -> Element<'a, Message> {
    let width = if narrow { Fill } else { Length::Fixed(200.0) };
    let list = focus::choice(all, now, size::BODY, width, chosen);
    match narrow {
        true => column![ui::body(label), list].spacing(6).into(),
        false => row![ui::body(label).width(Fill), list].align_y(Center).spacing(12).into(),
    }
}

/// On or off, with what it is about and what follows from it before it.
pub(super) fn switch<'a>(
    t: &Strings,
    label: &'static str,
    note: &'static str,
    on: bool,
    chosen: impl Fn(bool) -> Message,
) -> Element<'a, Message> {
    let switch = focus::switch(on, chosen);
    row![column![ui::body(t.get(label)), ui::note(t.get(note))].spacing(2).width(Fill), switch]
        .spacing(16)
        .align_y(Center)
        .into()
}

/// A button that asks once more before it does something grave.
pub(super) fn grave<'a>(
    t: &Strings,
    page: &SettingsPage,
    grave: Grave,
    (ask, meant): (&'static str, &'static str),
) -> Element<'a, Message> {
    let small = |key: &'static str, style: fn(&iced::Theme, Status) -> Style, message| {
        button(text(t.get(key)).size(size::NOTE)).padding([6, 12]).style(style).on_press(Message::Setting(message))
    };
    // The keyboard stays where it was, and that is no more than a way back then.
    match page.asked == Some(grave) {
        false => row![small(ask, styles::quiet, M::Ask(Some(grave)))].into(),
        true => {
            row![small("cancel", styles::quiet, M::Ask(None)), small(meant, styles::danger, M::Meant)].spacing(8).into()
        }
    }
}
