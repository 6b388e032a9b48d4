//! The main window: conversations, one of them, and what belongs to it.
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | state, and what a person does to it |
//! | `messages.rs` | everything that can happen |
//! | `keys.rs`, `palette.rs` | what keys do, and everything by its name |
//! | `news.rs` | what the bridge tells |
//! | `chat.rs`, `begun.rs` | the open conversation, and what was begun in it |
//! | `found.rs` | messages that were found |
//! | `files.rs`, `lightbox.rs` | files: what is to be sent, and those of messages; pictures |
//! | `picker.rs`, `naming.rs`, `asked.rs` | emoji to choose from, and by their names; a link, a day, words to copy |
//! | `removing.rs` | a conversation that is to go |
//! | [`timeline`], [`pictures`], [`shelf`] | rules: which part of its history is in memory, and which of its pictures |
//! | `avatar.rs` | how people look |
//! | `list.rs`, `conversation.rs`, `lines.rs`, `composer.rs`, `panel.rs`, `view.rs` | what is to be seen |
//! | [`settings`] | the settings |
//! | `beside.rs` | what the rest of the program may know |

mod asked;
mod avatar;
mod begun;
mod beside;
mod chat;
mod composer;
mod conversation;
mod files;
mod found;
mod keys;
mod lightbox;
mod lines;
mod list;
mod messages;
mod naming;
mod news;
pub mod palette;
mod panel;
pub mod picker;
pub mod pictures;
mod removing;
pub mod settings;
pub mod shelf;
pub mod timeline;
mod view;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_files;
#[cfg(test)]
mod tests_keys;
#[cfg(test)]
mod tests_people;

use std::collections::BTreeMap;

use endtoend_client::contact_link::{ContactLink, LINK_BYTES_MAX};
use endtoend_client::database::{Conversation, Direction, MessageRef, Standing};
use endtoend_client::engine::{ConnectionState, Deed};
use endtoend_client::handle::Handle;
use endtoend_client::nickname::{BadNickname, NICKNAME_BYTES_MAX, Nickname};
use endtoend_client::transport::NetworkStatus;
use endtoend_protocol::UnixMillis;

use crate::action::{Action, Place};
use crate::failure::Failure;
use crate::order::{Me, Order, OwnFace};
use crate::preferences::Density;
use crate::ui::id;
use asked::Asked;
use avatar::Faces;
use begun::Begun;
use chat::Chat;
use files::Attaching;
use found::Found;
pub use keys::everywhere;
use lightbox::LightBox;
use list::At;
pub use list::Step;
pub use messages::{ChatMessage, Message};
use palette::Palette;
use picker::Picker;
use settings::SettingsPage;

/// Narrower than this, in logical pixels, the list and the conversation take turns.
pub const NARROW: f32 = 720.0;
/// Narrower than this, the panel takes the place of the conversation.
pub const MEDIUM: f32 = 1_000.0;
/// Conversations whose unfinished words are kept.
const DRAFTS_MAX: usize = 200;
/// Shorter words are looked for among people only.
const SEARCH_CHARS_MIN: usize = 2;
/// What every link begins with.
const SCHEME: &str = "endtoend:";
/// Longest filter, in bytes.
const FILTER_BYTES_MAX: usize = 256;
/// That somebody is writing is shown for so long after the last sign of it, in milliseconds.
const TYPING_MS: u64 = 15_000;

/// The page with the conversations, as the application tells pages apart.
pub const CHATS: (u8, u8) = (2, 0);

/// How many things lie over a page, and beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// Which have all keys while they are there.
    pub layers: u8,
    /// Which can be left alone.
    pub beside: u8,
}

impl Over {
    /// Whether something has gone since then.
    pub const fn is_less(self, before: Self) -> bool {
        self.layers < before.layers || self.beside < before.beside
    }
}

/// Somebody to write to.
#[derive(Debug, Default)]
pub struct NewChat {
    typed: String,
    /// The server is asked about the person of a link.
    asking: bool,
    /// The system's window is open, to choose a picture of a code in.
    choosing: bool,
    failure: Option<Failure>,
}

/// How a person is named.
enum Named {
    Handle(Handle),
    Link(Box<ContactLink>),
}

impl NewChat {
    /// Who is meant.
    fn named(&self) -> Result<Named, Failure> {
        let typed = self.typed.trim();
        match typed.starts_with(SCHEME) {
            true => Ok(Named::Link(Box::new(typed.parse()?))),
            false => Ok(Named::Handle(typed.parse()?)),
        }
    }
}

