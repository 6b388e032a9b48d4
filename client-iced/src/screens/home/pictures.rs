//! Rules: which pictures of a conversation are in memory, and which are fetched by themselves.

use endtoend_client::database::MessageRef;

use super::shelf::Shelf;
use crate::failure::Failure;
use crate::picture::Drawn;

/// Pictures in memory: about 1 MB each, and as much again where they are drawn. More than that are not seen at once.
pub const DRAWN_MAX: usize = 24;
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
#[derive(Debug)]
pub struct Pictures {
    shelf: Shelf<MessageRef, Shown>,
    /// Was asked for by itself.
    fetched: Vec<MessageRef>,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { shelf: Shelf::new(DRAWN_MAX), fetched: Vec::new() }
    }
}

impl Pictures {
    /// What there is of this one.
    pub fn get(&self, of: MessageRef) -> Option<&Shown> {
        self.shelf.get(&of)
    }

    /// It is before the eyes. Says which one to unpack now, if any.
    pub fn want(&mut self, of: MessageRef) -> Option<MessageRef> {
        self.shelf.want(of)
    }

    /// This has come of it. Says which one to unpack next, if any.
    pub fn came(&mut self, of: MessageRef, shown: Shown) -> Option<MessageRef> {
        self.shelf.came(of, shown)
    }

    /// Its message is gone, or its file is another one.
    pub fn forget(&mut self, of: MessageRef) {
        self.shelf.forget(&of);
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

    use super::*;
    use crate::testing::id;

    #[test]
    fn nobody_fills_a_disk_with_pictures_that_nobody_asked_for() {
        let mut pictures = Pictures::default();
        let named = |number| MessageRef { direction: Direction::In, id: id(number) };
        let fetched = (0..1_000).filter(|number| pictures.fetch(named(*number))).count();
        assert_eq!(fetched, FETCHED_MAX);
        assert!(!pictures.fetch(named(0)), "once");
    }
}
