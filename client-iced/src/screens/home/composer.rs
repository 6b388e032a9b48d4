//! Where one writes. Enter sends, Shift and Enter begins a line.

use std::ops::Range;

use endtoend_client::database::MessageRef;
use iced::advanced::text::Highlighter;
use iced::advanced::text::highlighter::Format;
use iced::keyboard::{Key, key::Named};
use iced::widget::text_editor::{self, Binding, KeyPress};
use iced::widget::{column, container, row, text};
use iced::{Bottom, Center, Element, Fill, Padding};

use super::begun::Mark;
use super::chat::Chat;
use super::picker::Purpose;
use super::{ChatMessage, Home, Message, keys, naming};
use crate::emoji;
use crate::focus::button;
use crate::one_line::one_line;
use crate::strings::Strings;
use crate::theme::{ANY_EMOJI, EMOJI, STRONG, size, styles};
use crate::ui::{self, id};

/// With fewer bytes left than this, it is said how many.
const LEFT_SHOWN: usize = 2_000;
/// Of the field, in logical pixels.
const HEIGHT_MAX: f32 = 180.0;

/// Finds the emoji that would be taken for letters, in every line each time: the field is given other words now and then, of which
/// iced tells nobody.
struct Signs;

impl Highlighter for Signs {
    type Settings = ();
    type Highlight = ();
    type Iterator<'a> = std::vec::IntoIter<(Range<usize>, ())>;

    fn new((): &()) -> Self {
        Self
    }

    fn update(&mut self, (): &()) {}

    fn change_line(&mut self, _: usize) {}

    fn highlight_line(&mut self, line: &str) -> Self::Iterator<'_> {
        let mut at = 0;
        let places = emoji::parts(line).map(|(part, alone)| {
            at += part.len();
            (at - part.len()..at, alone)
        });
        let found: Vec<_> = places.filter_map(|(place, alone)| alone.then_some((place, ()))).collect();
        found.into_iter()
    }

    fn current_line(&self) -> usize {
        0
    }
}

/// What the meaning of a key depends on.
#[derive(Clone, Copy)]
struct Field {
    last_own: Option<MessageRef>,
    empty: bool,
    /// A message is.
    chosen: bool,
    /// What is called as it is typed: the one that would be taken, and of how many.
    named: Option<(&'static str, usize)>,
}

/// What a key does while emoji are offered by their name.
fn while_naming(key: &Key, (emoji, count): (&'static str, usize)) -> Option<ChatMessage> {
    match key.as_ref() {
        Key::Named(Named::Enter | Named::Tab) => Some(ChatMessage::Named(emoji)),
        Key::Named(way @ (Named::ArrowUp | Named::ArrowDown)) => {
            Some(ChatMessage::NextName(way == Named::ArrowDown, count))
        }
        _ => None,
    }
}

/// What a key does here.
fn binding(press: KeyPress, field: Field) -> Option<Binding<Message>> {
    let focused = matches!(press.status, text_editor::Status::Focused { .. });
    let named = field.named.filter(|_| focused && press.modifiers.is_empty());
    if let Some(message) = named.and_then(|named| while_naming(&press.key, named)) {
        return Some(Binding::Custom(Message::Chat(message)));
    }
    let latin = press.key.to_latin(press.physical_key).map(|letter| Key::Character(letter.to_string().into()));
    if keys::is_of_window(latin.as_ref().unwrap_or(&press.key), press.modifiers, field.chosen) {
        return None;
    }
    match press.key {
        Key::Named(Named::Enter) if focused && !press.modifiers.shift() => {
            Some(Binding::Custom(Message::Chat(ChatMessage::Send)))
        }
        // As everywhere: up, in an empty field, goes back to one's last words.
        Key::Named(Named::ArrowUp) if focused && field.empty => {
            field.last_own.map(|message| Binding::Custom(Message::Chat(ChatMessage::Edit(message))))
        }
        // Words are put in here, and a picture is asked about.
        Key::Character(_)
            if focused
                && press.modifiers.command()
                && !press.modifiers.alt()
                && latin == Some(Key::Character("v".into())) =>
        {
            Some(Binding::Sequence(vec![Binding::Paste, Binding::Custom(Message::Paste)]))
        }
        _ => Binding::from_key_press(press),
    }
}

impl Home {
    pub(super) fn composer<'a>(&'a self, t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
        let empty = chat.content.is_empty();
        let named = chat.naming.as_ref().and_then(|naming| {
            let language = t.language();
            Some((naming.chosen(language)?, naming.offered(language).len()))
        });
        let keys = Field { last_own: chat.last_own(), empty, chosen: chat.chosen.is_some(), named };
        let field = text_editor::TextEditor::new(&chat.content)
            .id(id::COMPOSER)
            .placeholder(t.with("write-to", [("name", chat.with.as_str())]))
            .on_action(|action| Message::Chat(ChatMessage::Edited(action)))
            .key_binding(move |press| binding(press, keys))
            .padding([10, 12])
            .size(size::BODY)
            .max_height(HEIGHT_MAX)
            .style(styles::editor)
            .highlight_with::<Signs>((), |(), _| Format { color: None, font: Some(ANY_EMOJI) });
        // The text is made only where it may matter.
        let length = if chat.content.line_count() > 1 || !empty { chat.content.text().trim_end().len() } else { 0 };
        let max = chat.bytes_max();
        let left = (length + LEFT_SHOWN > max).then(|| match max.checked_sub(length) {
            Some(left) => ui::small(t.with("bytes-left", [("count", left)])),
            None => ui::small(t.with("bytes-over", [("count", length - max)])).style(styles::bad),
        });
        let ready = length > 0 && length <= max;
        let send = button(text(t.get("send")).size(size::BODY).font(STRONG))
            .padding([10, 16])
            .style(styles::primary)
            .on_press_maybe(ready.then_some(Message::Chat(ChatMessage::Send)));
        let file =
            button(text("+").size(size::HEAD)).padding([6, 12]).style(styles::quiet).on_press(Message::Attach(true));
        let face = button(text("🙂").size(size::HEAD).font(EMOJI))
            .padding([6, 10])
            .style(styles::quiet)
            .on_press(Message::Pick(Some(Purpose::Write)));
        column![]
            .push(column![
                ui::slot(chat.mark.as_ref().map(|mark| marked(t, mark))),
                ui::slot(chat.naming.as_ref().and_then(|naming| naming::view(t, naming))),
            ])
            .push(row![file, face, field, send].spacing(10).align_y(Bottom))
            .push(left)
            .spacing(8)
            .padding(Padding { top: 2.0, right: 16.0, bottom: 10.0, left: 16.0 })
            .into()
    }
}

/// What is answered, or has other words.
fn marked<'a>(t: &'a Strings, mark: &'a Mark) -> Element<'a, Message> {
    let (key, quoted) = match mark {
        Mark::Answer(_, quoted) => ("answering", quoted.as_str()),
        Mark::Edit(..) => ("editing", ""),
    };
    let words = column![ui::small(t.get(key)).font(STRONG).style(styles::accent)]
        .push((!quoted.is_empty()).then(|| one_line(quoted, size::NOTE).style(styles::muted)))
        .spacing(2)
        .width(Fill);
    let stop = button(text("×").size(size::HEAD))
        .padding([2, 10])
        .style(styles::plain)
        .on_press(Message::Chat(ChatMessage::StopMark));
    container(row![words, stop].spacing(8).align_y(Center)).padding([6, 12]).width(Fill).style(styles::boxed).into()
}
