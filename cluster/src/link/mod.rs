//! Links: the one connection between two nodes, and what they say on it.
//!
//! Start with [`Links`], which are [`Calls`](crate::Calls) to the control plane and [`Peers`](crate::peers::Peers) to traffic;
//! [`wire`] is the protocol. A link is one TLS connection that carries the questions of the control plane
//! and traffic, in two bounded queues: what the control plane says waits for no envelope. The rules, `outbox`, `slots` and
//! `timings`, know neither sockets nor clocks.

mod connect;
mod edge;
mod health;
mod hooks;
mod join;
mod life;
mod links;
mod outbox;
mod run;
mod slots;
#[cfg(test)]
mod tests;
mod timings;
mod tls;
pub mod wire;

pub use connect::ConnectError;
pub use edge::EdgeConnection;
pub use health::{Counters, PeerHealth};
pub use hooks::{Hooks, Welcomes};
pub use join::{JOIN_ANSWER_BYTES_MAX, JoinConnection};
pub use links::{Links, LinksConfig, LinksTask};
pub use timings::{BadLinkTimings, EDGE_SILENCE_MAX, LinkTimings};
pub use tls::{BadLinkKey, LinkKey, Untrusted};

/// Why a life of a link has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The other side has closed it.
    #[error("the other node has closed it")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// Nothing came for too long, or what was written went nowhere.
    #[error("the other node is silent")]
    Silent,
    /// One of the two is no member any more.
    #[error("one of the two nodes is no member any more")]
    NotAMember,
    /// The other side does not keep to the protocol.
    #[error("the other node does not keep to the protocol")]
    Malformed,
    /// The other side asks and does not read the answers.
    #[error("the other node does not read what it is answered")]
    Flooded,
    /// The other side has opened another one.
    #[error("the other node has opened another one")]
    Replaced,
    /// This node stops.
    #[error("this node stops")]
    Stopped,
}
