//! An envelope arrives: open, verify, store. All of it is one transaction; only afterwards may it be acknowledged.

use endtoend_crypto_e2e::{OpenError, SessionError, learn_identity, open};
use endtoend_protocol::{
    AccountTag, Address, Content, ContentKind, Identity, MessageId, OwnNews, Parcel, Said, UnixMillis,
};

use super::event::Change;
use super::repair::{Queued, ask_again, send_again};
use super::say::{self, News, TYPING_AGE_MAX};
use super::{chains, parcel};
use crate::amend::not_after;
use crate::card::Card;
use crate::database::{
    Body, DatabaseError, Direction, HeldEnvelope, Marks, MessageRef, MessageState, Standing, Store, StoredMessage,
    Unreadable,
};
use crate::handle::Handle;

/// What an envelope turned out to be. Each of them is stored, so each may be acknowledged.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A message that waits to be shown.
    Message {
        message: Box<StoredMessage>,
        /// Whether it spent one-time keys.
        new_session: bool,
        /// Whether its writer is to hear that it came.
        owes: bool,
    },
    /// It was here before.
    Repeat,
    /// No message of its own. What it led to waits in the outbox.
    Unseen {
        /// Whether it spent one-time keys.
        new_session: bool,
        /// What it has changed in a conversation.
        news: Vec<News>,
        /// What was queued.
        queued: Option<Queued>,
    },
    /// It waits until the server has said who its sender is.
    Held { from: AccountTag },
    /// It does not open, and never will.
    Unreadable {
        /// One word.
        reason: &'static str,
        /// Its sender is asked for it again.
        asked: Option<Queued>,
    },
}

/// Deals with one envelope, inside a transaction.
pub(super) fn receive(
    store: &Store<'_>,
    own: Address,
    envelope: &HeldEnvelope,
    now: UnixMillis,
) -> Result<Arrival, DatabaseError> {
    if store.is_received(envelope.id)? {
        store.count_repeat()?;
        return Ok(Arrival::Repeat);
    }
    let arrival = arrive(store, own, envelope, Sender::Open, now)?;
    store.put_received(envelope.id, now)?;
    note_unreadable(store, envelope, &arrival)?;
    Ok(arrival)
}

/// What the server's word about an account led to.
#[derive(Debug)]
pub(super) enum Learned {
    /// The account is known: this became of what was held of it.
    Known(Vec<(HeldEnvelope, Arrival)>),
    /// It has another identity than the one that is trusted: noted, and what was held stays.
    IdentityChanged,
    /// The keys do not verify: nothing was stored.
    BadKeys,
}

/// Deals with what was held of a sender about whom the server was asked, inside a transaction.
pub(super) fn learn(
    store: &Store<'_>,
    own: Address,
    from: AccountTag,
    identity: &Identity,
    now: UnixMillis,
) -> Result<Learned, DatabaseError> {
    match learn_identity(store, from, identity) {
        Ok(changes) => {
            store.apply(&changes)?;
            store.forget_devices(from)?;
            for (device, _) in &identity.envelope_keys {
                if (Address { account: from, device: *device }) != own {
                    // With or without a session: whoever seals for all of them notices.
                    store.put_device(from, *device, now)?;
                }
            }
            store.set_keys_at(from, identity.devices_version, now)?;
        }
        Err(SessionError::Records(error)) => return Err(error.into()),
        Err(SessionError::IdentityChanged { identity }) if from != own.account => {
            store.set_changed_identity(from, Some(&identity))?;
            return Ok(Learned::IdentityChanged);
        }
        // Nobody is ever asked to accept another identity of oneself.
        Err(SessionError::BadKeys | SessionError::IdentityChanged { .. }) => return Ok(Learned::BadKeys),
    }
    receive_held(store, own, from, now).map(Learned::Known)
}

/// Deals anew with what was held of a sender whose identity is settled now, inside a transaction.
pub(super) fn receive_held(
    store: &Store<'_>,
    own: Address,
    from: AccountTag,
    now: UnixMillis,
) -> Result<Vec<(HeldEnvelope, Arrival)>, DatabaseError> {
    let held = store.held(from)?;
    held.into_iter()
        .map(|envelope| {
            store.remove_held(envelope.id)?;
            let arrival = arrive(store, own, &envelope, Sender::Settled, now)?;
            note_unreadable(store, &envelope, &arrival)?;
            Ok((envelope, arrival))
        })
        .collect()
}

