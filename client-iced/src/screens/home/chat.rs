//! The open conversation: its messages, and what is being written.

use std::collections::BTreeMap;
use std::sync::Arc;

use endtoend_client::database::{Body, Direction, MessageRef, Notice, StoredMessage};
use endtoend_client::engine::{Deed, Verification};
use endtoend_client::handle::Handle;
use endtoend_protocol::{Emoji, Lifetime, MessageId, Text, TextError, UnixMillis, limits};
use iced::widget::text_editor::{self, Content};

use super::ChatMessage;
use super::begun::{Begun, Mark};
use super::naming::Naming;
use super::panel::Details;
use super::pictures::Pictures;
use super::timeline::{Question, Timeline};
use crate::action::{Action, Place};
use crate::failure::Failure;
use crate::order::{Load, Order};
use crate::ui::id;

/// Nearer to an end than this, in logical pixels, and what is beyond it is asked for.
const NEAR: f32 = 600.0;
/// As near to the end as this counts as being there.
const AT_END: f32 = 24.0;
/// Others hear no more often than this that somebody is writing, in milliseconds.
const TYPING_EVERY_MS: u64 = 8_000;
/// Letters that an answered message is quoted with.
pub(super) const QUOTE_CHARS_MAX: usize = 120;

/// The open conversation.
#[derive(Debug)]
pub(super) struct Chat {
    pub(super) with: Handle,
    pub(super) timeline: Timeline,
    pub(super) content: Content,
    pub(super) mark: Option<Mark>,
    /// The name of an emoji, while that is typed.
    pub(super) naming: Option<Naming>,
    pub(super) chosen: Option<MessageRef>,
    pub(super) place: Place,
    /// What was said and is not on disk yet.
    pub(super) sending: Vec<Text>,
    /// Something came after what is before the eyes.
    pub(super) news_below: bool,
    pub(super) timer: Option<Lifetime>,
    pub(super) verification: Option<Result<Box<Verification>, Failure>>,
    /// How much of a file has moved, and of how much.
    pub(super) moved: BTreeMap<MessageId, (u64, u64)>,
    /// Pictures of the messages that are here.
    pub(super) pictures: Pictures,
    /// What the panel has asked for.
    pub(super) details: Details,
    /// What this person is to be called, while that is typed.
    pub(super) name: Option<String>,
    /// What was not read when the conversation was opened: how many, and the first of them.
    pub(super) unread: u64,
    pub(super) divider: Option<MessageRef>,
    typing_told: Option<UnixMillis>,
    unkept: Unkept,
}

/// Words are kept on the disk when somebody has paused for so many seconds,
const PAUSE_TICKS: u8 = 2;
/// and at the latest after so many.
const UNKEPT_TICKS_MAX: u8 = 10;

/// Whether what is being written is otherwise than what is kept of it, and since when, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Unkept {
    changed: bool,
    quiet: u8,
    waited: u8,
}

/// The beginning of a text, in one line.
pub(super) fn quote(body: &Body) -> Option<String> {
    let words = match body {
        Body::Text(text) => text.as_str(),
        Body::File(stored) => stored.file.name.as_str(),
        Body::Card(card) => card.link.handle.as_str(),
        Body::Deleted | Body::Unknown => return None,
    };
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(QUOTE_CHARS_MAX) {
        Some((end, _)) => words.get(..end).map(|start| format!("{start}…")),
        None => Some(words),
    }
}

impl Chat {
    /// With somebody, what was being written to them, and how much from them was not read.
    pub(super) fn open(with: Handle, begun: Begun, unread: u64) -> (Self, Vec<Action>) {
        let mut chat = Self {
            with,
            timeline: Timeline::default(),
            content: Content::with_text(&begun.words),
            mark: begun.mark,
            naming: None,
            chosen: None,
            place: Place::default(),
            sending: Vec::new(),
            news_below: false,
            timer: None,
            verification: None,
            moved: BTreeMap::new(),
            pictures: Pictures::default(),
            details: Details::default(),
            name: None,
            unread,
            divider: None,
            typing_told: None,
            unkept: Unkept::default(),
        };
        chat.content.perform(text_editor::Action::Move(text_editor::Motion::DocumentEnd));
        let question = chat.timeline.newest();
        // Before anything is noted as seen.
        let first = (unread > 0).then(|| Action::Order(Order::FirstUnread(chat.with.clone())));
        let load = [chat.load(question), Action::Order(Order::Timer(chat.with.clone()))];
        let actions = first.into_iter().chain(load).collect();
        (chat, actions)
    }

