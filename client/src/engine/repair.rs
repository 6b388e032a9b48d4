//! A session that broke, because one side lost its state, is mended by both engines without a person.
//!
//! Whose envelope did not open asks its sender for the message again, in a new session; the sender looks up what was in
//! the envelope and queues it once more under the same message id, so that nothing is shown twice. A question that does
//! not open at the other side is mended in the same way, so it does not matter who begins, or whether both do.
//!
//! The sender of an envelope that does not open is not proved: anybody can write any name into it. What a forger can
//! cause is bounded: new sessions every ten minutes, some questions, and no session is lost, because the old ones still open
//! what was sealed in them.

use std::collections::BTreeMap;
use std::time::Duration;

use endtoend_protocol::{AccountTag, Content, ContentKind, EnvelopeId, MessageId, OwnNews, Said, UnixMillis, limits};
use rand::RngExt as _;
use zeroize::Zeroizing;

use super::say::said_of;
use crate::database::{Account, DatabaseError, OUTBOX_MAX, Store, StoredMessage};

/// New sessions with one account are begun at most this often.
pub(super) const RESET_PAUSE: Duration = Duration::from_secs(600);
/// Envelopes of one account that are asked for within [`RESET_PAUSE`].
const QUESTIONS_MAX: u64 = 64;

/// A row that was added to the outbox, and for whom.
pub(super) type Queued = (i64, AccountTag);

/// Asks for the message of an envelope that did not open, inside a transaction. `None` when that is not done: the sender
/// is nobody we know, his identity has changed, or he was asked too often.
pub(super) fn ask_again(
    store: &Store<'_>,
    sender: AccountTag,
    id: EnvelopeId,
    now: UnixMillis,
) -> Result<Option<Queued>, DatabaseError> {
    let known = store.contact(sender)?.is_some_and(|contact| contact.changed_identity.is_none());
    let window = now.get().saturating_sub(u64::try_from(RESET_PAUSE.as_millis()).unwrap_or(u64::MAX));
    if !known || store.unopened_since(sender, UnixMillis::new(window))? >= QUESTIONS_MAX {
        return Ok(None);
    }
    // A moment in the future is of a clock that has been set back since.
    let recent = store.session_reset_at(sender)?.is_some_and(|at| at <= now && now.since(at) < RESET_PAUSE);
    if !recent {
        store.reset_sessions(sender, now)?;
    }
    let question = MessageId::new(now, rand::rng().random());
    store.put_unopened(id, sender, question, now)?;
    // Whatever else waits: without it nobody would ever ask for what was in the envelope. Of these there are few.
    let content = encode(store, sender, question, now, ContentKind::Unopened(id))?;
    let row = store.enqueue_anyway(question, sender, &content)?;
    store.put_errand(question, &content, now)?;
    Ok(Some((row, sender)))
}

/// What is said beside messages is not worth that anything else fails for it: with a full outbox it is not said.
fn if_there_is_room(queued: Result<Queued, DatabaseError>) -> Result<Option<Queued>, DatabaseError> {
    match queued {
        Err(DatabaseError::Limit { max: OUTBOX_MAX, .. }) => Ok(None),
        queued => queued.map(Some),
    }
}

/// Answers `asker`, at whom an envelope of ours did not open, inside a transaction. `None` when there is nothing to send:
/// the envelope was not for him, is forgotten, or has been repeated often enough.
pub(super) fn send_again(
    store: &Store<'_>,
    asker: AccountTag,
    id: EnvelopeId,
) -> Result<Option<Queued>, DatabaseError> {
    let Some(sent) = store.sent_envelope(id)? else { return Ok(None) };
    if sent.recipient.account != asker || store.copies(sent.message, sent.recipient)?.len() >= limits::COPIES_MAX {
        return Ok(None);
    }
    let Some(content) = content_again(store, asker, sent.message)? else { return Ok(None) };
    // As with the question: it is not asked twice.
    Ok(Some((store.enqueue_anyway(sent.message, asker, &content)?, asker)))
}

