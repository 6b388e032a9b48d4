//! All links of this node: which there are to be, and the tasks that keep them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::connect::{self, ConnectError, Connected, Incoming, Own};
use super::handler::Hooks;
use super::health::{Counters, PeerHealth, Standing};
use super::life::{Life, PeerHandle};
use super::timings::{LinkTimings, Redial};
use super::tls::{LinkKey, may_link};
use super::{Ended, LinkLife, join, run};
use crate::{CALL_BYTES_MAX, CallError, Calls, ClusterView, NodeId, clock};

/// Connections that are not through their handshake. More wait in the kernel's queue: members that have a link are untouched.
const HANDSHAKES_MAX: usize = 64;
/// Connections of nodes that ask to join. More are closed at once.
const JOINS_MAX: usize = 32;
/// The kernel has no more sockets: not again before this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the links of a node are made of.
#[derive(Clone, Debug)]
pub struct LinksConfig {
    /// This node's TLS key: it names the node.
    pub key: LinkKey,
    /// Which run of the process this is: random, drawn at its start.
    pub run: u64,
    /// When links are given up, and tried again.
    pub timings: LinkTimings,
}

/// The links of this node. Cheap to clone.
///
/// There is one link to each other member, and the node with the smaller id dials. Nothing here is durable: what a link had
/// unanswered when it broke is settled as lost, and whoever sent it sends it again.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

struct Inner {
    config: LinksConfig,
    lives: RwLock<BTreeMap<NodeId, Arc<Life>>>,
    /// Of lives that have begun, by all peers.
    last_life: AtomicU64,
    /// One life takes the place of another at a time.
    adopting: Mutex<()>,
    standings: Mutex<BTreeMap<NodeId, Standing>>,
}

/// The tasks of [`Links`]. Dropped, all links end.
#[derive(Debug)]
pub struct LinksTask(AbortHandle);

impl Drop for LinksTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links({:?})", self.0.config.key)
    }
}

impl Links {
    /// No link yet: calls find none until [`Links::start`].
    pub fn new(config: LinksConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            lives: RwLock::default(),
            last_life: AtomicU64::new(0),
            adopting: Mutex::new(()),
            standings: Mutex::default(),
        }))
    }

    /// Dials, and listens, on the runtime from which it is called. To be called once.
    pub fn start(&self, listener: TcpListener, view: watch::Receiver<ClusterView>, hooks: Hooks) -> LinksTask {
        let keeper = Keeper { inner: Arc::clone(&self.0), view, hooks, tasks: JoinSet::new(), dials: BTreeMap::new() };
        LinksTask(tokio::spawn(keeper.keep(listener)).abort_handle())
    }

    /// This node.
    pub fn own(&self) -> NodeId {
        self.0.config.key.node()
    }

    /// The link to `node`, if it lives.
    pub fn peer(&self, node: NodeId) -> Option<PeerHandle> {
        self.0.lives().get(&node).map(|life| PeerHandle(Arc::clone(life)))
    }

    /// This life of a link, if it still lives.
    pub fn life(&self, life: LinkLife) -> Option<PeerHandle> {
        self.peer(life.node).filter(|peer| peer.life() == life)
    }

    /// All links that live.
    pub fn peers(&self) -> Vec<PeerHandle> {
        self.0.lives().values().map(|life| PeerHandle(Arc::clone(life))).collect()
    }

    /// How each link is, whether it lives or not.
    pub fn health(&self) -> BTreeMap<NodeId, PeerHealth> {
        let lives = self.0.lives().clone();
        let standings = self.0.standings();
        standings.iter().map(|(node, standing)| (*node, standing.health(lives.get(node).map(|life| &**life)))).collect()
    }
}

#[async_trait]
impl Calls for Links {
    async fn call(&self, to: NodeId, question: Bytes, deadline: Duration) -> Result<Bytes, CallError> {
        if question.len() > CALL_BYTES_MAX {
            return Err(CallError::TooLong { len: question.len() });
        }
        let mut asked = self.peer(to).and_then(|peer| peer.call(question)).ok_or(CallError::NoLink(to))?;
        match timeout(deadline, asked.answer()).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(CallError::Refused(to)),
            Ok(Err(_)) | Err(_) => Err(CallError::Unanswered(to)),
        }
    }
}

