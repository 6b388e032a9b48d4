//! Tells other nodes what connections there have to hear of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use endtoend_cluster::NodeId;
use endtoend_cluster::link::wire::{Frame, News};
use endtoend_cluster::peers::{LinkLife, NotSent, PeerLink, Peers};

use super::unheard::Unheard;

/// What another node tells of connections here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FromPeer {
    /// This has happened.
    News(News),
    /// More than it tells: whatever is remembered has to be looked up.
    Missed,
}

/// The way of news to other nodes. A lock and not an actor: services tell in the middle of what they do, and wait for nobody.
#[derive(Debug)]
pub(crate) struct Teller {
    peers: Arc<dyn Peers>,
    unheard: Mutex<Unheard>,
}

impl Teller {
    pub(super) fn new(peers: Arc<dyn Peers>) -> Self {
        Self { peers, unheard: Mutex::default() }
    }

    // A panic while the lock was held cannot have left anything in between: every change is one call.
    fn unheard(&self) -> MutexGuard<'_, Unheard> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every other node hears of it: now, or when there is a link to it.
    pub(crate) fn tell(&self, news: News) {
        if let News::StandingChanged { .. } = news {
            return self.tell_once(news);
        }
        let (mut unheard, nodes) = (self.unheard(), self.peers.nodes());
        unheard.happened(news, &nodes);
        nodes.into_iter().for_each(|node| self.pump(&mut unheard, node));
    }

    /// Whoever has no link forgets by himself in ten seconds what he remembers.
    fn tell_once(&self, news: News) {
        for link in self.peers.links() {
            let _forgotten_soon = self.peers.send(link.life, Frame::News { n: 0, news });
        }
    }

    /// What has to be told and can.
    fn pump(&self, unheard: &mut Unheard, node: NodeId) {
        while let Some((over, frame)) = unheard.next(node) {
            match self.peers.send(over, frame.clone()) {
                Ok(()) => unheard.went(node, &frame),
                Err(NotSent::Unknown) => {
                    tracing::warn!(%node, "a node of an older version cannot be told that it may have missed revocations");
                    unheard.cannot_be_told(node);
                }
                // Looked at again soon, or on the next link.
                Err(NotSent::Full | NotSent::Broken) => return,
            }
        }
    }

    /// Tells what found no room before.
    pub(super) fn again(&self) {
        let mut unheard = self.unheard();
        unheard.to_be_told().into_iter().for_each(|node| self.pump(&mut unheard, node));
    }

    pub(super) fn linked(&self, link: PeerLink) {
        let mut unheard = self.unheard();
        unheard.linked(link.run.node, link.life);
        self.pump(&mut unheard, link.run.node);
    }

    pub(super) fn broke(&self, link: LinkLife) {
        self.unheard().broke(link);
    }

    pub(super) fn heard(&self, over: PeerLink, up_to: u64) {
        self.unheard().heard(over.run.node, over.life, up_to);
    }
}