/// The content of a message to somebody, byte for byte as it was: its place in the chain covers it. `None` when it is not known
/// any more.
pub(super) fn content_again(
    store: &Store<'_>,
    to: AccountTag,
    message: MessageId,
) -> Result<Option<Zeroizing<Vec<u8>>>, DatabaseError> {
    if let Some(errand) = store.errand(message)? {
        return match store.sent_message(message)? {
            // The words that a text of ours had at first. The own other devices were told the same in another wrapping.
            Some(edited) if own_tag(store)? == Some(to) => original_copy(store, to, &errand, edited),
            _ => Ok(Some(errand)),
        };
    }
    match said(store, to, message)? {
        Some((sent_at, kind)) => encode(store, to, message, sent_at, kind).map(Some),
        None => Ok(None),
    }
}

/// Queues what was said to somebody for the other devices of this account, inside a transaction. `None` when there is
/// nothing to copy.
pub(super) fn copy_for_own_devices(store: &Store<'_>, message: MessageId) -> Result<Option<Queued>, DatabaseError> {
    let Some(own) = own_tag(store)? else { return Ok(None) };
    match store.sent_message(message)?.and_then(copied) {
        Some((sent_at, kind)) => queue(store, own, message, sent_at, kind).map(Some),
        None => Ok(None),
    }
}

/// Queues what was decided about somebody for the other devices of this account, inside a transaction.
pub(super) fn decision_for_own_devices(
    store: &Store<'_>,
    about: AccountTag,
    now: UnixMillis,
) -> Result<Option<Queued>, DatabaseError> {
    let (Some(own), Some(contact)) = (own_tag(store)?, store.contact(about)?) else { return Ok(None) };
    let handle = contact.handle.map(|handle| handle.to_string()).unwrap_or_default();
    let kind = ContentKind::Decision { about, handle, standing: contact.standing.as_str().to_owned() };
    if_there_is_room(queue_errand(store, own, MessageId::new(now, rand::rng().random()), now, kind))
}

/// Notes that this account has settled something for itself, and queues it for its other devices unless there are none or the outbox
/// is full, inside a transaction.
pub(super) fn settle_for_own_devices(
    store: &Store<'_>,
    news: OwnNews,
    alone: bool,
    now: UnixMillis,
) -> Result<Option<Queued>, DatabaseError> {
    let at = store.settles(&news, now)?;
    match own_tag(store)?.filter(|_| !alone) {
        Some(own) => {
            let id = MessageId::new(at, rand::rng().random());
            if_there_is_room(queue_errand(store, own, id, at, ContentKind::Own(news)))
        }
        None => Ok(None),
    }
}

/// Queues for the other devices of this account which messages were seen, inside a transaction.
pub(super) fn seen_for_own_devices(
    store: &Store<'_>,
    seen: &[(AccountTag, MessageId)],
    now: UnixMillis,
) -> Result<Vec<Queued>, DatabaseError> {
    let mut by_peer: BTreeMap<AccountTag, Vec<MessageId>> = BTreeMap::new();
    for (peer, id) in seen {
        by_peer.entry(*peer).or_default().push(*id);
    }
    let mut queued = Vec::new();
    for (with, ids) in by_peer {
        for ids in ids.chunks(limits::RECEIPT_IDS_MAX) {
            let news = OwnNews::Seen { with, ids: ids.to_vec() };
            queued.extend(settle_for_own_devices(store, news, false, now)?);
        }
    }
    Ok(queued)
}

