//! All links of this node: which there are to be, and the tasks that keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::connect::{self, ConnectError, Connected, Incoming, Own};
use super::health::{Counters, PeerHealth, Standing};
use super::hooks::Hooks;
use super::life::Life;
use super::run::{self, Running};
use super::timings::{LinkTimings, Redial};
use super::tls::{LinkKey, may_link};
use super::wire::{Answer, Frame, Payload, Versions};
use super::{Ended, edge, join};
use crate::claims::Incarnation;
use crate::peers::{HearsPeers, LinkLife, NotSent, PeerLink, Peers};
use crate::{CALL_BYTES_MAX, CallError, Calls, ClusterView, Member, MemberState, NodeId, clock};

/// Connections that are not through their handshake. More wait in the kernel's queue: members that have a link are untouched.
const HANDSHAKES_MAX: usize = 64;
/// Connections of nodes that ask to join. More are closed at once.
const JOINS_MAX: usize = 32;
/// Connections of edges. More are closed at once; an edge has one.
const FOLLOWERS_MAX: usize = 64;
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
    /// What it speaks: [`Versions::OURS`], but for one that plays an older program.
    pub versions: Versions,
}

/// The links of this node. Cheap to clone.
///
/// There is one link to each other member, and the node with the smaller id dials. Nothing here is durable: what a link had
/// unanswered when it broke is settled as lost, and whoever sent it sends it again.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

struct Inner {
    config: LinksConfig,
    lives: RwLock<Lives>,
    /// Of lives that have begun, by all peers.
    last_life: AtomicU64,
    /// One life takes the place of another at a time.
    adopting: tokio::sync::Mutex<()>,
    ears: Arc<OnceLock<Arc<dyn HearsPeers>>>,
    /// Set by [`Links::start`].
    view: OnceLock<watch::Receiver<ClusterView>>,
    standings: Mutex<BTreeMap<NodeId, Standing>>,
    /// Of links to nodes that are no members any more.
    gone: Mutex<Counters>,
    /// Edges that follow this node, once for each connection.
    followers: Mutex<Vec<NodeId>>,
}

/// The links that live.
#[derive(Default)]
struct Lives {
    of: BTreeMap<NodeId, Arc<Life>>,
    by_life: BTreeMap<LinkLife, Arc<Life>>,
}

impl Lives {
    fn insert(&mut self, life: &Arc<Life>) {
        self.of.insert(life.node(), Arc::clone(life));
        self.by_life.insert(life.link.life, Arc::clone(life));
    }
    fn remove(&mut self, life: &Life) {
        self.by_life.remove(&life.link.life);
        if self.of.get(&life.node()).is_some_and(|current| current.link == life.link) {
            self.of.remove(&life.node());
        }
    }
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
            adopting: tokio::sync::Mutex::new(()),
            ears: Arc::default(),
            view: OnceLock::new(),
            standings: Mutex::default(),
            gone: Mutex::default(),
            followers: Mutex::default(),
        }))
    }

    /// Dials, and listens, on the runtime from which it is called. To be called once.
    pub fn start(&self, listener: TcpListener, view: watch::Receiver<ClusterView>, hooks: Hooks) -> LinksTask {
        let _ = self.0.view.set(view.clone());
        let keeper = Keeper { inner: Arc::clone(&self.0), view, hooks, tasks: JoinSet::new(), dials: BTreeMap::new() };
        LinksTask(tokio::spawn(keeper.keep(listener)).abort_handle())
    }

    /// This node.
    pub fn own(&self) -> NodeId {
        self.0.config.key.node()
    }

    /// From now on `ears` hear traffic: also of links that live already, a ping later at most. To be called once; until then
    /// this node answers as one to which no device is connected.
    pub fn hear(&self, ears: Arc<dyn HearsPeers>) {
        let _ = self.0.ears.set(ears);
    }

    /// The link to `node`, if it lives.
    pub fn link(&self, node: NodeId) -> Option<PeerLink> {
        self.0.lives().of.get(&node).map(|life| life.link)
    }

    /// The edges that follow this node.
    pub fn followers(&self) -> BTreeSet<NodeId> {
        self.0.followers().iter().copied().collect()
    }

    /// How many links there have been, and the counts of all of them.
    pub fn totals(&self) -> (u64, Counters) {
        let mut sum = *self.0.gone();
        for life in self.0.lives().by_life.values() {
            sum = sum.plus(Counters::of(life));
        }
        for standing in self.0.standings().values() {
            sum = sum.plus(standing.counters);
        }
        (self.0.last_life.load(Relaxed), sum)
    }

    /// How each link is, whether it lives or not.
    pub fn health(&self) -> BTreeMap<NodeId, PeerHealth> {
        let lives = self.0.lives().of.clone();
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
        let life = self.0.lives().of.get(&to).cloned();
        let mut asked = life.and_then(|life| life.call(question)).ok_or(CallError::NoLink(to))?;
        match timeout(deadline, asked.answer()).await {
            Ok(Some(Answer::Bytes(Payload(answer)))) => Ok(answer),
            Ok(Some(Answer::Refused)) => Err(CallError::Refused(to)),
            Ok(None) | Err(_) => Err(CallError::Unanswered(to)),
        }
    }
}

