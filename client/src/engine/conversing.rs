//! What this person says and does in conversations, and what disappears from them.

use std::time::Duration;

use endtoend_protocol::{AccountTag, Content, ContentKind, MessageId, OwnNews, Text, UnixMillis};
use rand::RngExt as _;

use super::command::SendError;
use super::event::{Change, ConnectionState, Event};
use super::repair::{content_again, copy_for_own_devices, seen_for_own_devices, settle_for_own_devices};
use super::run::Runner;
use super::say::{self, Deed, News};
use crate::amend::{Refused, leaves_room};
use crate::clock;
use crate::database::{
    AccountState, Body, DatabaseError, Direction, Marks, MessageState, OUTBOX_MAX, Question, Settings, Standing, Store,
    StoredMessage,
};
use crate::handle::Handle;

/// The clock of lives is kept this often while a message may disappear: a crash makes lives longer by no more, and only if the
/// wall clock is set back too.
const LIFE_KEPT: Duration = Duration::from_secs(30);

impl Runner {
    /// Keeps the clock of lives and takes away what has died, if it is time for that.
    pub(super) fn live_on(&mut self) -> Result<(), DatabaseError> {
        let (life, now) = (self.life.now(clock::now(), clock::monotonic()), clock::monotonic());
        let gone = self.database().write(|store| {
            store.set_life(life)?;
            store.expire(life.life_ms)
        })?;
        if !gone.is_empty() {
            self.database().empty_log()?;
        }
        for (peer, message) in gone {
            self.tell_news(News { peer, id: Some(message.id), change: Change::Expired });
        }
        let store = self.profile.database().read();
        let next = store.next_expiry()?.map(|at| Duration::from_millis(at.saturating_sub(life.life_ms)));
        let kept = store.has_mortals()?.then_some(LIFE_KEPT);
        self.life_at = next.into_iter().chain(kept).min().map(|wait| now + wait);
        Ok(())
    }

    /// Does that if it is due. If the disk fails it is tried again.
    pub(super) fn live_on_if_due(&mut self) {
        if self.life_at.is_some_and(|at| clock::monotonic() >= at) && self.live_on().is_err() {
            self.life_at = Some(clock::monotonic() + LIFE_KEPT);
        }
    }

    /// Tells what is otherwise in a conversation.
    pub(super) fn tell_news(&mut self, News { peer, id, change }: News) {
        let with = self.name(peer);
        if matches!(change, Change::Deleted | Change::Expired | Change::Removed) {
            self.files_may_go();
        }
        if matches!(change, Change::Timer(_)) {
            self.life_at = Some(clock::monotonic());
        }
        self.tell(Event::Changed { with, id, change });
    }

    pub(super) fn mark_shown(&mut self, seqs: &[i64]) -> Result<(), DatabaseError> {
        // Their lives begin now, not when the clock was last kept.
        let life = self.life.now(clock::now(), clock::monotonic());
        let (alone, now) = (self.alone, clock::now());
        let (owes, queued) = self.database().write(|store| {
            store.set_life(life)?;
            // Only with receipts, as before: without them each device shows each message, and a program that listens on one of them
            // misses nothing because of a person at another.
            let told = !alone && store.settings()?.receipts;
            let seen = if told { store.not_seen(seqs)? } else { Vec::new() };
            let owes = store.mark_shown(seqs)?;
            Ok::<_, DatabaseError>((owes, seen_for_own_devices(store, &seen, now)?))
        })?;
        self.owes_receipts |= owes;
        queued.into_iter().for_each(|row| self.queued(Some(row)));
        self.look_at_lives()
    }

    pub(super) fn set_settings(&mut self, settings: Settings) -> Result<(), DatabaseError> {
        let (alone, now) = (self.alone, clock::now());
        let queued = self.database().write(|store| {
            store.set_settings(settings)?;
            let news = OwnNews::Choices { receipts: settings.receipts, typing: settings.typing };
            settle_for_own_devices(store, news, alone, now)
        })?;
        self.queued(queued);
        Ok(())
    }

