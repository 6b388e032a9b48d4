//! The messages that were typed into a chat, and what has been said of them.
//!
//! What becomes of a message is told by events, of which some are missed when many come at once. What the engine keeps is asked then, so
//! that of each message it is said once that the server has taken it, or that it never will.

use std::collections::{HashMap, HashSet};
use std::io;

use endtoend_client::database::MessageState;
use endtoend_client::engine::{Change, EngineHandle};
use endtoend_client::handle::Handle;
use endtoend_protocol::{MessageId, RejectReason, UnixMillis};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{messages, output, transfer};

/// What may become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Accepted,
    Refused,
    Delivered,
    Read,
}

/// Says a line: for people, and for programs.
pub(crate) type Say<'a> = &'a dyn Fn(&str, Value) -> io::Result<()>;

/// The messages of this chat that were typed here, in their order.
#[derive(Default)]
pub(crate) struct Typed {
    pub(crate) ids: Vec<MessageId>,
    /// The place of each, from 1.
    numbers: HashMap<MessageId, usize>,
    /// What was said of them.
    told: HashSet<(MessageId, Fate)>,
    /// So many from the first on need nothing more: they are not looked at again, however many there are.
    settled: usize,
    /// Of so many from the first on it was said whether the server has taken them.
    ended: usize,
}

impl Typed {
    pub(crate) fn push(&mut self, id: MessageId) {
        self.ids.push(id);
        self.numbers.insert(id, self.ids.len());
    }

    /// Whether the server has taken everything, or never will.
    pub(crate) async fn all_settled(&mut self, engine: &EngineHandle) -> Result<bool, Failure> {
        while let Some(id) = self.ids.get(self.settled) {
            let waits = engine.find(*id).await?.is_some_and(|message| message.state == MessageState::Queued);
            // A file that did not get through waits for a person.
            if waits && transfer::fault(engine, *id).await?.is_none() {
                return Ok(false);
            }
            self.settled = self.settled.saturating_add(1);
        }
        Ok(true)
    }

    /// The number of a message of which this is to be said, for the first time.
    fn news(&mut self, id: MessageId, fate: Fate) -> Option<usize> {
        let number = self.numbers.get(&id).copied()?;
        self.told.insert((id, fate)).then_some(number)
    }

    fn has_end(&self, id: MessageId) -> bool {
        self.told.contains(&(id, Fate::Accepted)) || self.told.contains(&(id, Fate::Refused))
    }