/// The main window.
#[derive(Debug)]
pub struct Home {
    me: Me,
    /// How this account shows itself; `None` before it is known.
    own: Option<OwnFace>,
    faces: Faces,
    connection: ConnectionState,
    network: NetworkStatus,
    conversations: Vec<Conversation>,
    listed: bool,
    filter: String,
    found: Found,
    list_place: Place,
    /// Where keys are in it.
    list_at: Option<At>,
    drafts: BTreeMap<Handle, Begun>,
    typing: BTreeMap<Handle, UnixMillis>,
    chat: Option<Chat>,
    panel: bool,
    new_chat: Option<NewChat>,
    settings: Option<SettingsPage>,
    attaching: Option<Attaching>,
    lightbox: Option<LightBox>,
    picker: Option<Picker>,
    palette: Option<Palette>,
    asked: Option<Asked>,
    /// The keys are listed.
    sheet: bool,
    /// Where the last file lies that was saved.
    saved: Option<String>,
    failure: Option<Failure>,
    clock_off: Option<(u64, bool)>,
    focused: bool,
    width: f32,
    density: Density,
}

impl Home {
    /// Just opened.
    pub fn new(me: Me, width: f32, focused: bool) -> (Self, Vec<Action>) {
        let home = Self {
            me,
            own: None,
            faces: avatar::faces(),
            connection: ConnectionState::Connecting,
            network: NetworkStatus::default(),
            conversations: Vec::new(),
            listed: false,
            filter: String::new(),
            found: Found::default(),
            list_place: Place::default(),
            list_at: None,
            drafts: BTreeMap::new(),
            typing: BTreeMap::new(),
            chat: None,
            panel: false,
            new_chat: None,
            settings: None,
            attaching: None,
            lightbox: None,
            picker: None,
            palette: None,
            asked: None,
            sheet: false,
            saved: None,
            failure: None,
            clock_off: None,
            focused,
            width,
            density: Density::default(),
        };
        (home, [Order::Conversations, Order::Drafts, Order::OwnFace].map(Action::Order).to_vec())
    }

    /// Messages that nobody has seen, of those who may write.
    pub fn unread(&self) -> u64 {
        let counted = |conversation: &&Conversation| {
            matches!(conversation.contact.standing, Standing::Accepted | Standing::Request)
        };
        self.conversations.iter().filter(counted).map(|conversation| conversation.unread).sum()
    }

    /// Which message is.
    #[cfg(test)]
    pub(crate) fn chosen(&self) -> Option<MessageRef> {
        self.chat.as_ref()?.chosen
    }

    /// The window has another width.
    pub fn resized(&mut self, width: f32) {
        self.width = width;
    }

    /// A person looks at the window, or away.
    pub fn focused(&mut self, focused: bool) -> Vec<Action> {
        self.focused = focused;
        self.look()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: UnixMillis) -> Vec<Action> {
        self.typing.retain(|_, since| now.get().saturating_sub(since.get()) < TYPING_MS);
        self.chat.as_mut().and_then(Chat::keep_draft).into_iter().collect()
    }

    fn contact(&self, handle: &Handle) -> Option<&Conversation> {
        self.conversations.iter().find(|conversation| conversation.contact.handle.as_ref() == Some(handle))
    }

    /// Whether somebody has written who was not decided about.
    fn is_request(conversation: &Conversation) -> bool {
        let theirs = conversation.last.as_ref().is_some_and(|last| last.direction == Direction::In);
        theirs && conversation.contact.standing == Standing::Request
    }

    fn open_new_chat(&mut self) -> Vec<Action> {
        self.new_chat = Some(NewChat::default());
        vec![Action::Focus(id::NEW_CHAT)]
    }

    fn leave_chat(&mut self) -> Vec<Action> {
        let Some(mut chat) = self.chat.take() else { return Vec::new() };
        let kept = chat.keep_draft_now();
        let begun = chat.begun();
        if begun.is_empty() {
            self.drafts.remove(&chat.with);
        } else if self.drafts.len() < DRAFTS_MAX || self.drafts.contains_key(&chat.with) {
            self.drafts.insert(chat.with, begun);
        }
        self.panel = false;
        (self.lightbox, self.picker, self.asked) = (None, None, None);
        kept.into_iter().collect()
    }

    fn open(&mut self, with: Handle) -> Vec<Action> {
        (self.settings, self.new_chat, self.attaching) = (None, None, None);
        if self.chat.as_ref().is_some_and(|chat| chat.with == with) {
            return vec![Action::Focus(id::COMPOSER)];
        }
        let mut actions = self.leave_chat();
        let begun = self.drafts.get(&with).cloned().unwrap_or_default();
        let unread = self.contact(&with).map_or(0, |known| known.unread);
        let (chat, opening) = Chat::open(with, begun, unread);
        self.chat = Some(chat);
        actions.extend(opening);
        actions.push(Action::Focus(id::COMPOSER));
        actions
    }