    pub(super) fn search(
        &mut self,
        mut question: Question,
        with: Option<&Handle>,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, DatabaseError> {
        let store = self.database().read();
        if let Some(with) = with {
            // Somebody who is not known has said nothing.
            let Some(tag) = store.peer_of(with)? else { return Ok(Vec::new()) };
            question.with = Some(tag);
        }
        store.search(&question, limit)
    }

    pub(super) fn try_again(&mut self, to: &Handle, message: MessageId) -> Result<(), SendError> {
        if self.retry_file(to, message)? {
            return Ok(());
        }
        let tag = self.database().read().tag_of(to)?.ok_or_else(|| SendError::NoConversation(to.clone()))?;
        let seq = self.database().write(|store| {
            may_write(store, tag, to)?;
            let content = content_again(store, tag, message)?;
            match content {
                Some(content) if store.try_again(tag, message)? => Ok(store.enqueue(message, tag, &content)?),
                _ => Err(SendError::NotRefused),
            }
        })?;
        self.outbox.push(seq, tag, None);
        Ok(())
    }

    /// A life may have begun.
    pub(super) fn look_at_lives(&mut self) -> Result<(), DatabaseError> {
        if self.life_at.is_none() || self.database().read().has_mortals()? {
            self.live_on()?;
        }
        Ok(())
    }

    pub(super) fn act(&mut self, with: &Handle, deed: Deed) -> Result<(), SendError> {
        let tag = self.database().read().tag_of(with)?.ok_or_else(|| SendError::NoConversation(with.clone()))?;
        let (alone, now) = (self.alone, clock::now());
        let told = !matches!(deed, Deed::DeleteForMe(_));
        // It would come when it means nothing any more.
        if matches!(deed, Deed::Typing(_)) && *self.state.borrow() != ConnectionState::Online {
            return Ok(());
        }
        if self.outbox.len() >= OUTBOX_MAX {
            return Err(DatabaseError::Limit { table: "the outbox", max: OUTBOX_MAX }.into());
        }
        let done = self.database().write(|store| {
            if told {
                may_write(store, tag, with)?;
            }
            Ok::<_, SendError>(say::act(store, tag, deed, alone, now)??)
        })?;
        done.queued.into_iter().for_each(|row| self.queued(Some(row)));
        done.news.into_iter().for_each(|news| self.tell_news(news));
        self.look_at_lives()?;
        Ok(self.sweep_files()?)
    }

    pub(super) fn queue(
        &mut self,
        to: &Handle,
        text: Text,
        answered: Option<MessageId>,
    ) -> Result<MessageId, SendError> {
        self.queue_body(to, Body::Text(text), answered)
    }

    /// Queues a message that needs nothing beside it.
    pub(super) fn queue_body(
        &mut self,
        to: &Handle,
        body: Body,
        answered: Option<MessageId>,
    ) -> Result<MessageId, SendError> {
        let correspondent = self.correspondent(to)?;
        let Correspondent { tag, known, note, .. } = correspondent;
        let own = correspondent.own.clone();
        let now = clock::now();
        let id = MessageId::new(now, rand::rng().random());
        let marks = self.marks(tag, answered)?;
        if let Body::Text(text) = &body
            && marks != Marks::default()
        {
            leaves_room(text)?;
        }
        // What is no message of its own is not given here.
        let kind = say::said_of(body.clone(), &marks).map_or(ContentKind::Unknown, ContentKind::Said);
        let content = Content { id, sent_at: now, sender_handle: Some(own.to_string()), kind };
        let parcel = zeroize::Zeroizing::new(content.encode());
        let message = StoredMessage {
            seq: 0,
            peer: tag,
            handle: Some(to.clone()),
            direction: Direction::Out,
            id,
            // Where there is no other device it is as safe as it will be.
            state: if note && self.alone { MessageState::Accepted } else { MessageState::Queued },
            body,
            sent_at: now,
            accepted_at: None,
            received_at: None,
            wire_bytes: None,
            shown: true,
            marks,
        };
        let alone = self.alone;
        let (row, decided, copy) = self.database().write(|store| {
            let decided = correspondent.meet(store, to, now)?;
            if let Body::Text(text) = &message.body {
                store.finish_draft(to, text)?;
            }
            if note {
                store.put_message(&message)?;
                let copy = if alone { None } else { copy_for_own_devices(store, id)? };
                if copy.is_none() {
                    store.begin_own_life(tag, id)?;
                }
                return Ok((None, false, copy));
            }
            store.put_message(&message)?;
            // First, because whoever waits for the message may leave as soon as it is accepted.
            let copy = if known && !alone { copy_for_own_devices(store, id)? } else { None };
            Ok::<_, SendError>((Some((store.enqueue(id, tag, &parcel)?, tag)), decided, copy))
        })?;
        self.queued(copy);
        self.decided |= decided;
        self.queued(row);
        if note {
            self.look_at_lives()?;
        }
        if !known {
            self.wait_for_address(tag, to.clone());
        }
        Ok(id)
    }
}

/// To whom something is to be said.
pub(super) struct Correspondent {
    /// How this account is called.
    own: Handle,
    /// The account, or what stands in for it.
    pub(super) tag: AccountTag,
    /// Whether it is the account.
    pub(super) known: bool,
    /// Whether it is oneself: then it goes to nobody but the own other devices.
    pub(super) note: bool,
}

impl Correspondent {
    /// Notes him, inside a transaction. Says whether the server has to hear that he may write.
    pub(super) fn meet(&self, store: &Store<'_>, to: &Handle, now: UnixMillis) -> Result<bool, SendError> {
        match self.known {
            true => store.put_contact(self.tag, Some(to))?,
            false => store.put_unaddressed(self.tag, to)?,
        }
        may_write(store, self.tag, to)?;
        if self.note || !self.known {
            return Ok(false);
        }
        // Whoever is written to may answer. The own other devices take that from the message, and from when it is.
        let decided = store.decide(self.tag, Standing::Accepted, now)?;
        store.was_decided_at(self.tag, now)?;
        Ok(decided)
    }
}

impl Runner {
    /// # Errors
    /// Whatever keeps anything from being said to him.
    pub(super) fn correspondent(&mut self, to: &Handle) -> Result<Correspondent, SendError> {
        let account = self.account.as_ref().filter(|account| account.state == AccountState::Registered);
        let account = account.ok_or(SendError::NotRegistered)?;
        let (own, own_tag) = (account.handle.clone(), account.tag);
        if self.outbox.len() >= OUTBOX_MAX {
            return Err(DatabaseError::Limit { table: "the outbox", max: OUTBOX_MAX }.into());
        }
        let note = own == *to;
        let store = self.database().read();
        let known = if note { own_tag } else { store.peer_of(to)? };
        match known {
            Some(tag) => {
                may_write(&store, tag, to)?;
                Ok(Correspondent { own, tag, known: true, note })
            }
            None if note => Err(SendError::NotRegistered),
            None => Ok(Correspondent { own, tag: AccountTag::new(rand::rng().random()), known: false, note }),
        }
    }

    /// What is said beside a message that is written now.
    pub(super) fn marks(&mut self, tag: AccountTag, answered: Option<MessageId>) -> Result<Marks, SendError> {
        let store = self.database().read();
        let reply_to = match answered {
            Some(answered) => Some(store.find_in(tag, answered)?.ok_or(Refused::NoSuchMessage)?),
            None => None,
        };
        Ok(Marks { reply_to, lives_for: store.timer(tag)?, ..Marks::default() })
    }
}

/// Whether anything may be said to somebody.
fn may_write(store: &Store<'_>, tag: AccountTag, to: &Handle) -> Result<(), SendError> {
    let contact = store.contact(tag)?;
    if contact.as_ref().is_some_and(|contact| contact.changed_identity.is_some()) {
        return Err(SendError::IdentityChanged(to.clone()));
    }
    if contact.is_some_and(|contact| contact.standing == Standing::Blocked) {
        return Err(SendError::Blocked(to.clone()));
    }
    Ok(())
}
