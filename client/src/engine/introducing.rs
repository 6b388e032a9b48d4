//! A device that comes to the account hears from the others what was settled before: choices, and of people what was decided, how they are
//! called, what was compared, how conversations are kept, how they show themselves, how long messages live; and who was removed, or what an
//! older device tells would bring him back there.
//!
//! What a new device is given when it is let in has room for names and keys of some people and nothing else. The rest goes the way of all
//! news between own devices, through the outbox, in the order of accounts, several people in a message. A mark in the database, set in the
//! transaction that notes the new device, says up to whom that has come; it moves in the transaction that queues the next message, so a
//! crash leaves out nobody. Each thing is told with the moment at which it was settled: what is known there already, from another device or
//! because it was settled there since, does not change. So every device tells, whichever has let the new one in, and it does no harm that
//! all do. The own face has a mark of its own (`faces`).

use endtoend_protocol::{AccountTag, ContentKind, MessageId, OwnNews, Person, UnixMillis, limits};
use rand::RngExt as _;

use super::repair::{Queued, queue_errand};
use super::run::Runner;
use crate::clock;
use crate::database::{DatabaseError, OUTBOX_MAX, Settings, Store};

/// Bytes that the people of one message take: what fits into an envelope, with one more that has the largest picture.
const PEOPLE_BYTES_MAX: usize = 24 * 1024;
/// Messages that are queued in one go; the rest when these have left.
const TOLD_MAX: usize = 4;
/// While more waits in the outbox than this, messages go first.
const WAITING_MAX: usize = 64;

/// Queues what the own other devices have still to hear, in at most so many messages. Says whether there may be more. Inside a transaction.
pub(super) fn introduce(
    store: &Store<'_>,
    own: AccountTag,
    messages: usize,
    now: UnixMillis,
) -> Result<(Vec<Queued>, bool), DatabaseError> {
    let mut queued = Vec::new();
    let Some(mut after) = store.introduced()? else { return Ok((queued, false)) };
    let mut tell = |at: UnixMillis, news: OwnNews| {
        let id = MessageId::new(at, rand::rng().random());
        queued.push(queue_errand(store, own, id, at, ContentKind::Own(news))?);
        Ok::<_, DatabaseError>(())
    };
    if after.is_none()
        && let Some(at) = store.chosen_at()?
    {
        let Settings { receipts, typing } = store.settings()?;
        tell(at, OwnNews::Choices { receipts, typing })?;
    }
    for _ in 0..messages {
        let removed = store.removed_after(after)?;
        let people = people_after(store, after, removed.map(|(tag, _)| tag))?;
        if people.is_empty()
            && let Some((with, at)) = removed
        {
            after = Some(with);
            tell(at, OwnNews::Removed { with, contact: true })?;
            store.introduce_from(after)?;
            continue;
        }
        let Some(last) = people.last() else {
            store.introduced_all()?;
            return Ok((queued, false));
        };
        after = Some(last.account);
        tell(now, OwnNews::People(people))?;
        store.introduce_from(after)?;
    }
    Ok((queued, true))
}

/// The next people before `until`, as many as go into one message.
fn people_after(
    store: &Store<'_>,
    mut after: Option<AccountTag>,
    until: Option<AccountTag>,
) -> Result<Vec<Person>, DatabaseError> {
    let (mut people, mut bytes) = (Vec::new(), 0_usize);
    while people.len() < limits::ACQUAINTANCES_MAX && bytes < PEOPLE_BYTES_MAX {
        let person = store.person_after(after)?.filter(|person| until.is_none_or(|until| person.account < until));
        let Some(person) = person else { break };
        after = Some(person.account);
        bytes = bytes.saturating_add(person.bytes());
        people.push(person);
    }
    Ok(people)
}

impl Runner {
    /// What is told of it now. On a live connection, again and again.
    pub(super) fn tell_own_devices(&mut self, own: AccountTag) -> Result<(), DatabaseError> {
        let room = OUTBOX_MAX.saturating_sub(self.outbox.len().saturating_add(1)).min(TOLD_MAX);
        if !self.introduces || room == 0 || self.outbox.len() > WAITING_MAX {
            return Ok(());
        }
        let (alone, now) = (self.alone, clock::now());
        let (queued, more) = self.database().write(|store| match alone {
            // It has gone before it heard anything.
            true => store.introduced_all().map(|()| (Vec::new(), false)),
            false => introduce(store, own, room, now),
        })?;
        self.introduces = more;
        queued.into_iter().for_each(|row| self.queued(Some(row)));
        Ok(())
    }
}