    pub(crate) fn sent(&self, id: MessageId, say: Say<'_>) -> io::Result<()> {
        match self.numbers.get(&id) {
            Some(number) => {
                say(&format!("  · {number} sent"), json!({ "event": "sent", "message_id": id.to_string() }))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn accepted(&mut self, id: MessageId, at: UnixMillis, say: Say<'_>) -> io::Result<()> {
        let Some(number) = self.news(id, Fate::Accepted) else { return Ok(()) };
        say(
            &format!("  ✓ {number} accepted {}", output::time(at)),
            json!({ "event": "accepted", "message_id": id.to_string(), "accepted_at_ms": at.get() }),
        )
    }

    pub(crate) fn refused(&mut self, id: MessageId, reason: RejectReason, say: Say<'_>) -> io::Result<()> {
        let Some(number) = self.news(id, Fate::Refused) else { return Ok(()) };
        say(
            &format!("  ✗ {number} refused: {reason}"),
            json!({ "event": "rejected", "message_id": id.to_string(), "reason": reason.as_str() }),
        )
    }

    /// It has come, or was seen: nothing else is said here.
    pub(crate) fn received(&mut self, with: &Handle, id: MessageId, change: Change, say: Say<'_>) -> io::Result<()> {
        let fate = match change {
            Change::Delivered => Fate::Delivered,
            Change::Read => Fate::Read,
            _ => return Ok(()),
        };
        let Some(number) = self.news(id, fate) else { return Ok(()) };
        let object = messages::changed_object(Some(with), Some(id), change);
        say(&format!("  ✓✓ {number} {}", change.as_str()), object)
    }

    /// Says what has become of those whose end was not told, because too much happened at once. Each is looked at until it has one.
    pub(crate) async fn catch_up(&mut self, engine: &EngineHandle, with: &Handle, say: Say<'_>) -> Result<(), Failure> {
        while self.ids.get(self.ended).is_some_and(|id| self.has_end(*id)) {
            self.ended = self.ended.saturating_add(1);
        }
        let open: Vec<MessageId> = self.ids.iter().skip(self.ended).copied().filter(|id| !self.has_end(*id)).collect();
        for id in open {
            let Some(message) = engine.find(id).await? else { continue };
            if let (Some(at), false) = (message.accepted_at, message.state == MessageState::Queued) {
                self.accepted(id, at, say)?;
            }
            match message.state {
                MessageState::Rejected(reason) => self.refused(id, reason, say)?,
                MessageState::Delivered => self.received(with, id, Change::Delivered, say)?,
                MessageState::Read => self.received(with, id, Change::Read, say)?,
                MessageState::Queued | MessageState::Accepted | MessageState::Received => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use endtoend_client::database::{Body, Direction, Marks, StoredMessage};
    use endtoend_client::engine::{Engine, Options};
    use endtoend_client::profile::Profile;
    use endtoend_protocol::{AccountTag, Text};
    use zeroize::Zeroizing;

    use super::*;

    fn id(n: u8) -> MessageId {
        MessageId::new(UnixMillis::new(1), [n; 10])
    }

    fn message(n: u8, state: MessageState) -> StoredMessage {
        let at = UnixMillis::new(u64::from(n));
        StoredMessage {
            seq: 0,
            peer: AccountTag::new([2; 32]),
            handle: None,
            direction: Direction::Out,
            id: id(n),
            state,
            body: Body::Text(Text::new("a text".to_owned()).unwrap()),
            sent_at: at,
            accepted_at: (!matches!(state, MessageState::Queued | MessageState::Rejected(_))).then_some(at),
            received_at: None,
            wire_bytes: None,
            shown: true,
            marks: Marks::default(),
        }
    }

    #[tokio::test]
    async fn what_was_missed_is_said_once_and_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut profile = Profile::create(&folder.path().join("profile"), b"a password").unwrap();
        let states = [
            MessageState::Accepted,
            MessageState::Rejected(RejectReason::UnknownRecipient),
            MessageState::Read,
            MessageState::Queued,
            MessageState::Accepted,
        ];
        let messages = (1..).zip(states).map(|(n, state)| message(n, state));
        let put = |store: &endtoend_client::database::Store<'_>| {
            messages.clone().try_for_each(|message| store.put_message(&message).map(drop))
        };
        profile.database().write(put).unwrap();
        let password = Zeroizing::new("a password".to_owned());
        let options = Options { password, online: false, connect_timeout: Duration::from_secs(1) };
        let engine = Engine::start(profile, options).unwrap();

        let (with, said) = ("bob".parse().unwrap(), RefCell::new(Vec::new()));
        let say = |line: &str, _: Value| {
            said.borrow_mut().push(line.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
            Ok(())
        };
        let mut typed = Typed::default();
        (1..=5).for_each(|n| typed.push(id(n)));
        typed.accepted(id(5), UnixMillis::new(5), &say).unwrap();
        assert_eq!(said.take(), ["✓ 5 accepted"]);
        typed.catch_up(&engine.handle(), &with, &say).await.unwrap();
        assert_eq!(said.take(), ["✓ 1 accepted", "✗ 2 refused:", "✓ 3 accepted", "✓✓ 3 read"]);
        // The events come late, and it is looked once more.
        typed.accepted(id(1), UnixMillis::new(1), &say).unwrap();
        typed.refused(id(2), RejectReason::UnknownRecipient, &say).unwrap();
        typed.received(&with, id(3), Change::Read, &say).unwrap();
        typed.catch_up(&engine.handle(), &with, &say).await.unwrap();
        assert_eq!(said.take(), Vec::<String>::new());
        assert_eq!(typed.ended, 3, "the fourth waits");
        typed.accepted(id(4), UnixMillis::new(4), &say).unwrap();
        typed.accepted(id(9), UnixMillis::new(9), &say).unwrap();
        assert_eq!(said.take(), ["✓ 4 accepted"], "the ninth is none of this chat's");
        engine.stop().await;
    }
}
