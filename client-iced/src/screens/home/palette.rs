//! Everything by its name: people, what the window can do, and what was said. Keys alone are enough.

use endtoend_client::database::MessageRef;
use endtoend_client::handle::Handle;
use iced::keyboard::{self, key};
use iced::widget::{Column, column, container, row, scrollable, space, text_input};
use iced::{Center, Element, Fill};

use super::found::Found;
use super::view::above;
use super::{FILTER_BYTES_MAX, Home, Message, SEARCH_CHARS_MIN, picker};
use crate::action::Action;
use crate::calendar::Present;
use crate::focus::{self, button};
use crate::one_line::one_line;
use crate::order::Order;
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui::{self, id};

/// People that are listed. Who is not among them is found by another letter.
const PEOPLE_MAX: usize = 8;
/// Questions about messages are numbered from here, so that their answers are not taken for those of the list's.
const NUMBERS_FROM: u64 = 1 << 63;
/// Of the list, in logical pixels.
const HEIGHT_MAX: f32 = 420.0;

/// What the window can do, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write to somebody.
    NewChat,
    /// The next conversation in which something was not read.
    NextUnread,
    /// Send a file.
    Attach,
    /// Put in an emoji.
    Emoji,
    /// About the person.
    Details,
    /// The end of the conversation.
    ToEnd,
    /// A day of the conversation.
    ToDay,
    /// Narrow the list.
    Filter,
    /// The settings.
    Settings,
    /// Nobody reads along who comes by.
    Lock,
    /// The keys.
    Sheet,
}

impl Command {
    /// All of them, as they are listed.
    pub const ALL: [Self; 11] = [
        Self::NewChat,
        Self::NextUnread,
        Self::Attach,
        Self::Emoji,
        Self::Details,
        Self::ToEnd,
        Self::ToDay,
        Self::Filter,
        Self::Settings,
        Self::Lock,
        Self::Sheet,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewChat => "new-chat",
            Self::NextUnread => "next-unread",
            Self::Attach => "keys-file",
            Self::Emoji => "keys-emoji",
            Self::Details => "details",
            Self::ToEnd => "to-the-end",
            Self::ToDay => "to-day",
            Self::Filter => "keys-list",
            Self::Settings => "settings",
            Self::Lock => "keys-lock",
            Self::Sheet => "keys",
        }
    }

    /// The keys that do the same.
    pub const fn keys(self) -> &'static str {
        match self {
            Self::NewChat => "Ctrl + N",
            Self::NextUnread => "Alt + Shift + ↓",
            Self::Attach => "Ctrl + O",
            Self::Emoji => "Ctrl + E",
            Self::Details => "Ctrl + I",
            Self::ToEnd => "Ctrl + End",
            Self::ToDay => "Ctrl + G",
            Self::Filter => "Ctrl + F",
            Self::Settings => "Ctrl + ,",
            Self::Lock => "Ctrl + L",
            Self::Sheet => "Ctrl + /",
        }
    }

    /// Whether there has to be a conversation for it.
    const fn is_about_chat(self) -> bool {
        match self {
            Self::Attach | Self::Emoji | Self::Details | Self::ToEnd | Self::ToDay => true,
            Self::NewChat | Self::NextUnread | Self::Filter | Self::Settings | Self::Lock | Self::Sheet => false,
        }
    }
}

/// One of what is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A conversation.
    Conversation(Handle),
    /// Something that the window can do.
    Command(Command),
    /// Something that was said.
    Message(Handle, MessageRef),
}

/// Somebody looks for something.
#[derive(Debug)]
pub(super) struct Palette {
    typed: String,
    pub(super) found: Found,
    chosen: usize,
}

impl Palette {
    /// What is looked for.
    pub(super) fn words(&self) -> &str {
        self.typed.trim()
    }
}

impl Home {
    pub(super) fn show_palette(&mut self, open: bool) -> Vec<Action> {
        if !open {
            self.palette = None;
            return vec![Action::FocusBack];
        }
        self.palette = Some(Palette { typed: String::new(), found: Found::from(NUMBERS_FROM), chosen: 0 });
        vec![Action::Focus(id::PALETTE)]
    }

    pub(super) fn palette_edited(&mut self, typed: String) -> Vec<Action> {
        let Some(palette) = self.palette.as_mut().filter(|_| typed.len() <= FILTER_BYTES_MAX) else {
            return Vec::new();
        };
        (palette.typed, palette.chosen) = (typed, 0);
        let number = palette.found.next();
        let words = palette.words();
        if words.chars().count() < SEARCH_CHARS_MIN {
            palette.found.hits.clear();
            return Vec::new();
        }
        vec![Action::Order(Order::Search(number, words.to_owned()))]
    }

    /// What is listed now.
    pub(super) fn palette_items(&self, t: &Strings, palette: &Palette) -> Vec<Item> {
        let words = palette.words().to_lowercase();
        let people = self.listed_by(palette.words()).filter_map(|known| known.contact.handle.clone());
        let mut items: Vec<Item> = people.take(PEOPLE_MAX).map(Item::Conversation).collect();
        let can = |command: &Command| !command.is_about_chat() || self.chat.is_some();
        let is_meant = |command: &Command| t.get(command.name()).to_lowercase().contains(&words);
        items.extend(Command::ALL.into_iter().filter(can).filter(is_meant).map(Item::Command));
        items.extend(palette.found.hits.iter().map(|hit| Item::Message(hit.with.clone(), hit.message)));
        items
    }

