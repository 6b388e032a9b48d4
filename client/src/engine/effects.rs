//! Frames that have come in are stored together, in one transaction, and then made known.

use std::collections::HashMap;

use endtoend_protocol::{AccountTag, EnvelopeId, RefusalCode, RejectReason, ServerFrame};

use super::account;
use super::command::VerifyError;
use super::event::{Change, Event};
use super::heard::{Context, Effect, answered, store_frame};
use super::lookup::Reason;
use super::online::{End, Online, PAUSE};
use super::receive::{Arrival, Learned};
use super::run::Runner;
use super::seal::Opened;
use crate::clock;
use crate::handle::Handle;
use crate::transport::LinkError;

impl Runner {
    /// Stores what the frames say, then makes it known. Gives what ended the connection, if something did.
    pub(super) fn deal_with(
        &mut self,
        online: &mut Online,
        frames: &mut Vec<Result<ServerFrame, LinkError>>,
    ) -> Result<Option<End>, End> {
        if frames.is_empty() {
            return Ok(None);
        }
        let (now, mut end) = (clock::now(), None);
        let mut good = Vec::with_capacity(frames.len());
        for frame in frames.drain(..) {
            let numbered = match &frame {
                Ok(ServerFrame::Deliver(deliver)) => online.acks.delivered(deliver.delivery),
                Ok(_) | Err(_) => Ok(()),
            };
            match (frame, numbered) {
                (Ok(frame), Ok(())) => good.push(frame),
                (Ok(_), Err(misnumbered)) => end = Some(End::Misnumbered(misnumbered)),
                (Err(error), _) => end = Some(End::Link(error)),
            }
            if end.is_some() {
                break;
            }
        }
        frames.clear();
        let rows: HashMap<EnvelopeId, (AccountTag, i64)> =
            good.iter().filter_map(answered).filter_map(|id| Some((id, self.outbox.find(id)?))).collect();
        let unsealed: HashMap<AccountTag, Vec<i64>> =
            online.fetching.iter().map(|peer| (*peer, self.outbox.unsealed(*peer))).collect();
        let told = online.acks.take_told();
        let context = Context { online, rows: &rows, unsealed: &unsealed, now };
        // Lives that begin with these frames begin now.
        let life = self.life_at.map(|_| self.life.now(now, clock::monotonic()));
        let effects: Vec<Effect> = self.database().write(|store| {
            life.map_or(Ok(()), |life| store.set_life(life))?;
            store.acknowledged(&told)?;
            good.into_iter().map(|frame| store_frame(store, &context, frame)).collect::<Result<_, _>>()
        })?;
        for effect in effects {
            self.take_effect(online, effect)?;
        }
        self.tell_notices()?;
        if self.life_at.is_some() {
            self.live_on()?;
        }
        Ok(end)
    }

