//! Rules: which pictures of a conversation are in memory. At most [`DRAWN_MAX`] are, those that were before the eyes last; they are
//! unpacked one after the other, and what is asked for last comes first, because that is what is looked at now.

use endtoend_client::database::MessageRef;

use crate::failure::Failure;
use crate::picture::Drawn;

/// Pictures in memory: about 1 MB each, and as much again where they are drawn. More than that are not seen at once.
pub const DRAWN_MAX: usize = 24;
/// Pictures that wait to be unpacked. With more, those that were asked for first are forgotten until they are seen again.
pub const WANTED_MAX: usize = 32;
/// Pictures that were asked for by themselves, of those that people offer: no more of one conversation, so that nobody fills a disk.
pub const FETCHED_MAX: usize = 200;
/// Longest file of a picture that is fetched by itself, in bytes.
pub const FETCHED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What there is of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// It can be drawn.
    Drawn(Drawn),
    /// It cannot.
    Not(Failure),
}

/// The pictures of a conversation.
#[derive(Debug, Default)]
pub struct Pictures {
    /// Seen last stands last.
    shown: Vec<(MessageRef, Shown)>,
    /// Asked for last stands last.
    wanted: Vec<MessageRef>,
    /// Is being unpacked.
    unpacked: Option<MessageRef>,
    /// Was asked for by itself.
    fetched: Vec<MessageRef>,
}

impl Pictures {
    /// What there is of this one.
    pub fn get(&self, of: MessageRef) -> Option<&Shown> {
        self.shown.iter().find(|(named, _)| *named == of).map(|(_, shown)| shown)
    }

    /// It is before the eyes. Says which one to unpack now, if any.
    pub fn want(&mut self, of: MessageRef) -> Option<MessageRef> {
        if let Some(at) = self.shown.iter().position(|(named, _)| *named == of) {
            let seen = self.shown.remove(at);
            self.shown.push(seen);
            return None;
        }
        self.wanted.retain(|named| *named != of);
        if self.unpacked != Some(of) {
            self.wanted.push(of);
        }
        let more = self.wanted.len().saturating_sub(WANTED_MAX);
        self.wanted.drain(..more);
        self.next()
    }

    /// This has come of it. Says which one to unpack next, if any.
    pub fn came(&mut self, of: MessageRef, shown: Shown) -> Option<MessageRef> {
        if self.unpacked == Some(of) {
            self.unpacked = None;
        }
        self.shown.retain(|(named, _)| *named != of);
        self.shown.push((of, shown));
        let more = self.shown.len().saturating_sub(DRAWN_MAX);
        self.shown.drain(..more);
        self.next()
    }

    fn next(&mut self) -> Option<MessageRef> {
        if self.unpacked.is_some() {
            return None;
        }
        self.unpacked = self.wanted.pop();
        self.unpacked
    }

    /// Its message is gone, or its file is another one.
    pub fn forget(&mut self, of: MessageRef) {
        self.shown.retain(|(named, _)| *named != of);
        self.wanted.retain(|named| *named != of);
    }

    /// Whether it is to be fetched by itself: each one once.
    pub fn fetch(&mut self, of: MessageRef) -> bool {
        let fetches = self.fetched.len() < FETCHED_MAX && !self.fetched.contains(&of);
        if fetches {
            self.fetched.push(of);
        }
        fetches
    }
}

#[cfg(test)]
mod tests {
    use endtoend_client::database::Direction;
    use iced::widget::image::Handle;

    use super::*;
    use crate::testing::id;

    fn named(number: u32) -> MessageRef {
        MessageRef { direction: Direction::In, id: id(number) }
    }

    fn drawn() -> Shown {
        Shown::Drawn(Drawn { handle: Handle::from_rgba(1, 1, vec![0; 4]), width: 1, height: 1 })
    }

    #[test]
    fn one_is_unpacked_at_a_time_and_what_is_looked_at_now_comes_first() {
        let mut pictures = Pictures::default();
        assert_eq!(pictures.want(named(1)), Some(named(1)));
        assert_eq!((pictures.want(named(2)), pictures.want(named(3)), pictures.want(named(2))), (None, None, None));
        assert_eq!(pictures.want(named(1)), None, "it is on its way");
        assert_eq!(pictures.came(named(1), drawn()), Some(named(2)));
        assert_eq!(pictures.came(named(2), Shown::Not(Failure::new("picture-bad"))), Some(named(3)));
        assert_eq!(pictures.came(named(3), drawn()), None);
        assert_eq!(pictures.want(named(1)), None, "it is here");
        assert!(pictures.get(named(1)).is_some());
        pictures.forget(named(1));
        assert_eq!(pictures.want(named(1)), Some(named(1)));
    }

    #[test]
    fn memory_has_a_bound_and_what_was_seen_last_stays() {
        let mut pictures = Pictures::default();
        for number in 0..100 {
            pictures.want(named(number));
            pictures.want(named(0));
            pictures.came(named(number), drawn());
        }
        assert_eq!(pictures.shown.len(), DRAWN_MAX);
        assert!(
            pictures.get(named(0)).is_some() && pictures.get(named(99)).is_some() && pictures.get(named(50)).is_none()
        );
        let mut pictures = Pictures::default();
        (0..1_000).for_each(|number| {
            pictures.want(named(number));
            pictures.fetch(named(number));
        });
        assert_eq!((pictures.wanted.len(), pictures.fetched.len()), (WANTED_MAX, FETCHED_MAX));
        assert!(!pictures.fetch(named(0)), "once");
        assert_eq!(pictures.came(named(0), drawn()), Some(named(999)));
    }
}
