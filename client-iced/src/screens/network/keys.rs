//! Keys by which onion services that are not for everybody let this profile find them.

use std::collections::BTreeMap;

use endtoend_client::address::Host;
use endtoend_client::transport::keys::{BadOnionKey, KEYS_MAX, OnionName, VisitorSecret, make_key, read_key};
use iced::widget::{Column, column, container, row, text};
use iced::{Element, Fill};

use crate::action::Action;
use crate::failure::Failure;
use crate::secret::Secret;
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui::{self, id};

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// Of one that an operator has given.
    Typed(Secret),
    /// It is to be kept, for this service where it does not name another.
    Add(Option<OnionName>),
    /// A new one for this service.
    Make(OnionName),
    /// What its operator has to be told.
    Copy(String),
    /// Is the one for this service to go?
    Remove(OnionName),
    /// It is, or nothing is.
    Really(bool),
}

/// Those that are chosen, and one that is typed.
#[derive(Debug, Default)]
pub(super) struct Keys {
    all: BTreeMap<OnionName, VisitorSecret>,
    typed: Secret,
    /// Whose is asked about.
    leaving: Option<OnionName>,
    failure: Option<Failure>,
}

impl Keys {
    pub(super) fn of(all: BTreeMap<OnionName, VisitorSecret>) -> Self {
        Self { all, ..Self::default() }
    }

    pub(super) const fn all(&self) -> &BTreeMap<OnionName, VisitorSecret> {
        &self.all
    }

    pub(super) fn update(&mut self, message: Message) -> Vec<Action> {
        self.failure = None;
        match message {
            Message::Typed(typed) => self.typed = typed,
            Message::Add(own) => self.add(own.as_ref()),
            Message::Make(name) => {
                if let Err(error) = self.keep(name, make_key()) {
                    self.failure = Some(failure(error));
                }
            }
            Message::Copy(public) => return vec![Action::Copy(public)],
            Message::Remove(name) => self.leaving = Some(name),
            Message::Really(really) => {
                if let Some(name) = self.leaving.take().filter(|_| really) {
                    self.all.remove(&name);
                }
            }
        }
        Vec::new()
    }

    fn add(&mut self, own: Option<&OnionName>) {
        match read_key(self.typed.as_str(), own).and_then(|(name, key)| self.keep(name, key)) {
            Ok(()) => self.typed = Secret::default(),
            Err(error) => self.failure = Some(failure(error)),
        }
    }

    fn keep(&mut self, name: OnionName, key: VisitorSecret) -> Result<(), BadOnionKey> {
        if self.all.len() >= KEYS_MAX && !self.all.contains_key(&name) {
            return Err(BadOnionKey::TooMany);
        }
        self.all.insert(name, key);
        Ok(())
    }

    /// What is to be seen of it; nothing where neither the server nor a key has to do with onion services.
    pub(super) fn view<'a, M: Clone + 'a>(
        &'a self,
        t: &'a Strings,
        host: Option<&Host>,
        on: impl Fn(Message) -> M + Copy + 'a,
    ) -> Option<Element<'a, M>> {
        let own = host.and_then(OnionName::of);
        if own.is_none() && self.all.is_empty() {
            return None;
        }
        let shown = self.all.iter().map(|(name, key)| self.key(t, name, key.public().to_string(), on));
        let add = on(Message::Add(own.clone()));
        let field = ui::secret(
            t.get("onion-key"),
            id::ONION_KEY,
            self.typed.as_str(),
            move |typed| on(Message::Typed(typed.into())),
            add.clone(),
        );
        let add = (!self.typed.is_empty()).then(|| ui::plain(t.get("onion-key-add"), add));
        let makes = own.filter(|own| !self.all.contains_key(own));
        let make = makes.map(|own| ui::plain(t.get("onion-key-make"), on(Message::Make(own))));
        let content = column![ui::strong(t.get("onion-keys")), ui::note(t.get("onion-keys-note"))]
            .push(Column::with_children(shown).spacing(8))
            .push(field)
            .push(row![].push(add).push(make).spacing(8))
            .push(ui::failure(t, self.failure.as_ref()))
            .spacing(8);
        Some(content.into())
    }

    /// One of them: whose it is, what its operator has to know, and whether it is to go.
    fn key<'a, M: Clone + 'a>(
        &self,
        t: &'a Strings,
        name: &OnionName,
        public: String,
        on: impl Fn(Message) -> M,
    ) -> Element<'a, M> {
        let line = |words: String| text(words).size(size::SMALL).wrapping(text::Wrapping::WordOrGlyph);
        let shown = column![line(name.to_string()), line(public.clone()).style(styles::muted)].spacing(4);
        let below: Element<'a, M> = match self.leaving.as_ref() == Some(name) {
            true => column![
                ui::body(t.get("onion-key-lost")),
                ui::foot(
                    ui::quiet(t.get("cancel"), on(Message::Really(false))),
                    ui::danger(t.get("onion-key-really"), on(Message::Really(true))),
                ),
            ]
            .spacing(12)
            .into(),
            false => row![
                ui::plain(t.get("onion-key-copy"), on(Message::Copy(public))),
                ui::plain(t.get("onion-key-remove"), on(Message::Remove(name.clone()))),
            ]
            .spacing(8)
            .into(),
        };
        container(column![shown, below].spacing(8)).padding(12).width(Fill).style(styles::boxed).into()
    }
}