    /// A key while it is open: `None` when it means something else.
    pub(super) fn palette_key(&mut self, pressed: &keyboard::Key, t: &Strings) -> Option<Vec<Action>> {
        let count = self.palette.as_ref().map(|palette| self.palette_items(t, palette).len())?;
        let palette = self.palette.as_mut()?;
        let last = count.saturating_sub(1);
        palette.chosen = match pressed.as_ref() {
            keyboard::Key::Named(key::Named::ArrowDown) if palette.chosen >= last => 0,
            keyboard::Key::Named(key::Named::ArrowDown) => palette.chosen + 1,
            keyboard::Key::Named(key::Named::ArrowUp) => palette.chosen.checked_sub(1).unwrap_or(last),
            _ => return None,
        };
        Some(vec![Action::Reveal(id::PALETTE_LIST, palette.chosen as f32 / last.max(1) as f32)])
    }

    /// That one.
    pub(super) fn palette_done(&mut self, item: Item) -> Vec<Action> {
        self.palette = None;
        match item {
            Item::Conversation(with) => self.open(with),
            Item::Message(with, message) => self.open_at(with, message),
            Item::Command(command) => self.command(command),
        }
    }

    pub(super) fn command(&mut self, command: Command) -> Vec<Action> {
        match command {
            Command::NewChat => self.open_new_chat(),
            Command::NextUnread => self.next_unread(),
            Command::Attach => self.attach(Vec::new()),
            Command::Emoji => self.pick(Some(picker::Purpose::Write)),
            Command::Details => self.show_panel(!self.panel),
            Command::ToEnd => self.chat.as_mut().map(super::Chat::show_end).unwrap_or_default(),
            Command::ToDay => self.ask_day(),
            Command::Filter => self.focus_filter(),
            Command::Settings => self.open_settings(),
            Command::Lock => vec![Action::Order(Order::Lock)],
            Command::Sheet => {
                self.sheet = true;
                Vec::new()
            }
        }
    }

    pub(super) fn palette_view<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        palette: &'a Palette,
    ) -> Element<'a, Message> {
        let items = self.palette_items(t, palette);
        let chosen = items.get(palette.chosen).or(items.first()).cloned();
        let field = text_input(&t.get("palette"), &palette.typed)
            .id(id::PALETTE)
            .on_input(Message::PaletteEdited)
            .on_submit_maybe(chosen.clone().map(Message::PaletteDone))
            .padding([10, 12])
            .size(size::BODY)
            .style(styles::field);
        let line = |item: Item| {
            let is_chosen = chosen.as_ref() == Some(&item);
            button(self.palette_line(t, present, palette, &item))
                .padding([7, 10])
                .width(Fill)
                .clip(true)
                .style(styles::line(is_chosen))
                .on_press(Message::PaletteDone(item))
                .by_tab(false)
                .into()
        };
        let list: Element<'a, Message> = match items.is_empty() {
            true => container(ui::note(t.get("none-here"))).padding(10).into(),
            false => {
                let lines = scrollable(
                    // The bar is beside the lines.
                    Column::with_children(items.into_iter().map(line)).spacing(1).padding(iced::padding::right(14)),
                );
                container(lines.id(id::PALETTE_LIST).style(styles::scroll).width(Fill)).max_height(HEIGHT_MAX).into()
            }
        };
        above(column![focus::field(field), list].spacing(10).into(), Message::Palette(false))
    }

    fn palette_line<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        palette: &'a Palette,
        item: &Item,
    ) -> Element<'a, Message> {
        let named = |with: &Handle| self.contact(with).map_or_else(|| with.to_string(), super::list::name);
        match item {
            Item::Conversation(with) => {
                let unread = self.contact(with).map_or(0, |known| known.unread);
                row![self.avatar(self.contact(with), with.as_str(), 24), one_line(named(with), size::BODY).fill()]
                    // Names prove nothing: the handle is who it is.
                    .push(
                        self.contact(with).and_then(|known| known.contact.name()).map(|_| ui::small(with.to_string())),
                    )
                    .push((unread > 0).then(|| ui::small(unread.to_string()).style(styles::accent)))
                    .spacing(10)
                    .align_y(Center)
                    .into()
            }
            Item::Command(command) => {
                row![space().width(24), ui::body(t.get(command.name())).width(Fill), ui::small(command.keys())]
                    .spacing(10)
                    .align_y(Center)
                    .into()
            }
            Item::Message(with, message) => {
                let hit = palette.found.hits.iter().find(|hit| hit.with == *with && hit.message == *message);
                let words = hit.map(|hit| hit.words.clone()).unwrap_or_default();
                let when = hit.map(|hit| ui::small(present.brief(t, hit.sent_at)));
                let name = one_line(named(with), size::SMALL).style(styles::muted).fill();
                let words = super::list::whose(t, message.direction, words);
                let head = row![name].push(when).spacing(8);
                row![space().width(24), column![head, words].spacing(1)].spacing(10).into()
            }
        }
    }
}
