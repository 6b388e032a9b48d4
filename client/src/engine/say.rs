//! What is said about messages, by either side: carried out here and told to whom it concerns. Runs inside a transaction.
//!
//! What a peer says about a message passes the same rules as what this person does ([`crate::amend`]); what they refuse leaves no
//! trace. Everything of it goes the way of a message: inside the ratchet, padded, with a place in the chain.

use std::time::Duration;

use endtoend_protocol::{
    AccountTag, Attached, Content, ContentKind, Emoji, Lifetime, MessageId, Progress, Reference, Said, Text,
    UnixMillis, Written,
};
use rand::RngExt as _;
use zeroize::Zeroizing;

use super::event::Change;
use super::repair::{Queued, content_again, copy_of, own_tag, queue_errand};
use crate::amend::{Refused, leaves_room, not_after};
use crate::card::Card;
use crate::database::{
    Body, DatabaseError, Direction, EARLY_AGE_MAX, FileState, Marks, MessageRef, Standing, Store, StoredFile,
};
use crate::face::Face;

/// That somebody is writing means nothing when it is older.
pub(super) const TYPING_AGE_MAX: Duration = Duration::from_secs(15);

/// What this person does to a conversation, beside writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Other words for a text of his own.
    Edit(MessageId, Text),
    /// A message of his own is to be gone on both sides.
    DeleteForEveryone(MessageId),
    /// A message is to be gone on this device. Nobody is told.
    DeleteForMe(MessageId),
    /// A reaction to a message, or with `None` none any more.
    React(MessageId, Option<Emoji>),
    /// How long messages live that either side writes from now on.
    Timer(Option<Lifetime>),
    /// He is writing, or with `false` has stopped. Told only if that is wanted.
    Typing(bool),
}

/// News for whoever looks at the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) peer: AccountTag,
    pub(super) id: Option<MessageId>,
    pub(super) change: Change,
}

fn news(peer: AccountTag, id: MessageId, change: Change) -> Vec<News> {
    vec![News { peer, id: Some(id), change }]
}

/// Who wrote the message that `by` refers to.
pub(super) const fn referred(reference: Reference, by: Direction) -> MessageRef {
    let direction = match (by, reference.of_reader) {
        (Direction::Out, false) | (Direction::In, true) => Direction::Out,
        (Direction::Out, true) | (Direction::In, false) => Direction::In,
    };
    MessageRef { direction, id: reference.id }
}

/// The same, as this person says it.
pub(super) const fn reference(to: MessageRef) -> Reference {
    Reference { id: to.id, of_reader: matches!(to.direction, Direction::In) }
}

/// Carries out what `by` has said at `at`, unless it is a text. The outer error is the database's.
pub(super) fn carry_out(
    store: &Store<'_>,
    peer: AccountTag,
    by: Direction,
    said: &Said,
    at: UnixMillis,
    now: UnixMillis,
) -> Result<Result<Vec<News>, Refused>, DatabaseError> {
    let done = |amended: Result<(), Refused>, id, change| Ok(amended.map(|()| news(peer, id, change)));
    match said {
        Said::Text(_) | Said::File(_) | Said::Card(_) => Ok(Ok(Vec::new())),
        Said::Edit { id, text } => {
            if by == Direction::Out {
                keep_original(store, peer, *id, now)?;
            }
            done(store.edit(peer, *id, by, text, at)?, *id, Change::Edited)
        }
        Said::Delete(id) => done(store.delete_for_everyone(peer, *id, by)?, *id, Change::Deleted),
        Said::React { to, emoji } => {
            let to = referred(*to, by);
            done(store.react(peer, to, by, emoji.as_ref(), not_after(at, now))?, to.id, Change::Reacted)
        }
        Said::Receipt { progress, ids } => {
            let mut found = Vec::new();
            for id in ids {
                match by {
                    Direction::In if store.progressed(peer, *id, *progress, now)? => {
                        let change = match progress {
                            Progress::Delivered => Change::Delivered,
                            Progress::Read => Change::Read,
                        };
                        found.push(News { peer, id: Some(*id), change });
                    }
                    Direction::In => {}
                    // Another device of this account has shown it.
                    Direction::Out if store.was_shown(peer, *id)? => {
                        found.push(News { peer, id: Some(*id), change: Change::Settled });
                    }
                    Direction::Out => {}
                }
            }
            Ok(Ok(found))
        }
        Said::Typing { stopped } => {
            let accepted = store.contact(peer)?.is_some_and(|contact| contact.standing == Standing::Accepted);
            let change = Change::Typing { stopped: *stopped };
            Ok(Ok(if accepted { vec![News { peer, id: None, change }] } else { Vec::new() }))
        }
        Said::Timer(lifetime) => {
            let accepted = store.contact(peer)?.is_some_and(|contact| contact.standing == Standing::Accepted);
            if by == Direction::In && !accepted {
                return Ok(Err(Refused::NotAccepted));
            }
            let changed = store.set_timer(peer, *lifetime, not_after(at, now))?;
            let change = Change::Timer(*lifetime);
            Ok(Ok(if changed { vec![News { peer, id: None, change }] } else { Vec::new() }))
        }
        Said::Face(face) => {
            let accepted = store.contact(peer)?.is_some_and(|contact| contact.standing == Standing::Accepted);
            // Of others nothing is kept: a stranger's picture is not looked at, and takes no room.
            let changed =
                by == Direction::In && accepted && store.set_face(peer, &Face::read(face), not_after(at, now))?;
            Ok(Ok(if changed { vec![News { peer, id: None, change: Change::Face }] } else { Vec::new() }))
        }
    }
}

