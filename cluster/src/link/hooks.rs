//! Who answers what comes in besides traffic, which [`HearsPeers`](crate::peers::HearsPeers) hears.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::Answers;
use crate::control::Control;
use crate::edge::Offers;
use crate::join::Exporter;

/// What answers nodes that are no members yet.
#[async_trait]
pub trait Welcomes: Send + Sync + 'static {
    /// The answer, of at most [`JOIN_ANSWER_BYTES_MAX`](super::JOIN_ANSWER_BYTES_MAX) bytes; `None` closes the connection.
    /// `exporter` is the connection's own, the same at both ends: what is proved with it cannot be replayed on another.
    async fn welcome(&self, exporter: Exporter, question: Bytes) -> Option<Bytes>;
}

/// The control plane, as links see it.
#[derive(Clone)]
pub struct Hooks {
    /// Questions of other nodes.
    pub answers: Arc<dyn Answers>,
    /// Nodes that ask to join.
    pub welcomes: Arc<dyn Welcomes>,
    /// Where edges reach nodes, as far as it is known; who subscribes is an edge that follows this node.
    pub offers: Arc<watch::Sender<Offers>>,
}

impl Hooks {
    /// Everything is answered by the control plane of this node.
    pub fn of(control: &Arc<Control>) -> Self {
        Self {
            answers: Arc::clone(control) as Arc<dyn Answers>,
            welcomes: Arc::clone(control) as Arc<dyn Welcomes>,
            offers: Arc::default(),
        }
    }
}