fn failure(error: BadOnionKey) -> Failure {
    Failure::new(match error {
        BadOnionKey::Name | BadOnionKey::Malformed => "onion-key-bad",
        BadOnionKey::Whose => "onion-key-whose",
        BadOnionKey::TooMany => "onion-keys-too-many",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
    const OTHER: &str = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd";

    fn name(text: &str) -> OnionName {
        text.parse().unwrap()
    }

    fn type_in(keys: &mut Keys, text: &str, own: Option<OnionName>) -> Option<&'static str> {
        keys.update(Message::Typed(text.to_owned().into()));
        keys.update(Message::Add(own));
        keys.failure.as_ref().map(|failure| failure.key)
    }

    #[test]
    fn a_key_that_was_given_is_of_the_server_or_of_whom_it_names() {
        let (mut keys, secret) = (Keys::default(), make_key());
        let alone = secret.to_text().to_string();
        assert_eq!(type_in(&mut keys, &alone, None), Some("onion-key-whose"));
        assert_eq!(type_in(&mut keys, "nonsense", Some(name(NAME))), Some("onion-key-bad"));
        assert!(keys.all.is_empty() && keys.typed.as_str() == "nonsense", "it can be mended");
        assert_eq!(type_in(&mut keys, &alone, Some(name(NAME))), None);
        assert_eq!(type_in(&mut keys, &format!("{OTHER}:{alone}"), Some(name(NAME))), None);
        assert!(keys.typed.is_empty(), "what is kept is not shown any more");
        assert_eq!(keys.all, [(name(NAME), secret.clone()), (name(OTHER), secret)].into());
    }

    #[test]
    fn a_key_goes_only_when_that_is_said_twice() {
        let mut keys = Keys::default();
        keys.update(Message::Make(name(NAME)));
        keys.update(Message::Really(true));
        keys.update(Message::Remove(name(NAME)));
        keys.update(Message::Really(false));
        keys.update(Message::Really(true));
        assert_eq!(keys.all.len(), 1);
        keys.update(Message::Remove(name(NAME)));
        keys.update(Message::Really(true));
        assert!(keys.all.is_empty());
    }

    #[test]
    fn keys_are_no_more_than_the_profile_keeps_and_shown_to_nobody() {
        let (mut keys, secret) = (Keys::default(), make_key());
        keys.update(Message::Typed(secret.to_text().to_string().into()));
        let letters = secret.to_text().rsplit(':').next().unwrap().to_owned();
        keys.all.insert(name(NAME), secret);
        assert!(!format!("{keys:?}").contains(&letters));
        keys.all = BTreeMap::new();
        for number in 0..=KEYS_MAX {
            let _ = keys.keep(onion(number), make_key());
        }
        assert_eq!(keys.all.len(), KEYS_MAX);
        assert_eq!(keys.keep(onion(0), make_key()), Ok(()), "one in the place of another");
        keys.update(Message::Make(onion(KEYS_MAX)));
        assert_eq!(keys.failure.unwrap().key, "onion-keys-too-many");
    }

    /// The name of some service: what a name says is not looked at here but for its last letter.
    fn onion(number: usize) -> OnionName {
        let digits: String = [number / 26, number % 26].iter().map(|digit| char::from(b'a' + *digit as u8)).collect();
        name(&format!("{digits}{}", &NAME[2..]))
    }
}
