//! A cluster in one process: real TLS over loopback, a recorder behind each node, and a wire that can be cut.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use async_trait::async_trait;
use endtoend_protocol::{AccountTag, Address, DeviceId, Envelope, EnvelopeId, UnixMillis};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};

use super::super::connect::{Connected, Own, dial};
use super::super::wire::{Forward, News, Outcome, Tray};
use super::*;
use crate::{AnswerError, Answers, Authority, ClusterId, Member, MemberState, NodeKeys};

/// Longest wait for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing is dead only because the machine is busy.
pub(super) const CALM: LinkTimings = LinkTimings {
    ping_every: Duration::from_millis(50),
    pings_unanswered_max: 100,
    stall_max: Duration::from_secs(30),
    handshake_max: Duration::from_secs(30),
    answer_max: Duration::from_secs(60),
    redial_max: Duration::from_millis(200),
};

pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

pub(super) fn authority() -> Authority {
    Authority::from_key(&Authority::new_key().unwrap()).unwrap()
}

/// Certificates are checked by the real clock.
pub(super) fn now() -> UnixMillis {
    #[expect(clippy::disallowed_methods, reason = "this is it")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis::new(u64::try_from(since.as_millis()).unwrap())
}

pub(super) fn node_keys() -> NodeKeys {
    NodeKeys::generate(&mut rand::rng()).unwrap()
}

/// Keys and what everybody knows. Nodes are in the order of their ids: earlier ones dial later ones.
pub(super) struct Cluster {
    pub(super) authority: Authority,
    pub(super) keys: Vec<NodeKeys>,
    pub(super) view: ClusterView,
    listeners: Vec<Option<TcpListener>>,
}

impl Cluster {
    pub(super) async fn of(nodes: usize) -> Self {
        let authority = authority();
        let mut keys: Vec<NodeKeys> = (0..nodes).map(|_| node_keys()).collect();
        keys.sort_by_key(NodeKeys::node);
        let mut view = ClusterView { cluster: ClusterId::new([7; 16]), ..ClusterView::default() };
        view.authorities.push(authority.certificate().clone());
        let mut listeners = Vec::new();
        for key in &keys {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let peer_address = listener.local_addr().unwrap().to_string();
            let member = Member {
                name: String::new(),
                state: MemberState::Active,
                key: key.key(),
                peer_address,
                client_address: String::new(),
                version: String::new(),
            };
            view.members.insert(key.node(), member);
            view.certificates.insert(key.node(), authority.issue(&key.key(), now()).unwrap());
            listeners.push(Some(listener));
        }
        Self { authority, keys, view, listeners }
    }

    pub(super) fn id(&self, node: usize) -> NodeId {
        self.keys[node].node()
    }
    pub(super) fn member(&mut self, node: usize) -> &mut Member {
        let id = self.id(node);
        self.view.members.get_mut(&id).unwrap()
    }

    pub(super) fn start(&mut self, node: usize) -> Node {
        self.start_with(node, CALM)
    }
    pub(super) fn start_with(&mut self, node: usize, timings: LinkTimings) -> Node {
        let listener = self.listeners[node].take().unwrap();
        Node::start(&self.keys[node], listener, self.view.clone(), timings)
    }

    /// A connection that keeps only to what it likes.
    pub(super) async fn raw(&self, from: usize, to: usize) -> Result<Connected, ConnectError> {
        let key = link_key(&self.keys[from]);
        dial(Own { key: &key, run: 1, view: &self.view }, self.id(to)).await
    }
}

pub(super) fn link_key(key: &NodeKeys) -> LinkKey {
    LinkKey::from_pkcs8(&key.tls_pkcs8()).unwrap()
}

pub(super) struct Node {
    pub(super) links: Links,
    pub(super) view: watch::Sender<ClusterView>,
    pub(super) seen: Arc<Recorder>,
    _task: LinksTask,
}

impl Node {
    pub(super) fn start(key: &NodeKeys, listener: TcpListener, view: ClusterView, timings: LinkTimings) -> Self {
        let links = Links::new(LinksConfig { key: link_key(key), run: 7, timings });
        let seen = Arc::new(Recorder::default());
        let (sender, view) = watch::channel(view);
        let hooks = Hooks { handler: seen.clone(), answers: seen.clone(), welcomes: seen.clone() };
        let task = links.start(listener, view, hooks);
        Self { links, view: sender, seen, _task: task }
    }

    /// Waits for the link, and says which life of it it is.
    pub(super) async fn linked(&self, to: NodeId) -> PeerHandle {
        eventually("a link", || self.links.peer(to).is_some()).await;
        self.links.peer(to).unwrap()
    }
    pub(super) async fn unlinked(&self, from: NodeId) {
        eventually("the end of a link", || self.links.peer(from).is_none()).await;
    }
    pub(super) fn remove(&self, member: NodeId) {
        self.view.send_modify(|view| {
            view.members.remove(&member);
            view.index += 1;
        });
    }
}

