//! Rules: which part of a history is in memory. At most [`LOADED_MAX`] messages are, however long the history is.
//!
//! The part is drawn from its end upwards, so what is put before it, or taken from there, moves nothing that a person reads.
//! What is put after it moves everything, unless the place is kept: [`Loaded::at_end`] says when.

use endtoend_client::database::{Direction, MessageRef, Notice, Page, StoredMessage};
use endtoend_protocol::{MessageId, UnixMillis};

/// Messages that are asked for at a time.
pub const PAGE: usize = 50;
/// Messages that are kept. Beyond it the end that is farther away goes.
pub const LOADED_MAX: usize = 300;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Newest,
    Older,
    Newer,
    Again,
    From,
}

/// What an answer has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Something stands after what was the last message.
    pub at_end: bool,
    /// This was the beginning: show the end.
    pub first: bool,
    /// This was gone to: show where it begins.
    pub gone_to: bool,
    /// Something happened meanwhile: ask again.
    pub again: bool,
}

/// A question to the engine: its number, which page, how many.
pub type Question = (u64, Page, u32);

/// The part of a history that is in memory.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    messages: Vec<StoredMessage>,
    notices: Vec<Notice>,
    from_the_beginning: bool,
    to_the_end: bool,
    asked: Option<(u64, Asked)>,
    stale: bool,
    numbers: u64,
}

