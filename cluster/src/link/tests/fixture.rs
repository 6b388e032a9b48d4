//! A cluster in one process: real TLS over loopback, a recorder behind each node, and a wire that can be cut.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use endtoend_protocol::{AccountTag, Address, DeviceId, Envelope, EnvelopeId, UnixMillis};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};

use super::super::connect::{Connected, Own, dial};
use super::super::wire::{Forward, Frame, Outcome, Tray, Versions};
use super::*;
use crate::peers::{HearsPeers, NotSent, PeerLink};
use crate::{AnswerError, Answers, Authority, ClusterId, Member, MemberState, NodeKeys};

/// Longest wait for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing is dead only because the machine is busy.
pub(super) const CALM: LinkTimings = LinkTimings {
    ping_every: Duration::from_millis(50),
    pings_unanswered_max: 100,
    stall_max: Duration::from_secs(30),
    handshake_max: Duration::from_secs(30),
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

    /// As a program that knows these versions.
    pub(super) fn start_speaking(&mut self, node: usize, versions: Versions) -> Node {
        let listener = self.listeners[node].take().unwrap();
        let node = Node::start_deaf(&self.keys[node], listener, self.view.clone(), (CALM, versions));
        node.links.hear(node.seen.clone());
        node
    }

    /// Nobody hears it.
    pub(super) fn start_deaf(&mut self, node: usize) -> Node {
        let listener = self.listeners[node].take().unwrap();
        Node::start_deaf(&self.keys[node], listener, self.view.clone(), (CALM, Versions::OURS))
    }

    /// A connection that keeps only to what it likes.
    pub(super) async fn raw(&self, from: usize, to: usize) -> Result<Connected, ConnectError> {
        self.raw_speaking(from, to, Versions::OURS).await
    }
    pub(super) async fn raw_speaking(
        &self,
        from: usize,
        to: usize,
        versions: Versions,
    ) -> Result<Connected, ConnectError> {
        let key = link_key(&self.keys[from]);
        dial(Own { key: &key, run: 1, versions, view: &self.view }, self.id(to)).await
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
        let node = Self::start_deaf(key, listener, view, (timings, Versions::OURS));
        node.links.hear(node.seen.clone());
        node
    }
    fn start_deaf(
        key: &NodeKeys,
        listener: TcpListener,
        view: ClusterView,
        (timings, versions): (LinkTimings, Versions),
    ) -> Self {
        let links = Links::new(LinksConfig { key: link_key(key), run: 7, timings, versions });
        let seen = Arc::new(Recorder::default());
        let (sender, view) = watch::channel(view);
        let _ = seen.links.set(links.clone());
        let hooks = Hooks { answers: seen.clone(), welcomes: seen.clone(), offers: Arc::default() };
        let task = links.start(listener, view, hooks);
        Self { links, view: sender, seen, _task: task }
    }

    /// Waits for the link.
    pub(super) async fn linked(&self, to: NodeId) -> PeerLink {
        eventually("a link", || self.links.link(to).is_some()).await;
        self.links.link(to).unwrap()
    }
    /// Waits for another link than this one.
    pub(super) async fn linked_anew(&self, before: PeerLink) -> PeerLink {
        let link = || self.links.link(before.run.node).filter(|link| *link != before);
        eventually("another link", || link().is_some()).await;
        link().unwrap()
    }
    pub(super) async fn unlinked(&self, from: NodeId) {
        eventually("the end of a link", || self.links.link(from).is_none()).await;
    }
    pub(super) fn send(&self, over: PeerLink, frame: Frame) -> Result<(), NotSent> {
        self.links.send(over.life, frame)
    }
    pub(super) fn forward(&self, over: PeerLink, n: u64, len: usize) -> Result<(), NotSent> {
        self.send(over, Frame::Forward { n, forward: envelope(n, len) })
    }
    /// Forwarded envelopes over this link that were accepted.
    pub(super) fn accepted(&self, over: PeerLink) -> usize {
        let accepted = |frame: &Frame| matches!(frame, Frame::Forwarded { outcome: Outcome::Accepted { .. }, .. });
        self.seen.count(|seen| matches!(seen, Seen::Heard(link, frame) if *link == over && accepted(frame)))
    }
    pub(super) fn broke(&self, link: PeerLink) -> usize {
        self.seen.count(|seen| *seen == Seen::Broke(link))
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
    Linked(PeerLink),
    Broke(PeerLink),
    Heard(PeerLink, Frame),
    Called(Bytes),
}

/// Keeps what it hears, and answers envelopes, as a node that accepts everything at once.
#[derive(Default)]
pub(super) struct Recorder {
    seen: Mutex<Vec<Seen>>,
    /// The way to answer.
    pub(super) links: OnceLock<Links>,
    /// Envelopes are not answered.
    pub(super) holds: AtomicBool,
    /// The next envelope is one too many.
    pub(super) panics: AtomicBool,
    /// Forwarded envelopes that were told to come again before it heard.
    pub(super) refused: AtomicU64,
}

impl Recorder {
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
    fn saw(&self, seen: Seen) {
        self.seen.lock().unwrap().push(seen);
    }
    pub(super) fn count(&self, what: impl Fn(&Seen) -> bool) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| what(seen)).count()
    }
    /// Frames that came over a link.
    pub(super) fn heard(&self, over: PeerLink) -> Vec<Frame> {
        let seen = self.seen();
        let frames = seen.into_iter().filter_map(|seen| match seen {
            Seen::Heard(link, frame) if link == over => Some(frame),
            _ => None,
        });
        frames.collect()
    }
}

impl HearsPeers for Recorder {
    fn linked(&self, link: PeerLink, refused: u64) {
        self.refused.store(refused, SeqCst);
        self.saw(Seen::Linked(link));
    }
    fn heard(&self, over: PeerLink, frame: Frame) {
        if let Frame::Forward { n, .. } = &frame {
            assert!(!self.panics.swap(false, SeqCst), "as asked");
            if !self.holds.load(SeqCst) {
                let answer = Frame::Forwarded { n: *n, outcome: Outcome::Accepted { at: AT }, moved: false };
                // What has ended hears nothing.
                let _ = self.links.get().unwrap().send(over.life, answer);
            }
        }
        self.saw(Seen::Heard(over, frame));
    }
    fn broke(&self, link: PeerLink) {
        self.saw(Seen::Broke(link));
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
