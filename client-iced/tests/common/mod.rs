//! A person at a window that nobody sees: the same state, views and bridge as in the program, and a mouse and keys that
//! are simulated.

use std::path::{Path, PathBuf};

use endtoend_client::clock;
use endtoend_client::profile::Profile;
use endtoend_client_iced::action::Action;
use endtoend_client_iced::app::{App, Message};
use endtoend_client_iced::bridge::{Bridge, Places};
use endtoend_client_iced::order::News;
use endtoend_client_iced::preferences::Preferences;
use endtoend_client_iced::theme::{REGULAR, fonts};
use endtoend_testkit::{PATIENCE, eventually};
use iced::{Renderer, Settings, Theme, keyboard, widget};
use iced_test::{Selector, Simulator, selector::Candidate};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

/// Stands for centuries.
pub(crate) const PASSWORD: &str = "tundra moat ferric oblong";

/// Finds groups of so many hexadecimal digits together.
struct Digits {
    count: usize,
    found: String,
}

impl Selector for Digits {
    type Output = String;

    fn select(&mut self, candidate: Candidate<'_>) -> Option<String> {
        let Candidate::Text { content, .. } = candidate else { return None };
        // They stand in groups, one after the other.
        match content.len() >= 4 && content.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            true => self.found.push_str(content),
            false => self.found.clear(),
        }
        (self.found.len() == self.count).then(|| self.found.clone())
    }

    fn description(&self) -> String {
        format!("{} digits", self.count)
    }
}

/// Finds nothing, and notes all words on the way.
struct Everything<'a>(&'a mut Vec<String>);

impl Selector for Everything<'_> {
    type Output = ();

    fn select(&mut self, candidate: Candidate<'_>) -> Option<()> {
        if let Candidate::Text { content, .. } = candidate {
            self.0.push(content.to_owned());
        }
        None
    }

    fn description(&self) -> String {
        "everything".to_owned()
    }
}

/// Finds words that stand there several times.
struct Nth {
    words: String,
    skip: usize,
}

impl Selector for Nth {
    type Output = <&'static str as Selector>::Output;

    fn select(&mut self, candidate: Candidate<'_>) -> Option<Self::Output> {
        let found = self.words.select(candidate)?;
        if self.skip == 0 {
            return Some(found);
        }
        self.skip -= 1;
        None
    }

    fn description(&self) -> String {
        self.words.clone()
    }
}

/// Somebody, and the window.
pub(crate) struct Person {
    pub(crate) app: App,
    bridge: Option<Bridge>,
    pub(crate) told: mpsc::Receiver<News>,
}

impl Person {
    /// Starts the program on a profile that may be missing.
    pub(crate) fn start(home: &Path) -> Self {
        let places = Places {
            home: home.to_owned(),
            preferences: Some(home.join("desktop.toml")),
            downloads: home.join("downloads"),
            played: home.join("played"),
        };
        let profile = Profile::exists(home);
        let (bridge, told) = Bridge::start(places).unwrap();
        let (app, actions) = App::new(Preferences::default(), clock::now(), TimeZone::UTC, profile);
        let mut person = Self { app, bridge: Some(bridge), told };
        person.act(actions);
        person
    }

    /// With a new account.
    pub(crate) fn register(home: &Path, server: &str, handle: &str) -> Self {
        let mut person = Self::start(home);
        person.click("Create account");
        person.give_account(server, handle);
        person.wait_for("Connected");
        person
    }

    /// From the first page of an account to its last.
    pub(crate) fn give_account(&mut self, server: &str, handle: &str) {
        self.write("address", server);
        self.click("Next");
        self.write("handle", handle);
        self.click("Next");
        self.write("password", PASSWORD);
        self.write("again", PASSWORD);
        self.click("Create account");
    }

    /// Closes the window.
    pub(crate) fn close(mut self) {
        assert!(self.bridge.take().is_some_and(|bridge| bridge.stop(PATIENCE)), "the profile is closed");
    }

