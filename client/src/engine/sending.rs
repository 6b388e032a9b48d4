//! What waits in the outbox is sealed and sent, and settled when the server has answered.

use endtoend_protocol::{AccountTag, ClientFrame, Envelope, MessageId};

use super::event::Event;
use super::online::{BATCH_MAX, End, Online, PAUSE};
use super::repair::Queued;
use super::run::Runner;
use super::seal::{Sealed, seal_row};
use crate::clock;
use crate::database::DatabaseError;

impl Runner {
    /// Seals and sends some rows; says whether there may be more.
    pub(super) async fn send_batch(&mut self, online: &mut Online) -> Result<bool, End> {
        let now = clock::monotonic();
        let mut rows = Vec::new();
        while rows.len() < BATCH_MAX
            && let Some((seq, to)) = self.outbox.next(now)
        {
            self.outbox.sent(seq, to, now);
            rows.push((seq, to));
        }
        let (own, wall) = (online.own, clock::now());
        let sealed: Vec<Sealed> = self.database().write(|store| {
            rows.iter().map(|&(seq, to)| seal_row(store, own, seq, to, wall)).collect::<Result<_, DatabaseError>>()
        })?;
        let more = rows.len() == BATCH_MAX;
        for ((seq, to), sealed) in rows.into_iter().zip(sealed) {
            match sealed {
                Sealed::Ready { envelope, message, others } => {
                    self.outbox.sealed(seq, to, envelope.id);
                    for (other, id) in others {
                        self.outbox.push(other, to, Some(id));
                    }
                    self.send_envelope(online, envelope, message).await?;
                }
                Sealed::NoKeys => {
                    self.outbox.reopened(seq, to);
                    self.outbox.retry(seq, to, now + PAUSE);
                    online.fetch(to).await?;
                }
                Sealed::StaleKeys => {
                    self.outbox.reopened(seq, to);
                    self.outbox.retry(seq, to, now + PAUSE);
                    online.identify(to).await?;
                }
                Sealed::Settled => self.settle(seq, to),
            }
        }
        Ok(more)
    }

    pub(super) async fn send_envelope(
        &self,
        online: &mut Online,
        envelope: Envelope,
        message: MessageId,
    ) -> Result<(), End> {
        let id = envelope.id;
        if online.retries_told != Some(online.retries) {
            // From here on everything comes in its order: what is to be sent again was put in front.
            online.sender.send(&ClientFrame::RetriesHeard { count: online.retries }).await?;
            online.retries_told = Some(online.retries);
        }
        let wire_bytes = online.sender.send(&ClientFrame::Send(envelope)).await? as u64;
        online.wire_bytes.insert(id, wire_bytes);
        self.tell(Event::Sent { id: message, wire_bytes });
        Ok(())
    }

    pub(super) fn queued(&mut self, row: Option<Queued>) {
        if let Some((seq, to)) = row {
            self.outbox.push(seq, to, None);
        }
    }

    /// A row is done with.
    pub(super) fn settle(&mut self, seq: i64, to: AccountTag) {
        self.outbox.settle(seq, to);
        self.receipts.remove(&seq);
        if self.outbox.len_for(to) == 0 {
            self.tell(Event::AllSent { to });
        }
    }
}
