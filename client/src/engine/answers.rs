//! What the server's answers lead to, when they change nothing in the database by themselves.

use std::time::Duration;

use endtoend_crypto_core::oprf::OprfPublic;
use endtoend_protocol::{AccountTag, Answer, DecodeError, Refusal, RetryReason, ServerFrame};

use super::account;
use super::command::VerifyError;
use super::establish::is_passing;
use super::event::Event;
use super::later::Again;
use super::lookup::Question;
use super::online::{Asked, End, Online, PAUSE};
use super::repair::content_again;
use super::requests::Given;
use super::run::Runner;
use crate::backoff::ASKED_MAX;
use crate::clock;
use crate::database::{DatabaseError, SealedItem, Store};
use crate::transport::LinkError;

impl Runner {
    /// A frame that changed nothing in the database.
    pub(super) fn answered(&mut self, online: &mut Online, frame: ServerFrame) -> Result<(), End> {
        if let ServerFrame::Answer { id, .. } = &frame
            && matches!(online.asked.get(id), Some((Asked::Account, _)))
            && let ServerFrame::Answer { id, answer } = frame
        {
            online.asked.remove(&id);
            // The second step is asked at the next turn.
            let given = Given { store: self.profile.database().read(), own: online.own, oprf_key: online.oprf_key };
            online.second_step = self.requests.answered(answer, &given);
            return Ok(());
        }
        match frame {
            ServerFrame::Retry { id, after_ms, reason } => {
                online.retries += 1;
                if let Some((to, seq)) = self.outbox.find(id)
                    && reason == RetryReason::Devices
                {
                    self.database().write(|store| devices_changed(store, to, seq))?;
                    online.stale.insert(to);
                    self.outbox.reopened(seq, to);
                    self.outbox.retry(seq, to, clock::monotonic());
                } else if let Some((to, seq)) = self.outbox.find(id) {
                    self.outbox.retry(seq, to, clock::monotonic() + Duration::from_millis(after_ms).min(ASKED_MAX));
                    self.tell(Event::Delayed { id, reason });
                }
                Ok(())
            }
            ServerFrame::Answer { id, answer } => {
                let asked = online.asked.remove(&id).map(|(asked, _)| asked);
                let question = online.questions.remove(&id);
                match (asked, answer) {
                    (Some(Asked::Attach), Answer::Attached) => self.arrived(),
                    (Some(Asked::Relation(tag, standing)), Answer::Done) => {
                        self.database().write(|store| store.told(tag, standing))?;
                        self.tell(Event::Decided { tag });
                        self.decided |= !self.database().read().untold(1)?.is_empty();
                    }
                    (Some(Asked::Lookup), Answer::Evaluated { evaluation }) => {
                        let Some(Question { handle, blinding }) = question else { return Ok(()) };
                        // An answer that does not verify is of a server that cheats.
                        let tag = OprfPublic::from_bytes(&online.oprf_key)
                            .ok()
                            .and_then(|public| blinding.finish(&evaluation, &public).ok())
                            .ok_or(LinkError::Protocol(DecodeError::Malformed))?;
                        self.found(&handle, AccountTag::new(tag))?;
                    }
                    (Some(Asked::Publish(ids)), Answer::KeysPublished(keys)) => {
                        online.keys = keys;
                        online.keys_settled = account::keys_are_low(keys);
                        self.database().write(|store| ids.published(store))?;
                        self.held_at_server(online)?;
                    }
                    // One-time keys may be on their way beside it, so these numbers do not say which were handed out.
                    (Some(Asked::Rotate(set)), Answer::KeysPublished(keys)) => {
                        online.keys = keys;
                        // Without a time that can be noted the set is published once more.
                        if let Some(now) = online.agreed_time() {
                            self.database().write(|store| store.key_set_published(set, now))?;
                        }
                    }
                    _ => return Err(LinkError::Protocol(DecodeError::Malformed).into()),
                }
                Ok(())
            }
            ServerFrame::Refused { id, refusal } => {
                let Some((asked, _)) = id.and_then(|id| online.asked.remove(&id)) else { return Ok(()) };
                let question = id.and_then(|id| online.questions.remove(&id));
                let later = clock::monotonic() + pause(refusal);
                match asked {
                    Asked::Lookup => {
                        let Some(Question { handle, .. }) = question else { return Ok(()) };
                        for reason in self.lookups.answered(&handle) {
                            self.not_found(handle.clone(), reason, Some(refusal.code));
                        }
                        if is_passing(refusal.code) {
                            online.later.put(Again::LookUps, later);
                        }
                        Ok(())
                    }
                    Asked::Attach => Err(End::Refused(refusal.code)),
                    Asked::Account => {
                        self.requests.refused(refusal.code);
                        Ok(())
                    }
                    // Heard of on the next connection, if not before.
                    Asked::Relation(..) => {
                        if refusal.retry_after_ms.is_some() {
                            online.later.put(Again::Decisions, later);
                        }
                        Ok(())
                    }
                    Asked::Publish(_) => {
                        if refusal.retry_after_ms.is_some() {
                            online.later.put(Again::Keys, later);
                        }
                        Ok(())
                    }
                    // A set that was refused is published again when it is looked at again.
                    Asked::Rotate(_) => Ok(()),
                    // What was held stays held, and is asked about on the next connection, if not before.
                    Asked::Identity(peer) => {
                        online.identifying.remove(&peer);
                        if is_passing(refusal.code) {
                            online.later.put(Again::Identity(peer), later);
                        }
                        Ok(())
                    }
                    Asked::Bundles(peer) => {
                        online.fetching.remove(&peer);
                        self.outbox.hold(peer, later);
                        let code = refusal.code;
                        self.answer_verifying(peer, Some(&|_| VerifyError::Refused(code)));
                        Ok(())
                    }
                }
            }
            ServerFrame::Accepted { .. }
            | ServerFrame::Rejected { .. }
            | ServerFrame::Deliver(_)
            | ServerFrame::Closing { .. } => Ok(()),
            ServerFrame::DevicesChanged { version } => Ok(self.own_devices_changed(online, version)?),
        }
    }
}

/// A row was sealed for a list of devices that has changed: it is sealed anew, for all that there are now.
fn devices_changed(store: &Store<'_>, to: AccountTag, seq: i64) -> Result<(), DatabaseError> {
    if let Some(SealedItem::Sealed { message, .. }) = store.outbox_item(seq)?
        && let Some(content) = content_again(store, to, message)?
    {
        store.reopen(seq, message, to, &content)?;
    }
    store.forget_devices(to)
}

fn pause(refusal: Refusal) -> Duration {
    refusal.retry_after_ms.map_or(PAUSE, |ms| Duration::from_millis(ms.get()).min(ASKED_MAX))
}