impl Peers for Links {
    fn links(&self) -> Vec<PeerLink> {
        self.0.lives().of.values().map(|life| life.link).collect()
    }

    fn is_complete(&self) -> bool {
        let Some(view) = self.0.view.get() else { return false };
        let (view, lives, own) = (view.borrow(), self.0.lives(), self.own());
        let serves = |member: &Member| matches!(member.state, MemberState::Active | MemberState::Draining);
        let others = view.members.iter().filter(|(node, member)| **node != own && serves(member));
        // Without itself it knows of nobody yet.
        view.members.contains_key(&own) && others.into_iter().all(|(node, _)| lives.of.contains_key(node))
    }

    fn nodes(&self) -> Vec<NodeId> {
        let Some(view) = self.0.view.get() else { return Vec::new() };
        let (view, own) = (view.borrow(), self.own());
        let others = view.members.iter().filter(|(node, member)| **node != own && member.state.may_link());
        others.map(|(node, _)| *node).collect()
    }

    fn send(&self, over: LinkLife, frame: Frame) -> Result<(), NotSent> {
        let life = self.0.lives().by_life.get(&over).cloned().ok_or(NotSent::Broken)?;
        life.send(&frame)
    }
}

impl Inner {
    // A panic while a lock was held cannot have left a map in between: every change is one call.
    fn lives(&self) -> RwLockReadGuard<'_, Lives> {
        self.lives.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn lives_mut(&self) -> RwLockWriteGuard<'_, Lives> {
        self.lives.write().unwrap_or_else(PoisonError::into_inner)
    }
    fn standings(&self) -> MutexGuard<'_, BTreeMap<NodeId, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followers(&self) -> MutexGuard<'_, Vec<NodeId>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells an edge what it may know, for as long as it listens and may.
    async fn lead(
        &self,
        stream: TlsStream<TcpStream>,
        key: Vec<u8>,
        view: watch::Receiver<ClusterView>,
        hooks: &Hooks,
    ) {
        let edge = NodeId::of_key(&key);
        let Some(_following) = Following::begin(self, edge) else {
            tracing::warn!(%edge, "too many edges follow this node");
            return;
        };
        tracing::info!(%edge, "an edge follows");
        let why = edge::serve(stream, edge, &key, view, hooks.offers.subscribe()).await;
        tracing::info!(%edge, %why, "an edge does not follow any more");
    }

    fn gone(&self) -> MutexGuard<'_, Counters> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own<'a>(&'a self, view: &'a ClusterView) -> Own<'a> {
        let LinksConfig { key, run, versions, .. } = &self.config;
        Own { key, run: *run, versions: *versions, view }
    }

    /// A connection becomes the link, in the place of an earlier one, which the other side has given up.
    async fn live(self: Arc<Self>, connected: Connected, view: watch::Receiver<ClusterView>, hooks: Hooks) {
        let Connected { peer, key, hello, version, stream, read } = connected;
        let adopting = self.adopting.lock().await;
        let before = self.lives().of.get(&peer).cloned();
        if let Some(before) = before {
            before.end(Ended::Replaced);
            before.gone().await;
        }
        let link = PeerLink {
            life: LinkLife(self.last_life.fetch_add(1, Relaxed) + 1),
            run: Incarnation { node: peer, run: hello.run },
        };
        let life = Life::new(link, version, key, hooks);
        self.lives_mut().insert(&life);
        self.standings().entry(peer).or_default().connected();
        let mut living = Living { inner: &self, life: &life, why: Ended::Stopped };
        drop(adopting);
        tracing::info!(node = %peer, version, "a link lives");
        let running =
            Running { own: self.config.key.node(), timings: self.config.timings, view, ears: Arc::clone(&self.ears) };
        living.why = run::run(&life, stream, read, running).await;
    }
}

