//! The way back over one life of a link.

use std::sync::{Arc, Mutex, PoisonError};

use endtoend_cluster::link::wire::Frame;
use endtoend_cluster::peers::{LinkLife, Peers};

/// Says over one life of a link what became of the envelopes that came over it.
///
/// The other side counts the refusals that it hears and says how many those were: so each has to go in the place in which it was
/// counted here. Two threads refuse, that of the link and that of its door.
#[derive(Debug)]
pub(super) struct Answers {
    life: LinkLife,
    peers: Arc<dyn Peers>,
    one_by_one: Mutex<()>,
}

impl Answers {
    pub(super) fn new(life: LinkLife, peers: Arc<dyn Peers>) -> Self {
        Self { life, peers, one_by_one: Mutex::default() }
    }

    /// Sends what `counted` gives, which counts it if it is a refusal. Nothing else is counted or sent between the two.
    pub(super) fn say(&self, counted: impl FnOnce() -> Option<Frame>) {
        // There is nothing behind the lock that a panic could leave in between.
        let _turn = self.one_by_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = counted() {
            // A link that has ended has settled everything at its other end.
            let _gone = self.peers.send(self.life, frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use endtoend_cluster::NodeId;
    use endtoend_cluster::link::wire::Outcome;
    use endtoend_cluster::peers::{NotSent, PeerLink};

    use super::*;

    /// What has gone.
    #[derive(Debug, Default)]
    struct Gone(Mutex<Vec<u64>>);

    impl Peers for Gone {
        fn links(&self) -> Vec<PeerLink> {
            Vec::new()
        }
        fn is_complete(&self) -> bool {
            true
        }
        fn nodes(&self) -> Vec<NodeId> {
            Vec::new()
        }
        fn send(&self, _: LinkLife, frame: Frame) -> Result<(), NotSent> {
            let Frame::Forwarded { n, .. } = frame else { panic!("{frame:?}") };
            self.0.lock().unwrap().push(n);
            Ok(())
        }
    }

    #[test]
    fn refusals_of_two_threads_go_in_the_order_in_which_they_are_counted() {
        const EACH: u64 = 2_000;
        let (gone, told) = (Arc::new(Gone::default()), AtomicU64::new(0));
        let answers = Answers::new(LinkLife(1), Arc::clone(&gone) as Arc<dyn Peers>);
        let refuse = || {
            for _ in 0..EACH {
                answers.say(|| {
                    let n = told.fetch_add(1, Ordering::AcqRel) + 1;
                    // The other thread has every occasion to come in between.
                    thread::yield_now();
                    Some(Frame::Forwarded { n, outcome: Outcome::Busy, moved: false })
                });
            }
        };
        thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(refuse))));
        answers.say(|| None);
        assert_eq!(*gone.0.lock().unwrap(), (1..=2 * EACH).collect::<Vec<_>>());
    }
}
