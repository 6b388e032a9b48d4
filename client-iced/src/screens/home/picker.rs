//! Emoji to choose from: beside the field, and to react with.

use endtoend_client::database::MessageRef;
use endtoend_protocol::Emoji;
use iced::keyboard::{self, key};
use iced::widget::{Column, Row, column, container, scrollable, text, text_input};
use iced::{Element, Fill};

use super::{Home, Message};
use crate::action::Action;
use crate::emoji;
use crate::focus::{self, button};
use crate::strings::Strings;
use crate::theme::{EMOJI, size, styles};
use crate::ui::{self, id};

/// Emoji beside each other, where there is room for them.
const COLUMNS_MAX: usize = 9;
/// Of the list of them, in logical pixels.
const HEIGHT: f32 = 190.0;
/// Of one.
const CELL: f32 = 38.0;
/// Between two of them.
const GAP: f32 = 2.0;
/// What stands beside them: the edges of the conversation and of the card, and the bar.
const BESIDE: f32 = 64.0;
/// Longest words that are looked for, in bytes.
const WORDS_BYTES_MAX: usize = 64;

/// What the chosen one is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The field.
    Write,
    /// A reaction to this.
    React(MessageRef),
}

/// Somebody looks for an emoji.
#[derive(Debug)]
pub(super) struct Picker {
    purpose: Purpose,
    words: String,
    chosen: usize,
}

/// Emoji that stand beside each other in a window of this width.
fn columns(width: f32) -> usize {
    (((width - BESIDE) / (CELL + GAP)) as usize).clamp(1, COLUMNS_MAX)
}

impl Picker {
    /// Another one is chosen, so many further; from the first there is no way back, and none on from the last.
    fn step(&mut self, by: isize, count: usize) {
        self.chosen = self.chosen.saturating_add_signed(by).min(count.saturating_sub(1));
    }
}

impl Home {
    /// Opens it, or with `None` closes it.
    pub(super) fn pick(&mut self, purpose: Option<Purpose>) -> Vec<Action> {
        let same = self.picker.as_ref().map(|picker| picker.purpose) == purpose;
        match purpose.filter(|_| !same && self.may_write()) {
            Some(purpose) => {
                self.picker = Some(Picker { purpose, words: String::new(), chosen: 0 });
                vec![Action::Focus(id::PICKER)]
            }
            None => {
                self.picker = None;
                vec![Action::FocusBack]
            }
        }
    }

    pub(super) fn picker_edited(&mut self, words: String) -> Vec<Action> {
        if let Some(picker) = self.picker.as_mut().filter(|_| words.len() <= WORDS_BYTES_MAX) {
            (picker.words, picker.chosen) = (words, 0);
        }
        Vec::new()
    }

    /// That one.
    pub(super) fn picked(&mut self, chosen: &str) -> Vec<Action> {
        let (Some(picker), Some(chat)) = (self.picker.take(), &mut self.chat) else { return Vec::new() };
        match picker.purpose {
            Purpose::Write => chat.insert(chosen),
            Purpose::React(to) => {
                if let Some(emoji) = Emoji::new(chosen.to_owned()) {
                    let mut actions = chat.react(to, emoji);
                    actions.push(Action::Focus(id::COMPOSER));
                    return actions;
                }
            }
        }
        vec![Action::Focus(id::COMPOSER)]
    }

    /// A key while it is open: `None` when it means something else.
    pub(super) fn picker_key(
        &mut self,
        pressed: &keyboard::Key,
        modifiers: keyboard::Modifiers,
        t: &Strings,
    ) -> Option<Vec<Action>> {
        let columns = columns(self.width);
        let picker = self.picker.as_mut()?;
        let row = columns.cast_signed();
        let by = match pressed.as_ref() {
            keyboard::Key::Named(key::Named::ArrowDown) => row,
            keyboard::Key::Named(key::Named::ArrowUp) => -row,
            keyboard::Key::Named(key::Named::Tab) if modifiers.shift() => -1,
            keyboard::Key::Named(key::Named::Tab) => 1,
            _ => return None,
        };
        let count = emoji::find(&picker.words, t.language()).len();
        picker.step(by, count);
        let rows = count.div_ceil(columns).saturating_sub(1).max(1);
        Some(vec![Action::Reveal(id::PICKER_LIST, (picker.chosen / columns) as f32 / rows as f32)])
    }

    pub(super) fn picker_view<'a>(&'a self, t: &'a Strings, picker: &'a Picker) -> Element<'a, Message> {
        let found = emoji::find(&picker.words, t.language());
        let chosen = found.get(picker.chosen).or(found.first()).copied();
        let done = Message::Picked(chosen.unwrap_or_default());
        let field = text_input(&t.get("emoji-find"), &picker.words)
            .id(id::PICKER)
            .on_input(Message::PickerEdited)
            .on_submit_maybe(chosen.map(|_| done))
            .padding([8, 12])
            .size(size::NOTE)
            .style(styles::field);
        let cell = |emoji: &&'static str| {
            let sign = container(text(*emoji).size(size::HEAD).font(EMOJI)).center(Fill);
            button(sign)
                .padding(0)
                .width(CELL)
                .height(CELL)
                .style(styles::line(Some(*emoji) == chosen))
                .on_press(Message::Picked(emoji))
                .by_tab(false)
                .into()
        };
        let rows =
            found.chunks(columns(self.width)).map(|row| Row::with_children(row.iter().map(cell)).spacing(GAP).into());
        let list: Element<'a, Message> = match found.is_empty() {
            true => container(ui::note(t.get("none-here"))).padding(12).into(),
            false => scrollable(Column::with_children(rows).spacing(GAP))
                .id(id::PICKER_LIST)
                .style(styles::scroll)
                .width(Fill)
                .height(HEIGHT)
                .into(),
        };
        let card = container(column![focus::field(field), list].spacing(8)).padding(10).width(396).style(styles::card);
        container(card).padding([0, 16]).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_stand_beside_each_other_as_there_is_room_for() {
        assert_eq!([0.0, 360.0, 424.0, 2_560.0].map(columns), [1, 7, 9, 9]);
    }

    #[test]
    fn from_the_first_there_is_no_way_back_and_none_on_from_the_last() {
        let mut picker = Picker { purpose: Purpose::Write, words: String::new(), chosen: 0 };
        let mut step = |by| {
            picker.step(by, 20);
            picker.chosen
        };
        assert_eq!([step(-1), step(9), step(9), step(9), step(1), step(-9)], [0, 9, 18, 19, 19, 10]);
        picker.step(1, 0);
        assert_eq!(picker.chosen, 0);
    }
}
