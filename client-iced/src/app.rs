//! The whole window as a value: messages change it, and say what is to be done outside. No I/O, no clock.

use std::path::PathBuf;

use endtoend_client::engine::{ConnectionState, Event, OfflineReason};
use endtoend_protocol::UnixMillis;
use iced::{Element, Theme, keyboard};
use jiff::tz::TimeZone;

use crate::action::Action;
use crate::calendar::Present;
use crate::clipboard::Clearing;
use crate::desktop::beside::Beside;
use crate::desktop::notice::notice;
use crate::desktop::{self, Sign};
use crate::focus;
use crate::order::{News, Order};
use crate::preferences::Preferences;
use crate::screens::{first_run, home, unlock};
use crate::strings::{Language, Strings};
use crate::theme;

/// The engine hears no more often than this that somebody is there, in milliseconds.
const ACTIVE_EVERY_MS: u64 = 5_000;

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// On the way to an account.
    FirstRun(first_run::Message),
    /// Where the password is asked for.
    Unlock(unlock::Message),
    /// In the main window.
    Home(home::Message),
    /// The bridge tells something.
    News(News),
    /// A key was pressed that no field has taken.
    Key(keyboard::Key, keyboard::Modifiers),
    /// The window has another size, in logical pixels.
    Resized(f32, f32),
    /// A file was let fall on the window.
    Dropped(PathBuf),
    /// A person looks at the window, or away.
    Focused(bool),
    /// The system is dark, or light.
    SystemDark(bool),
    /// A person does something, whatever it is.
    Active(Hand),
    /// The window is to be closed.
    Close,
    /// The desktop tells something.
    Desktop(desktop::News),
}

/// What a person has the hand on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hand {
    /// A mouse, or the glass itself.
    #[default]
    Pointer,
    /// Keys: what comes gets the keyboard, so that they go on there.
    Keys,
}

/// What is shown, as far as it matters to where keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight {
    page: (u8, u8),
    /// What lies over it.
    over: home::Over,
}

/// What is shown.
#[derive(Debug)]
pub enum Screen {
    /// There is no profile with an account.
    FirstRun(Box<first_run::FirstRun>),
    /// There is a profile.
    Unlock(unlock::Unlock),
    /// It is open.
    Home(Box<home::Home>),
}

/// The state of the window.
#[derive(Debug)]
pub struct App {
    /// What is shown.
    pub screen: Screen,
    /// What was chosen.
    pub preferences: Preferences,
    /// What is said.
    pub strings: Strings,
    /// When it is, and where.
    pub present: Present,
    dark: bool,
    size: (f32, f32),
    focused: bool,
    /// The window is closed, and the program runs on.
    hidden: bool,
    /// Somebody shows the sign in the tray.
    tray: bool,
    beside: Beside,
    /// What the sign was made of.
    signed: Option<(u64, Language, bool)>,
    clearing: Clearing,
    active: Option<UnixMillis>,
    hand: Hand,
}

impl App {
    /// Before anything has happened. `profile` says whether there is one.
    pub fn new(preferences: Preferences, now: UnixMillis, zone: TimeZone, profile: bool) -> (Self, Vec<Action>) {
        let (screen, focus) = match profile {
            true => (Screen::Unlock(unlock::Unlock::default()), vec![Action::Focus(crate::ui::id::PASSWORD)]),
            false => (Screen::FirstRun(Box::default()), Vec::new()),
        };
        let app = Self {
            screen,
            preferences,
            strings: Strings::new(preferences.language),
            present: Present { at: now, zone },
            dark: false,
            size: (1024.0, 720.0),
            focused: true,
            hidden: false,
            tray: false,
            beside: Beside::default(),
            signed: None,
            clearing: Clearing::default(),
            active: None,
            hand: Hand::default(),
        };
        (app, focus)
    }

    /// Of the window: what nobody minds others to see on a list of windows.
    pub fn title(&self) -> String {
        match &self.screen {
            Screen::Home(home) if home.unread() > 0 => {
                self.strings.with("window-title-unread", [("count", home.unread())])
            }
            Screen::Home(_) | Screen::FirstRun(_) | Screen::Unlock(_) => self.strings.get("window-title"),
        }
    }

    /// As it was chosen.
    pub fn theme(&self) -> Theme {
        theme::theme(self.preferences.appearance, self.dark, self.preferences.accent)
    }

    /// How large everything is.
    pub fn scale(&self) -> f32 {
        self.preferences.scale.factor()
    }

    /// Something happened.
    pub fn update(&mut self, message: Message) -> Vec<Action> {
        let before = self.sight();
        let mut actions = self.happened(message);
        self.keys_follow(before, &mut actions);
        for action in &actions {
            match action {
                Action::CopySecret(text) if self.preferences.clear_clipboard => {
                    self.clearing.copied(text, self.present.at);
                }
                Action::Copy(_) => self.clearing.forget(),
                _ => {}
            }
        }
        actions
    }