impl Inner {
    // A panic while a lock was held cannot have left a map in between: every change is one call.
    fn lives(&self) -> RwLockReadGuard<'_, BTreeMap<NodeId, Arc<Life>>> {
        self.lives.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn lives_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<NodeId, Arc<Life>>> {
        self.lives.write().unwrap_or_else(PoisonError::into_inner)
    }
    fn standings(&self) -> MutexGuard<'_, BTreeMap<NodeId, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own<'a>(&'a self, view: &'a ClusterView) -> Own<'a> {
        Own { key: &self.config.key, run: self.config.run, view }
    }

    /// A connection becomes the link, in the place of an earlier one, which the other side has given up.
    async fn live(self: Arc<Self>, connected: Connected, view: watch::Receiver<ClusterView>, hooks: Hooks) -> Ended {
        let Connected { peer, key, hello, stream, read } = connected;
        let own = self.config.key.node();
        let life = {
            let _adopting = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
            let id = LinkLife { node: peer, number: self.last_life.fetch_add(1, Relaxed) + 1 };
            let life = Life::new(id, hello.run, key, hooks);
            let before = self.lives_mut().insert(peer, Arc::clone(&life));
            if let Some(before) = before {
                before.end(Ended::Replaced);
            }
            self.standings().entry(peer).or_default().connected();
            tracing::info!(node = %peer, "a link lives");
            life.hooks().handler.connected(&PeerHandle(Arc::clone(&life)));
            life
        };
        let gone = Gone { inner: &self, life: &life };
        run::run(Arc::clone(&life), stream, read, view, own, self.config.timings).await;
        let why = life.ended().unwrap_or(Ended::Stopped);
        tracing::info!(node = %peer, why = %why, "a link has ended");
        drop(gone);
        why
    }
}

/// Takes a life out of the table, also when its task is aborted.
struct Gone<'a> {
    inner: &'a Inner,
    life: &'a Arc<Life>,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        // Aborted before it ran.
        self.life.end(Ended::Stopped);
        let peer = self.life.id.node;
        let mut lives = self.inner.lives_mut();
        if lives.get(&peer).is_some_and(|current| current.id == self.life.id) {
            lives.remove(&peer);
        }
        drop(lives);
        let why = self.life.ended().unwrap_or(Ended::Stopped);
        if let Some(standing) = self.inner.standings().get_mut(&peer) {
            standing.ended(why, Counters::of(self.life));
        }
    }
}

/// Follows the members.
struct Keeper {
    inner: Arc<Inner>,
    view: watch::Receiver<ClusterView>,
    hooks: Hooks,
    tasks: JoinSet<()>,
    dials: BTreeMap<NodeId, AbortHandle>,
}

