//! Messages that have the words that are looked for. Of each no more is kept than its line shows.

use endtoend_client::database::{Body, MessageRef, StoredMessage};
use endtoend_client::handle::Handle;
use endtoend_protocol::{MessageId, UnixMillis};

use super::chat::QUOTE_CHARS_MAX;

/// One of them.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) with: Handle,
    pub(super) message: MessageRef,
    pub(super) sent_at: UnixMillis,
    /// In one line, from a little before the first word that was found.
    pub(super) words: String,
}

/// What was found, best first.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Of the last question.
    number: u64,
    pub(super) hits: Vec<Hit>,
}

impl Found {
    /// Numbered from here, where another one counts from the beginning.
    pub(super) fn from(number: u64) -> Self {
        Self { number, hits: Vec::new() }
    }

    /// Something else is looked for: the number of that question. What was found stays until it is answered.
    pub(super) fn next(&mut self) -> u64 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    /// Whether this is the answer to the last question.
    pub(super) const fn is_awaited(&self, number: u64) -> bool {
        self.number == number
    }

    /// These were found. Somebody without a name has no conversation to go to.
    pub(super) fn heard(&mut self, messages: Vec<StoredMessage>, looked_for: &str) {
        let hit = |message: StoredMessage| {
            let words = excerpt(&one_line(&message.body), looked_for);
            let StoredMessage { handle, direction, id, sent_at, .. } = message;
            Some(Hit { with: handle?, message: MessageRef { direction, id }, sent_at, words })
        };
        self.hits = messages.into_iter().filter_map(hit).collect();
    }

    /// That message is gone, or says something else.
    pub(super) fn forget(&mut self, with: &Handle, id: MessageId) {
        self.hits.retain(|hit| hit.message.id != id || hit.with != *with);
    }
}

/// Letters before the word that was found, so that it is seen in one line.
const BEFORE_CHARS: usize = 16;

/// All words of a message, in one line.
fn one_line(body: &Body) -> String {
    match body {
        Body::Text(text) => text.as_str().split_whitespace().collect::<Vec<_>>().join(" "),
        Body::File(stored) => stored.file.name.as_str().to_owned(),
        Body::Card(card) => card.link.handle.to_string(),
        Body::Deleted | Body::Unknown => String::new(),
    }
}

/// From a little before the first of these words that the text has.
fn excerpt(text: &str, words: &str) -> String {
    // Letter by letter: a text in small may have more letters than in capitals.
    let small = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let words: Vec<_> =
        words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(small).collect();
    let begins = |rest: &str, word: &[char]| {
        let mut rest = rest.chars().flat_map(char::to_lowercase);
        word.iter().all(|letter| rest.next() == Some(*letter))
    };
    let has = |at: usize| text.get(at..).is_some_and(|rest| words.iter().any(|word| begins(rest, word)));
    match text.char_indices().position(|(at, _)| has(at)) {
        Some(at) if at > BEFORE_CHARS => {
            let shown: String = text.chars().skip(at - BEFORE_CHARS).take(QUOTE_CHARS_MAX).collect();
            format!("…{shown}")
        }
        Some(_) | None => text.chars().take(QUOTE_CHARS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_what_was_found() {
        let long = "a long way before anything happens there was a Gürtel, and more";
        assert_eq!(excerpt(long, "GÜRT"), "…ens there was a Gürtel, and more");
        assert_eq!(excerpt(long, "way gürtel"), long);
        assert_eq!(excerpt(long, "nothing"), long);
        assert_eq!(excerpt(long, " - "), long);
        assert_eq!(excerpt(&"x".repeat(70_000), "needle").chars().count(), QUOTE_CHARS_MAX);
        assert!(
            excerpt(&format!("{}needle{}", "x".repeat(70_000), "y".repeat(70_000)), "needle").chars().count()
                <= 1 + QUOTE_CHARS_MAX
        );
        // Letters that are longer in small than in capitals.
        let turkish = format!("{} needle", "İ".repeat(30));
        assert!(excerpt(&turkish, "needle").ends_with("needle"));
    }
}
