//! The list of conversations. Only the lines that are before the eyes are made, however many there are.

use endtoend_client::database::{Body, Conversation, Direction, MessageRef, Standing};
use endtoend_client::engine::ConnectionState;
use endtoend_client::handle::Handle;
use endtoend_client::transport::{TorState, Way};
use iced::keyboard::Modifiers;
use iced::keyboard::key::Named;
use iced::widget::{Column, Row, column, container, row, scrollable, space, text, text_input};
use iced::{Center, Element, Fill};

use super::chat::quote;
use super::found::Hit;
use super::lines::mark_of;
use super::{Home, Message};
use crate::action::{Action, Place};
use crate::calendar::{Present, span};
use crate::failure::Failure;
use crate::focus::{self, button};
use crate::one_line::one_line;
use crate::preferences::Density;
use crate::screens::network;
use crate::strings::Strings;
use crate::theme::{EMOJI, STRONG, size, styles};
use crate::ui::{self, id};

/// Of a conversation, in logical pixels: roomy, and dense.
const ROWS: [f32; 2] = [64.0, 48.0];
/// Of a face beside it.
const FACES: [u16; 2] = [42, 32];
/// Of a heading.
const HEADING: f32 = 34.0;
/// Beyond what is seen, so much is made too.
const BEYOND: f32 = 400.0;
/// Taken for the height of the list before it was scrolled.
const HEIGHT_AT_FIRST: f32 = 2_000.0;

/// One line of the list.
enum Line<'a> {
    Heading(&'static str),
    Conversation(&'a Conversation),
    Found(&'a Hit),
}

impl Line<'_> {
    const fn height(&self, row: f32) -> f32 {
        match self {
            Line::Heading(_) => HEADING,
            Line::Conversation(_) | Line::Found(_) => row,
        }
    }

    fn is(&self, at: &At) -> bool {
        match (self, at) {
            (Line::Conversation(conversation), At::Conversation(with)) => {
                conversation.contact.handle.as_ref() == Some(with)
            }
            (Line::Found(hit), At::Found(with, message)) => hit.with == *with && hit.message == *message,
            (Line::Heading(_) | Line::Conversation(_) | Line::Found(_), _) => false,
        }
    }

    /// By which it is known from now on; `None`: it cannot be opened.
    fn at(&self) -> Option<At> {
        match self {
            Line::Heading(_) => None,
            Line::Conversation(conversation) => conversation.contact.handle.clone().map(At::Conversation),
            Line::Found(hit) => Some(At::Found(hit.with.clone(), hit.message)),
        }
    }
}

/// Where keys are in the list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum At {
    Conversation(Handle),
    Found(Handle, MessageRef),
}

/// How keys go through the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the line above.
    Up,
    /// To the line below.
    Down,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// So far up as there are lines to be seen.
    PageUp,
    /// So far down.
    PageDown,
}

impl Step {
    const fn of(key: Named) -> Option<Self> {
        Some(match key {
            Named::ArrowUp => Self::Up,
            Named::ArrowDown => Self::Down,
            Named::Home => Self::First,
            Named::End => Self::Last,
            Named::PageUp => Self::PageUp,
            Named::PageDown => Self::PageDown,
            _ => return None,
        })
    }

    /// From this one of so many, where so many make a page.
    fn from(self, at: usize, count: usize, page: usize) -> usize {
        let to = match self {
            Self::Up => at.saturating_sub(1),
            Self::Down => at + 1,
            Self::First => 0,
            Self::Last => count,
            Self::PageUp => at.saturating_sub(page),
            Self::PageDown => at + page,
        };
        to.min(count.saturating_sub(1))
    }
}

/// Height of a line, and of a face in it.
const fn measures(density: Density) -> (f32, u16) {
    let ([roomy, dense], [roomy_face, dense_face]) = (ROWS, FACES);
    match density {
        Density::Roomy => (roomy, roomy_face),
        Density::Dense => (dense, dense_face),
    }
}

/// What somebody is called here, by this person or else by himself. Who has no name yet is told apart by the account.
pub(super) fn name(conversation: &Conversation) -> String {
    let contact = &conversation.contact;
    match (contact.name(), &contact.handle) {
        (Some(name), _) => name.as_str().to_owned(),
        (None, Some(handle)) => handle.to_string(),
        (None, None) => {
            let tag: String = contact.tag.as_bytes().iter().take(4).map(|b| format!("{b:02x}")).collect();
            format!("#{tag}")
        }
    }
}