    fn open_at(&mut self, with: Handle, message: MessageRef) -> Vec<Action> {
        let mut actions = self.open(with);
        if let Some(chat) = &mut self.chat {
            actions.push(chat.go_to(message));
        }
        actions
    }

    /// Narrows the list, and looks for messages.
    fn look_for(&mut self, filter: String) -> Vec<Action> {
        self.filter = filter;
        let number = self.found.next();
        let words = self.filter.trim();
        if words.chars().count() < SEARCH_CHARS_MIN {
            self.found.hits.clear();
            return Vec::new();
        }
        vec![Action::Order(Order::Search(number, words.to_owned()))]
    }

    /// What somebody is called here from now on.
    fn name_done(&mut self) -> Vec<Action> {
        let Some(chat) = &mut self.chat else { return Vec::new() };
        let Some(typed) = chat.name.take() else { return Vec::new() };
        let named = if typed.trim().is_empty() { Ok(None) } else { typed.parse::<Nickname>().map(Some) };
        match named {
            Ok(nickname) => vec![Action::Order(Order::Name(chat.with.clone(), nickname))],
            Err(BadNickname) => {
                (chat.name, self.failure) = (Some(typed), Some(Failure::new("nickname-bad")));
                Vec::new()
            }
        }
    }

    /// Those who are listed, as they stand there: requests apart, nobody who was turned away unless looked for.
    fn listed(&self) -> impl Iterator<Item = &Conversation> {
        self.listed_by(self.filter.trim())
    }