/// Puts what waits and is in no outbox into it, as far as that has room, inside a transaction. It may have left before the backup
/// was restored that it comes from: under its id nobody sees it twice.
pub(super) fn queue_stranded(store: &Store<'_>) -> Result<(), DatabaseError> {
    for (to, message) in store.stranded()? {
        let Some(content) = content_again(store, to, message)? else { continue };
        match store.enqueue(message, to, &content) {
            Ok(_) => {}
            Err(DatabaseError::Limit { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn own_tag(store: &Store<'_>) -> Result<Option<AccountTag>, DatabaseError> {
    Ok(store.account()?.and_then(|account| account.tag))
}

/// Queues what was said about messages with somebody for the other devices of this account, inside a transaction. `None` for
/// somebody whose name is not known.
pub(super) fn copy_of(
    store: &Store<'_>,
    with: AccountTag,
    said: Said,
    at: UnixMillis,
) -> Result<Option<Queued>, DatabaseError> {
    let handle = store.contact(with)?.and_then(|contact| contact.handle);
    let (Some(own), Some(handle)) = (own_tag(store)?, handle) else { return Ok(None) };
    let kind = ContentKind::Copy { to: with, handle: handle.to_string(), said };
    queue_errand(store, own, MessageId::new(at, rand::rng().random()), at, kind).map(Some)
}

/// What the own other devices have heard of a text whose words were changed since.
fn original_copy(
    store: &Store<'_>,
    own: AccountTag,
    original: &[u8],
    message: StoredMessage,
) -> Result<Option<Zeroizing<Vec<u8>>>, DatabaseError> {
    let (said, handle) = match (Content::decode(original), message.handle) {
        (Ok(Content { kind: ContentKind::Said(said), .. }), Some(handle)) => (said, handle),
        // A note to oneself was a copy from the beginning.
        (Ok(Content { kind: ContentKind::Copy { .. }, .. }), _) => return Ok(Some(Zeroizing::new(original.to_vec()))),
        _ => return Ok(None),
    };
    let kind = ContentKind::Copy { to: message.peer, handle: handle.to_string(), said };
    encode(store, own, message.id, message.sent_at, kind).map(Some)
}

/// When a message was sent, and what the own other devices hear of it.
fn copied(message: StoredMessage) -> Option<(UnixMillis, ContentKind)> {
    let said = said_of(message.body, &message.marks)?;
    Some((message.sent_at, ContentKind::Copy { to: message.peer, handle: message.handle?.to_string(), said }))
}

/// When and what a message to somebody said.
fn said(
    store: &Store<'_>,
    to: AccountTag,
    message: MessageId,
) -> Result<Option<(UnixMillis, ContentKind)>, DatabaseError> {
    if own_tag(store)? == Some(to) {
        return Ok(store.sent_message(message)?.and_then(copied));
    }
    Ok(match store.sent_message(message)? {
        Some(StoredMessage { peer, sent_at, body, marks, .. }) if peer == to => {
            said_of(body, &marks).map(|said| (sent_at, ContentKind::Said(said)))
        }
        _ => None,
    })
}

/// Queues what stands in no history, and keeps it for the time in which it may be asked for again.
pub(super) fn queue_errand(
    store: &Store<'_>,
    to: AccountTag,
    id: MessageId,
    now: UnixMillis,
    kind: ContentKind,
) -> Result<Queued, DatabaseError> {
    let content = encode(store, to, id, now, kind)?;
    let row = store.enqueue(id, to, &content)?;
    store.put_errand(id, &content, now)?;
    Ok((row, to))
}

fn queue(
    store: &Store<'_>,
    to: AccountTag,
    id: MessageId,
    sent_at: UnixMillis,
    kind: ContentKind,
) -> Result<Queued, DatabaseError> {
    let content = encode(store, to, id, sent_at, kind)?;
    Ok((store.enqueue(id, to, &content)?, to))
}

pub(super) fn encode(
    store: &Store<'_>,
    to: AccountTag,
    id: MessageId,
    sent_at: UnixMillis,
    kind: ContentKind,
) -> Result<Zeroizing<Vec<u8>>, DatabaseError> {
    // The own other devices know who they are.
    let others = |account: &Account| account.tag != Some(to);
    let sender_handle = store.account()?.filter(others).map(|account| account.handle.to_string());
    Ok(Zeroizing::new(Content { id, sent_at, sender_handle, kind }.encode()))
}
