//! What the actors between this node and others can be told.

use actix::{Message, Recipient};
use endtoend_cluster::link::wire::Forward;
use endtoend_cluster::peers::{LinkLife, PeerLink};
use endtoend_protocol::{Address, DeviceId};
use endtoend_storage::Seq;

use crate::mailbox::AttachmentId;
use crate::queue_writer::{Persisted, Told};
use crate::receipt::Receipt;

/// To the waker: a row was committed for a device that is not exclusively here. `told` is said when others know of it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Committed {
    pub(crate) to: Address,
    pub(crate) seq: Seq,
    pub(crate) told: Told<Recipient<Persisted>, Receipt>,
}

/// To the waker: news of a link.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum OfWakes {
    /// All wake-ups up to there were handled at its other end.
    Woken { over: LinkLife, up_to: u64 },
    /// It has ended.
    Broke(LinkLife),
}

/// To the keeper of claims: a connection has ended whose mailbox knows.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Departed {
    pub(crate) device: Address,
    pub(crate) attachment: AttachmentId,
}

/// To the keeper of claims: news of a link.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum OfClaims {
    /// The node at the other end has claimed a device.
    Taken { over: LinkLife, n: u64, device: Address, epoch: u64 },
    /// The node at the other end knows that this one has.
    TakenSeen { over: PeerLink, n: u64 },
    /// It has ended.
    Broke(LinkLife),
}

/// To the door of a link: an envelope that another node sends on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ComesIn {
    pub(crate) n: u64,
    pub(crate) forward: Forward,
    /// Refusals that the other side knew of.
    pub(crate) heard: u64,
}

/// Which device of an account.
pub(super) fn address(account: endtoend_protocol::AccountTag, device: DeviceId) -> Address {
    Address { account, device }
}
