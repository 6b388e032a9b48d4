//! How this account shows itself: chosen here, told to those who are accepted and to the own other devices, a few at a time.
//!
//! All hear the same content under the same id, so one copy of it is kept for those at whom it does not open. Nobody hears of it who
//! may still have this person for a stranger: before somebody has said anything it would be a picture pushed at him.

use endtoend_protocol::{AccountTag, ContentKind, MessageId, OwnNews, Said, UnixMillis};
use rand::RngExt as _;

use super::command::{FaceError, SendError, VerifyError};
use super::repair::{Queued, encode, queue_errand};
use super::run::Runner;
use crate::card::Card;
use crate::clock;
use crate::contact_link::ContactLink;
use crate::database::{AccountState, Body, DatabaseError, OUTBOX_MAX, OwnFace, Standing, Store};
use crate::face::Face;
use crate::handle::Handle;

/// Rows that are queued in one go; the rest when these have left.
const TOLD_MAX: usize = 8;
/// While more waits in the outbox than this, messages go first.
const WAITING_MAX: usize = 64;

/// This account shows itself so from now on. Inside a transaction.
pub(super) fn choose(
    store: &Store<'_>,
    own: AccountTag,
    face: &Face,
    now: UnixMillis,
) -> Result<UnixMillis, DatabaseError> {
    let at = store.settles(&OwnNews::Face(face.said()), now)?;
    store.set_face(own, face, at)?;
    store.owe_face(own, MessageId::new(at, rand::rng().random()), true)?;
    Ok(at)
}

/// Queues it for those who have still to hear of it, in at most so many rows. Inside a transaction.
pub(super) fn tell(
    store: &Store<'_>,
    own: AccountTag,
    rows: usize,
    alone: bool,
    now: UnixMillis,
) -> Result<Vec<Queued>, DatabaseError> {
    let devices = !alone && rows > 0 && store.is_face_due(own)?;
    let people = rows.saturating_sub(usize::from(devices));
    let due = store.face_due(own, u32::try_from(people).unwrap_or(u32::MAX))?;
    if !devices && due.is_empty() {
        return Ok(Vec::new());
    }
    let Some(OwnFace { face, at, message }) = store.own_face(own)? else { return Ok(Vec::new()) };
    let said = face.said();
    let mut queued = Vec::new();
    if devices {
        let id = MessageId::new(at, rand::rng().random());
        queued.push(queue_errand(store, own, id, at, ContentKind::Own(OwnNews::Face(said.clone())))?);
        store.face_told(own)?;
    }
    let Some(first) = due.first() else { return Ok(queued) };
    let content = encode(store, *first, message, at, ContentKind::Said(Said::Face(said)))?;
    if store.errand(message)?.is_none() {
        store.put_errand(message, &content, now)?;
    }
    for to in due {
        queued.push((store.enqueue(message, to, &content)?, to));
        store.face_told(to)?;
    }
    Ok(queued)
}

impl Runner {
    pub(super) fn set_face(&mut self, face: &Face) -> Result<(), FaceError> {
        let account = self.account.as_ref().filter(|account| account.state == AccountState::Registered);
        let own = account.and_then(|account| account.tag).ok_or(FaceError::NotRegistered)?;
        let now = clock::now();
        self.database().write(|store| choose(store, own, face, now))?;
        self.owes_faces = true;
        Ok(())
    }

    /// The own face, or that of somebody who is accepted.
    pub(super) fn face(&mut self, of: Option<&Handle>) -> Result<Face, DatabaseError> {
        let own = self.account.as_ref().and_then(|account| account.tag);
        let store = self.database().read();
        let tag = match of {
            None => own,
            Some(handle) => store.tag_of(handle)?,
        };
        let Some(tag) = tag else { return Ok(Face::default()) };
        let accepted = store.contact(tag)?.is_some_and(|contact| contact.standing == Standing::Accepted);
        if Some(tag) == own || accepted { store.face(tag) } else { Ok(Face::default()) }
    }

    /// What is told of it now. On a live connection, again and again.
    pub(super) fn tell_faces(&mut self, own: AccountTag) -> Result<(), DatabaseError> {
        let room = OUTBOX_MAX.saturating_sub(self.outbox.len()).min(TOLD_MAX);
        if !self.owes_faces || room == 0 || self.outbox.len() > WAITING_MAX {
            return Ok(());
        }
        let (alone, now) = (self.alone, clock::now());
        let told = self.database().write(|store| tell(store, own, room, alone, now))?;
        self.owes_faces = told.len() == room;
        told.into_iter().for_each(|row| self.queued(Some(row)));
        Ok(())
    }

    /// How somebody is passed on whose identity is known here, or this account itself.
    pub(super) fn link_of(&mut self, of: &Handle) -> Result<ContactLink, VerifyError> {
        let own = self.own_link()?;
        if own.handle == *of {
            return Ok(own);
        }
        let store = self.database().read();
        let unknown = || VerifyError::Unknown(of.clone());
        let contact = store.tag_of(of)?.map(|tag| store.contact(tag)).transpose()?.flatten().ok_or_else(unknown)?;
        if contact.changed_identity.is_some() {
            return Err(VerifyError::NotCompared(of.clone()));
        }
        let identity = store.trusted_identity(contact.tag)?.ok_or_else(unknown)?;
        Ok(ContactLink { handle: of.clone(), identity, ..own })
    }

    pub(super) fn send_card(
        &mut self,
        to: &Handle,
        card: Card,
        answered: Option<MessageId>,
    ) -> Result<MessageId, SendError> {
        self.queue_body(to, Body::Card(Box::new(card)), answered)
    }
}