/// Carries out what `by` has said, like [`carry_out`]. What is about a message that has not come is kept for a while, if it is
/// said by somebody who is accepted or by another device of this account. What the rules refuse leaves no trace.
pub(super) fn carry_out_or_keep(
    store: &Store<'_>,
    peer: AccountTag,
    by: Direction,
    said: Said,
    (id, at): (MessageId, UnixMillis),
    now: UnixMillis,
) -> Result<Vec<News>, DatabaseError> {
    let refused = match carry_out(store, peer, by, &said, at, now)? {
        Ok(news) => return Ok(news),
        Err(refused) => refused,
    };
    let about = match &said {
        Said::Edit { id, .. } | Said::Delete(id) => MessageRef { direction: by, id: *id },
        Said::React { to, .. } => referred(*to, by),
        Said::Text(_)
        | Said::File(_)
        | Said::Card(_)
        | Said::Receipt { .. }
        | Said::Typing { .. }
        | Said::Timer(_)
        | Said::Face(_) => return Ok(Vec::new()),
    };
    let accepted = store.contact(peer)?.is_some_and(|contact| contact.standing == Standing::Accepted);
    if refused == Refused::NoSuchMessage && (accepted || by == Direction::Out) {
        let life = store.timer(peer)?.map(|timer| Duration::from_secs(timer.as_secs().into()));
        // Nothing of a conversation is kept longer than its messages.
        let until = now.plus(life.map_or(EARLY_AGE_MAX, |life| life.min(EARLY_AGE_MAX)));
        let content = Content { id, sent_at: at, sender_handle: None, kind: ContentKind::Said(said) };
        store.put_early(peer, about, by, &Zeroizing::new(content.encode()), until)?;
        store.forget_early(now)?;
    }
    Ok(Vec::new())
}

/// A message has come: carries out what was said about it before.
pub(super) fn catch_up(
    store: &Store<'_>,
    peer: AccountTag,
    message: MessageRef,
    now: UnixMillis,
) -> Result<(), DatabaseError> {
    store.forget_early(now)?;
    for (by, content) in store.take_early(peer, message)? {
        if let Ok(Content { kind: ContentKind::Said(said), sent_at, .. }) = Content::decode(&content) {
            // What the rules refuse leaves no trace, and whoever hears of the message sees it as it is now.
            let _done = carry_out(store, peer, by, &said, sent_at, now)?;
        }
    }
    Ok(())
}

/// Before the words of one of our messages change: what was sent stays what is sent again, byte for byte.
fn keep_original(store: &Store<'_>, peer: AccountTag, id: MessageId, now: UnixMillis) -> Result<(), DatabaseError> {
    if store.errand(id)?.is_none()
        && let Some(content) = content_again(store, peer, id)?
    {
        store.put_errand(id, &content, now)?;
    }
    Ok(())
}

/// What a deed leads to.
pub(super) struct Done {
    pub(super) queued: Vec<Queued>,
    pub(super) news: Vec<News>,
}