/// Lets go of what was held of a sender that the server does not know, inside a transaction.
pub(super) fn refuse_held(store: &Store<'_>, from: AccountTag) -> Result<Vec<(HeldEnvelope, Arrival)>, DatabaseError> {
    let held = store.held(from)?;
    held.into_iter()
        .map(|envelope| {
            store.remove_held(envelope.id)?;
            let arrival = Arrival::Unreadable { reason: "unknown_sender", asked: None };
            note_unreadable(store, &envelope, &arrival)?;
            Ok((envelope, arrival))
        })
        .collect()
}

fn note_unreadable(store: &Store<'_>, envelope: &HeldEnvelope, arrival: &Arrival) -> Result<(), DatabaseError> {
    let Arrival::Unreadable { reason, .. } = arrival else { return Ok(()) };
    store.put_unreadable(&Unreadable {
        id: envelope.id,
        reason: (*reason).to_owned(),
        accepted_at: envelope.accepted_at,
        received_at: envelope.received_at,
    })
}

/// Whether the server has just been asked who the sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// It can be asked.
    Open,
    /// It was: a message that contradicts it is a forgery.
    Settled,
}

fn arrive(
    store: &Store<'_>,
    own: Address,
    envelope: &HeldEnvelope,
    sender: Sender,
    now: UnixMillis,
) -> Result<Arrival, DatabaseError> {
    let (opened, changes) = match open(store, &mut rand::rng(), own, envelope.id, &envelope.body, now) {
        Ok(opened) => opened,
        // Anybody can write any sender into an envelope: only the server's word makes one known, or changed.
        Err(OpenError::UnknownPeer { peer, .. } | OpenError::IdentityChanged { peer, .. })
            if sender == Sender::Open =>
        {
            return Ok(match store.hold(peer.account, envelope)? {
                true => Arrival::Held { from: peer.account },
                false => Arrival::Unreadable { reason: "too_many_held", asked: None },
            });
        }
        Err(error) => {
            let asked = match &error {
                OpenError::NoSession { peer }
                | OpenError::Undecryptable { peer }
                // The envelope is none that came before, so its sender has gone back to an older state.
                | OpenError::Duplicate { peer } => ask_again(store, peer.account, envelope.id, now)?,
                _ => None,
            };
            return Ok(Arrival::Unreadable { reason: reason(error)?, asked });
        }
    };
    store.apply(&changes)?;
    let peer = opened.from.account;
    let malformed = Arrival::Unreadable { reason: "malformed", asked: None };
    let Ok(parcel) = Parcel::decode(&opened.content) else { return Ok(malformed) };
    let unpacked = parcel::unpack(&parcel.content);
    // Whatever is in it, it has come.
    let known = unpacked.as_ref().map_or(Ok(false), |(content, _)| is_known(store, peer, content))?;
    chains::hear(store, own, opened.from, &parcel, known, now)?;
    let Ok((content, claimed)) = unpacked else { return Ok(malformed) };
    let from_own_device = peer == own.account;
    match from_own_device || is_to_be_read(&content.kind) {
        true => store.put_contact(peer, None)?,
        false => store.note_peer(peer)?,
    }
    if let Some(claimed) = claimed.filter(|_| !from_own_device) {
        store.set_claim(peer, &claimed)?;
    }
    let handle = store.contact(peer)?.and_then(|contact| contact.handle);
    store.put_device(peer, opened.from.device, now)?;
    parcel.copies.iter().try_for_each(|copy| store.remove_unopened(*copy, peer))?;
    let new_session = opened.new_session;
    let said_at = (content.id, content.sent_at);
    let (body, marks) = match content.kind {
        ContentKind::Unknown => (Body::Unknown, Marks::default()),
        ContentKind::Said(Said::Typing { .. }) if envelope.received_at.since(envelope.accepted_at) > TYPING_AGE_MAX => {
            return Ok(Arrival::Unseen { new_session, news: Vec::new(), queued: None });
        }
        ContentKind::Said(said) => match say::message_of(said, Direction::In) {
            Ok(message) => message,
            Err(said) => {
                let news = say::carry_out_or_keep(store, peer, Direction::In, said, said_at, now)?;
                return Ok(Arrival::Unseen { new_session, news, queued: None });
            }
        },
        // What another device of ours has said, and what nobody else may claim that we have.
        ContentKind::Copy { to, handle, said } if from_own_device => {
            let news = match say::message_of(said, Direction::Out) {
                Ok(message) => {
                    let came = (Some(envelope.accepted_at), Some(envelope.received_at));
                    let added = store_copy(store, said_at, to, &handle, message, came, now)?;
                    let news = News { peer: to, id: Some(content.id), change: Change::Settled };
                    if added { vec![news] } else { Vec::new() }
                }
                Err(said) => say::carry_out_or_keep(store, to, Direction::Out, said, said_at, now)?,
            };
            return Ok(Arrival::Unseen { new_session, news, queued: None });
        }
        ContentKind::Decision { about, handle, standing } if from_own_device => {
            let Some(standing) = Standing::named(&standing) else {
                return Ok(Arrival::Unreadable { reason: "malformed", asked: None });
            };
            store.put_contact(about, handle.parse().ok().as_ref())?;
            let counts = store.was_decided(about, standing, content.sent_at)?;
            return Ok(Arrival::Unseen { new_session, news: settled(about, counts), queued: None });
        }
        ContentKind::Own(news) if from_own_device => {
            let about = store.was_settled(&news, not_after(content.sent_at, now), now)?;
            let change = match news {
                OwnNews::Removed { .. } => Change::Removed,
                _ => Change::Settled,
            };
            let news = about.into_iter().map(|peer| News { peer, id: None, change }).collect();
            return Ok(Arrival::Unseen { new_session, news, queued: None });
        }
        ContentKind::Copy { .. } | ContentKind::Decision { .. } | ContentKind::Own(_) => {
            return Ok(Arrival::Unreadable { reason: "malformed", asked: None });
        }
        ContentKind::Unopened(id) => {
            let queued = send_again(store, peer, id)?;
            return Ok(Arrival::Unseen { new_session, news: Vec::new(), queued });
        }
    };
    let message = StoredMessage {
        seq: 0,
        peer,
        handle,
        direction: Direction::In,
        id: content.id,
        state: MessageState::Received,
        body,
        sent_at: content.sent_at,
        accepted_at: Some(envelope.accepted_at),
        received_at: Some(envelope.received_at),
        wire_bytes: Some(envelope.wire_bytes),
        shown: false,
        marks,
    };
    if !store.put_message(&message)? {
        return Ok(Arrival::Repeat);
    }
    let named = MessageRef { direction: Direction::In, id: message.id };
    match message.body {
        Body::Unknown => store.keep_raw(peer, named, &parcel.content)?,
        Body::Text(_) | Body::File(_) | Body::Card(_) | Body::Deleted => say::catch_up(store, peer, named, now)?,
    }
    let owes = !from_own_device && store.owe_delivery(peer, message.id)?;
    Ok(Arrival::Message { message: Box::new(message), new_session, owes })
}

