//! From a database to records.

use std::collections::HashSet;

use endtoend_crypto_e2e::export_identity;
use endtoend_protocol::{AccountTag, Attached, Content, ContentKind, Emoji, Lifetime, Muted, Said, Text, UnixMillis};

use super::file::BackupError;
use super::record::{
    CardRecord, ContactRecord, DraftRecord, End, FaceRecord, FileRecord, Head, MessageRecord, MutedRecord, Record,
    Reply, Sealed, Secrets, VERSION,
};
use crate::database::{
    AccountState, Body, Contact, DatabaseError, Direction, Draft, FileState, MessageState, Store, StoredMessage,
};
use crate::face::Face;
use crate::handle::Handle;

/// Messages that are in memory at one time.
const PAGE: u32 = 256;

/// Gives every record of a database, in its order. Says how many there were.
pub(super) fn gather(
    store: &Store<'_>,
    secrets: bool,
    now: UnixMillis,
    stop: &dyn Fn() -> bool,
    put: &mut dyn FnMut(&Record) -> Result<(), BackupError>,
) -> Result<End, BackupError> {
    let (head, own) = head(store, secrets, now)?;
    put(&Record::Head(Box::new(head)))?;
    let unaddressed: HashSet<AccountTag> = store.unaddressed(u32::MAX)?.into_iter().map(|(tag, _)| tag).collect();
    let mut end = End::default();
    for contact in store.contacts()?.into_iter().filter(|contact| contact.tag != own) {
        let stands_in = unaddressed.contains(&contact.tag);
        put(&Record::Contact(Box::new(self::contact(store, contact, stands_in)?)))?;
        end.contacts += 1;
    }
    let mut seq = 0;
    loop {
        let page = store.lasting_after(seq, PAGE)?;
        let Some(last) = page.last() else { break };
        seq = last.seq;
        for message in page {
            put(&Record::Message(Box::new(self::message(store, message, secrets)?)))?;
            end.messages += 1;
        }
        if stop() {
            return Err(BackupError::GivenUp);
        }
    }
    put(&Record::End(end))?;
    Ok(end)
}

fn head(store: &Store<'_>, secrets: bool, now: UnixMillis) -> Result<(Head, AccountTag), BackupError> {
    let account = store.account()?.filter(|account| account.state == AccountState::Registered);
    let account = account.ok_or(BackupError::NotRegistered)?;
    let (Some(tag), Some(oprf_key)) = (account.tag, account.oprf_key) else { return Err(BackupError::NotRegistered) };
    let settings = store.settings()?;
    let secrets = match secrets {
        true => {
            let identity = export_identity(store).map_err(|_| DatabaseError::Invalid("identity"))?;
            Some(Secrets { oprf_key: hex::encode(oprf_key), identity: hex::encode(&*identity) })
        }
        false => None,
    };
    let head = Head {
        version: VERSION,
        made_at_ms: now.get(),
        server: account.server.to_string(),
        handle: account.handle.to_string(),
        account: hex::encode(tag.as_bytes()),
        receipts: settings.receipts,
        typing: settings.typing,
        face: face(store, tag)?,
        secrets,
    };
    Ok((head, tag))
}

fn face(store: &Store<'_>, of: AccountTag) -> Result<Option<FaceRecord>, DatabaseError> {
    let Some(at) = store.face_at(of)? else { return Ok(None) };
    let Face { name, portrait } = store.face(of)?;
    Ok(Some(FaceRecord {
        name: name.map(|name| name.as_str().to_owned()),
        picture: portrait.map(|portrait| hex::encode(portrait.as_bytes())),
        at_ms: at.get(),
    }))
}

fn draft_record(draft: Draft) -> DraftRecord {
    let (edits, before) = draft.edits.map_or((None, None), |edits| (Some(edits.of), edits.before));
    DraftRecord {
        text: draft.text.into_string(),
        answers: draft.answers.map(|id| id.to_string()),
        edits: edits.map(|id| id.to_string()),
        before: before.map(Text::into_string),
    }
}