/// What a node was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Connected(LinkLife),
    Broke(LinkLife),
    Forward(EnvelopeId),
    Wake(Address, i64),
    Taken(Address, u64),
    News(News),
    Called(Bytes),
}

#[derive(Default)]
pub(super) struct Recorder {
    seen: Mutex<Vec<Seen>>,
    /// Envelopes are kept without an answer.
    pub(super) holds: AtomicBool,
    pub(super) held: Mutex<Vec<ForwardReply>>,
    /// The next envelope is one too many.
    pub(super) panics: AtomicBool,
}

impl Recorder {
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
    fn saw(&self, seen: Seen) {
        self.seen.lock().unwrap().push(seen);
    }
}

impl Handler for Recorder {
    fn connected(&self, peer: &PeerHandle) {
        self.saw(Seen::Connected(peer.life()));
    }
    fn broke(&self, life: LinkLife) {
        self.saw(Seen::Broke(life));
    }
    fn forward(&self, _: &PeerHandle, forward: Forward, reply: ForwardReply) {
        assert!(!self.panics.swap(false, SeqCst), "as asked");
        self.saw(Seen::Forward(forward.envelope.id));
        if self.holds.load(SeqCst) {
            self.held.lock().unwrap().push(reply);
        } else {
            reply.settle(Outcome::Accepted { at: forward.accepted_at }, false);
        }
    }
    fn wake(&self, _: &PeerHandle, to: Address, seq: i64) {
        self.saw(Seen::Wake(to, seq));
    }
    fn taken(&self, _: &PeerHandle, device: Address, epoch: u64, reply: TakenReply) {
        self.saw(Seen::Taken(device, epoch));
        // As a node that does not know of it.
        if epoch != 0 {
            reply.confirm();
        }
    }
    fn news(&self, _: &PeerHandle, news: News) {
        self.saw(Seen::News(news));
    }
}

#[async_trait]
impl Answers for Recorder {
    async fn answer(&self, from: NodeId, question: Bytes) -> Result<Bytes, AnswerError> {
        match &*question {
            b"refuse" => Err(AnswerError::NotAMember(from)),
            b"never" => std::future::pending().await,
            b"from" => Ok(from.to_string().into()),
            _ => {
                self.saw(Seen::Called(question.clone()));
                Ok(question)
            }
        }
    }
}

#[async_trait]
impl Welcomes for Recorder {
    async fn welcome(&self, binding: crate::join::Exporter, question: Bytes) -> Option<Bytes> {
        (question != "go away").then(|| [&binding[..], &question].concat().into())
    }
}

/// Counts what an asker heard.
#[derive(Clone)]
pub(super) struct Heard<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Heard<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Send + 'static> Heard<T> {
    pub(super) fn done(&self) -> impl FnOnce(T) + Send + use<T> {
        let heard = Arc::clone(&self.0);
        move |what| heard.lock().unwrap().push(what)
    }
    pub(super) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
    pub(super) async fn first(&self) -> T {
        eventually("an answer", || !self.all().is_empty()).await;
        self.all()[0].clone()
    }
}

pub(super) fn device(n: u8) -> Address {
    Address { account: AccountTag::new([n; 32]), device: DeviceId::FIRST }
}
pub(super) const AT: UnixMillis = UnixMillis::new(1_800_000_000_000);

pub(super) fn envelope(n: u64, len: usize) -> Forward {
    let id = EnvelopeId::new(UnixMillis::new(n), [1; 10]);
    let envelope = Envelope { id, to: device(1), body: vec![7; len].into(), devices_version: 1 };
    Forward { envelope, tray: Tray::Contacts, accepted_at: AT }
}

/// A wire between nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Whole,
    /// Both ends believe that the other one is there.
    Frozen,
    Cut,
}

pub(super) struct Proxy {
    pub(super) address: String,
    state: watch::Sender<Wire>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Before `to`.
    pub(super) async fn before(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (state, wire) = watch::channel(Wire::Whole);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                tasks.spawn(carry(near, to.clone(), wire.clone()));
            }
        });
        Self { address, state, task }
    }
    pub(super) fn set(&self, wire: Wire) {
        self.state.send_replace(wire);
    }
}

async fn carry(mut near: TcpStream, to: String, mut wire: watch::Receiver<Wire>) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.split(), far.split());
    loop {
        let state = *wire.borrow_and_update();
        tokio::select! {
            _ = copy(&mut near_in, &mut far_out), if state == Wire::Whole => return,
            _ = copy(&mut far_in, &mut near_out), if state == Wire::Whole => return,
            changed = wire.changed() => if changed.is_err() { return },
        }
        if *wire.borrow() == Wire::Cut {
            return;
        }
    }
}
