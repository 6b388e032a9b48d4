//! What a frame of the server leads to in the database. Runs inside a transaction; what it gives is made known when that is
//! on disk.

use std::collections::HashMap;

use endtoend_protocol::{
    AccountTag, Answer, Deliver, DeliveryNumber, EnvelopeId, MessageId, RefusalCode, RejectReason, RequestId,
    ServerFrame, UnixMillis,
};

use super::online::{Asked, Online};
use super::receive::{Arrival, Learned, learn, receive, refuse_held};
use super::seal::{Opened, open_sessions};
use crate::database::{DatabaseError, HeldEnvelope, Store};

/// What a frame led to in the database, to be made known once that is on disk.
pub(super) enum Effect {
    Arrived {
        delivery: DeliveryNumber,
        id: EnvelopeId,
        arrival: Arrival,
    },
    Accepted {
        row: (AccountTag, i64),
        id: EnvelopeId,
        settled: Option<MessageId>,
        at: UnixMillis,
    },
    Rejected {
        row: (AccountTag, i64),
        id: EnvelopeId,
        settled: Option<MessageId>,
        reason: RejectReason,
    },
    /// There is no device to seal for.
    Nobody {
        request: RequestId,
        peer: AccountTag,
        messages: Vec<(i64, Option<MessageId>)>,
    },
    Sessions {
        request: RequestId,
        peer: AccountTag,
        opened: Opened,
    },
    Learned {
        request: RequestId,
        peer: AccountTag,
        learned: Learned,
    },
    Other(ServerFrame),
}

/// What is known while frames are stored.
pub(super) struct Context<'a> {
    pub(super) online: &'a Online,
    /// Rows of the envelopes that the frames are about.
    pub(super) rows: &'a HashMap<EnvelopeId, (AccountTag, i64)>,
    /// Rows that wait for the keys of an account.
    pub(super) unsealed: &'a HashMap<AccountTag, Vec<i64>>,
    pub(super) now: UnixMillis,
}

impl Context<'_> {
    /// Whose keys the request was for.
    fn asked(&self, id: RequestId) -> Option<AccountTag> {
        match self.online.asked.get(&id) {
            Some((Asked::Bundles(peer), _)) => Some(*peer),
            _ => None,
        }
    }

    /// Rejects what waits for the keys of an account.
    fn give_up(&self, store: &Store<'_>, peer: AccountTag) -> Result<Vec<(i64, Option<MessageId>)>, DatabaseError> {
        let rows = self.unsealed.get(&peer).into_iter().flatten();
        rows.map(|&seq| Ok((seq, store.rejected(seq, RejectReason::UnknownRecipient)?))).collect()
    }

    /// Whose identity the request was for.
    fn asked_identity(&self, id: RequestId) -> Option<AccountTag> {
        match self.online.asked.get(&id) {
            Some((Asked::Identity(peer), _)) => Some(*peer),
            _ => None,
        }
    }
}

/// The envelope of ours that a frame is about.
pub(super) const fn answered(frame: &ServerFrame) -> Option<EnvelopeId> {
    match frame {
        ServerFrame::Accepted { id, .. } | ServerFrame::Rejected { id, .. } => Some(*id),
        _ => None,
    }
}

pub(super) fn store_frame(
    store: &Store<'_>,
    context: &Context<'_>,
    frame: ServerFrame,
) -> Result<Effect, DatabaseError> {
    match frame {
        ServerFrame::Deliver(deliver) => store_delivery(store, context, deliver),
        ServerFrame::Accepted { id, at } => {
            let Some(&row) = context.rows.get(&id) else { return Ok(Effect::Other(ServerFrame::Accepted { id, at })) };
            let wire_bytes = context.online.wire_bytes.get(&id).copied();
            let settled = store.accepted(row.1, at, wire_bytes)?;
            Ok(Effect::Accepted { row, id, settled, at })
        }
        ServerFrame::Rejected { id, reason } => {
            let Some(&row) = context.rows.get(&id) else {
                return Ok(Effect::Other(ServerFrame::Rejected { id, reason }));
            };
            // Perhaps only this device is gone: the next message asks again which there are.
            store.forget_devices(row.0)?;
            Ok(Effect::Rejected { row, id, settled: store.rejected(row.1, reason)?, reason })
        }
        ServerFrame::Answer { id, answer: Answer::Bundles(bundles) } => match context.asked(id) {
            Some(peer) => {
                let opened = open_sessions(store, context.online.own, peer, &bundles, context.now)?;
                if peer == context.online.own.account && store.devices(peer)?.is_empty() && opened == Opened::Ready {
                    // This is the only device: what waits for others has nowhere to go.
                    let messages = context.give_up(store, peer)?;
                    return Ok(Effect::Nobody { request: id, peer, messages });
                }
                Ok(Effect::Sessions { request: id, peer, opened })
            }
            None => Ok(Effect::Other(ServerFrame::Answer { id, answer: Answer::Bundles(bundles) })),
        },
        ServerFrame::Answer { id, answer: Answer::Identity(identity) } => match context.asked_identity(id) {
            Some(peer) => {
                let learned = learn(store, context.online.own, peer, &identity, context.now)?;
                Ok(Effect::Learned { request: id, peer, learned })
            }
            None => Ok(Effect::Other(ServerFrame::Answer { id, answer: Answer::Identity(identity) })),
        },
        ServerFrame::Refused { id: Some(id), refusal } if refusal.code == RefusalCode::UnknownAccount => {
            if let Some(peer) = context.asked_identity(id) {
                // Whatever waits for it asks for its keys, and hears the same.
                store.forget_devices(peer)?;
                let learned = Learned::Known(refuse_held(store, peer)?);
                return Ok(Effect::Learned { request: id, peer, learned });
            }
            let Some(peer) = context.asked(id) else {
                return Ok(Effect::Other(ServerFrame::Refused { id: Some(id), refusal }));
            };
            let messages = context.give_up(store, peer)?;
            Ok(Effect::Nobody { request: id, peer, messages })
        }
        other => Ok(Effect::Other(other)),
    }
}

fn store_delivery(store: &Store<'_>, context: &Context<'_>, deliver: Deliver) -> Result<Effect, DatabaseError> {
    let Deliver { delivery, id, accepted_at, body } = deliver;
    let frame = ServerFrame::Deliver(Deliver { delivery, id, accepted_at, body: body.clone() });
    let wire_bytes = server_frame_bytes(frame.encode().len());
    let envelope = HeldEnvelope { id, body, accepted_at, received_at: context.now, wire_bytes };
    let arrival = receive(store, context.online.own, &envelope, context.now)?;
    Ok(Effect::Arrived { delivery, id, arrival })
}

/// Length of a server's WebSocket frame with its header, which has no mask (RFC 6455, section 5.2).
const fn server_frame_bytes(payload: usize) -> u64 {
    payload as u64
        + match payload {
            0..=125 => 2,
            126..=65_535 => 4,
            _ => 10,
        }
}
