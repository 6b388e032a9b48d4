//! The way to other nodes, for messages and news of devices: what links offer, and who hears them.

use crate::NodeId;
use crate::claims::Incarnation;
use crate::link::wire::Frame;

/// One life of a link to one run of another node. No other one in this process has its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkLife(pub u64);

/// A link that carries frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLink {
    /// Which one.
    pub life: LinkLife,
    /// Who is at its other end.
    pub run: Incarnation,
}

/// The frame was not sent, and will not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Too much waits for this link.
    #[error("too much waits for the link")]
    Full,
    /// It has ended.
    #[error("the link has ended")]
    Broken,
    /// The other side is of a version that does not know such a frame.
    #[error("the other node does not know such a frame")]
    Unknown,
}

/// The way to other nodes.
pub trait Peers: Send + Sync + std::fmt::Debug {
    /// The links that carry frames: one for each node at most.
    fn links(&self) -> Vec<PeerLink>;

    /// Whether every other node that may serve clients has such a link: whoever tells all links has then told everybody.
    fn is_complete(&self) -> bool;

    /// The other nodes that may serve clients, linked or not.
    fn nodes(&self) -> Vec<NodeId>;

    /// Puts a frame of traffic into the queue of a link, and returns at once. Frames of one life come in the order in which they
    /// were sent, or, from some point on, not at all.
    ///
    /// # Errors
    /// [`NotSent`]. An answer has room: there is at most one for each question, and the questions of the other side are bounded.
    fn send(&self, over: LinkLife, frame: Frame) -> Result<(), NotSent>;
}

/// What hears other nodes. Called in the order of each link, and returns at once.
pub trait HearsPeers: Send + Sync {
    /// A link carries frames from now on. So many forwarded envelopes have been told to come again before anybody heard it: the
    /// other end counts them, and may have sent what comes after them.
    fn linked(&self, link: PeerLink, refused: u64);
    /// A frame of traffic has come.
    fn heard(&self, over: PeerLink, frame: Frame);
    /// The link has ended: nothing comes over it any more, and what was not answered will not be.
    fn broke(&self, link: PeerLink);
}
