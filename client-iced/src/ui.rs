//! Parts that several screens are made of.

use iced::widget::{Column, column, container, rich_text, row, span, text, text_input};
use iced::{Center, Element, Fill, Length, Theme};

use crate::emoji;
use crate::failure::Failure;
use crate::focus::{self, button};
use crate::strings::Strings;
use crate::theme::{ANY_EMOJI, STRONG, size, styles};

/// Fields and lists by name, for the focus and for tests.
pub mod id {
    /// Where the address of a server is put.
    pub const ADDRESS: &str = "address";
    /// Where a handle is put.
    pub const HANDLE: &str = "handle";
    /// Where an invitation is put.
    pub const INVITE: &str = "invite";
    /// Where the password of a server is put.
    pub const SERVER_PASSWORD: &str = "server-password";
    /// Where the password is put.
    pub const PASSWORD: &str = "password";
    /// The same once more.
    pub const AGAIN: &str = "again";
    /// Where a backup lies.
    pub const BACKUP: &str = "backup";
    /// Narrows the list.
    pub const FILTER: &str = "filter";
    /// Where a message is written.
    pub const COMPOSER: &str = "composer";
    /// The messages.
    pub const TIMELINE: &str = "timeline";
    /// The conversations.
    pub const LIST: &str = "list";
    /// Whom to write to.
    pub const NEW_CHAT: &str = "new-chat";
    /// What somebody is called.
    pub const NICKNAME: &str = "nickname";
    /// Where a proxy is put.
    pub const PROXY: &str = "proxy";
    /// Where bridges are put.
    pub const BRIDGES: &str = "bridges";
    /// Where a program for a transport is put.
    pub const PROGRAM: &str = "program";
    /// Where a key of an onion service is put.
    pub const ONION_KEY: &str = "onion-key";
    /// What this account calls itself.
    pub const FACE_NAME: &str = "face-name";
    /// Where a file lies.
    pub const FILE: &str = "file";
    /// What a backup is sealed with, and opened.
    pub const PASSPHRASE: &str = "passphrase";
    /// The same once more.
    pub const PASSPHRASE_AGAIN: &str = "passphrase-again";
    /// Whatever is looked for.
    pub const PALETTE: &str = "palette";
    /// What was found of it.
    pub const PALETTE_LIST: &str = "palette-list";
    /// Words of an emoji.
    pub const PICKER: &str = "picker";
    /// Emoji.
    pub const PICKER_LIST: &str = "picker-list";
    /// A day.
    pub const DAY: &str = "day";
    /// The conversation that keys are at.
    pub const LIST_AT: &str = "list-at";
    /// The way to the network that is chosen.
    pub const WAY: &str = "way";
    /// The section that is shown.
    pub const SECTION: &str = "section";
    /// The accent that is chosen.
    pub const ACCENT: &str = "accent";
    /// Words to copy a part of.
    pub const WORDS: &str = "words";
    /// The chosen message.
    pub const CHOSEN: &str = "chosen";
    /// What a new device shows.
    pub const LINK_CODE: &str = "link-code";
}

/// Words.
pub fn body<'a>(words: impl text::IntoFragment<'a>) -> iced::widget::Text<'a> {
    text(words).size(size::BODY)
}

/// Words that stand back.
pub fn note<'a>(words: impl text::IntoFragment<'a>) -> iced::widget::Text<'a> {
    text(words).size(size::NOTE).style(styles::muted)
}

/// Small words that stand back.
pub fn small<'a>(words: impl text::IntoFragment<'a>) -> iced::widget::Text<'a> {
    text(words).size(size::SMALL).style(styles::muted)
}

/// Words of people, in as many lines as they take.
pub fn said<'a, Message: 'a>(words: String, letters: u32, style: fn(&Theme) -> text::Style) -> Element<'a, Message> {
    if !emoji::parts(&words).any(|(_, alone)| alone) {
        return text(words).size(letters).style(style).wrapping(text::Wrapping::WordOrGlyph).into();
    }
    let spans: Vec<text::Span<'a, ()>> = emoji::parts(&words)
        .map(|(part, alone)| (span(part.to_owned()), alone))
        .map(|(span, alone)| if alone { span.font(ANY_EMOJI) } else { span })
        .collect();
    rich_text(spans).size(letters).style(style).wrapping(text::Wrapping::WordOrGlyph).into()
}

/// A name.
pub fn strong<'a>(words: impl text::IntoFragment<'a>) -> iced::widget::Text<'a> {
    text(words).size(size::BODY).font(STRONG)
}

/// At the head of something.
pub fn head<'a>(words: impl text::IntoFragment<'a>) -> iced::widget::Text<'a> {
    text(words).size(size::HEAD).font(STRONG)
}

