//! What a node does with what comes in on its links.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_protocol::Address;

use super::LinkLife;
use super::life::{ForwardReply, PeerHandle, TakenReply};
use super::wire::{Forward, News};
use crate::Answers;
use crate::join::Exporter;

/// What comes in. Nothing here may wait: the link hears nothing else meanwhile. Calls of one life come in the order in which
/// the other side has sent.
pub trait Handler: Send + Sync + 'static {
    /// A link lives. Follows `broke` of the life before.
    fn connected(&self, peer: &PeerHandle);
    /// A life has ended, and everything that it had unanswered was settled.
    fn broke(&self, life: LinkLife);
    /// An envelope for a device that the other node has seen here. `reply` is settled whatever becomes of it; dropped, it says
    /// that there is no room.
    fn forward(&self, peer: &PeerHandle, forward: Forward, reply: ForwardReply);
    /// A row was committed for a device that the other node has seen here. When this returns, its mailbox knows.
    fn wake(&self, peer: &PeerHandle, to: Address, seq: i64);
    /// The other node has claimed a device. `reply` is confirmed when this one does not act for it any more.
    fn taken(&self, peer: &PeerHandle, device: Address, epoch: u64, reply: TakenReply);
    /// Something that connections here must hear of. When this returns, they have.
    fn news(&self, peer: &PeerHandle, news: News);
}

/// What answers nodes that are no members yet.
#[async_trait]
pub trait Welcomes: Send + Sync + 'static {
    /// The answer, of at most [`JOIN_ANSWER_BYTES_MAX`](super::JOIN_ANSWER_BYTES_MAX) bytes; `None` closes the connection. `binding` is the
    /// connection's own, the same at both ends: what is proved with it cannot be replayed on another.
    async fn welcome(&self, binding: Exporter, question: Bytes) -> Option<Bytes>;
}

/// Everything that comes in goes to one of these.
#[derive(Clone)]
pub struct Hooks {
    /// Traffic.
    pub handler: Arc<dyn Handler>,
    /// Questions of the control plane.
    pub answers: Arc<dyn Answers>,
    /// Nodes that ask to join.
    pub welcomes: Arc<dyn Welcomes>,
}
