//! Messages: bubbles in groups, days between them, and what was found out about messages that did not come.

use endtoend_client::database::{Body, Direction, MessageRef, MessageState, Notice, NoticeKind, StoredMessage};
use endtoend_protocol::{Emoji, Text};
use iced::widget::{Row, column, container, mouse_area, rich_text, row, space, span, text};
use iced::{Element, Fill, Length};

use super::chat::{Chat, quote};
use super::picker::Purpose;
use super::timeline::Line;
use super::{ChatMessage, Home, Message};
use super::{files, lightbox};
use crate::calendar::{self, Present};
use crate::emoji;
use crate::focus::button;
use crate::said::{self, Link, Piece};
use crate::strings::Strings;
use crate::theme::colors::CODE;
use crate::theme::{ANY_EMOJI, EMOJI, STRONG, size, styles};
use crate::ui::{self, id};

/// Messages of one writer that are no farther apart than this stand together, in milliseconds.
const TOGETHER_MS: u64 = 5 * 60 * 1000;
/// Widest bubble, in logical pixels.
const WIDEST: f32 = 560.0;
/// So many links of one message keys get at.
const LINKS_MAX: usize = 8;
/// What one reacts with most.
pub(super) const REACTIONS: [&str; 6] = ["👍", "❤️", "😂", "😮", "😢", "🙏"];

/// Name of a message.
const fn name_of(message: &StoredMessage) -> MessageRef {
    MessageRef { direction: message.direction, id: message.id }
}

/// Where a message of ours stands. Only what was acknowledged looks acknowledged.
pub(super) fn mark_of<'a, M: 'a>(t: &Strings, message: &StoredMessage, letters: u32) -> Element<'a, M> {
    let (sign, style): (&str, fn(&iced::Theme) -> text::Style) = match message.state {
        MessageState::Queued => ("○", styles::muted),
        MessageState::Accepted => ("✓", styles::muted),
        MessageState::Delivered => ("✓✓", styles::muted),
        MessageState::Read => ("✓✓", styles::accent),
        MessageState::Rejected(_) => return text(t.get("not-sent")).size(letters).style(styles::bad).into(),
        MessageState::Received => return space().into(),
    };
    text(sign).size(letters).style(style).into()
}

impl Home {
    pub(super) fn lines<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        chat: &'a Chat,
    ) -> Vec<Element<'a, Message>> {
        let lines = chat.timeline.lines();
        let mut shown = Vec::with_capacity(lines.len() + 8);
        let mut before: Option<&StoredMessage> = None;
        for line in lines {
            match line {
                Line::Notice(notice) => shown.push(notice_line(t, chat, notice)),
                Line::Message(message) => {
                    let same_day = before.is_some_and(|it| present.day(it.sent_at) == present.day(message.sent_at));
                    if !same_day {
                        shown.push(day(present.separator(t, message.sent_at)));
                    }
                    let divided = chat.divider == Some(name_of(message));
                    if divided {
                        shown.push(divider(t));
                    }
                    let together = same_day
                        && !divided
                        && before.is_some_and(|it| {
                            it.direction == message.direction
                                && message.sent_at.get().saturating_sub(it.sent_at.get()) < TOGETHER_MS
                        });
                    shown.push(space().height(if together { 2 } else { 10 }).into());
                    shown.push(bubble(t, present, chat, message));
                    before = Some(message);
                }
            }
        }
        shown.extend(chat.sending.iter().map(on_its_way));
        shown
    }
}

fn day<'a>(words: String) -> Element<'a, Message> {
    container(container(ui::small(words)).padding([3, 10]).style(styles::chip)).padding([14, 0]).center_x(Fill).into()
}

/// Before what was not read when the conversation was opened.
fn divider<'a>(t: &Strings) -> Element<'a, Message> {
    let words = ui::small(t.get("new-below")).style(styles::accent);
    row![container(ui::rule()).center_y(20), words, container(ui::rule()).center_y(20)]
        .spacing(12)
        .padding([8, 0])
        .align_y(iced::Center)
        .into()
}

/// A piece of what was said. Emoji in it are emoji, whatever is marked around them.
fn spans(piece: Piece<'_>) -> impl Iterator<Item = text::Span<'_, Link>> {
    let words = match piece {
        Piece::Plain(words) | Piece::Strong(words) | Piece::Struck(words) | Piece::Code(words) => words,
        Piece::Link(words, _) => words,
    };
    emoji::parts(words).map(move |(part, alone)| {
        let span = match &piece {
            Piece::Plain(_) => span(part),
            Piece::Strong(_) => span(part).font(STRONG),
            Piece::Struck(_) => span(part).strikethrough(true),
            Piece::Code(_) => span(part).background(CODE).padding([0, 3]),
            Piece::Link(_, link) => span(part).underline(true).link(link.clone()),
        };
        if alone { span.font(ANY_EMOJI) } else { span }
    })
}

/// Words of a message, with what is marked in them.
fn words<'a>(said: &'a str) -> Element<'a, Message> {
    let pieces = said::pieces(said);
    let plain = pieces.iter().all(|piece| matches!(piece, Piece::Plain(_)));
    if plain && !emoji::parts(said).any(|(_, alone)| alone) {
        return text(said).size(size::BODY).wrapping(text::Wrapping::WordOrGlyph).into();
    }
    let spans: Vec<text::Span<'a, Link>> = pieces.into_iter().flat_map(spans).collect();
    rich_text(spans).on_link_click(Message::Link).size(size::BODY).wrapping(text::Wrapping::WordOrGlyph).into()
}