    /// Shows a message, chosen, wherever in the history it is.
    pub(super) fn go_to(&mut self, message: MessageRef) -> Action {
        self.chosen = Some(message);
        let question = self.timeline.go_to(message.id);
        self.load(question)
    }

    /// Shows what was said from then on.
    pub(super) fn go_to_day(&mut self, from: UnixMillis) -> Action {
        let question = self.timeline.go_to_day(from);
        self.load(question)
    }

    /// Puts words where the cursor is.
    pub(super) fn insert(&mut self, words: &str) {
        self.unkept();
        let edit = text_editor::Edit::Paste(Arc::new(words.to_owned()));
        self.content.perform(text_editor::Action::Edit(edit));
    }

    /// A reaction; again, and it is taken back.
    pub(super) fn react(&mut self, to: MessageRef, emoji: Emoji) -> Vec<Action> {
        self.chosen = None;
        let before = self.timeline.find(to).and_then(|message| message.marks.own_reaction.as_ref());
        let emoji = if before == Some(&emoji) { None } else { Some(emoji) };
        self.act(Deed::React(to.id, emoji))
    }

    /// What is kept of what was being written.
    pub(super) fn begun(&self) -> Begun {
        Begun::left(&self.content.text(), self.mark.as_ref())
    }

    /// Goes on with what was begun.
    pub(super) fn go_on(&mut self, begun: Begun) {
        self.content = Content::with_text(&begun.words);
        self.content.perform(text_editor::Action::Move(text_editor::Motion::DocumentEnd));
        self.mark = begun.mark;
        self.quote_again();
    }

    /// What is answered is quoted as soon as it is here.
    fn quote_again(&mut self) {
        let Some(Mark::Answer(to, quoted)) = &mut self.mark else { return };
        if quoted.is_empty() {
            let answered = self.timeline.messages().iter().find(|message| message.id == *to);
            *quoted = answered.and_then(|message| quote(&message.body)).unwrap_or_default();
        }
    }

    /// A second has passed: what was written is kept when it is time.
    pub(super) fn keep_draft(&mut self) -> Option<Action> {
        let Unkept { changed, quiet, waited } = &mut self.unkept;
        (*quiet, *waited) = (quiet.saturating_add(1), waited.saturating_add(1));
        let due = *changed && (*quiet >= PAUSE_TICKS || *waited >= UNKEPT_TICKS_MAX);
        if due { self.keep_draft_now() } else { None }
    }

    /// What was written is kept, if it is otherwise than what is. What is too long for a message is kept here only.
    pub(super) fn keep_draft_now(&mut self) -> Option<Action> {
        std::mem::take(&mut self.unkept).changed.then_some(())?;
        let draft = self.begun().draft().ok()?;
        Some(Action::Order(Order::KeepDraft(self.with.clone(), draft)))
    }

    /// What is being written is otherwise than it was.
    fn unkept(&mut self) {
        let waited = if self.unkept.changed { self.unkept.waited } else { 0 };
        self.unkept = Unkept { changed: true, quiet: 0, waited };
    }

    fn load(&self, (number, page, limit): Question) -> Action {
        Action::Order(Order::Load(Load { number, with: self.with.clone(), page, limit }))
    }

