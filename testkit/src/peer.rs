//! A member of a cluster that is no program: it says to real nodes what a test wants it to say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use endtoend_cluster::claims::Incarnation;
use endtoend_cluster::control::{Beginning, Control, Setup};
use endtoend_cluster::join::{JoinReply, Profile, request};
use endtoend_cluster::link::wire::{Frame, Versions};
use endtoend_cluster::link::{Hooks, JoinConnection, LinkKey, LinkTimings, Links, LinksConfig, LinksTask};
use endtoend_cluster::peers::{HearsPeers, LinkLife, PeerLink, Peers as _};
use endtoend_cluster::{Calls, JoinToken, NodeId, NodeKeys};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::clock::PATIENCE;
use crate::cluster::Cluster;

/// Between two looks at a link.
const LOOK: Duration = Duration::from_millis(10);

/// A member with a real control plane and real links; what is traffic, the test answers.
pub struct Peer {
    /// This run of it.
    pub me: Incarnation,
    /// What it knows of the cluster.
    pub control: Arc<Control>,
    /// Its links.
    pub links: Links,
    frames: mpsc::UnboundedReceiver<(LinkLife, Frame)>,
    ends: Arc<AtomicUsize>,
    _task: LinksTask,
    _folder: TempDir,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer({})", self.me.node)
    }
}

struct Hearing {
    frames: mpsc::UnboundedSender<(LinkLife, Frame)>,
    ends: Arc<AtomicUsize>,
}

impl HearsPeers for Hearing {
    fn linked(&self, _: PeerLink, _: u64) {}
    fn heard(&self, over: PeerLink, frame: Frame) {
        let _test_is_over = self.frames.send((over.life, frame));
    }
    fn broke(&self, _: PeerLink) {
        self.ends.fetch_add(1, Ordering::SeqCst);
    }
}

/// A node that is no member, and wants to be one.
#[derive(Debug)]
pub struct Newcomer {
    /// They name it.
    pub keys: Arc<NodeKeys>,
    /// Where it will be.
    pub profile: Profile,
    listener: Mutex<Option<TcpListener>>,
}

impl Newcomer {
    /// With keys of its own.
    ///
    /// # Panics
    /// When loopback has no port.
    pub async fn new(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let profile = Profile {
            name: name.to_owned(),
            peer_address: listener.local_addr().expect("an address").to_string(),
            client_address: "127.0.0.1:443".to_owned(),
            version: "0.0.9".to_owned(),
        };
        let keys = Arc::new(NodeKeys::generate(&mut rand::rng()).expect("keys"));
        Self { keys, profile, listener: Mutex::new(Some(listener)) }
    }

    /// What the member at this address says to its request.
    ///
    /// # Panics
    /// When it is not reached.
    pub async fn ask(&self, seed: &str, token: &JoinToken) -> JoinReply {
        let mut connection = JoinConnection::open(seed, token.authority(), PATIENCE).await.expect("a member");
        let question = request(&self.keys, &self.profile, Some(token), &connection.binding()).expect("a request");
        loop {
            let reply = JoinReply::decode(&connection.ask(&question).await.expect("an answer")).expect("a reply");
            if reply != JoinReply::Later {
                return reply;
            }
        }
    }

    /// Where it listens, once.
    ///
    /// # Panics
    /// The second time.
    pub fn listener(&self) -> TcpListener {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.take().expect("it listens once")
    }

    /// Links for it, which speak these versions.
    ///
    /// # Panics
    /// When its key is none.
    pub fn links(&self, run: u64, versions: Versions) -> Links {
        let key = LinkKey::from_pkcs8(&self.keys.tls_pkcs8()).expect("a key");
        Links::new(LinksConfig { key, run, timings: LinkTimings::LAN, versions })
    }
}

impl Peer {
    /// Joins as any other node, is approved, and speaks these versions on its links.
    ///
    /// # Panics
    /// When it is not let in. On a runtime of one thread.
    pub async fn join(cluster: &Cluster, versions: Versions) -> Self {
        let (seed, token) = cluster.token();
        let token: JoinToken = token.parse().expect("a token");
        let newcomer = Newcomer::new("peer").await;
        assert_eq!(newcomer.ask(&seed, &token).await, JoinReply::Pending);
        let me = Incarnation::new(newcomer.keys.node());
        let approve = || cluster.command(0, &["approve", &me.node.to_string(), "--wait", "0s"]).done();
        tokio::task::block_in_place(approve);
        let admitted = match newcomer.ask(&seed, &token).await {
            JoinReply::Admitted(admitted) => admitted,
            other => panic!("{other:?}"),
        };
        let links = newcomer.links(me.run, versions);
        let folder = tempfile::tempdir().expect("a temporary directory");
        let setup = Setup {
            path: folder.path().join("control.db"),
            keys: Arc::clone(&newcomer.keys),
            profile: newcomer.profile.clone(),
            calls: Arc::new(links.clone()) as Arc<dyn Calls>,
            clock: None,
            rotate: Arc::new(|_| ()),
            chores: None,
        };
        let control = Control::start(setup, Beginning::Join(admitted)).await.expect("a member");
        let (sender, frames) = mpsc::unbounded_channel();
        let ends = Arc::<AtomicUsize>::default();
        links.hear(Arc::new(Hearing { frames: sender, ends: Arc::clone(&ends) }));
        let hooks = Hooks::of(&control);
        let task = links.start(newcomer.listener(), control.view(), hooks);
        Self { me, control, links, frames, ends, _task: task, _folder: folder }
    }

    /// The link to a node, once it lives.
    ///
    /// # Panics
    /// When it does not.
    pub async fn link(&self, to: NodeId) -> PeerLink {
        let linked = async {
            loop {
                match self.links.link(to) {
                    Some(link) => return link,
                    None => sleep(LOOK).await,
                }
            }
        };
        timeout(PATIENCE, linked).await.expect("a link")
    }

    /// Says something.
    ///
    /// # Panics
    /// When the link has ended.
    pub fn say(&self, over: PeerLink, frame: Frame) {
        self.links.send(over.life, frame).expect("a link that lives");
    }

    /// What the first frame says that this finds something in. News are heard on the way.
    ///
    /// # Panics
    /// When none comes.
    pub async fn next<T>(&mut self, what: &str, mut find: impl FnMut(&Frame) -> Option<T>) -> T {
        let found = async {
            loop {
                let (over, frame) = self.frames.recv().await.expect("frames come as long as there is a peer");
                if let Frame::News { n, .. } = frame {
                    let _link_is_over = self.links.send(over, Frame::NewsHeard { n });
                }
                if let Some(found) = find(&frame) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    /// Links that have ended.
    pub fn ends(&self) -> usize {
        self.ends.load(Ordering::SeqCst)
    }
}