fn contact(store: &Store<'_>, contact: Contact, unaddressed: bool) -> Result<ContactRecord, DatabaseError> {
    let draft = contact.handle.as_ref().map(|handle| store.draft(handle)).transpose()?.flatten();
    Ok(ContactRecord {
        account: hex::encode(contact.tag.as_bytes()),
        unaddressed,
        handle: contact.handle.as_ref().map(Handle::to_string),
        nickname: contact.nickname.map(|name| name.as_str().to_owned()),
        standing: contact.standing.as_str().to_owned(),
        identity: store.trusted_identity(contact.tag)?.map(hex::encode),
        verified: contact.verified,
        lives_for_s: store.timer(contact.tag)?.map(Lifetime::as_secs),
        pinned: contact.arrangement.pinned,
        muted: match contact.arrangement.muted {
            Muted::No => None,
            Muted::Until(until) => Some(MutedRecord { until_ms: Some(until.get()) }),
            Muted::ForGood => Some(MutedRecord { until_ms: None }),
        },
        draft: draft.map(draft_record),
        face: face(store, contact.tag)?,
    })
}

fn message(store: &Store<'_>, message: StoredMessage, secrets: bool) -> Result<MessageRecord, DatabaseError> {
    let unknown = match &message.body {
        Body::Unknown => store.raw_of(&message)?.map(|raw| hex::encode(&*raw)),
        Body::Text(_) | Body::File(_) | Body::Card(_) | Body::Deleted => None,
    };
    let card = match &message.body {
        Body::Card(card) => {
            let (link, name) = card.said();
            Some(CardRecord { link, name: Some(name).filter(|name| !name.is_empty()) })
        }
        Body::Text(_) | Body::File(_) | Body::Deleted | Body::Unknown => None,
    };
    let file = match &message.body {
        Body::File(stored) => {
            let said = Attached { file: stored.file.clone(), reply_to: None, lives_for: None };
            let kind = ContentKind::Said(Said::File(Box::new(said)));
            let content = Content { id: message.id, sent_at: message.sent_at, sender_handle: None, kind }.encode();
            let waits = message.direction == Direction::Out && message.state == MessageState::Queued;
            Some(FileRecord {
                name: stored.file.name.as_str().to_owned(),
                media_type: stored.file.media_type.as_str().to_owned(),
                bytes: stored.file.bytes,
                hash: hex::encode(stored.file.hash),
                content: secrets.then(|| Sealed(hex::encode(content))),
                unsent: waits && matches!(stored.state, FileState::Sending | FileState::Failed(_)),
            })
        }
        Body::Text(_) | Body::Card(_) | Body::Deleted | Body::Unknown => None,
    };
    let marks = message.marks;
    let emoji = |emoji: Option<Emoji>| emoji.map(|emoji| emoji.as_str().to_owned());
    Ok(MessageRecord {
        with: hex::encode(message.peer.as_bytes()),
        direction: message.direction.as_str().to_owned(),
        id: message.id.to_string(),
        state: message.state.as_str().to_owned(),
        deleted: message.body == Body::Deleted,
        text: match message.body {
            Body::Text(text) => Some(text.into_string()),
            Body::File(_) | Body::Card(_) | Body::Deleted | Body::Unknown => None,
        },
        file,
        card,
        unknown,
        sent_at_ms: message.sent_at.get(),
        accepted_at_ms: message.accepted_at.map(UnixMillis::get),
        received_at_ms: message.received_at.map(UnixMillis::get),
        wire_bytes: message.wire_bytes,
        shown: message.shown,
        reply_to: marks
            .reply_to
            .map(|reply| Reply { direction: reply.direction.as_str().to_owned(), id: reply.id.to_string() }),
        edited_at_ms: marks.edited_at.map(UnixMillis::get),
        delivered_at_ms: marks.delivered_at.map(UnixMillis::get),
        read_at_ms: marks.read_at.map(UnixMillis::get),
        their_reaction: emoji(marks.their_reaction),
        own_reaction: emoji(marks.own_reaction),
    })
}