    fn sight(&self) -> Sight {
        match &self.screen {
            Screen::FirstRun(screen) => Sight { page: (0, screen.page()), over: home::Over::default() },
            Screen::Unlock(_) => Sight { page: (1, 0), over: home::Over::default() },
            Screen::Home(screen) => Sight { page: (2, screen.page()), over: screen.over() },
        }
    }

    /// Keys go into what has come, and out of what has gone, when nobody has said better.
    fn keys_follow(&self, before: Sight, actions: &mut Vec<Action>) {
        let now = self.sight();
        if now == before || actions.iter().any(|action| action.way().is_some()) {
            return;
        }
        let comes = (now.page != before.page && now.page != home::CHATS) || now.over.layers > before.over.layers;
        let goes = now.page != before.page || now.over.is_less(before.over);
        match self.hand {
            Hand::Keys if comes => actions.push(Action::FocusFirst),
            Hand::Keys if goes => actions.push(Action::FocusBack),
            Hand::Pointer if goes && !comes => actions.push(Action::Focus(crate::ui::id::COMPOSER)),
            Hand::Keys | Hand::Pointer => {}
        }
    }

    fn happened(&mut self, message: Message) -> Vec<Action> {
        match (message, &mut self.screen) {
            (Message::FirstRun(message), Screen::FirstRun(screen)) => screen.update(message),
            (Message::Unlock(message), Screen::Unlock(screen)) => screen.update(message),
            (Message::Home(home::Message::Prefer(preferences)), Screen::Home(_)) => self.prefer(preferences),
            (Message::Home(message), Screen::Home(screen)) => screen.update(message, self.present.at),
            (Message::Key(key, modifiers), Screen::Home(screen)) => {
                screen.key(&key, modifiers, self.present.at, &self.strings)
            }
            (Message::Key(keyboard::Key::Named(key), modifiers), _) => home::everywhere(key, modifiers),
            (Message::News(news), _) => self.news(news),
            (Message::Resized(width, height), screen) => {
                self.size = (width, height);
                if let Screen::Home(home) = screen {
                    home.resized(width);
                }
                Vec::new()
            }
            (Message::Focused(focused), screen) => {
                self.focused = focused;
                match screen {
                    Screen::Home(home) => home.focused(focused),
                    Screen::FirstRun(_) | Screen::Unlock(_) => Vec::new(),
                }
            }
            (Message::Dropped(path), Screen::Home(screen)) => screen.dropped(&path),
            (Message::Dropped(path), Screen::FirstRun(screen)) => screen.dropped(&path),
            (Message::SystemDark(dark), _) => {
                self.dark = dark;
                Vec::new()
            }
            (Message::Active(hand), _) => {
                self.hand = hand;
                self.somebody_is_there()
            }
            (Message::Close, _) => self.close(),
            (Message::Desktop(news), _) => self.desktop_news(news),
            // What a screen was told that is not shown any more.
            (
                Message::FirstRun(_) | Message::Unlock(_) | Message::Home(_) | Message::Key(..) | Message::Dropped(_),
                _,
            ) => Vec::new(),
        }
    }

    fn prefer(&mut self, preferences: Preferences) -> Vec<Action> {
        if preferences.language != self.preferences.language {
            self.strings = Strings::new(preferences.language);
        }
        self.preferences = preferences;
        if let Screen::Home(home) = &mut self.screen {
            home.set_density(preferences.density);
        }
        vec![Action::Order(Order::Keep(preferences))]
    }

    /// A profile that locks itself does not while somebody is there.
    fn somebody_is_there(&mut self) -> Vec<Action> {
        let now = self.present.at;
        let due = self.active.is_none_or(|last| now.get().saturating_sub(last.get()) >= ACTIVE_EVERY_MS);
        match self.screen {
            Screen::Home(_) if due => {
                self.active = Some(now);
                vec![Action::Order(Order::Active)]
            }
            Screen::FirstRun(_) | Screen::Unlock(_) | Screen::Home(_) => Vec::new(),
        }
    }

    /// Without a tray there would be no way back.
    fn close(&mut self) -> Vec<Action> {
        if !(self.preferences.close_to_tray && self.tray) {
            return vec![Action::Quit];
        }
        self.hidden = true;
        let mut actions = self.happened(Message::Focused(false));
        actions.push(Action::HideWindow);
        actions
    }

    fn show(&mut self) -> Vec<Action> {
        self.hidden = false;
        vec![Action::ShowWindow]
    }