    /// Longest text that can be said now, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        match self.mark.is_some() || self.timer.is_some() {
            true => limits::TEXT_BYTES_MARKED_MAX,
            false => limits::TEXT_BYTES_MAX,
        }
    }

    fn is_at_end(&self) -> bool {
        self.place.offset <= AT_END && self.timeline.is_at_end()
    }

    /// A person did something.
    pub(super) fn update(&mut self, message: ChatMessage, now: UnixMillis) -> Result<Vec<Action>, Failure> {
        match message {
            ChatMessage::Edited(action) => return Ok(self.edited(action, now)),
            ChatMessage::Named(emoji) => return Ok(self.named(emoji, now)),
            ChatMessage::NextName(forward, count) => self.next_name(forward, count),
            ChatMessage::Send => return self.send(),
            ChatMessage::Scrolled(place) => return Ok(self.scrolled(place)),
            ChatMessage::ShowEnd => return Ok(self.show_end()),
            ChatMessage::Choose(chosen) => self.chosen = chosen,
            ChatMessage::GoTo(message) => return Ok(vec![self.go_to(message)]),
            ChatMessage::Answer(to) => {
                self.step_back();
                let quoted = self.timeline.find(to).and_then(|message| quote(&message.body)).unwrap_or_default();
                self.mark = Some(Mark::Answer(to.id, quoted));
                self.unkept();
                return Ok(vec![Action::Focus(id::COMPOSER)]);
            }
            ChatMessage::Edit(of) => {
                self.step_back();
                let Some(Body::Text(text)) = self.timeline.find(of).map(|message| message.body.clone()) else {
                    return Err(Failure::new("refused-no-text"));
                };
                self.mark = Some(Mark::Edit(of.id, self.content.text()));
                self.write(text.as_str());
                return Ok(vec![Action::Focus(id::COMPOSER)]);
            }
            ChatMessage::StopMark => self.step_back(),
            ChatMessage::React(to, emoji) => return Ok(self.react(to, emoji)),
            ChatMessage::ToUnread => {
                let question = self.divider.map(|first| self.timeline.go_to(first.id));
                return Ok(question.map(|question| self.load(question)).into_iter().collect());
            }
            ChatMessage::Delete(message, for_everyone) => {
                self.step_back();
                let deed = match for_everyone {
                    true => Deed::DeleteForEveryone(message.id),
                    false => Deed::DeleteForMe(message.id),
                };
                return Ok(self.act(deed));
            }
            ChatMessage::CopyText(of) => {
                self.chosen = None;
                let text = self.timeline.find(of).map(|message| &message.body);
                let Some(Body::Text(text)) = text else { return Ok(Vec::new()) };
                return Ok(vec![Action::Copy(text.as_str().to_owned())]);
            }
            // Done with files and pictures: see there.
            ChatMessage::Fetch(_)
            | ChatMessage::StopFile(_)
            | ChatMessage::Save(_)
            | ChatMessage::Play(_)
            | ChatMessage::PictureSeen(_)
            | ChatMessage::OpenPicture(_)
            | ChatMessage::Words(_) => {}
            ChatMessage::Retry(of) => {
                self.chosen = None;
                return Ok(vec![Action::Order(Order::Retry(self.with.clone(), of.id))]);
            }
        }
        Ok(Vec::new())
    }

    fn act(&self, deed: Deed) -> Vec<Action> {
        vec![Action::Order(Order::Act(self.with.clone(), deed))]
    }

    /// Nothing is chosen, answered or edited.
    pub(super) fn step_back(&mut self) {
        self.chosen = None;
        match self.mark.take() {
            Some(Mark::Edit(_, before)) => self.write(&before),
            Some(Mark::Answer(..)) => self.unkept(),
            None => {}
        }
    }

    fn write(&mut self, text: &str) {
        self.unkept();
        self.naming = None;
        self.content = Content::with_text(text);
        self.content.perform(text_editor::Action::Move(text_editor::Motion::DocumentEnd));
    }

    pub(super) fn edited(&mut self, action: text_editor::Action, now: UnixMillis) -> Vec<Action> {
        if let Some(actions) = self.name_ends(&action, now) {
            return actions;
        }
        let edits = action.is_edit();
        if let text_editor::Action::Edit(text_editor::Edit::Paste(text)) = &action {
            // What is much too long is not taken: the field would be slow, and nobody could send it.
            if text.len() > limits::TEXT_BYTES_MAX * 2 {
                return Vec::new();
            }
        }
        self.content.perform(action);
        if edits {
            self.unkept();
        }
        if edits || self.naming.is_some() {
            self.name_again();
        }
        let due = self.typing_told.is_none_or(|told| now.get().saturating_sub(told.get()) >= TYPING_EVERY_MS);
        if !edits || !due || self.content.is_empty() || self.timeline.messages().is_empty() {
            return Vec::new();
        }
        self.typing_told = Some(now);
        self.act(Deed::Typing(true))
    }

    fn send(&mut self) -> Result<Vec<Action>, Failure> {
        let words = self.content.text();
        // The editor ends a text with a line end that nobody has typed.
        let words = words.trim_end();
        if words.trim().is_empty() {
            return Ok(Vec::new());
        }
        if words.len() > self.bytes_max() {
            return Err(Failure::new("text-too-long"));
        }
        let text = Text::new(words.to_owned()).map_err(|error| match error {
            TextError::Empty | TextError::TooLong { .. } => Failure::new("text-too-long"),
        })?;
        (self.chosen, self.typing_told) = (None, None);
        let order = match self.mark.take() {
            Some(Mark::Edit(of, before)) => {
                self.write(&before);
                return Ok(vec![Action::Order(Order::Act(self.with.clone(), Deed::Edit(of, text)))]);
            }
            Some(Mark::Answer(to, _)) => Order::Send { to: self.with.clone(), text: text.clone(), answer: Some(to) },
            None => Order::Send { to: self.with.clone(), text: text.clone(), answer: None },
        };
        (self.content, self.naming) = (Content::new(), None);
        self.unkept();
        // Whoever answers has read what there was.
        (self.divider, self.unread) = (None, 0);
        self.sending.push(text);
        let mut actions = vec![Action::Order(order)];
        actions.extend(self.show_end());
        Ok(actions)
    }

    pub(super) fn show_end(&mut self) -> Vec<Action> {
        self.news_below = false;
        self.place.offset = 0.0;
        match self.timeline.is_at_end() {
            true => vec![Action::ShowEnd],
            false => {
                let question = self.timeline.newest();
                vec![self.load(question)]
            }
        }
    }

    fn scrolled(&mut self, place: Place) -> Vec<Action> {
        self.place = place;
        let mut actions = Vec::new();
        if self.is_at_end() {
            self.news_below = false;
            self.timeline.forget_beginning();
        }
        let to_beginning = place.content - place.height - place.offset;
        if to_beginning < NEAR {
            if let Some((question, cut)) = self.timeline.older() {
                actions.push(self.load(question));
                actions.extend(cut.then_some(Action::KeepPlace(place)));
            }
        } else if place.offset < NEAR {
            // There has to be room first; what is taken from the beginning moves nothing.
            self.timeline.forget_beginning();
            actions.extend(self.timeline.newer().map(|question| self.load(question)));
        }
        actions
    }

    /// What was asked for has come.
    pub(super) fn loaded(&mut self, number: u64, messages: Vec<StoredMessage>, notices: Vec<Notice>) -> Vec<Action> {
        let was_at_end = self.is_at_end();
        let Some(loaded) = self.timeline.loaded(number, messages, notices) else { return Vec::new() };
        self.quote_again();
        let mut actions = Vec::new();
        if loaded.gone_to {
            return self.gone_to();
        }
        if loaded.first || (loaded.at_end && was_at_end) {
            actions.push(Action::ShowEnd);
        } else if loaded.at_end {
            self.news_below |= self.timeline.is_at_end();
            actions.push(Action::KeepPlace(self.place));
        }
        if loaded.again {
            actions.extend(self.again());
        }
        actions
    }

    /// What was gone to stands first now; what is before it is asked for at once, because a page that fits the window is not
    /// scrolled. A message that is gone is not gone to.
    fn gone_to(&mut self) -> Vec<Action> {
        let Some((older, _)) = self.timeline.older() else {
            let newest = self.timeline.newest();
            return vec![self.load(newest)];
        };
        vec![Action::ShowFirst, self.load(older)]
    }

    /// Something happened in this conversation.
    pub(super) fn again(&mut self) -> Option<Action> {
        let question = self.timeline.again()?;
        Some(self.load(question))
    }

    /// What was said is on disk, or comes back.
    pub(super) fn queued(&mut self) {
        if !self.sending.is_empty() {
            self.sending.remove(0);
        }
    }

    /// It is not on disk: it can be tried again, and nothing that was written since is lost.
    pub(super) fn not_queued(&mut self, text: &Text) {
        self.queued();
        let since = self.content.text();
        let all = match since.trim().is_empty() {
            true => text.as_str().to_owned(),
            false => format!("{}\n{since}", text.as_str()),
        };
        self.write(all.trim_end());
    }

    /// What is here and was not seen is seen now, if the end is before the eyes.
    pub(super) fn look(&mut self) -> Option<Order> {
        if !self.is_at_end() {
            return None;
        }
        let (messages, notices) = self.timeline.unseen();
        if messages.is_empty() && notices.is_empty() {
            return None;
        }
        self.timeline.seen(&messages, &notices);
        Some(Order::Seen(self.with.clone(), messages, notices))
    }

    /// The last message of one's own that can have other words.
    pub(super) fn last_own(&self) -> Option<MessageRef> {
        let own =
            |message: &&StoredMessage| message.direction == Direction::Out && matches!(message.body, Body::Text(_));
        let message = self.timeline.messages().iter().rev().find(own)?;
        Some(MessageRef { direction: message.direction, id: message.id })
    }
}