    pub(super) fn take_effect(&mut self, online: &mut Online, effect: Effect) -> Result<(), End> {
        match effect {
            Effect::Arrived { delivery, id, arrival } => {
                online.acks.stored(delivery, id);
                // Whoever has said something may hear how this account shows itself; it may be a device of its own that was not known.
                (self.owes_faces, self.introduces) = (true, true);
                if let Arrival::Message { new_session: true, .. } | Arrival::Unseen { new_session: true, .. } = arrival
                {
                    online.keys.one_time = online.keys.one_time.saturating_sub(1);
                    online.keys.one_time_kem = online.keys.one_time_kem.saturating_sub(1);
                    online.keys_settled &= !account::keys_are_low(online.keys);
                }
                if let Arrival::Held { from } = arrival {
                    online.strangers.insert(from);
                }
                self.announce(id, arrival);
            }
            Effect::Accepted { row: (to, seq), id, settled, at } => {
                self.settle(seq, to);
                online.wire_bytes.remove(&id);
                if let Some(id) = settled {
                    self.tell(Event::Accepted { id, at });
                }
            }
            Effect::Rejected { row: (to, seq), id, settled, reason } => {
                self.settle(seq, to);
                online.wire_bytes.remove(&id);
                if let Some(id) = settled {
                    self.tell(Event::Rejected { id, reason });
                }
            }
            Effect::Nobody { request, peer, messages } => {
                self.alone |= peer == online.own.account;
                online.asked.remove(&request);
                online.fetching.remove(&peer);
                self.outbox.release(peer);
                for (seq, message) in messages {
                    self.outbox.settle(seq, peer);
                    if let Some(id) = message {
                        self.tell(Event::Rejected { id, reason: RejectReason::UnknownRecipient });
                    }
                }
                self.answer_verifying(peer, Some(&|_| VerifyError::Refused(RefusalCode::UnknownAccount)));
            }
            Effect::Sessions { request, peer, opened } => {
                self.alone &= peer != online.own.account;
                (self.owes_faces, self.introduces) = (true, true);
                online.asked.remove(&request);
                online.fetching.remove(&peer);
                match opened {
                    Opened::Ready => self.outbox.release(peer),
                    Opened::IdentityChanged => self.identity_changed(peer),
                    Opened::BadKeys => {
                        self.outbox.hold(peer, clock::monotonic() + PAUSE);
                        let handle = self.name(peer);
                        self.tell(Event::BadKeys { handle });
                        self.answer_verifying(peer, Some(&VerifyError::BadKeys));
                        return Ok(());
                    }
                }
                self.answer_verifying(peer, None);
            }
            Effect::Learned { request, peer, learned } => {
                (self.owes_faces, self.introduces) = (true, true);
                online.asked.remove(&request);
                online.identifying.remove(&peer);
                match learned {
                    Learned::Known(arrivals) => {
                        self.outbox.release(peer);
                        arrivals.into_iter().for_each(|(envelope, arrival)| self.announce(envelope.id, arrival));
                    }
                    Learned::IdentityChanged => self.identity_changed(peer),
                    Learned::BadKeys => {
                        self.outbox.hold(peer, clock::monotonic() + PAUSE);
                        let handle = self.name(peer);
                        self.tell(Event::BadKeys { handle });
                    }
                }
            }
            Effect::Other(frame) => return self.answered(online, frame),
        }
        Ok(())
    }

    /// Tells what an envelope turned out to be.
    pub(super) fn announce(&mut self, id: EnvelopeId, arrival: Arrival) {
        match arrival {
            Arrival::Message { message, owes, .. } => {
                self.owes_receipts |= owes;
                let (peer, id) = (message.peer, message.id);
                // Whoever was told to wait until this person has accepted him need not any more.
                self.outbox.release(peer);
                let from = message.handle.or_else(|| self.name(peer));
                let claim = self.database().read().claim(peer).ok().flatten();
                let Some(claimed) = claim.filter(|_| from.is_none()) else {
                    return self.tell(Event::Received { from, id });
                };
                // Announced when the server has said whether the handle is the sender's.
                let reason = Reason::Claim { tag: peer, messages: vec![id] };
                if let Err(reason) = self.lookups.want(claimed.clone(), reason) {
                    self.not_found(claimed, reason, None);
                }
            }
            Arrival::Repeat | Arrival::Held { .. } => {}
            Arrival::Unseen { queued, news, .. } => {
                self.queued(queued);
                // Whoever stays here in spite of it stays for the server, too.
                self.decided |= news.iter().any(|news| news.change == Change::Removed);
                news.into_iter().for_each(|news| self.tell_news(news));
            }
            Arrival::Unreadable { reason, asked } => {
                self.queued(asked);
                self.tell(Event::Unreadable { id, reason, asked_again: asked.is_some() });
            }
        }
    }

    pub(super) fn identity_changed(&mut self, tag: AccountTag) {
        self.outbox.block(tag);
        let handle = self.name(tag);
        self.tell(Event::IdentityChanged { tag, handle });
    }

    pub(super) fn name(&mut self, tag: AccountTag) -> Option<Handle> {
        self.database().read().contact(tag).ok().flatten().and_then(|contact| contact.handle)
    }
}