impl Home {
    pub(super) fn list<'a>(&'a self, t: &'a Strings, present: &'a Present) -> Element<'a, Message> {
        let me = row![
            self.own_avatar(36),
            one_line(self.own_name(), size::BODY).font(STRONG).fill(),
            button(text("+").size(size::HEAD)).padding([4, 12]).style(styles::quiet).on_press(Message::NewChat),
            button(text(t.get("settings")).size(size::NOTE))
                .padding([8, 10])
                .style(styles::quiet)
                .on_press(Message::Settings(true)),
        ]
        .spacing(10)
        .align_y(Center);
        let filter = text_input(&t.get("filter"), &self.filter)
            .id(id::FILTER)
            .on_input(Message::Filtered)
            .on_submit(Message::OpenFirst)
            .padding([8, 12])
            .size(size::NOTE)
            .style(styles::field);
        let head = column![me, focus::field(filter)].spacing(12).padding([14, 14]);
        let all = column![head, self.rows(t, present), ui::rule(), self.connection_line(t, present)];
        container(all.height(Fill)).style(styles::ground).height(Fill).width(Fill).into()
    }

    /// Everything that is listed.
    fn list_lines(&self) -> Vec<Line<'_>> {
        let is_request = |it: &&Conversation| Self::is_request(it);
        let (requests, others): (Vec<&Conversation>, Vec<&Conversation>) = self.listed().partition(is_request);
        let found = &self.found.hits;
        let mut lines = Vec::with_capacity(requests.len() + others.len() + found.len() + 3);
        if !requests.is_empty() {
            lines.push(Line::Heading("requests"));
            lines.extend(requests.into_iter().map(Line::Conversation));
            if !others.is_empty() {
                lines.push(Line::Heading("conversations"));
            }
        }
        lines.extend(others.into_iter().map(Line::Conversation));
        if !found.is_empty() {
            lines.push(Line::Heading("messages-found"));
            lines.extend(found.iter().map(Line::Found));
        }
        lines
    }

    /// Where keys are among these lines: where they were, else at the open conversation, else at the first.
    fn list_at(&self, lines: &[Line<'_>]) -> Option<At> {
        let is_there = |at: &&At| lines.iter().any(|line| line.is(at));
        let open = self.chat.as_ref().map(|chat| At::Conversation(chat.with.clone()));
        let known = self.list_at.iter().chain(&open).find(is_there).cloned();
        known.or_else(|| lines.iter().find_map(Line::at))
    }

    /// Keys go on in the list, and what they are at is shown.
    pub(super) fn list_step(&mut self, step: Step) -> Vec<Action> {
        let lines = self.list_lines();
        let (row, _) = measures(self.density);
        let mut end = 0.0;
        let mut stops = Vec::with_capacity(lines.len());
        for line in &lines {
            end += line.height(row);
            stops.extend(line.at().map(|at| (at, end)));
        }
        let now = self.list_at(&lines);
        let at = stops.iter().position(|(at, _)| Some(at) == now.as_ref()).unwrap_or_default();
        let Place { offset, height, .. } = self.list_place;
        let page = ((height / row) as usize).max(1);
        let to = step.from(at, stops.len(), page);
        let Some((next, bottom)) = stops.into_iter().nth(to) else { return Vec::new() };
        self.list_at = Some(next);
        // What stands above the first is shown with it.
        let top = if to == 0 { 0.0 } else { bottom - row };
        let shown = match (height > 0.0, top < offset, bottom > offset + height) {
            (false, _, _) | (true, true, _) => Some(top),
            (true, false, true) => Some(bottom - height),
            (true, false, false) => None,
        };
        shown.map(|y| Action::Scroll(id::LIST, y)).into_iter().collect()
    }

    fn rows<'a>(&'a self, t: &'a Strings, present: &'a Present) -> Element<'a, Message> {
        let lines = self.list_lines();
        if lines.is_empty() {
            let told = match (self.listed, self.filter.is_empty()) {
                (false, _) => "loading",
                (true, true) => "no-conversations",
                (true, false) => "none-found",
            };
            return container(ui::note(t.get(told))).padding(24).center_x(Fill).height(Fill).into();
        }
        let now = self.list_at(&lines);
        let height = if self.list_place.height > 0.0 { self.list_place.height } else { HEIGHT_AT_FIRST };
        let (from, to) = (self.list_place.offset - BEYOND, self.list_place.offset + height + BEYOND);
        let (mut above, mut below, mut at) = (0.0, 0.0, 0.0);
        let mut made = Vec::new();
        let (row, _) = measures(self.density);
        for line in &lines {
            let end = at + line.height(row);
            if end < from {
                above += line.height(row);
            } else if at > to {
                below += line.height(row);
            } else {
                let shown = match line {
                    Line::Heading(key) => heading(t, key),
                    Line::Conversation(conversation) => self.row(t, present, conversation),
                    Line::Found(hit) => self.found_row(t, present, hit),
                };
                let is_at = now.as_ref().is_some_and(|now| line.is(now));
                made.push(if is_at { container(shown).id(id::LIST_AT).into() } else { container(shown).into() });
            }
            at = end;
        }
        let shown = Column::new().push(space().height(above)).extend(made).push(space().height(below));
        let open = now.map(|at| match at {
            At::Conversation(with) => Message::Open(with),
            At::Found(with, message) => Message::OpenAt(with, message),
        });
        let list = scrollable(shown.padding([0, 8]))
            .id(id::LIST)
            .on_scroll(|viewport| {
                Message::ListScrolled(Place {
                    offset: viewport.absolute_offset().y,
                    height: viewport.bounds().height,
                    content: viewport.content_bounds().height,
                })
            })
            .style(styles::scroll)
            .height(Fill)
            .width(Fill);
        // One stop, however many there are; arrow keys go on in it.
        let keys = move |key, modifiers: Modifiers| match key {
            _ if !modifiers.is_empty() => None,
            Named::Enter | Named::Space => open.clone(),
            key => Step::of(key).map(Message::ListStep),
        };
        focus::stop(list).keys(keys).ringed(id::LIST_AT).into()
    }

    fn row<'a>(&'a self, t: &'a Strings, present: &'a Present, conversation: &'a Conversation) -> Element<'a, Message> {
        let handle = conversation.contact.handle.as_ref();
        let open = self.chat.as_ref().is_some_and(|chat| Some(&chat.with) == handle);
        let name = name(conversation);
        let (height, face) = measures(self.density);
        let time = conversation.last.as_ref().map(|last| ui::small(present.brief(t, last.sent_at)));
        let arrangement = conversation.contact.arrangement;
        let muted = arrangement.muted.at(present.at);
        let unread = (conversation.unread > 0).then(|| {
            let count = if conversation.unread > 99 { "99+".to_owned() } else { conversation.unread.to_string() };
            let style = if muted { styles::chip } else { styles::badge };
            container(text(count).size(size::SMALL).font(STRONG)).padding([1, 7]).style(style)
        });
        let sign = |sign: &'static str| text(sign).size(size::SMALL).font(EMOJI);
        let first = row![one_line(name.clone(), size::BODY).font(STRONG).fill()]
            .push(arrangement.pinned.then(|| sign("📌")))
            .push(time)
            .spacing(8);
        let second = row![container(self.preview(t, conversation)).width(Fill)]
            .push(muted.then(|| sign("🔕")))
            .push(unread)
            .spacing(8)
            .align_y(Center);
        let content = row![self.avatar(Some(conversation), &name, face), column![first, second].spacing(3).width(Fill)]
            .spacing(12)
            .align_y(Center)
            .height(Fill);
        button(content)
            .padding([4, 10])
            .height(height)
            .width(Fill)
            .clip(true)
            .style(styles::line(open))
            .on_press_maybe(handle.cloned().map(Message::Open))
            .by_tab(false)
            .into()
    }

    /// A message that has the words that are looked for.
    fn found_row<'a>(&'a self, t: &'a Strings, present: &'a Present, hit: &'a Hit) -> Element<'a, Message> {
        let known = self.contact(&hit.with);
        let name = known.map_or_else(|| hit.with.to_string(), name);
        let shown = self.chat.as_ref().is_some_and(|chat| chat.chosen == Some(hit.message) && chat.with == hit.with);
        let time = ui::small(present.brief(t, hit.sent_at));
        let first = row![one_line(name, size::BODY).font(STRONG).fill(), time].spacing(8);
        let second = whose(t, hit.message.direction, hit.words.clone());
        let content = container(column![first, second].spacing(3)).center_y(Fill);
        button(content)
            .padding([4, 10])
            .height(measures(self.density).0)
            .width(Fill)
            .clip(true)
            .style(styles::line(shown))
            .on_press(Message::OpenAt(hit.with.clone(), hit.message))
            .by_tab(false)
            .into()
    }

    /// What stands under the name.
    fn preview<'a>(&self, t: &Strings, conversation: &Conversation) -> Element<'a, Message> {
        let one_line = |words: String| one_line(words, size::NOTE).style(styles::muted);
        let contact = &conversation.contact;
        let open = |handle: &&Handle| self.chat.as_ref().is_none_or(|chat| chat.with != **handle);
        let Some(handle) = &contact.handle else {
            return one_line(t.get("nameless")).into();
        };
        if contact.changed_identity.is_some() {
            return one_line(t.get("identity-changed-short")).style(styles::bad).into();
        }
        if contact.standing == Standing::Blocked {
            return one_line(t.get("blocked-short")).into();
        }
        if self.typing.contains_key(handle) {
            return one_line(t.get("typing")).style(styles::accent).into();
        }
        if let Some(draft) = Some(handle).filter(open).and_then(|handle| self.drafts.get(handle)) {
            let draft = draft.words.split_whitespace().collect::<Vec<_>>().join(" ");
            let words = one_line(draft).style(styles::accent);
            return row![one_line(t.get("draft")).style(styles::accent), words].spacing(5).into();
        }
        let Some(last) = &conversation.last else { return one_line(t.get("nothing-said")).into() };
        let words = match &last.body {
            Body::Text(_) => quote(&last.body).unwrap_or_default(),
            Body::File(stored) => stored.file.name.as_str().to_owned(),
            Body::Card(card) => t.with("message-card", [("name", card.link.handle.as_str())]),
            Body::Deleted => t.get("message-deleted"),
            Body::Unknown => t.get("message-unknown"),
        };
        match last.direction {
            Direction::In => one_line(words).into(),
            Direction::Out => row![mark_of::<Message>(t, last, size::SMALL), one_line(words)].spacing(5).into(),
        }
    }

    /// Whether there is a connection, and if not what is done about it.
    pub(super) fn connection_words(&self, t: &Strings, present: &Present) -> (bool, String) {
        match &self.connection {
            ConnectionState::Online => (true, t.get(self.online_key())),
            ConnectionState::Connecting => (false, self.connecting_words(t)),
            ConnectionState::Offline { retry_at, why } => {
                let why = Failure::from(why.clone());
                let why = t.get(why.key);
                let left = retry_at.map(|at| at.get().saturating_sub(present.at.get()).div_ceil(1_000));
                match left {
                    Some(0) => (false, self.connecting_words(t)),
                    Some(left) => (false, t.with("offline-retry", [("why", why), ("left", span(t, left))])),
                    None => (false, t.with("offline", [("why", why)])),
                }
            }
        }
    }

    const fn online_key(&self) -> &'static str {
        match self.network.way {
            Some(Way::Tor) => "online-tor",
            Some(Way::Proxy(_)) => "online-proxy",
            Some(Way::Direct) | None => "online",
        }
    }

    /// What is waited for: Tor first, where it is on the way.
    fn connecting_words(&self, t: &Strings) -> String {
        match (self.network.way, &self.network.tor) {
            (Some(Way::Tor), TorState::Starting { percent }) => t.with("tor-starting", [("percent", *percent)]),
            (Some(Way::Tor), TorState::Trouble { trouble, .. }) => t.get(Failure::from(trouble.clone()).key),
            _ => t.get("connecting"),
        }
    }

    /// Leads to what can be done about it.
    fn connection_line<'a>(&self, t: &Strings, present: &Present) -> Element<'a, Message> {
        let (on, words) = self.connection_words(t, present);
        let dot = container(space().width(8).height(8)).width(8).height(8).style(styles::dot(on));
        let line = row![dot, ui::small(words).width(Fill)].spacing(8).align_y(Center);
        let line = button(line).padding([9, 16]).width(Fill).style(styles::line(false)).on_press(Message::ShowNetwork);
        let waits = matches!(self.connection, ConnectionState::Connecting);
        column![ui::slot(network::meter(&self.network).filter(|_| waits)), line].into()
    }
}

/// What was found, and before it whether it was this person who said it. They are no one text: each is read in its own direction.
pub(super) fn whose<'a, Message: 'a>(t: &Strings, direction: Direction, words: String) -> Row<'a, Message> {
    let one_line = |words: String| one_line(words, size::NOTE).style(styles::muted);
    let you = (direction == Direction::Out).then(|| one_line(t.get("you-said")));
    Row::new().push(you).push(one_line(words).fill()).spacing(5)
}

fn heading<'a>(t: &Strings, key: &'static str) -> Element<'a, Message> {
    container(ui::small(t.get(key)).font(STRONG)).padding([0, 10]).height(HEADING).align_y(Center).into()
}
