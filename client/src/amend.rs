//! Rules: who may change what in a conversation, and which of two changes counts. No I/O, no clock.
//!
//! What was said about a message arrives in any order when its sender has several devices. Each change therefore counts or does
//! not by what it says and not by when it comes: the latest edit by the sender's clock is in force, none after a deletion, and
//! a deletion is never taken back. What is said about a message that is not here is refused; what somebody who is accepted says may be kept for a while,
//! within bounds ([`crate::database::EARLY_MAX`]), so that nobody fills a disk with it.

use endtoend_protocol::{Text, UnixMillis, limits};

use crate::database::Direction;

/// What the rules look at in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Who wrote it.
    pub writer: Direction,
    /// Whether it has words.
    pub has_text: bool,
    /// Whether its writer has deleted it for everyone, or this person for himself.
    pub deleted: bool,
    /// When the edit in force was made, by its writer's clock.
    pub edited_at: Option<UnixMillis>,
}

/// Why something that was said about a message does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such message in the conversation.
    #[error("there is no such message in this conversation")]
    NoSuchMessage,
    /// Only its writer may do that.
    #[error("only its writer may do that")]
    NotTheWriter,
    /// It was deleted.
    #[error("the message was deleted")]
    Deleted,
    /// It has no words.
    #[error("the message has no text")]
    NoText,
    /// It leaves no room for what is said beside it.
    #[error("a text that answers, disappears or takes another's place has at most {max} bytes", max = limits::TEXT_BYTES_MARKED_MAX)]
    TooLong,
    /// Something later was said already.
    #[error("something later was said already")]
    Older,
    /// Only somebody who is accepted may do that.
    #[error("only somebody who is accepted may do that")]
    NotAccepted,
}

/// Other words, by `by` at `at`.
///
/// # Errors
/// See [`Refused`].
pub fn edit(subject: &Subject, by: Direction, at: UnixMillis) -> Result<(), Refused> {
    match subject {
        _ if subject.writer != by => Err(Refused::NotTheWriter),
        Subject { deleted: true, .. } => Err(Refused::Deleted),
        Subject { has_text: false, .. } => Err(Refused::NoText),
        Subject { edited_at: Some(edited_at), .. } if *edited_at >= at => Err(Refused::Older),
        _ => Ok(()),
    }
}

/// Gone on both sides. A message that somebody has deleted for himself only may still be deleted by its writer.
///
/// # Errors
/// `NotTheWriter`.
pub fn delete(subject: &Subject, by: Direction) -> Result<(), Refused> {
    match subject.writer == by {
        true => Ok(()),
        false => Err(Refused::NotTheWriter),
    }
}

/// A reaction at `at`, after one of the same person that was made at `before`.
///
/// # Errors
/// `Deleted` or `Older`.
pub fn react(subject: &Subject, before: Option<UnixMillis>, at: UnixMillis) -> Result<(), Refused> {
    match (subject.deleted, before) {
        (true, _) => Err(Refused::Deleted),
        (false, Some(before)) if before >= at => Err(Refused::Older),
        _ => Ok(()),
    }
}

/// Whether a text leaves room for what is said beside it.
///
/// # Errors
/// `TooLong`.
pub fn leaves_room(text: &Text) -> Result<(), Refused> {
    match text.as_str().len() {
        0..=limits::TEXT_BYTES_MARKED_MAX => Ok(()),
        _ => Err(Refused::TooLong),
    }
}

/// A moment that somebody else's clock has given, for what the later of two decides: one in the future counts as now, or a wrong
/// clock would have the last word for good.
pub fn not_after(at: UnixMillis, now: UnixMillis) -> UnixMillis {
    at.min(now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Subject = Subject { writer: Direction::In, has_text: true, deleted: false, edited_at: None };

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::new(ms)
    }

    #[test]
    fn nobody_edits_or_deletes_what_another_wrote() {
        assert_eq!(edit(&PLAIN, Direction::Out, at(9)), Err(Refused::NotTheWriter));
        assert_eq!(delete(&PLAIN, Direction::Out), Err(Refused::NotTheWriter));
        assert_eq!((edit(&PLAIN, Direction::In, at(9)), delete(&PLAIN, Direction::In)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_deleted_message_has_no_edits_and_no_reactions() {
        let deleted = Subject { deleted: true, has_text: false, ..PLAIN };
        assert_eq!(edit(&deleted, Direction::In, at(9)), Err(Refused::Deleted));
        assert_eq!(react(&deleted, None, at(9)), Err(Refused::Deleted));
    }

    #[test]
    fn a_clock_in_the_future_has_no_last_word() {
        assert_eq!((not_after(at(u64::MAX), at(7)), not_after(at(5), at(7))), (at(7), at(5)));
    }

    proptest! {
        /// In whatever order edits and a deletion come, the end is the same.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            edits in prop::collection::btree_set(0..50_u64, 1..8),
            delete_at in prop::option::of(0..8_usize),
            seed in any::<prop::sample::Index>(),
        ) {
            let run = |order: &[u64]| {
                let (mut subject, mut words) = (PLAIN, 0);
                for (place, edit_at) in order.iter().enumerate() {
                    if delete_at == Some(place) && delete(&subject, Direction::In).is_ok() {
                        (subject.deleted, subject.has_text, words) = (true, false, 0);
                    }
                    if edit(&subject, Direction::In, at(*edit_at)).is_ok() {
                        (subject.edited_at, words) = (Some(at(*edit_at)), *edit_at);
                    }
                }
                if delete_at.is_some_and(|place| place >= order.len()) {
                    (subject.deleted, words) = (true, 0);
                }
                (subject.deleted, words)
            };
            let sorted: Vec<u64> = edits.iter().copied().collect();
            let mut turned = sorted.clone();
            turned.rotate_left(seed.index(sorted.len()));
            prop_assert_eq!(run(&sorted), run(&turned));
            turned.reverse();
            prop_assert_eq!(run(&sorted), run(&turned));
        }
    }
}
