//! The whole window as a value: messages change it, and say what is to be done outside. No I/O, no clock.

use std::path::PathBuf;

use endtoend_protocol::UnixMillis;
use iced::{Element, Theme, keyboard};
use jiff::tz::TimeZone;

use crate::calendar::Present;
use crate::order::{News, Order};
use crate::preferences::Preferences;
use crate::screens::{first_run, home, unlock};
use crate::strings::Strings;
use crate::theme;

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
}

/// What is to be done outside of this value.
#[derive(Clone, Debug)]
pub enum Action {
    /// By the bridge.
    Order(Order),
    /// Keys go to this field.
    Focus(&'static str),
    /// Keys go to the next field, or with `true` to the one before.
    FocusNext(bool),
    /// The end of the messages is shown.
    ShowEnd,
    /// The first of the messages that are here is shown.
    ShowFirst,
    /// Something was put after the last message, or taken from there: what is read stays where it is.
    KeepPlace(home::Place),
    /// Into the clipboard.
    Copy(String),
}

/// What is shown.
#[derive(Debug)]
pub enum Screen {
    /// There is no profile with an account.
    FirstRun(first_run::FirstRun),
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
}

impl App {
    /// Before anything has happened. `profile` says whether there is one.
    pub fn new(preferences: Preferences, now: UnixMillis, zone: TimeZone, profile: bool) -> (Self, Vec<Action>) {
        let (screen, focus) = match profile {
            true => (Screen::Unlock(unlock::Unlock::default()), vec![Action::Focus(crate::ui::id::PASSWORD)]),
            false => (Screen::FirstRun(first_run::FirstRun::default()), Vec::new()),
        };
        let app = Self {
            screen,
            preferences,
            strings: Strings::new(preferences.language),
            present: Present { at: now, zone },
            dark: false,
            size: (1024.0, 720.0),
            focused: true,
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
        theme::theme(self.preferences.appearance, self.dark)
    }

    /// How large everything is.
    pub fn scale(&self) -> f32 {
        self.preferences.scale.factor()
    }

    /// Something happened.
    pub fn update(&mut self, message: Message) -> Vec<Action> {
        match (message, &mut self.screen) {
            (Message::FirstRun(message), Screen::FirstRun(screen)) => screen.update(message),
            (Message::Unlock(message), Screen::Unlock(screen)) => screen.update(message),
            (Message::Home(home::Message::Prefer(preferences)), Screen::Home(_)) => self.prefer(preferences),
            (Message::Home(message), Screen::Home(screen)) => screen.update(message, self.present.at),
            (Message::Key(keyboard::Key::Named(keyboard::key::Named::Tab), modifiers), _) => {
                vec![Action::FocusNext(modifiers.shift())]
            }
            (Message::Key(key, modifiers), Screen::Home(screen)) => screen.key(&key, modifiers),
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
            (Message::SystemDark(dark), _) => {
                self.dark = dark;
                Vec::new()
            }
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
        vec![Action::Order(Order::Keep(preferences))]
    }

    fn news(&mut self, news: News) -> Vec<Action> {
        match (news, &mut self.screen) {
            (News::Now(at), screen) => {
                self.present.at = at;
                match screen {
                    Screen::Home(home) => home.tick(at),
                    Screen::FirstRun(_) | Screen::Unlock(_) => Vec::new(),
                }
            }
            (News::Entered(me), _) => {
                let (home, actions) = home::Home::new(*me, self.size.0, self.focused);
                self.screen = Screen::Home(Box::new(home));
                actions
            }
            (News::NoAccount, Screen::Unlock(unlock)) => {
                self.screen = Screen::FirstRun(first_run::FirstRun::with_profile(unlock.password().clone()));
                Vec::new()
            }
            (news, Screen::FirstRun(screen)) => screen.news(news),
            (news, Screen::Unlock(screen)) => screen.news(&news),
            (news, Screen::Home(screen)) => screen.news(news, self.present.at),
        }
    }

    /// What is to be seen.
    pub fn view(&self) -> Element<'_, Message> {
        match &self.screen {
            Screen::FirstRun(screen) => screen.view(&self.strings).map(Message::FirstRun),
            Screen::Unlock(screen) => screen.view(&self.strings).map(Message::Unlock),
            Screen::Home(screen) => screen.view(&self.strings, &self.present, self.preferences).map(Message::Home),
        }
    }
}