/// Carries out a deed and queues it for the other side and, unless `alone`, for the own other devices.
pub(super) fn act(
    store: &Store<'_>,
    peer: AccountTag,
    deed: Deed,
    alone: bool,
    now: UnixMillis,
) -> Result<Result<Done, Refused>, DatabaseError> {
    let note = own_tag(store)? == Some(peer);
    // A clock that was set back does not make an edit of now older than the one before.
    let mut at = now;
    let said = match deed {
        Deed::Edit(id, text) => {
            if let Err(refused) = leaves_room(&text) {
                return Ok(Err(refused));
            }
            let subject = store.subject(peer, MessageRef { direction: Direction::Out, id })?;
            if let Some(before) = subject.and_then(|subject| subject.edited_at) {
                at = at.max(before.plus(Duration::from_millis(1)));
            }
            Said::Edit { id, text }
        }
        Deed::DeleteForEveryone(id) => Said::Delete(id),
        Deed::DeleteForMe(id) => {
            let Some(message) = store.find_in(peer, id)? else { return Ok(Err(Refused::NoSuchMessage)) };
            let done = store.delete_for_me(peer, message)?;
            return Ok(done.map(|()| Done { queued: Vec::new(), news: news(peer, id, Change::Deleted) }));
        }
        Deed::React(id, emoji) => {
            let Some(message) = store.find_in(peer, id)? else { return Ok(Err(Refused::NoSuchMessage)) };
            Said::React { to: reference(message), emoji }
        }
        Deed::Timer(lifetime) => Said::Timer(lifetime),
        // Nobody else looks at notes to oneself.
        Deed::Typing(_) if note => return Ok(Ok(Done { queued: Vec::new(), news: Vec::new() })),
        Deed::Typing(on) => {
            let said = Said::Typing { stopped: !on };
            let wanted = store.settings()?.typing;
            let queued = if wanted { vec![tell(store, peer, now, said)?] } else { Vec::new() };
            return Ok(Ok(Done { queued, news: Vec::new() }));
        }
    };
    let news = match carry_out(store, peer, Direction::Out, &said, at, at)? {
        Ok(news) => news,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut queued = Vec::new();
    if !alone && let Some(copy) = copy_of(store, peer, said.clone(), at)? {
        queued.push(copy);
    }
    if !note {
        queued.push(tell(store, peer, at, said)?);
    }
    Ok(Ok(Done { queued, news }))
}

fn tell(store: &Store<'_>, peer: AccountTag, at: UnixMillis, said: Said) -> Result<Queued, DatabaseError> {
    queue_errand(store, peer, MessageId::new(at, rand::rng().random()), at, ContentKind::Said(said))
}

/// Queues what the writers of messages are to hear of them, in at most so many rows.
pub(super) fn tell_receipts(store: &Store<'_>, rows: usize, now: UnixMillis) -> Result<Vec<Queued>, DatabaseError> {
    let mut queued = Vec::new();
    while queued.len() < rows
        && let Some((peer, progress, ids)) = store.take_receipts()?
    {
        let said = Said::Receipt { progress, ids };
        queued.push(tell(store, peer, now, said)?);
    }
    Ok(queued)
}

/// What is stored of a message is what was said. `None` for what is not known any more, or not understood.
pub(super) fn said_of(body: Body, marks: &Marks) -> Option<Said> {
    let (reply_to, lives_for) = (marks.reply_to.map(reference), marks.lives_for);
    match body {
        Body::Text(text) => Some(Said::Text(Written { text, reply_to, lives_for })),
        Body::File(stored) => Some(Said::File(Box::new(Attached { file: stored.file, reply_to, lives_for }))),
        Body::Card(card) => {
            let (link, name) = card.said();
            Some(Said::Card(Box::new(endtoend_protocol::Card { link, name, reply_to, lives_for })))
        }
        Body::Deleted | Body::Unknown => None,
    }
}

/// What is stored of what `by` has said, if it is a message of a history. Otherwise it is given back.
pub(super) fn message_of(said: Said, by: Direction) -> Result<(Body, Marks), Said> {
    let (body, reply_to, lives_for) = match said {
        Said::Text(Written { text, reply_to, lives_for }) => (Body::Text(text), reply_to, lives_for),
        Said::File(attached) => {
            let Attached { file, reply_to, lives_for } = *attached;
            (Body::File(Box::new(StoredFile { file, state: FileState::Offered })), reply_to, lives_for)
        }
        Said::Card(said) => {
            // A link of a form that only a newer version understands.
            let body = Card::read(&said).map_or(Body::Unknown, |card| Body::Card(Box::new(card)));
            (body, said.reply_to, said.lives_for)
        }
        other => return Err(other),
    };
    Ok((body, Marks { reply_to: reply_to.map(|to| referred(to, by)), lives_for, ..Marks::default() }))
}
