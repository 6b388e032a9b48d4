//! Emoji by their names while one writes: `:smile` offers those that are called so, and `:smile:` is one at once.

use endtoend_protocol::UnixMillis;
use iced::widget::text_editor::{Action as Typed, Content, Cursor, Edit, Position};
use iced::widget::{Row, container, row, text};
use iced::{Center, Element, Fill};

use super::chat::Chat;
use super::{ChatMessage, Message};
use crate::action::Action;
use crate::emoji;
use crate::focus::button;
use crate::one_line::one_line;
use crate::strings::{Language, Strings};
use crate::theme::{EMOJI, size, styles};

/// Letters of a name from which on something is offered, and up to which.
const CHARS: std::ops::RangeInclusive<usize> = 2..=32;
/// As many are offered: so many stand beside each other in the narrowest window.
const OFFERED: usize = 7;
/// Of one, in logical pixels.
const CELL: f32 = 34.0;

/// A name that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    words: String,
    /// Where its colon stands: line, and bytes before it.
    from: (usize, usize),
    /// Which one is taken.
    chosen: usize,
}

/// Where the colon stands of a name that ends at this place of a line, and the name.
fn name_before(line: &str, end: usize) -> Option<(usize, &str)> {
    let before = line.get(..end)?;
    let from = before.rfind(':')?;
    let name = before.get(from + 1..)?;
    let apart = !before.get(..from)?.ends_with(|c: char| c.is_alphanumeric() || c == ':');
    let letters = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+');
    let named = name.starts_with(char::is_alphabetic) && name.chars().all(letters);
    (apart && named && CHARS.contains(&name.chars().count())).then_some((from, name))
}

impl Naming {
    /// The name before the cursor, if there is one.
    fn at(content: &Content) -> Option<Self> {
        let Cursor { position, selection: None } = content.cursor() else { return None };
        let line = content.line(position.line)?;
        let (from, name) = name_before(&line.text, position.column)?;
        Some(Self { words: name.replace(['_', '-'], " "), from: (position.line, from), chosen: 0 })
    }

    /// Those that are called so.
    pub(super) fn offered(&self, language: Language) -> Vec<&'static str> {
        let mut found = emoji::find(&self.words, language);
        // Whole words first.
        found.sort_by_key(|emoji| !emoji::is_called(emoji, &self.words));
        found.truncate(OFFERED);
        found
    }

    /// The one that is taken.
    pub(super) fn chosen(&self, language: Language) -> Option<&'static str> {
        let offered = self.offered(language);
        offered.get(self.chosen.min(offered.len().saturating_sub(1))).copied()
    }

    /// The next one is chosen, or the one before: from the last one on the first.
    fn step(&mut self, forward: bool, count: usize) {
        let by = if forward { 1 } else { count.saturating_sub(1) };
        self.chosen = (self.chosen + by).checked_rem(count).unwrap_or_default();
    }
}

impl Chat {
    /// Something was typed or marked: a name may stand before the cursor now, or not any more.
    pub(super) fn name_again(&mut self) {
        let now = Naming::at(&self.content);
        if now.as_ref().map(|now| &now.words) != self.naming.as_ref().map(|before| &before.words) {
            self.naming = now;
        }
    }

    /// A colon after a whole name puts the emoji in its place.
    pub(super) fn name_ends(&mut self, typed: &Typed, now: UnixMillis) -> Option<Vec<Action>> {
        let Typed::Edit(Edit::Insert(':')) = typed else { return None };
        let named = self.naming.as_ref().and_then(|naming| emoji::called(&naming.words))?;
        Some(self.named(named, now))
    }

    /// That one, in place of its name.
    pub(super) fn named(&mut self, emoji: &str, now: UnixMillis) -> Vec<Action> {
        let Some(Naming { from: (line, column), .. }) = self.naming.take() else { return Vec::new() };
        let position = self.content.cursor().position;
        if position.line == line {
            self.content.move_to(Cursor { position, selection: Some(Position { line, column }) });
            return self.edited(Typed::Edit(Edit::Paste(emoji.to_owned().into())), now);
        }
        Vec::new()
    }

    /// Another one of `count` is chosen.
    pub(super) fn next_name(&mut self, forward: bool, count: usize) {
        if let Some(naming) = &mut self.naming {
            naming.step(forward, count);
        }
    }
}

/// What is offered, above the field.
pub(super) fn view<'a>(t: &Strings, naming: &Naming) -> Option<Element<'a, Message>> {
    let offered = naming.offered(t.language());
    let chosen = naming.chosen(t.language())?;
    let cell = |emoji: &'static str| {
        let sign = container(text(emoji).size(size::HEAD).font(EMOJI)).center(Fill);
        button(sign)
            .padding(0)
            .width(CELL)
            .height(CELL)
            .style(styles::line(emoji == chosen))
            .on_press(Message::Chat(ChatMessage::Named(emoji)))
            .by_tab(false)
            .into()
    };
    let words = one_line(emoji::words(chosen, t.language()), size::SMALL).style(styles::muted).fill();
    let line = row![Row::with_children(offered.into_iter().map(cell)).spacing(2), words].spacing(8).align_y(Center);
    Some(container(line).padding([3, 6]).width(Fill).style(styles::boxed).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_apart_and_is_made_of_letters() {
        assert_eq!(name_before("well :smi", 9), Some((5, "smi")));
        assert_eq!(name_before(":thumbs_up", 10), Some((0, "thumbs_up")));
        assert_eq!(name_before("(:Bär more", 6), Some((1, "Bär")));
        for (line, end) in [
            ("at 10:30", 8),
            ("https://a", 9),
            ("::smile", 7),
            (":s", 2),
            (": smile", 7),
            (":smile now", 10),
            ("a:smile", 7),
        ] {
            assert_eq!(name_before(line, end), None, "{line}");
        }
        assert_eq!(name_before("ä", 1), None, "no place between letters");
        assert_eq!(name_before(&format!(":{}", "x".repeat(33)), 34), None);
    }

    #[test]
    fn from_the_last_one_the_next_is_the_first() {
        let mut naming = Naming { words: "heart".to_owned(), from: (0, 0), chosen: 0 };
        let mut step = |forward| {
            naming.step(forward, 3);
            naming.chosen
        };
        assert_eq!([step(true), step(true), step(true), step(false)], [1, 2, 0, 2]);
        naming.step(true, 0);
        assert_eq!(naming.chosen, 0);
    }
}