/// A field of one line with its label above.
pub fn field<'a, Message: Clone + 'a>(
    label: String,
    name: &'static str,
    hint: &str,
    value: &str,
    edited: impl Fn(String) -> Message + 'a,
    done: Message,
) -> Column<'a, Message> {
    let input = text_input(hint, value)
        .id(name)
        .on_input(edited)
        .on_submit(done)
        .padding([10, 12])
        .size(size::BODY)
        .style(styles::field);
    column![note(label), focus::field(input)].spacing(6)
}

/// A field that shows nothing of what is typed.
pub fn secret<'a, Message: Clone + 'a>(
    label: String,
    name: &'static str,
    value: &str,
    edited: impl Fn(String) -> Message + 'a,
    done: Message,
) -> Column<'a, Message> {
    let input = text_input("", value)
        .id(name)
        .secure(true)
        .on_input(edited)
        .on_submit(done)
        .padding([10, 12])
        .size(size::BODY)
        .style(styles::field);
    column![note(label), focus::field(input)].spacing(6)
}

/// The one thing that a page leads to; grey while it cannot be pressed.
pub fn primary<'a, Message: Clone + 'a>(words: String, press: Option<Message>) -> Element<'a, Message> {
    button(text(words).size(size::BODY).font(STRONG))
        .padding([10, 18])
        .style(styles::primary)
        .on_press_maybe(press)
        .into()
}

/// Everything else that can be pressed.
pub fn quiet<'a, Message: Clone + 'a>(words: String, press: Message) -> Element<'a, Message> {
    button(text(words).size(size::BODY)).padding([10, 18]).style(styles::quiet).on_press(press).into()
}

/// What cannot be taken back.
pub fn danger<'a, Message: Clone + 'a>(words: String, press: Message) -> Element<'a, Message> {
    button(text(words).size(size::BODY)).padding([10, 18]).style(styles::danger).on_press(press).into()
}

/// A word that can be pressed.
pub fn plain<'a, Message: Clone + 'a>(words: String, press: Message) -> Element<'a, Message> {
    button(text(words).size(size::NOTE)).padding([6, 8]).style(styles::plain).on_press(press).into()
}

/// What went wrong.
pub fn failure<'a, Message: 'a>(t: &Strings, failure: Option<&Failure>) -> Option<Element<'a, Message>> {
    let told = failure?.say(t);
    Some(container(text(told).size(size::NOTE)).padding([10, 12]).width(Fill).style(styles::failure).into())
}

/// A place for what is there now and then. iced knows widgets by their place among others: without this, the field below would
/// lose the keyboard, and the list its place, whenever something comes or goes above.
pub fn slot<'a, Message: 'a>(content: Option<Element<'a, Message>>) -> Element<'a, Message> {
    Column::new().push(content).width(Fill).into()
}

/// A line between two things.
pub fn rule<'a, Message: 'a>() -> Element<'a, Message> {
    container(iced::widget::space().height(1)).width(Fill).height(1).style(styles::rule).into()
}

/// The same, upright.
pub fn upright<'a, Message: 'a>() -> Element<'a, Message> {
    container(iced::widget::space().width(1)).width(1).height(Fill).style(styles::rule).into()
}

/// Digits that are compared: groups of so many, so many groups a line, each as wide as the others.
pub fn groups<'a, Message: 'a>(digits: &str, group: usize, line: usize, letters: u32) -> Element<'a, Message> {
    let digits: Vec<char> = digits.chars().collect();
    let groups: Vec<String> = digits.chunks(group).map(|group| group.iter().collect()).collect();
    // The widest digit is two thirds as wide as it is high, and a space stands between two groups.
    let width = (u32::try_from(group).unwrap_or(u32::MAX).saturating_add(1)).saturating_mul(letters) * 2 / 3;
    let cell = |group: &String| container(text(group.clone()).size(letters)).width(width).into();
    let lines = groups.chunks(line).map(|line| iced::widget::Row::with_children(line.iter().map(cell)).into());
    Column::with_children(lines).spacing(4).into()
}

/// Between what stands on a page, in logical pixels.
pub const PAGE_SPACING: u32 = 18;

/// A page of its own: a card in the middle of the window.
pub fn page<'a, Message: 'a>(content: Column<'a, Message>) -> Element<'a, Message> {
    let card = container(content.spacing(PAGE_SPACING).width(Fill)).padding(36).max_width(520).style(styles::card);
    let middle = iced::widget::scrollable(container(card).padding(24).center_x(Fill)).style(styles::scroll).width(Fill);
    container(middle).width(Fill).height(Fill).align_y(Center).style(styles::ground).into()
}

/// Two buttons at the foot of a page: back on the left, forward on the right.
pub fn foot<'a, Message: 'a>(back: Element<'a, Message>, forward: Element<'a, Message>) -> Element<'a, Message> {
    row![back, iced::widget::space().width(Length::Fill), forward].align_y(Center).into()
}