    /// The same for other words than those of the list's field.
    fn listed_by(&self, words: &str) -> impl Iterator<Item = &Conversation> + use<'_> {
        let filter = words.to_lowercase();
        let wanted = move |conversation: &&Conversation| {
            let contact = &conversation.contact;
            let handle = contact.handle.as_ref().map(Handle::as_str).unwrap_or_default();
            let called = [&contact.nickname, &contact.face_name];
            match contact.standing {
                _ if !filter.is_empty() => {
                    let mut called = called.into_iter().flatten().map(|name| name.as_str().to_lowercase());
                    handle.contains(&filter) || called.any(|name| name.contains(&filter))
                }
                Standing::Accepted | Standing::Request => true,
                Standing::Blocked | Standing::Ignored => false,
            }
        };
        self.conversations.iter().filter(wanted)
    }

    /// A person did something.
    pub fn update(&mut self, message: Message, now: UnixMillis) -> Vec<Action> {
        match message {
            Message::Filtered(filter) if filter.len() <= FILTER_BYTES_MAX => return self.look_for(filter),
            Message::Filtered(_) => {}
            Message::OpenFirst => {
                let first = self.listed().find_map(|conversation| conversation.contact.handle.clone());
                let found = self.found.hits.first().map(|hit| (hit.with.clone(), hit.message));
                let _none = self.look_for(String::new());
                return match (first, found) {
                    (Some(first), _) => self.open(first),
                    (None, Some((with, message))) => self.open_at(with, message),
                    (None, None) => Vec::new(),
                };
            }
            // The search stays, so that the next one can be looked at.
            Message::OpenAt(with, message) => return self.open_at(with, message),
            Message::ListScrolled(place) => self.list_place = place,
            Message::ListStep(step) => return self.list_step(step),
            Message::Open(with) => return self.open(with),
            Message::CloseChat => return self.leave_chat(),
            Message::NewChat => return self.open_new_chat(),
            Message::NewChatEdited(typed) if typed.len() <= LINK_BYTES_MAX => {
                self.new_chat = Some(NewChat { typed, ..NewChat::default() });
            }
            Message::NewChatEdited(_) => {}
            Message::NewChatDone => return self.new_chat_done(),
            Message::NewChatClosed => self.new_chat = None,
            Message::WriteTo(link) => {
                self.new_chat = Some(NewChat { typed: link.to_string(), ..NewChat::default() });
                return self.new_chat_done();
            }
            Message::Chat(message) => return self.chat_message(message, now),
            Message::Arrange(arrangement) => return self.about_chat(|with| Order::Arrange(with, arrangement)),
            Message::Panel(open) => return self.show_panel(open),
            Message::ShowCode => return self.show_code(),
            Message::ReadCode => return self.read_code(),
            Message::AcceptIdentity => return self.about_chat(Order::AcceptIdentity),
            Message::MarkVerified(compared) => {
                return self.about_chat(|with| Order::MarkVerified(with, compared));
            }
            Message::Decide(standing) => return self.about_chat(|with| Order::Decide(with, standing)),
            Message::NameEdited(typed) if typed.len() <= NICKNAME_BYTES_MAX => {
                if let Some(chat) = &mut self.chat {
                    chat.name = Some(typed);
                }
            }
            Message::NameEdited(_) => {}
            Message::NameDone => return self.name_done(),
            Message::SetTimer(lifetime) => return self.about_chat(|with| Order::Act(with, Deed::Timer(lifetime))),
            Message::Settings(true) => return self.open_settings(),
            Message::Settings(false) => self.settings = None,
            Message::Remove => return self.ask_removal(),
            Message::RemoveContactToo(contact) => return self.remove_contact_too(contact),
            Message::RemovalDone => return self.removal_done(),
            Message::ShowNetwork => return self.show_network(),
            // The application keeps them.
            Message::Prefer(_) => {}
            Message::Dismiss => (self.failure, self.clock_off, self.saved) = (None, None, None),
            Message::Attach(true) => return self.attach(Vec::new()),
            Message::Attach(false) => self.attaching = None,
            Message::ChooseFiles => return self.choose_files(),
            Message::FileRemoved(at) => return self.file_removed(at),
            Message::Paste if self.may_write() => return vec![Action::Order(Order::Paste)],
            Message::Paste => {}
            Message::ClosePicture => self.lightbox = None,
            Message::NextPicture(forward) => return self.next_picture(forward),
            Message::Pick(purpose) => return self.pick(purpose),
            Message::PickerEdited(words) => return self.picker_edited(words),
            Message::Picked(emoji) => return self.picked(emoji),
            Message::Palette(open) => return self.show_palette(open),
            Message::PaletteEdited(typed) => return self.palette_edited(typed),
            Message::PaletteDone(item) => return self.palette_done(item),
            Message::Sheet(open) => self.sheet = open,
            Message::Day => return self.ask_day(),
            Message::DayEdited(typed) => return self.day_edited(typed),
            Message::DayDone(from) => return self.day_done(from),
            Message::Link(link) => self.asked = Some(Asked::Link(link)),
            Message::LinkDone => return self.link_done(),
            Message::PlayDone => return self.play_done(),
            Message::WordsEdited(action) => return self.words_edited(action),
            Message::NotAsked => self.asked = None,
            Message::FaceSeen(of) => return self.face_seen(of),
            Message::FileEdited(path) => return self.file_edited(path),
            Message::FileDone => return self.file_done(),
            Message::Copy(text) => return vec![Action::Copy(text)],
            Message::CopySecret(text) => return vec![Action::CopySecret(text)],
            Message::Setting(message) => return self.settings_message(message),
        }
        Vec::new()
    }

    fn new_chat_done(&mut self) -> Vec<Action> {
        let Some(new) = &mut self.new_chat else { return Vec::new() };
        new.failure = None;
        match new.named() {
            Ok(Named::Handle(handle)) => return self.open(handle),
            Ok(Named::Link(link)) => {
                new.asking = true;
                return vec![Action::Order(Order::Add(link, false))];
            }
            Err(failure) => new.failure = Some(failure),
        }
        Vec::new()
    }

    /// Something that is ordered about the person whom the open conversation is with.
    fn about_chat(&self, order: impl FnOnce(Handle) -> Order) -> Vec<Action> {
        self.chat.as_ref().map(|chat| Action::Order(order(chat.with.clone()))).into_iter().collect()
    }

    fn chat_message(&mut self, message: ChatMessage, now: UnixMillis) -> Vec<Action> {
        let may_write = self.may_write();
        match message {
            ChatMessage::PictureSeen(of) => return self.picture_seen(of),
            ChatMessage::OpenPicture(of) => return self.open_picture(of),
            ChatMessage::Words(of) => return self.ask_words(of),
            ChatMessage::Play(of) => {
                self.asked = Some(Asked::Play(of));
                return Vec::new();
            }
            _ => {}
        }
        let Some(chat) = &mut self.chat else { return Vec::new() };
        let mut actions = match message {
            ChatMessage::Send if !may_write => Vec::new(),
            ChatMessage::Fetch(of) | ChatMessage::StopFile(of) | ChatMessage::Save(of) => chat.file(&message, of),
            message => chat.update(message, now).unwrap_or_else(|failure| {
                self.failure = Some(failure);
                Vec::new()
            }),
        };
        actions.extend(self.look());
        actions
    }

    /// Whether anything can be said: not to somebody whose identity has changed or whom this person has turned away.
    fn may_write(&self) -> bool {
        let Some(chat) = &self.chat else { return false };
        self.contact(&chat.with).is_none_or(|conversation| {
            conversation.contact.changed_identity.is_none()
                && !matches!(conversation.contact.standing, Standing::Blocked | Standing::Ignored)
        })
    }

    /// What is before a person's eyes now was seen.
    fn look(&mut self) -> Vec<Action> {
        let shown = self.settings.is_none() && self.focused;
        let Some(chat) = self.chat.as_mut().filter(|_| shown) else { return Vec::new() };
        chat.look().map(Action::Order).into_iter().collect()
    }
}
