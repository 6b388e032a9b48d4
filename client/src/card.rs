//! Somebody, as one person passes him on to another inside a conversation: his link, and what he is called.
//!
//! A card proves nothing: whoever accepts one adds a contact by a link that came through somebody else's hands, which pins the
//! identity in it and verifies nobody.

use crate::contact_link::ContactLink;
use crate::nickname::Nickname;

/// Somebody, to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Who, and where.
    pub link: ContactLink,
    /// What whoever passes him on calls him.
    pub name: Option<Nickname>,
}

impl Card {
    /// What was said, read. `None` for a link that this version does not understand. A name becomes harmless, or none.
    pub fn read(card: &endtoend_protocol::Card) -> Option<Self> {
        Some(Self { link: card.link.parse().ok()?, name: Nickname::harmless(&card.name) })
    }

    /// Link and name, to be said.
    pub fn said(&self) -> (String, String) {
        let name = self.name.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
        (self.link.to_string(), name)
    }

    /// As it is stored, and found by its words: the name, which may be empty, the handle, and the link, a line for each.
    pub fn to_lines(&self) -> String {
        let name = self.name.as_ref().map(Nickname::as_str).unwrap_or_default();
        format!("{name}\n{}\n{}", self.link.handle, self.link)
    }

    /// From those lines.
    pub fn from_lines(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (name, _handle, link) = (lines.next()?, lines.next()?, lines.next()?);
        Some(Self { link: link.parse().ok()?, name: name.parse().ok() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_back_and_its_name_steers_nothing() {
        let link = format!(
            "endtoend://127.0.0.1:1/#pin={}&handle=m%C3%BCller&identity=05{}",
            "00".repeat(64),
            "11".repeat(32)
        );
        let said = |name: &str, link: &str| endtoend_protocol::Card {
            link: link.to_owned(),
            name: name.to_owned(),
            reply_to: None,
            lives_for: None,
        };
        let card = Card::read(&said(" Mül\u{202e}ler\n\u{1b}[2J ", &link)).unwrap();
        assert_eq!(card.name.as_ref().unwrap().as_str(), "Müller[2J");
        assert_eq!(Card::from_lines(&card.to_lines()), Some(card.clone()));
        assert_eq!(card.said(), (link.clone(), "Müller[2J".to_owned()));
        let nameless = Card::read(&said("\u{202e}\n", &link)).unwrap();
        assert_eq!((nameless.name.clone(), Card::from_lines(&nameless.to_lines())), (None, Some(nameless)));
        assert_eq!(Card::read(&said("x", "endtoend://127.0.0.1:1/#pin=00")), None);
    }
}