/// Another device of this account has settled something about somebody, and nothing later counts.
fn settled(about: AccountTag, counts: bool) -> Vec<News> {
    if counts { vec![News { peer: about, id: None, change: Change::Settled }] } else { Vec::new() }
}

/// Whether somebody who says this is shown from then on. No list has anybody in it for typing, for a receipt, or for another face.
fn is_to_be_read(kind: &ContentKind) -> bool {
    matches!(kind, ContentKind::Unknown | ContentKind::Said(Said::Text(_) | Said::File(_) | Said::Card(_)))
}

/// Whether a message is here already, as far as its kind is kept by its id. What is not is no other for that.
fn is_known(store: &Store<'_>, peer: AccountTag, content: &Content) -> Result<bool, DatabaseError> {
    match &content.kind {
        ContentKind::Said(Said::Text(_) | Said::File(_) | Said::Card(_)) | ContentKind::Unknown => {
            store.has_message(peer, Direction::In, content.id)
        }
        ContentKind::Copy { to, said: Said::Text(_) | Said::File(_) | Said::Card(_), .. } => {
            store.has_message(*to, Direction::Out, content.id)
        }
        ContentKind::Said(_)
        | ContentKind::Copy { .. }
        | ContentKind::Unopened(_)
        | ContentKind::Decision { .. }
        | ContentKind::Own(_) => Ok(true),
    }
}

