//! Hears other nodes, and tells each frame to whom it is for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor as _, ArbiterHandle, Recipient};
use endtoend_cluster::link::wire::{Frame, Outcome as WireOutcome};
use endtoend_cluster::peers::{HearsPeers, LinkLife, PeerLink};

use super::answers::Answers;
use super::door::Door;
use super::entry::Entry;
use super::known::Elsewhere;
use super::messages::{ComesIn, OfClaims, OfWakes};
use super::teller::{FromPeer, Teller};
use crate::actors::reply;
use crate::course::Course;
use crate::memory::Memory;
use crate::router::{Router, Routes};

/// What hears other nodes.
pub(crate) struct Ears {
    pub(crate) elsewhere: Arc<Elsewhere>,
    pub(crate) teller: Arc<Teller>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) router: Arc<Router>,
    pub(crate) memory: Memory,
    pub(crate) waker: Recipient<OfWakes>,
    pub(crate) keeper: Recipient<OfClaims>,
    /// Does here what another node has done.
    pub(crate) news: Box<dyn Fn(FromPeer) + Send + Sync>,
    pub(crate) arbiter: ArbiterHandle,
    pub(crate) doors: Mutex<BTreeMap<LinkLife, WayIn>>,
}

/// The way to the door of a link.
#[derive(Clone)]
pub(crate) struct WayIn {
    door: Recipient<ComesIn>,
    course: Arc<Course>,
    answers: Arc<Answers>,
    /// Refusals that the other side has heard of.
    heard: u64,
}

impl Ears {
    fn doors(&self) -> MutexGuard<'_, BTreeMap<LinkLife, WayIn>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HearsPeers for Ears {
    fn linked(&self, link: PeerLink, refused: u64) {
        self.elsewhere.metrics.forwards_refused.add(refused);
        let (memory, router, elsewhere) = (self.memory.clone(), Arc::clone(&self.router), Arc::clone(&self.elsewhere));
        let rules = Entry::after(refused);
        let course = rules.course();
        let answers = Arc::new(Answers::new(link.life, Arc::clone(&elsewhere.peers)));
        let way_back = Arc::clone(&answers);
        let door =
            Door::start_in_arbiter(&self.arbiter, move |_| Door::new(rules, way_back, memory, router, elsewhere));
        self.doors().insert(link.life, WayIn { door: door.recipient(), course, answers, heard: 0 });
        self.teller.linked(link);
    }

    fn heard(&self, over: PeerLink, frame: Frame) {
        let life = over.life;
        match frame {
            Frame::Forward { n, forward } => {
                let (way, to) = (self.doors().get(&life).cloned(), forward.envelope.to);
                let came = way.as_ref().map(|way| way.door.try_send(ComesIn { n, forward, heard: way.heard }).is_ok());
                if came != Some(true) {
                    self.elsewhere.metrics.forwards_refused.one();
                    // Without a way in the link has ended, and has settled everything at its other end.
                    if let Some(WayIn { course, answers, .. }) = way {
                        answers.say(|| {
                            course.refuse(to, n);
                            Some(Frame::Forwarded { n, outcome: WireOutcome::Busy, moved: false })
                        });
                    }
                }
            }
            Frame::Forwarded { n, outcome, moved } => self.elsewhere.forwarded(life, n, outcome, moved),
            Frame::Wake { n, to, .. } => {
                // In the mailbox's queue before the other side hears so.
                Elsewhere::wake(&self.routes, to);
                self.elsewhere.metrics.wakes_heard.one();
                let _gone = self.elsewhere.peers.send(life, Frame::Woken { up_to: n });
            }
            Frame::Woken { up_to } => reply(&self.waker, OfWakes::Woken { over: life, up_to }),
            Frame::Taken { n, device, epoch } => reply(&self.keeper, OfClaims::Taken { over: life, n, device, epoch }),
            Frame::TakenSeen { n } => reply(&self.keeper, OfClaims::TakenSeen { over, n }),
            Frame::News { n, news } => {
                (self.news)(FromPeer::News(news));
                let _gone = self.elsewhere.peers.send(life, Frame::NewsHeard { n });
            }
            Frame::NewsMissed { n } => {
                (self.news)(FromPeer::Missed);
                let _gone = self.elsewhere.peers.send(life, Frame::NewsHeard { n });
            }
            Frame::NewsHeard { n } => self.teller.heard(over, n),
            // Goes on with what comes after it.
            Frame::RefusalsHeard { count } => {
                if let Some(way) = self.doors().get_mut(&life) {
                    way.heard = count;
                }
            }
            // Of the control plane: links keep them to themselves.
            Frame::Ping { .. } | Frame::Pong { .. } | Frame::Call { .. } | Frame::Answer { .. } => {}
        }
    }

    fn broke(&self, link: PeerLink) {
        self.doors().remove(&link.life);
        self.elsewhere.broke(link.life);
        self.teller.broke(link.life);
        reply(&self.waker, OfWakes::Broke(link.life));
        reply(&self.keeper, OfClaims::Broke(link.life));
    }
}