    fn desktop_news(&mut self, news: desktop::News) -> Vec<Action> {
        match (news, &mut self.screen) {
            (desktop::News::Tray(tray), _) => {
                self.tray = tray;
                self.signed = None;
                if self.hidden && !tray { self.show() } else { Vec::new() }
            }
            (desktop::News::Show, _) => self.show(),
            (desktop::News::Pressed(key), Screen::Home(home)) => {
                let mut actions = match key.parse() {
                    Ok(handle) => home.update(home::Message::Open(handle), self.present.at),
                    Err(_) => Vec::new(),
                };
                actions.extend(self.show());
                actions
            }
            (desktop::News::Pressed(_), _) => self.show(),
            (desktop::News::Lock, Screen::Home(_)) => vec![Action::Order(Order::Lock)],
            (desktop::News::Lock, _) => Vec::new(),
            (desktop::News::Quit, _) => vec![Action::Quit],
        }
    }

    /// The profile was locked, by a person or by itself: nothing of it is shown or kept any more.
    fn locked(&mut self) -> Vec<Action> {
        self.screen = Screen::Unlock(unlock::Unlock::default());
        self.active = None;
        let mut actions: Vec<Action> = self.beside.close().into_iter().map(Action::Desktop).collect();
        actions.push(Action::Order(Order::ForgetPlayed));
        actions.push(Action::Focus(crate::ui::id::PASSWORD));
        actions
    }

    /// What the desktop is to be told of this.
    fn told_beside(&mut self, news: &News) -> Vec<Action> {
        let Screen::Home(home) = &self.screen else { return Vec::new() };
        match news {
            News::Event(event) => {
                if let Event::Received { from: Some(from), .. } = event.as_ref()
                    && !home.is_before_the_eyes(from)
                {
                    self.beside.came(from.clone());
                }
                Vec::new()
            }
            News::Conversation(with, Ok(line)) => {
                let unread = line.as_ref().map_or(0, |line| line.unread);
                self.beside.listed(with, unread).map(Action::Desktop).into_iter().collect()
            }
            News::Conversations(Ok(all)) => {
                let named = all.iter().filter_map(|line| Some((line.contact.handle.as_ref()?, line.unread)));
                named.filter_map(|(with, unread)| self.beside.listed(with, unread)).map(Action::Desktop).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Once a second.
    fn tick(&mut self, at: UnixMillis) -> Vec<Action> {
        self.present.at = at;
        let mut actions: Vec<Action> = self.clearing.due(at).map(Action::ClearClipboard).into_iter().collect();
        let mut unread = 0;
        if let Screen::Home(home) = &mut self.screen {
            actions.extend(home.tick(at));
            unread = home.unread();
            let (t, shows) = (&self.strings, self.preferences.notices);
            let told = self.beside.tell(|who| home.line(who), |line| notice(t, shows, line, at));
            actions.extend(told.into_iter().map(Action::Desktop));
        }
        let open = matches!(self.screen, Screen::Home(_));
        let sign = (unread, self.strings.language(), open);
        if self.tray && self.signed != Some(sign) {
            self.signed = Some(sign);
            let t = &self.strings;
            let words = match (open, unread) {
                (false, _) => t.get("tray-locked"),
                (true, 0) => t.get("tray-nothing"),
                (true, unread) => t.with("tray-unread", [("count", unread)]),
            };
            let menu = ["tray-show", "tray-lock", "tray-quit"].map(|key| t.get(key));
            actions.extend(self.beside.sign(Sign { unread, words, menu }).map(Action::Desktop));
        }
        actions
    }

    fn news(&mut self, news: News) -> Vec<Action> {
        let mut actions = self.told_beside(&news);
        actions.extend(self.heard(news));
        actions
    }

    fn heard(&mut self, news: News) -> Vec<Action> {
        match (news, &mut self.screen) {
            (News::Now(at), _) => self.tick(at),
            (News::Entered(me), _) => {
                let (mut home, mut actions) = home::Home::new(*me, self.size.0, self.focused);
                home.set_density(self.preferences.density);
                self.screen = Screen::Home(Box::new(home));
                actions.extend(self.somebody_is_there());
                actions
            }
            (News::Connection(ConnectionState::Offline { why: OfflineReason::Locked, .. }), Screen::Home(_)) => {
                self.locked()
            }
            (News::NoAccount, Screen::Unlock(unlock)) => {
                self.screen = Screen::FirstRun(Box::new(first_run::FirstRun::with_profile(unlock.password().clone())));
                Vec::new()
            }
            (news, Screen::FirstRun(screen)) => screen.news(news),
            (news, Screen::Unlock(screen)) => screen.news(&news),
            (news, Screen::Home(screen)) => screen.news(news, self.present.at),
        }
    }

    /// What is to be seen.
    pub fn view(&self) -> Element<'_, Message> {
        focus::ground(match &self.screen {
            Screen::FirstRun(screen) => screen.view(&self.strings).map(Message::FirstRun),
            Screen::Unlock(screen) => screen.view(&self.strings).map(Message::Unlock),
            Screen::Home(screen) => screen.view(&self.strings, &self.present, self.preferences).map(Message::Home),
        })
    }
}