/// To one side, as wide as it needs to be.
fn to_side<'a>(own: bool, content: Element<'a, Message>) -> Element<'a, Message> {
    let content = container(content).max_width(WIDEST);
    match own {
        true => {
            row![space().width(Length::FillPortion(1)), container(content).align_right(Length::FillPortion(6))].into()
        }
        false => row![container(content).width(Length::FillPortion(6)), space().width(Length::FillPortion(1))].into(),
    }
}

/// What is not on disk yet.
fn on_its_way<'a>(words: &'a Text) -> Element<'a, Message> {
    let inner = row![self::words(words.as_str()), text("○").size(size::SMALL).style(styles::muted)];
    let bubble = button(inner.spacing(8)).padding([8, 12]).style(styles::bubble(true, false));
    column![space().height(2), to_side(true, bubble.into())].into()
}

fn bubble<'a>(t: &'a Strings, present: &Present, chat: &'a Chat, message: &'a StoredMessage) -> Element<'a, Message> {
    let (name, own) = (name_of(message), message.direction == Direction::Out);
    let chosen = chat.chosen == Some(name);
    let words: Element<'a, Message> = match &message.body {
        Body::Text(text) => self::words(text.as_str()),
        Body::File(stored) => {
            lightbox::shown(t, chat, message, stored).unwrap_or_else(|| files::shown(t, chat, message, stored))
        }
        Body::Card(card) => {
            let about = ui::body(t.with("message-card", [("name", card.link.handle.as_str())]));
            let write = button(text(t.get("write")).size(size::NOTE)).padding([5, 12]).style(styles::quiet);
            let write = write.on_press(Message::WriteTo(Box::new(card.link.clone()))).by_tab(chosen);
            column![about, write].spacing(5).into()
        }
        Body::Deleted => ui::body(t.get("message-deleted")).style(styles::muted).into(),
        Body::Unknown => ui::body(t.get("message-unknown")).style(styles::muted).into(),
    };
    let mut foot = Row::new().spacing(6);
    if let Some(lives) = message.marks.lives_for {
        foot = foot.push(ui::small(calendar::span(t, lives.as_secs().into())));
    }
    if message.marks.edited_at.is_some() && matches!(message.body, Body::Text(_)) {
        foot = foot.push(ui::small(t.get("edited")));
    }
    foot = foot.push(ui::small(present.clock(message.sent_at)));
    if own {
        foot = foot.push(mark_of::<Message>(t, message, size::SMALL));
    }
    let content = column![].push(answered(t, chat, message)).push(words).push(foot).spacing(3);
    let choose = if chosen { None } else { Some(name) };
    let bubble = button(content)
        .padding([8, 12])
        .style(styles::bubble(own, chosen))
        .on_press(Message::Chat(ChatMessage::Choose(choose)))
        .by_tab(false);
    // Its menu, as everywhere.
    let bubble = mouse_area(bubble).on_right_press(Message::Chat(ChatMessage::Choose(choose)));
    let bubble = if chosen { container(bubble).id(id::CHOSEN) } else { container(bubble) };
    let mut all = column![bubble].push(reactions(message)).spacing(3);
    if own {
        all = all.align_x(iced::Right);
    }
    let all = all.push(chosen.then(|| deeds(t, message)));
    to_side(own, all.into())
}

/// What it answers.
fn answered<'a>(t: &'a Strings, chat: &'a Chat, message: &'a StoredMessage) -> Option<Element<'a, Message>> {
    let to = message.marks.reply_to?;
    let quoted = chat.timeline.find(to).and_then(|answered| quote(&answered.body));
    let whose = match to.direction {
        Direction::In => chat.with.to_string(),
        Direction::Out => t.get("you"),
    };
    let words = quoted.unwrap_or_else(|| t.get("answered-elsewhere"));
    let words = ui::said(words, size::NOTE, styles::muted);
    let content = column![ui::small(whose).style(styles::accent), words].spacing(1);
    let quoted = button(content).padding([5, 9]).style(styles::quoted);
    let chosen = chat.chosen == Some(name_of(message));
    Some(quoted.on_press(Message::Chat(ChatMessage::GoTo(to))).by_tab(chosen).into())
}