/// What stands in a conversation.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// What somebody has said.
    Message(&'a StoredMessage),
    /// What was found out about messages that did not come.
    Notice(&'a Notice),
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Timeline {
    fn ask(&mut self, asked: Asked, page: Page, limit: usize) -> Question {
        self.numbers = self.numbers.wrapping_add(1);
        self.asked = Some((self.numbers, asked));
        (self.numbers, page, number(limit))
    }

    /// Asks for the end of the history, whatever else was asked.
    pub fn newest(&mut self) -> Question {
        self.stale = false;
        self.ask(Asked::Newest, Page::Last, PAGE)
    }

    /// Asks for a message and what stands after it, whatever else was asked.
    pub fn go_to(&mut self, message: MessageId) -> Question {
        self.stale = false;
        self.ask(Asked::From, Page::From(message), PAGE)
    }

    /// Asks for the first message from then on and what stands after it, whatever else was asked.
    pub fn go_to_day(&mut self, from: UnixMillis) -> Question {
        self.stale = false;
        self.ask(Asked::From, Page::Since(from), PAGE)
    }

    /// Asks for what stands before, if that is not here and nothing else is asked. To make room, the end may go: then the
    /// second value is true, and the place is to be kept.
    pub fn older(&mut self) -> Option<(Question, bool)> {
        let first = self.messages.first().map(|message| message.id)?;
        if self.from_the_beginning || self.asked.is_some() {
            return None;
        }
        let room = LOADED_MAX - PAGE;
        let cut = self.messages.len() > room;
        if cut {
            self.messages.truncate(room);
            self.to_the_end = false;
        }
        Some((self.ask(Asked::Older, Page::Before(first), PAGE), cut))
    }

    /// Asks for what stands after, if that is not here and nothing else is asked.
    pub fn newer(&mut self) -> Option<Question> {
        let last = self.messages.last().map(|message| message.id)?;
        if self.to_the_end || self.asked.is_some() || self.is_too_long() {
            return None;
        }
        Some(self.ask(Asked::Newer, Page::After(last), PAGE))
    }

    /// Something happened: asks for what is here once more, and for what came after it. Not while something else is asked.
    pub fn again(&mut self) -> Option<Question> {
        if self.asked.is_some() {
            self.stale = true;
            return None;
        }
        match (self.to_the_end, self.messages.first()) {
            (true, _) => {
                let limit = self.messages.len() + PAGE;
                Some(self.ask(Asked::Again, Page::Last, limit))
            }
            // What the first one says is not looked at again; it is far from where things happen.
            (false, Some(first)) => {
                let (first, limit) = (first.id, self.messages.len().saturating_sub(1));
                Some(self.ask(Asked::Again, Page::After(first), limit.max(1)))
            }
            (false, None) => Some(self.newest()),
        }
    }

    /// An answer has come. `None` when nobody waits for it any more.
    pub fn loaded(&mut self, number: u64, messages: Vec<StoredMessage>, notices: Vec<Notice>) -> Option<Loaded> {
        let (_, asked) = self.asked.take_if(|(asked, _)| *asked == number)?;
        let last = self.messages.last().map(|message| message.seq);
        match asked {
            Asked::Newest => {
                self.from_the_beginning = messages.len() < PAGE;
                self.to_the_end = true;
                self.messages = messages;
            }
            Asked::From => {
                self.from_the_beginning = false;
                self.to_the_end = messages.len() < PAGE;
                self.messages = messages;
            }
            Asked::Older => {
                self.from_the_beginning = messages.len() < PAGE;
                self.messages.splice(0..0, messages);
            }
            Asked::Newer => {
                self.to_the_end = messages.len() < PAGE;
                self.messages.extend(messages);
            }
            Asked::Again => self.replace(messages),
        }
        self.note(notices);
        let (first, gone_to) = (asked == Asked::Newest, asked == Asked::From);
        let after = self.messages.last().map(|message| message.seq);
        let at_end = !first && !gone_to && after > last;
        // What stands before is asked for next, and its answer says it.
        let again = !gone_to && std::mem::take(&mut self.stale);
        Some(Loaded { at_end, first, gone_to, again })
    }

    /// What is here, as it is now.
    fn replace(&mut self, messages: Vec<StoredMessage>) {
        let kept = match (self.to_the_end, self.messages.first()) {
            (true, first) => {
                let first = first.filter(|_| !self.from_the_beginning).map_or(i64::MIN, |message| message.seq);
                messages.into_iter().filter(|message| message.seq >= first).collect()
            }
            (false, first) => first.cloned().into_iter().chain(messages).collect(),
        };
        self.messages = kept;
    }

    /// Keeps the notices that stand among the messages, the latest of each.
    fn note(&mut self, notices: Vec<Notice>) {
        self.notices.retain(|old| notices.iter().all(|new| new.seq != old.seq));
        self.notices.extend(notices);
        let from = self.messages.first().filter(|_| !self.from_the_beginning).map_or(i64::MIN, |first| first.seq);
        let to = self.messages.last().filter(|_| !self.to_the_end).map_or(i64::MAX, |last| last.seq);
        self.notices.retain(|notice| notice.after >= from && notice.after < to);
        self.notices.sort_by_key(|notice| (notice.after, notice.seq));
    }

    /// The question will have no answer.
    pub fn failed(&mut self, number: u64) {
        self.asked.take_if(|(asked, _)| *asked == number);
    }

    fn is_too_long(&self) -> bool {
        self.messages.len() > LOADED_MAX
    }

    /// Takes away from the beginning what is too much. Nothing moves, because everything is drawn from the end.
    pub fn forget_beginning(&mut self) {
        let more = self.messages.len().saturating_sub(LOADED_MAX - PAGE);
        if self.is_too_long() {
            self.messages.drain(..more);
            self.from_the_beginning = false;
        }
    }

    /// Messages, oldest first.
    pub fn messages(&self) -> &[StoredMessage] {
        &self.messages
    }

    /// Whether there was an answer yet.
    pub const fn is_loaded(&self) -> bool {
        self.to_the_end || !self.messages.is_empty()
    }

    /// Whether the last message of the history is here.
    pub const fn is_at_end(&self) -> bool {
        self.to_the_end
    }

    /// Whether the first message of the history is here.
    pub const fn is_from_beginning(&self) -> bool {
        self.from_the_beginning
    }

    /// The message of this name, if it is here.
    pub fn find(&self, wanted: MessageRef) -> Option<&StoredMessage> {
        self.messages.iter().find(|message| message.id == wanted.id && message.direction == wanted.direction)
    }

    /// Messages, with the notices among them.
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::with_capacity(self.messages.len() + self.notices.len());
        let mut notices = self.notices.iter().peekable();
        for message in &self.messages {
            while let Some(notice) = notices.next_if(|notice| notice.after < message.seq) {
                lines.push(Line::Notice(notice));
            }
            lines.push(Line::Message(message));
        }
        lines.extend(notices.map(Line::Notice));
        lines
    }

    /// What is here and was not seen: messages, notices.
    pub fn unseen(&self) -> (Vec<i64>, Vec<i64>) {
        let theirs = |message: &&StoredMessage| !message.shown && message.direction == Direction::In;
        (
            self.messages.iter().filter(theirs).map(|message| message.seq).collect(),
            self.notices.iter().filter(|notice| !notice.shown).map(|notice| notice.seq).collect(),
        )
    }

    /// These were seen. The database hears of it too.
    pub fn seen(&mut self, messages: &[i64], notices: &[i64]) {
        for message in self.messages.iter_mut().filter(|message| messages.contains(&message.seq)) {
            message.shown = true;
        }
        for notice in self.notices.iter_mut().filter(|notice| notices.contains(&notice.seq)) {
            notice.shown = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    /// A history of numbered messages, and a timeline that reads it.
    struct Reader {
        history: Vec<StoredMessage>,
        timeline: Timeline,
    }

    impl Reader {
        fn new(count: u32) -> Self {
            let mut reader = Self { history: (1..=count).map(said).collect(), timeline: Timeline::default() };
            let question = reader.timeline.newest();
            reader.answer(question);
            reader
        }

        /// As the engine answers.
        fn answer(&mut self, (number, page, limit): Question) -> Loaded {
            let at = |id| self.history.iter().position(|message| message.id == id).unwrap();
            let (limit, all) = (limit as usize, self.history.len());
            let found = match page {
                Page::Last => all.saturating_sub(limit)..all,
                Page::Before(id) => at(id).saturating_sub(limit)..at(id),
                Page::After(id) => at(id) + 1..(at(id) + 1 + limit).min(all),
                Page::From(id) => at(id)..(at(id) + limit).min(all),
                Page::Since(from) => {
                    let first = self.history.iter().position(|message| message.sent_at >= from).unwrap_or(all);
                    first..(first + limit).min(all)
                }
            };
            self.timeline.loaded(number, self.history[found].to_vec(), Vec::new()).unwrap()
        }

        fn here(&self) -> (i64, i64) {
            let seqs: Vec<i64> = self.timeline.messages().iter().map(|message| message.seq).collect();
            assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap or a repeat: {seqs:?}");
            (seqs[0], seqs[seqs.len() - 1])
        }
    }

    fn said(number: u32) -> StoredMessage {
        message(number, Direction::In, "words")
    }

    #[test]
    fn up_and_down_a_long_history_has_no_gap_and_a_bound() {
        let mut reader = Reader::new(100_000);
        assert_eq!(reader.here(), (99_951, 100_000));
        for step in 0..200 {
            let (question, cut) = reader.timeline.older().unwrap();
            assert_eq!(cut, step >= 5, "{step}");
            assert_eq!(reader.answer(question), Loaded::default());
            assert!(reader.timeline.messages().len() <= LOADED_MAX);
        }
        assert_eq!(reader.here(), (89_951, 90_250));
        assert!(!reader.timeline.is_at_end());
        while !reader.timeline.is_at_end() {
            reader.timeline.forget_beginning();
            let question = reader.timeline.newer().unwrap();
            reader.answer(question);
            assert!(reader.timeline.messages().len() <= LOADED_MAX + PAGE);
        }
        assert_eq!(reader.here().1, 100_000);
        assert_eq!(reader.timeline.newer(), None);
    }

    #[test]
    fn whoever_goes_to_a_message_has_it_first_and_what_stands_around_it() {
        let mut reader = Reader::new(100_000);
        let question = reader.timeline.go_to(said(500).id);
        assert_eq!(reader.answer(question), Loaded { gone_to: true, ..Loaded::default() });
        assert_eq!((reader.here(), reader.timeline.is_at_end()), ((500, 549), false));
        let (older, _) = reader.timeline.older().unwrap();
        assert_eq!(reader.answer(older), Loaded::default());
        // What happens while it is asked for is looked at, one answer later.
        let question = reader.timeline.go_to(said(500).id);
        assert_eq!(reader.timeline.again(), None);
        assert!(!reader.answer(question).again);
        let (older, _) = reader.timeline.older().unwrap();
        assert!(reader.answer(older).again);
        let newer = reader.timeline.newer().unwrap();
        reader.answer(newer);
        assert_eq!(reader.here(), (450, 599));
        // The last one.
        let question = reader.timeline.go_to(said(100_000).id);
        reader.answer(question);
        assert_eq!((reader.here(), reader.timeline.is_at_end()), ((100_000, 100_000), true));
        assert!(reader.timeline.older().is_some());
    }

    #[test]
    fn the_beginning_is_the_beginning() {
        let mut reader = Reader::new(70);
        let (question, _) = reader.timeline.older().unwrap();
        reader.answer(question);
        assert!(reader.timeline.is_from_beginning());
        assert_eq!((reader.here(), reader.timeline.older()), ((1, 70), None));
        assert!(Reader::new(3).timeline.is_from_beginning());
    }

    #[test]
    fn what_comes_stands_at_the_end_and_what_was_above_stays_there() {
        let mut reader = Reader::new(100);
        reader.history.push(said(101));
        let question = reader.timeline.again().unwrap();
        assert!(reader.answer(question).at_end);
        assert_eq!(reader.here(), (51, 101));
        // Nothing new.
        let question = reader.timeline.again().unwrap();
        assert!(!reader.answer(question).at_end);
        // In the middle of a history, its end is not asked for.
        let mut reader = Reader::new(1_000);
        for _ in 0..8 {
            let (question, _) = reader.timeline.older().unwrap();
            reader.answer(question);
        }
        let before = reader.here();
        let question = reader.timeline.again().unwrap();
        assert_eq!(reader.answer(question), Loaded::default());
        assert_eq!(reader.here(), before);
    }

    #[test]
    fn what_happens_while_something_is_asked_is_looked_at_afterwards() {
        let mut reader = Reader::new(100);
        let (question, _) = reader.timeline.older().unwrap();
        assert_eq!(reader.timeline.again(), None);
        assert_eq!(reader.timeline.older(), None, "one question at a time");
        assert!(reader.answer(question).again);
        // An answer that nobody waits for any more changes nothing.
        let first = reader.timeline.again().unwrap();
        let second = reader.timeline.newest();
        assert_eq!(reader.timeline.loaded(first.0, Vec::new(), Vec::new()), None);
        assert!(reader.answer(second).first);
        let third = reader.timeline.again().unwrap();
        reader.timeline.failed(third.0);
        assert!(reader.timeline.again().is_some());
    }

    #[test]
    fn what_was_seen_is_told_once() {
        let mut reader = Reader::new(3);
        let (messages, notices) = reader.timeline.unseen();
        assert_eq!((messages.as_slice(), notices.as_slice()), ([1, 2, 3].as_slice(), [].as_slice()));
        reader.timeline.seen(&messages, &notices);
        assert_eq!(reader.timeline.unseen(), (Vec::new(), Vec::new()));
    }
}