/// Takes an edge off the list when its connection has ended.
struct Following<'a> {
    inner: &'a Inner,
    edge: NodeId,
}

impl<'a> Following<'a> {
    fn begin(inner: &'a Inner, edge: NodeId) -> Option<Self> {
        let mut followers = inner.followers();
        if followers.len() >= FOLLOWERS_MAX {
            return None;
        }
        followers.push(edge);
        Some(Self { inner, edge })
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        let mut followers = self.inner.followers();
        if let Some(at) = followers.iter().position(|edge| *edge == self.edge) {
            followers.swap_remove(at);
        }
    }
}

/// Takes a life out of the table when its task has ended, aborted or not.
struct Living<'a> {
    inner: &'a Inner,
    life: &'a Arc<Life>,
    why: Ended,
}

impl Drop for Living<'_> {
    fn drop(&mut self) {
        self.life.end(Ended::Stopped);
        self.inner.lives_mut().remove(self.life);
        let counters = Counters::of(self.life);
        match self.inner.standings().get_mut(&self.life.node()) {
            Some(standing) => standing.ended(self.why, counters),
            None => {
                let mut gone = self.inner.gone();
                *gone = gone.plus(counters);
            }
        }
        tracing::info!(node = %self.life.node(), why = %self.why, "a link has ended");
        self.life.is_gone();
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
        self.inner.standings().retain(|node, standing| {
            let stays = wanted.contains(node);
            if !stays {
                let mut gone = self.inner.gone();
                *gone = gone.plus(standing.counters);
            }
            stays
        });
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
                Ok(Incoming::Edge(stream, key)) => inner.lead(*stream, key, view, &hooks).await,
                Err(error) => refused(&error, "a connection of another node is refused"),
            }
        });
    }
}

async fn dial_for_ever(inner: Arc<Inner>, peer: NodeId, mut view: watch::Receiver<ClusterView>, hooks: Hooks) {
    let (timings, mut redial) = (inner.config.timings, Redial::default());
    // Why there is none is said when it changes: a node may be away for days.
    let mut told: Option<String> = None;
    loop {
        let began = clock::monotonic();
        let known = view.borrow_and_update().clone();
        let dialled = timeout(timings.handshake_max, connect::dial(inner.own(&known), peer)).await;
        match dialled.unwrap_or(Err(ConnectError::TooSlow(timings.handshake_max))) {
            Ok(connected) => {
                Arc::clone(&inner).live(connected, view.clone(), hooks.clone()).await;
                told = None;
            }
            Err(error) => {
                let why = words(&error);
                if told.as_ref() != Some(&why) {
                    tracing::info!(node = %peer, error = why, "a link cannot be opened; it is tried on");
                }
                if let Some(standing) = inner.standings().get_mut(&peer) {
                    standing.failed(why.clone());
                }
                told = Some(why);
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