    pub(crate) fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            if let (Action::Order(order), Some(bridge)) = (action, &self.bridge) {
                bridge.tell(order).unwrap();
            }
        }
    }

    pub(crate) fn happens(&mut self, message: Message) {
        let actions = self.app.update(message);
        self.act(actions);
    }

    /// Hears what the bridge has told so far.
    pub(crate) fn hear(&mut self) {
        while let Ok(news) = self.told.try_recv() {
            self.happens(Message::News(news));
        }
    }

    fn simulator(&self) -> Simulator<'_, Message, Theme, Renderer> {
        fonts::install();
        let settings = Settings { default_font: REGULAR, ..Settings::default() };
        Simulator::with_size(settings, (1_200.0, 2_000.0), self.app.view())
    }

    fn play(&mut self, what: &str, play: impl FnOnce(&mut Simulator<'_, Message, Theme, Renderer>) -> bool) {
        let mut simulator = self.simulator();
        assert!(play(&mut simulator), "{what} is not there");
        let messages: Vec<Message> = simulator.into_messages().collect();
        messages.into_iter().for_each(|message| self.happens(message));
    }

    /// Everything that is before the eyes, for a test that fails.
    fn words(&self) -> Vec<String> {
        let mut all = Vec::new();
        let _nothing_is_looked_for = self.simulator().find(Everything(&mut all));
        all
    }

    /// Whether these words are before the eyes.
    pub(crate) fn sees(&self, words: &str) -> bool {
        self.simulator().find(words).is_ok()
    }

    /// Whether these words are before the eyes once more than so often.
    pub(crate) fn sees_nth(&self, words: &str, skip: usize) -> bool {
        self.simulator().find(Nth { words: words.to_owned(), skip }).is_ok()
    }

    /// Whether words before the eyes begin like that.
    pub(crate) fn sees_beginning(&self, beginning: &str) -> bool {
        self.words().iter().any(|words| words.starts_with(beginning))
    }

    /// Presses the last of those that have these words.
    pub(crate) fn click_last(&mut self, words: &str) {
        self.wait_for(words);
        let count = (1..).find(|count| !self.sees_nth(words, *count)).unwrap_or(1);
        self.click_nth(words, count - 1);
    }

    /// Words before the eyes that are so many digits, without the spaces between them.
    fn digits(&self, count: usize) -> Option<String> {
        let mut simulator = self.simulator();
        let all = simulator.find(Digits { count, found: String::new() });
        all.ok()
    }

    /// What is compared.
    pub(crate) fn safety_number(&self) -> Option<String> {
        self.digits(60)
    }

    /// What a new device shows.
    pub(crate) fn link_code(&self) -> Option<String> {
        self.digits(96)
    }

    /// Until these words are before the eyes.
    pub(crate) fn wait_for(&mut self, words: &str) {
        self.wait_until(words, |person| person.sees(words));
    }

    pub(crate) fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let mut looks = 0;
        eventually(PATIENCE, what, || {
            self.hear();
            looks += 1;
            let there = holds(self);
            if !there && looks % 200 == 0 {
                eprintln!("waiting for {what}; there is {:?}", self.words());
            }
            there
        });
    }

    /// Presses what has these words, when it is there.
    pub(crate) fn click(&mut self, words: &str) {
        self.wait_for(words);
        let what = words.to_owned();
        self.play(words, |simulator| simulator.click(what.as_str()).is_ok());
    }

    /// Presses what has these words, where others before it have them too.
    pub(crate) fn click_nth(&mut self, words: &str, skip: usize) {
        let at = || Nth { words: words.to_owned(), skip };
        self.wait_until(words, |person| person.simulator().find(at()).is_ok());
        self.play(words, |simulator| simulator.click(at()).is_ok());
    }

    /// Looks at what is there, so that pictures are asked for.
    pub(crate) fn looks(&mut self) {
        let seen = iced::Event::Window(iced::window::Event::RedrawRequested(clock::monotonic().into()));
        self.play("what is there", |simulator| {
            simulator.simulate([seen]);
            true
        });
    }

    /// A picture of everything that is there, in a file in this folder.
    pub(crate) fn picture(&self, folder: &Path) -> PathBuf {
        let snapshot = self.simulator().snapshot(&self.app.theme()).unwrap();
        assert!(snapshot.matches_image(folder.join("window")).unwrap());
        folder.join("window-tiny-skia.png")
    }

    /// Types into a field.
    pub(crate) fn write(&mut self, field: &'static str, words: &str) {
        self.play(field, |simulator| {
            let found = simulator.click(widget::Id::new(field)).is_ok();
            simulator.typewrite(words);
            found
        });
    }

    /// Presses a key in a field.
    pub(crate) fn press(&mut self, field: &'static str, key: keyboard::key::Named) {
        self.play(field, |simulator| {
            let found = simulator.click(widget::Id::new(field)).is_ok();
            simulator.tap_key(keyboard::Key::Named(key));
            found
        });
    }

    /// Says something in the open conversation.
    pub(crate) fn say(&mut self, words: &str) {
        self.write("composer", words);
        self.press("composer", keyboard::key::Named::Enter);
    }

    /// Begins a conversation.
    pub(crate) fn write_to(&mut self, handle: &str) {
        self.click("+");
        self.write("new-chat", handle);
        self.click("Write");
    }
}