impl Keeper {
    async fn keep(mut self, listener: TcpListener) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let joins = Arc::new(Semaphore::new(JOINS_MAX));
        self.follow();
        loop {
            tokio::select! {
                Ok(place) = Arc::clone(&handshakes).acquire_owned() => {
                    // Members that come and go must not wait for somebody to knock.
                    tokio::select! {
                        accepted = listener.accept() => match accepted {
                            Ok((tcp, _)) => self.accept(tcp, place, Arc::clone(&joins)),
                            Err(error) => {
                                tracing::warn!(%error, "no connection of another node can be taken");
                                tokio::time::sleep(ACCEPT_PAUSE).await;
                            }
                        },
                        changed = self.view.changed() => match changed {
                            Ok(()) => self.follow(),
                            Err(_) => return,
                        },
                        Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                    }
                }
                changed = self.view.changed() => match changed {
                    Ok(()) => self.follow(),
                    Err(_) => return,
                },
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
            }
        }
    }

    /// Dials whom it is to dial, and nobody else.
    fn follow(&mut self) {
        let own = self.inner.config.key.node();
        let wanted: Vec<NodeId> = {
            let view = self.view.borrow_and_update();
            let members = view.members.iter().filter(|(node, member)| may_link(&view, own, **node, &member.key));
            members.map(|(node, _)| *node).collect()
        };
        self.inner.standings().retain(|node, _| wanted.contains(node));
        for node in &wanted {
            self.inner.standings().entry(*node).or_default();
        }
        self.dials.retain(|node, dial| {
            let stays = wanted.contains(node);
            if !stays {
                dial.abort();
            }
            stays
        });
        for node in wanted.into_iter().filter(|node| own < *node) {
            self.dials.entry(node).or_insert_with(|| {
                let (inner, view, hooks) = (Arc::clone(&self.inner), self.view.clone(), self.hooks.clone());
                self.tasks.spawn(dial_for_ever(inner, node, view, hooks))
            });
        }
    }

    fn accept(&mut self, tcp: TcpStream, place: OwnedSemaphorePermit, joins: Arc<Semaphore>) {
        let (inner, view, hooks) = (Arc::clone(&self.inner), self.view.clone(), self.hooks.clone());
        self.tasks.spawn(async move {
            let known = view.borrow().clone();
            let deadline = inner.config.timings.handshake_max;
            let handshake = timeout(deadline, connect::accept(inner.own(&known), tcp)).await;
            drop(place);
            match handshake.unwrap_or(Err(ConnectError::TooSlow(deadline))) {
                Ok(Incoming::Link(connected)) => {
                    inner.live(*connected, view, hooks).await;
                }
                Ok(Incoming::Join(stream, binding)) => match joins.try_acquire() {
                    Ok(_place) => join::serve(*stream, binding, &*hooks.welcomes).await,
                    Err(_) => tracing::debug!("too many nodes ask to join"),
                },
                Err(error) => refused(&error, "a connection of another node is refused"),
            }
        });
    }
}

async fn dial_for_ever(inner: Arc<Inner>, peer: NodeId, mut view: watch::Receiver<ClusterView>, hooks: Hooks) {
    let (timings, mut redial) = (inner.config.timings, Redial::default());
    loop {
        let began = clock::monotonic();
        let known = view.borrow_and_update().clone();
        let dialled = timeout(timings.handshake_max, connect::dial(inner.own(&known), peer)).await;
        match dialled.unwrap_or(Err(ConnectError::TooSlow(timings.handshake_max))) {
            Ok(connected) => {
                Arc::clone(&inner).live(connected, view.clone(), hooks.clone()).await;
            }
            Err(error) => {
                refused(&error, "a link cannot be opened");
                if let Some(standing) = inner.standings().get_mut(&peer) {
                    standing.failed(words(&error));
                }
            }
        }
        let lived = lived_since(&inner, peer, began);
        let wait = redial.next(lived, rand::random(), &timings);
        tracing::debug!(node = %peer, ?wait, "a link is tried again");
        // A new address or certificate is tried at once. Without a view this task is about to end.
        let _ = timeout(wait, view.wait_for(|now| matters(now, &known, peer, inner.config.key.node()))).await;
    }
}

/// Whether what a dialling node goes by has changed.
fn matters(now: &ClusterView, known: &ClusterView, peer: NodeId, own: NodeId) -> bool {
    now.members.get(&peer) != known.members.get(&peer)
        || now.certificates.get(&own) != known.certificates.get(&own)
        || now.authorities != known.authorities
}

fn lived_since(inner: &Inner, peer: NodeId, began: Instant) -> Duration {
    let standings = inner.standings();
    let at = standings.get(&peer).and_then(|standing| standing.connected_at).filter(|at| *at >= began);
    at.map_or(Duration::ZERO, |at| clock::monotonic().saturating_duration_since(at))
}

fn refused(error: &ConnectError, what: &str) {
    tracing::info!(error = words(error), "{what}");
}

/// An error with its cause.
fn words(error: &ConnectError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
