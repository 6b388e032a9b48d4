//! What was begun and not sent, and what it is for.

use endtoend_client::database::{Draft, Edits};
use endtoend_protocol::{MessageId, Text};

/// What the words that are written belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// An answer to this; and its beginning, when it is known.
    Answer(MessageId, String),
    /// Other words for this; and what was being written before.
    Edit(MessageId, String),
}

/// Words, and what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) words: String,
    pub(super) mark: Option<Mark>,
}

/// A text that can be kept: what is blank need not be, and what is too long for a message is kept in the window only.
fn text(words: &str) -> Option<Text> {
    let words = words.trim_end();
    (!words.trim().is_empty()).then(|| Text::new(words.to_owned()).ok()).flatten()
}

impl Begun {
    /// What is left when these words are left alone. Nothing was begun with an answer that has no words yet; and where the other words
    /// of a message are wiped out, what was begun before them stands again.
    pub(super) fn left(words: &str, mark: Option<&Mark>) -> Self {
        match (words.trim().is_empty(), mark) {
            (false, mark) => Self { words: words.trim_end().to_owned(), mark: mark.cloned() },
            (true, Some(Mark::Edit(_, before))) => Self { words: before.trim_end().to_owned(), mark: None },
            (true, Some(Mark::Answer(..)) | None) => Self::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.trim().is_empty()
    }

    /// As it is kept: `Err` for what is too long.
    pub(super) fn draft(&self) -> Result<Option<Draft>, TooLong> {
        if self.is_empty() {
            return Ok(None);
        }
        let (answers, edits) = match &self.mark {
            Some(Mark::Answer(to, _)) => (Some(*to), None),
            Some(Mark::Edit(of, before)) => (None, Some(Edits { of: *of, before: text(before) })),
            None => (None, None),
        };
        Ok(Some(Draft { text: text(&self.words).ok_or(TooLong)?, answers, edits }))
    }
}

/// More words than a message has room for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl From<Draft> for Begun {
    fn from(Draft { text, answers, edits }: Draft) -> Self {
        let edit = edits.map(|edits| Mark::Edit(edits.of, edits.before.map(Text::into_string).unwrap_or_default()));
        let mark = edit.or_else(|| answers.map(|to| Mark::Answer(to, String::new())));
        Self { words: text.into_string(), mark }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::id;

    #[test]
    fn what_was_begun_is_kept_with_what_it_is_for_and_comes_back_as_it_was() {
        for mark in [None, Some(Mark::Answer(id(1), String::new())), Some(Mark::Edit(id(2), "before".to_owned()))] {
            let begun = Begun::left("half a thought\n", mark.as_ref());
            assert_eq!(begun, Begun { words: "half a thought".to_owned(), mark });
            assert_eq!(Begun::from(begun.draft().unwrap().unwrap()), begun);
        }
        let nothing = Begun::left(" \n", Some(&Mark::Answer(id(1), String::new())));
        assert_eq!((nothing.draft(), nothing), (Ok(None), Begun::default()));
        let before = Begun::left("", Some(&Mark::Edit(id(2), "before".to_owned())));
        assert_eq!(before, Begun { words: "before".to_owned(), mark: None });
        let long = "x".repeat(endtoend_protocol::limits::TEXT_BYTES_MAX + 1);
        assert_eq!(Begun::left(&long, None).draft(), Err(TooLong));
    }
}
