//! A person who has no mouse: keys are pressed, and go where the window lets them go.

use std::sync::{Arc, Mutex};

use endtoend_client_iced::action::Action;
use endtoend_client_iced::app::{Hand, Message};
use endtoend_client_iced::focus::walk;
use endtoend_client_iced::theme::{REGULAR, fonts, size};
use iced::advanced::widget::operation::scrollable::{AbsoluteOffset, scroll_to};
use iced::advanced::widget::operation::{Focusable, Operation};
use iced::keyboard::{Key, Modifiers, key::Named};
use iced::{Rectangle, Size, widget};

use super::common::Person;
use super::glass::{Glass, pressed};

/// More than there are stops in any window.
const STOPS_MAX: usize = 120;

/// Somebody at a window.
pub(crate) struct Typist {
    pub(crate) person: Person,
    glass: Glass,
}

/// What has the keyboard: its name, if it has one, and the words on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Here {
    name: Option<widget::Id>,
    bounds: Option<Rectangle>,
    pub(crate) words: Vec<String>,
}

struct Look(Arc<Mutex<Here>>);

impl Operation for Look {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation)) {
        operate(self);
    }

    fn focusable(&mut self, name: Option<&widget::Id>, bounds: Rectangle, state: &mut dyn Focusable) {
        if state.is_focused() {
            *self.0.lock().unwrap() = Here { name: name.cloned(), bounds: Some(bounds), words: Vec::new() };
        }
    }

    fn text(&mut self, _: Option<&widget::Id>, bounds: Rectangle, text: &str) {
        let mut here = self.0.lock().unwrap();
        if here.bounds.is_some_and(|around| bounds.is_within(&around)) {
            here.words.push(text.to_owned());
        }
    }
}

impl Typist {
    pub(crate) fn new(person: Person) -> Self {
        fonts::install();
        Self { person, glass: Glass::new(Size::new(1_200.0, 800.0), REGULAR, size::BODY) }
    }

    fn happens(&mut self, message: Message) {
        for action in self.person.app.update(message) {
            match action.way() {
                Some(way) => self.glass.operate(self.person.app.view(), walk::walk(way)),
                None => self.acts(action),
            }
        }
    }

    fn acts(&mut self, action: Action) {
        match action {
            Action::Scroll(list, y) => {
                let to = AbsoluteOffset { x: None, y: Some(y) };
                self.glass.operate(self.person.app.view(), scroll_to(widget::Id::new(list), to));
            }
            action => self.person.act(vec![action]),
        }
    }

    fn hear(&mut self) {
        while let Ok(news) = self.person.told.try_recv() {
            self.happens(Message::News(news));
        }
    }

    /// Until that holds.
    pub(crate) fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        endtoend_testkit::eventually(endtoend_testkit::PATIENCE, what, || {
            self.hear();
            holds(self)
        });
    }

    /// Until these words are before the eyes.
    pub(crate) fn wait_for(&mut self, words: &str) {
        self.wait_until(words, |typist| typist.person.sees(words));
    }

    /// Presses a key. What nothing takes is the window's.
    pub(crate) fn key(&mut self, key: Key, modifiers: Modifiers) {
        self.hear();
        self.happens(Message::Active(Hand::Keys));
        let (said, taken) = self.glass.happen(self.person.app.view(), &[pressed(key.clone(), modifiers)]);
        said.into_iter().for_each(|said| self.happens(said));
        if !taken {
            self.happens(Message::Key(key, modifiers));
        }
    }

    pub(crate) fn press(&mut self, key: Named) {
        self.key(Key::Named(key), Modifiers::empty());
    }

    /// Types, where the keyboard is.
    pub(crate) fn write(&mut self, words: &str) {
        for letter in words.chars() {
            self.key(Key::Character(letter.to_string().into()), Modifiers::empty());
        }
    }

    /// What has the keyboard.
    pub(crate) fn here(&mut self) -> Here {
        let here = Arc::new(Mutex::new(Here::default()));
        self.glass.operate(self.person.app.view(), Look(Arc::clone(&here)));
        let here = here.lock().unwrap();
        here.clone()
    }

    /// With Tab to where this holds.
    fn go(&mut self, what: &str, holds: impl Fn(&Here) -> bool) {
        let mut seen = Vec::new();
        while seen.len() < STOPS_MAX {
            let here = self.here();
            if holds(&here) {
                return;
            }
            seen.push(here);
            self.press(Named::Tab);
        }
        assert_eq!(seen, [], "Tab does not come to {what}");
    }

    /// With Tab to this field.
    pub(crate) fn go_to(&mut self, field: &'static str) {
        self.go(field, |here| here.name == Some(widget::Id::new(field)));
    }

    /// With Tab to what has these words on it.
    pub(crate) fn go_to_words(&mut self, words: &str) {
        self.wait_for(words);
        self.go(words, |here| here.words.iter().any(|its| its == words));
    }

    /// Presses what has these words on it, when it is there.
    pub(crate) fn choose(&mut self, words: &str) {
        self.go_to_words(words);
        self.press(Named::Enter);
    }
}