/// A message that another device of this account has sent. Says whether it is new here.
fn store_copy(
    store: &Store<'_>,
    (id, sent_at): (MessageId, UnixMillis),
    to: AccountTag,
    handle: &str,
    (body, marks): (Body, Marks),
    (accepted_at, received_at): (Option<UnixMillis>, Option<UnixMillis>),
    now: UnixMillis,
) -> Result<bool, DatabaseError> {
    let handle: Option<Handle> = handle.parse().ok();
    store.put_contact(to, handle.as_ref())?;
    // Whoever is written to may answer, unless something was decided since.
    store.was_decided(to, Standing::Accepted, sent_at)?;
    let added = store.put_message(&StoredMessage {
        seq: 0,
        peer: to,
        handle,
        direction: Direction::Out,
        id,
        state: MessageState::Accepted,
        body,
        sent_at,
        accepted_at,
        received_at,
        wire_bytes: None,
        shown: true,
        marks,
    })?;
    store.begin_own_life(to, id)?;
    if added {
        say::catch_up(store, to, MessageRef { direction: Direction::Out, id }, now)?;
    }
    Ok(added)
}

/// Reads again what a version before did not understand, once after an update, inside a transaction. A text takes the place
/// of its message, and counts as unseen; what is said about messages is carried out.
pub(super) fn read_again(store: &Store<'_>, own: Option<AccountTag>, now: UnixMillis) -> Result<(), DatabaseError> {
    let mut seq = 0;
    while let Some((message, raw)) = store.next_raw(seq)? {
        seq = message.seq;
        let Ok(Content { id, sent_at, kind, .. }) = Content::decode(&raw) else { continue };
        let from_own_device = own == Some(message.peer);
        match kind {
            ContentKind::Unknown => {}
            ContentKind::Said(Said::Text(written)) => {
                let reply_to = written.reply_to.map(|to| say::referred(to, Direction::In));
                store.fill_in(&message, &written, reply_to)?;
                say::catch_up(store, message.peer, MessageRef { direction: message.direction, id }, now)?;
            }
            ContentKind::Said(Said::File(attached)) => {
                let reply_to = attached.reply_to.map(|to| say::referred(to, Direction::In));
                store.fill_in_file(&message, &attached, reply_to)?;
                say::catch_up(store, message.peer, MessageRef { direction: message.direction, id }, now)?;
            }
            ContentKind::Said(Said::Card(said)) => {
                // A link of a kind that this version does not know either.
                let Some(card) = Card::read(&said) else { continue };
                let reply_to = said.reply_to.map(|to| say::referred(to, Direction::In));
                store.fill_in_card(&message, &card, said.lives_for, reply_to)?;
                say::catch_up(store, message.peer, MessageRef { direction: message.direction, id }, now)?;
            }
            ContentKind::Said(said) => {
                store.remove_unknown(seq)?;
                say::carry_out_or_keep(store, message.peer, Direction::In, said, (id, sent_at), now)?;
            }
            ContentKind::Copy { to, handle, said } if from_own_device => {
                store.remove_unknown(seq)?;
                match say::message_of(said, Direction::Out) {
                    Ok(copied) => {
                        let came = (message.accepted_at, message.received_at);
                        store_copy(store, (id, sent_at), to, &handle, copied, came, now)?;
                    }
                    Err(said) => {
                        say::carry_out_or_keep(store, to, Direction::Out, said, (id, sent_at), now)?;
                    }
                }
            }
            ContentKind::Own(news) if from_own_device => {
                store.remove_unknown(seq)?;
                store.was_settled(&news, not_after(sent_at, now), now)?;
            }
            // Too old to matter, or nothing that this sender may say.
            ContentKind::Copy { .. }
            | ContentKind::Decision { .. }
            | ContentKind::Own(_)
            | ContentKind::Unopened(_) => {
                store.remove_unknown(seq)?;
            }
        }
    }
    Ok(())
}

/// One word for why an envelope did not open. A broken database is no reason: the envelope comes again.
fn reason(error: OpenError) -> Result<&'static str, DatabaseError> {
    match error {
        OpenError::Records(error) => Err(error.into()),
        OpenError::Duplicate { .. } => Ok("duplicate"),
        OpenError::UnknownPeer { .. } | OpenError::IdentityChanged { .. } => Ok("other_identity"),
        OpenError::UnknownKey => Ok("unknown_key"),
        OpenError::NoSession { .. } => Ok("no_session"),
        OpenError::Undecryptable { .. } => Ok("undecryptable"),
        OpenError::Forged => Ok("forged"),
        OpenError::Hostile => Ok("hostile"),
    }
}