fn reactions<'a>(message: &'a StoredMessage) -> Option<Element<'a, Message>> {
    let marks = &message.marks;
    if marks.their_reaction.is_none() && marks.own_reaction.is_none() {
        return None;
    }
    let all = [&marks.their_reaction, &marks.own_reaction].into_iter().flatten();
    let chips = all.map(|emoji| {
        container(text(emoji.as_str()).size(size::BODY).font(EMOJI)).padding([1, 7]).style(styles::chip).into()
    });
    Some(Row::with_children(chips).spacing(4).into())
}

/// What can be done to a chosen message.
fn deeds<'a>(t: &'a Strings, message: &'a StoredMessage) -> Element<'a, Message> {
    let (name, own) = (name_of(message), message.direction == Direction::Out);
    let deed = |key: &'static str, message| {
        button(text(t.get(key)).size(size::NOTE))
            .padding([5, 9])
            .style(styles::plain)
            .on_press(Message::Chat(message))
            .into()
    };
    let has_text = matches!(message.body, Body::Text(_));
    let says = has_text || matches!(message.body, Body::File(_));
    let mut faces: Vec<Element<'a, Message>> = REACTIONS
        .into_iter()
        .filter(|_| says)
        .filter_map(|emoji| Emoji::new(emoji.to_owned()))
        .map(|emoji| {
            button(text(emoji.as_str().to_owned()).size(size::HEAD).font(EMOJI))
                .padding([3, 6])
                .style(styles::plain)
                .on_press(Message::Chat(ChatMessage::React(name, emoji)))
                .into()
        })
        .collect();
    let mut all: Vec<Element<'a, Message>> = Vec::new();
    if matches!(message.state, MessageState::Rejected(_)) {
        all.push(deed("retry", ChatMessage::Retry(name)));
    }
    if says {
        all.push(deed("answer", ChatMessage::Answer(name)));
    }
    if has_text {
        all.push(deed("copy", ChatMessage::CopyText(name)));
        all.push(deed("select-words", ChatMessage::Words(name)));
    }
    if let Body::Text(text) = &message.body {
        all.extend(links(t, text.as_str()));
    }
    if let Body::File(stored) = &message.body {
        all.extend(files::deeds_of(message, stored).into_iter().map(|(key, message)| deed(key, message)));
    }
    if own && has_text {
        all.push(deed("edit", ChatMessage::Edit(name)));
    }
    if own && says {
        all.push(deed("delete-everywhere", ChatMessage::Delete(name, true)));
    }
    all.push(deed("delete-here", ChatMessage::Delete(name, false)));
    let more = button(text("+").size(size::HEAD)).padding([3, 10]).style(styles::plain);
    faces.extend(says.then(|| more.on_press(Message::Pick(Some(Purpose::React(name)))).into()));
    let lines = column![].push((!faces.is_empty()).then(|| Row::with_children(faces).spacing(2)));
    container(lines.push(Row::with_children(all).spacing(2).wrap())).padding(4).style(styles::boxed).into()
}

/// The links in what was said, for keys: they do not come into a text.
fn links<'a>(t: &Strings, said: &'a str) -> impl Iterator<Item = Element<'a, Message>> {
    let links = said::pieces(said).into_iter().filter_map(|piece| match piece {
        Piece::Link(_, link) => Some(link),
        Piece::Plain(_) | Piece::Strong(_) | Piece::Struck(_) | Piece::Code(_) => None,
    });
    let press = |link: Link| {
        let words = text(t.with("link-open", [("host", link.host.as_str())])).size(size::NOTE);
        button(words).padding([5, 9]).style(styles::plain).on_press(Message::Link(link)).into()
    };
    links.take(LINKS_MAX).map(press)
}

fn notice_line<'a>(t: &'a Strings, chat: &'a Chat, notice: &'a Notice) -> Element<'a, Message> {
    let whose = if notice.own { t.get("you") } else { chat.with.to_string() };
    let count = match notice.kind {
        NoticeKind::Missing | NoticeKind::Blocked => notice.missing,
        NoticeKind::Late | NoticeKind::Mended | NoticeKind::Forked | NoticeKind::Restarted => {
            notice.last.saturating_sub(notice.first).saturating_add(1)
        }
    };
    let key = match notice.kind {
        NoticeKind::Missing if notice.may_have_expired => "notice-expired",
        NoticeKind::Missing => "notice-missing",
        NoticeKind::Blocked => "notice-blocked",
        NoticeKind::Late => "notice-late",
        NoticeKind::Mended => "notice-mended",
        NoticeKind::Forked => "notice-forked",
        NoticeKind::Restarted => "notice-restarted",
    };
    let words = t.with(key, [("count", count.into()), ("name", fluent_bundle::FluentValue::from(whose))]);
    let grave = matches!(notice.kind, NoticeKind::Forked);
    let style = if grave { styles::warning } else { styles::boxed };
    let content = container(text(words).size(size::NOTE)).padding([8, 12]).max_width(WIDEST).style(style);
    container(content).padding([8, 0]).center_x(Fill).into()
}
