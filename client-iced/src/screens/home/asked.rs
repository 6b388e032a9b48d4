//! What lies over the conversation and asks one thing: whether a link is to be opened or a recording given away, which day is meant,
//! which words to copy.

use endtoend_client::database::Body;
use endtoend_client::database::MessageRef;
use endtoend_client::engine::Removing;
use endtoend_protocol::UnixMillis;
use iced::Element;
use iced::widget::text_editor::{self, Content};
use iced::widget::{column, container, row, text, text_input};

use super::view::over;
use super::{Home, Message};
use crate::action::Action;
use crate::calendar::Present;
use crate::focus;
use crate::order::Order;
use crate::said::Link;
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui::{self, id};

/// Longest day that is typed, in bytes.
const DAY_BYTES_MAX: usize = 32;
/// Of the field with words to copy, in logical pixels.
const WORDS_HEIGHT_MAX: f32 = 360.0;

/// One thing.
#[derive(Debug)]
pub(super) enum Asked {
    /// This day of the conversation.
    Day(String),
    /// This link is to be opened.
    Link(Link),
    /// This conversation is to go.
    Removal(Removing),
    /// What was spoken in this message is to be played by another program.
    Play(MessageRef),
    /// A part of these words.
    Words(Content),
}

impl Home {
    pub(super) fn ask_day(&mut self) -> Vec<Action> {
        if self.chat.is_none() {
            return Vec::new();
        }
        self.asked = Some(Asked::Day(String::new()));
        vec![Action::Focus(id::DAY)]
    }

    pub(super) fn day_edited(&mut self, typed: String) -> Vec<Action> {
        if let Some(Asked::Day(day)) = self.asked.as_mut().filter(|_| typed.len() <= DAY_BYTES_MAX) {
            *day = typed;
        }
        Vec::new()
    }

    /// What was said from then on.
    pub(super) fn day_done(&mut self, from: UnixMillis) -> Vec<Action> {
        self.asked = None;
        self.chat.as_mut().map(|chat| chat.go_to_day(from)).into_iter().chain([Action::Focus(id::COMPOSER)]).collect()
    }

    /// It is meant.
    pub(super) fn link_done(&mut self) -> Vec<Action> {
        match self.asked.take() {
            Some(Asked::Link(link)) => vec![Action::Order(Order::Open(link))],
            Some(Asked::Day(_) | Asked::Play(_) | Asked::Words(_) | Asked::Removal(_)) | None => Vec::new(),
        }
    }

    /// It is meant.
    pub(super) fn play_done(&mut self) -> Vec<Action> {
        match (self.asked.take(), &self.chat) {
            (Some(Asked::Play(of)), Some(chat)) => vec![Action::Order(Order::Play(chat.with.clone(), of.id))],
            _ => Vec::new(),
        }
    }

    /// The words of a message, in a field where parts of them can be marked.
    pub(super) fn ask_words(&mut self, of: MessageRef) -> Vec<Action> {
        let message = self.chat.as_ref().and_then(|chat| chat.timeline.find(of));
        let Some(Body::Text(text)) = message.map(|message| &message.body) else { return Vec::new() };
        self.asked = Some(Asked::Words(Content::with_text(text.as_str())));
        vec![Action::Focus(id::WORDS)]
    }

    /// They can be marked, and do not change.
    pub(super) fn words_edited(&mut self, action: text_editor::Action) -> Vec<Action> {
        if let Some(Asked::Words(words)) = self.asked.as_mut().filter(|_| !action.is_edit()) {
            words.perform(action);
        }
        Vec::new()
    }

    pub(super) fn asked_view<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        asked: &'a Asked,
    ) -> Element<'a, Message> {
        let cancel = || ui::quiet(t.get("cancel"), Message::NotAsked);
        let card = match asked {
            Asked::Removal(removing) => return self.removal_view(t, removing),
            Asked::Day(typed) => {
                let day = present.day_begins(typed);
                let done = day.map(Message::DayDone);
                let field = text_input(&t.get("day-form"), typed)
                    .id(id::DAY)
                    .on_input(Message::DayEdited)
                    .on_submit_maybe(done.clone())
                    .padding([10, 12])
                    .size(size::BODY)
                    .style(styles::field);
                let told = day.map_or_else(|| t.get("day-note"), |day| present.separator(t, day));
                column![ui::head(t.get("to-day")), focus::field(field), ui::note(told)]
                    .push(ui::foot(cancel(), ui::primary(t.get("next"), done)))
            }
            Asked::Link(link) => {
                let host = container(text(link.host.as_str()).size(size::HEAD).font(STRONG)).padding(12);
                let warning = |key: &'static str| container(ui::body(t.get(key))).padding(12).style(styles::warning);
                column![
                    ui::head(t.get("link-title-open")),
                    ui::note(t.get("link-note-open")),
                    host.width(iced::Fill).style(styles::boxed),
                    ui::note(link.address.as_str()).wrapping(text::Wrapping::Glyph),
                ]
                .push(link.disguised.then(|| warning("link-disguised")))
                .push((!link.sealed).then(|| warning("link-unsealed")))
                .push(row![ui::plain(t.get("copy"), Message::Copy(link.address.clone()))])
                .push(ui::foot(cancel(), ui::primary(t.get("open"), Some(Message::LinkDone))))
            }
            Asked::Play(_) => column![ui::head(t.get("play-title")), ui::note(t.get("play-note"))]
                .push(ui::foot(cancel(), ui::primary(t.get("play"), Some(Message::PlayDone)))),
            Asked::Words(words) => {
                let field = text_editor::TextEditor::new(words)
                    .id(id::WORDS)
                    .on_action(Message::WordsEdited)
                    .padding([10, 12])
                    .size(size::BODY)
                    .max_height(WORDS_HEIGHT_MAX)
                    .style(styles::editor);
                let all = ui::quiet(t.get("copy-all"), Message::Copy(words.text().trim_end().to_owned()));
                let done = ui::quiet(t.get("dismiss"), Message::NotAsked);
                column![
                    ui::head(t.get("select-words")),
                    ui::note(t.get("select-note")),
                    focus::field(field),
                    ui::foot(all, done)
                ]
            }
        };
        over(card.spacing(14).into(), Message::NotAsked)
    }
}
