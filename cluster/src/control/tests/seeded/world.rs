//! Nodes that come and go in one thread, whose time is the world's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use endtoend_protocol::UnixMillis;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::chance;
use super::operators::{Ended, stay_in_touch};
use super::weather::{Answering, Life, Sky, Way, Weather};
use crate::calls::{Answers, InMemory};
use crate::control::command::Leadership;
use crate::control::{Beginning, Chores, Clock, Control, Found, Settings, Setup, StartError, Timings};
use crate::join::{Admitted, Profile};
use crate::secrets::Secrets;
use crate::{NodeId, NodeKeys};

/// Most nodes that there are in one world, those that were removed among them.
pub(super) const NODES_MAX: usize = 8;
const START: i64 = 1_800_000_000_000;
pub(super) const TIMINGS: Timings = Timings::LOOPBACK;

/// A wall clock that goes too fast or too slow, and jumps.
struct WallClock {
    began: Instant,
    /// In ms.
    at: AtomicI64,
    /// Of a million, by which it is too fast.
    fast: i64,
}

impl WallClock {
    fn now(&self) -> UnixMillis {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let at = self.at.load(Ordering::SeqCst) + passed + passed * self.fast / 1_000_000;
        UnixMillis::new(u64::try_from(at).unwrap_or_default())
    }
}

/// One run of a node.
pub(super) struct Run {
    pub(super) control: Arc<Control>,
    /// The network knows it only as long as this is here.
    _answering: Arc<dyn Answers>,
    ended: watch::Sender<bool>,
}

pub(super) struct Node {
    pub(super) keys: Arc<NodeKeys>,
    clock: Arc<WallClock>,
    pub(super) run: Option<Run>,
    /// It is a member, or was one: it has something to start with.
    pub(super) joined: bool,
    /// Somebody lets it in.
    pub(super) joining: bool,
    /// When it starts by itself.
    pub(super) starts: Option<Instant>,
}

/// A node that runs, for as long as it does.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) at: usize,
    pub(super) control: Arc<Control>,
    pub(super) life: Life,
}

/// Who runs.
pub(super) type Book = Arc<Mutex<BTreeMap<NodeId, Running>>>;

struct Sweeps;

#[async_trait::async_trait]
impl Chores for Sweeps {
    async fn sweep(&self, leadership: Leadership) {
        chance::oracle(|oracle| oracle.swept(leadership));
    }
}

pub(super) struct World {
    pub(super) net: InMemory,
    pub(super) sky: Sky,
    pub(super) nodes: Vec<Node>,
    /// Nodes that are there, which begin to join one after the other.
    pub(super) begun: usize,
    pub(super) ending: JoinSet<Ended>,
    /// Of each run: the nodes that hear that they are members no more.
    pub(super) touching: JoinSet<Option<usize>>,
    /// Who is asked by those that no leader finds.
    book: Book,
    dir: TempDir,
    began: Instant,
    said: Arc<Mutex<Vec<String>>>,
    aloud: bool,
}

impl World {
    pub(super) async fn new(aloud: bool, said: Arc<Mutex<Vec<String>>>) -> Self {
        // Named in their order, so that a seed is the same world each time.
        let mut keys: Vec<_> = (0..NODES_MAX).map(|_| NodeKeys::generate(&mut rand::rng()).unwrap()).collect();
        keys.sort_by_key(NodeKeys::node);
        let began = Instant::now();
        let mut nodes = Vec::new();
        while !keys.is_empty() {
            let keys = keys.remove(usize::try_from(chance::below(keys.len() as u64)).unwrap());
            let fast = i64::try_from(chance::below(100_000)).unwrap() - 50_000;
            let ahead = i64::try_from(chance::below(4_000)).unwrap() - 2_000;
            let clock = Arc::new(WallClock { began, at: AtomicI64::new(START + ahead), fast });
            let (run, starts) = (None, None);
            nodes.push(Node { keys: Arc::new(keys), clock, run, joined: false, joining: false, starts });
        }
        // A disk in memory, where there is one: what a disk takes is the world's to say.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let sky = Sky::default();
        let (ending, touching, book) = (JoinSet::new(), JoinSet::new(), Book::default());
        let mut world =
            Self { net: InMemory::default(), sky, nodes, begun: 1, ending, touching, book, dir, began, said, aloud };
        let mut secrets = Secrets::default();
        secrets.put("identity", b"of all nodes").unwrap();
        let settings = Settings { name: "home".to_owned(), auto_approve: false, timings: TIMINGS };
        world.start(0, Beginning::Found(Box::new(Found { settings, secrets }))).await.unwrap();
        world
    }

    pub(super) fn say(&self, what: &str) {
        let line = format!("{:>7} ms  {what}", self.began.elapsed().as_millis());
        if self.aloud {
            println!("{line}");
        }
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(super) fn id(&self, at: usize) -> NodeId {
        self.nodes[at].keys.node()
    }

    pub(super) fn profile(&self, at: usize) -> Profile {
        Profile {
            name: format!("node-{at}"),
            peer_address: format!("node-{at}.example:7443"),
            client_address: format!("node-{at}.example:443"),
            version: "0.1.0".to_owned(),
        }
    }

    fn path(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("control-{at}.db"))
    }

    fn clock(&self, at: usize) -> Clock {
        let clock = Arc::clone(&self.nodes[at].clock);
        Arc::new(move || clock.now())
    }

    pub(super) fn jump(&self, at: usize, ms: i64) {
        self.nodes[at].clock.at.fetch_add(ms, Ordering::SeqCst);
    }

    pub(super) fn weather(&self, weather: Weather) {
        *self.sky.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    pub(super) async fn start(&mut self, at: usize, beginning: Beginning) -> Result<(), StartError> {
        let (ended, life) = watch::channel(false);
        let way = Way { from: self.id(at), life: life.clone(), net: self.net.clone(), sky: Arc::clone(&self.sky) };
        let setup = Setup {
            path: self.path(at),
            keys: Arc::clone(&self.nodes[at].keys),
            profile: self.profile(at),
            calls: Arc::new(way),
            clock: Some(self.clock(at)),
            rotate: Arc::new(|_| {}),
            chores: Some(Arc::new(Sweeps)),
        };
        self.nodes[at].starts = None;
        let control = Control::start(setup, beginning).await?;
        let answering: Arc<dyn Answers> = Arc::new(Answering { control: Arc::clone(&control), life });
        self.net.attach(self.id(at), &answering);
        let running = Running { at, control: Arc::clone(&control), life: ended.subscribe() };
        self.book.lock().unwrap_or_else(PoisonError::into_inner).insert(self.id(at), running.clone());
        self.touching.spawn(stay_in_touch(running, Arc::clone(&self.book), self.net.clone()));
        self.nodes[at].run = Some(Run { control, _answering: answering, ended });
        self.nodes[at].joined = true;
        Ok(())
    }

    fn leave(&self, at: usize) {
        self.net.detach(self.id(at));
        self.book.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id(at));
    }

    /// Takes a node off the network, and what is left of it.
    fn take(&mut self, at: usize) -> Option<Arc<Control>> {
        let run = self.nodes[at].run.take()?;
        self.leave(at);
        run.ended.send_replace(true);
        Some(run.control)
    }

    /// Nothing that it has not written stays, and nothing that it has not sent is heard.
    pub(super) async fn crash(&mut self, at: usize) {
        if let Some(control) = self.take(at) {
            control.crash().await;
        }
    }

    /// It ends in order: what it is asked meanwhile it may still do.
    pub(super) async fn stop(&mut self, at: usize) {
        let Some(Run { control, ended, _answering }) = self.nodes[at].run.take() else { return };
        self.leave(at);
        control.shutdown().await;
        ended.send_replace(true);
    }

    pub(super) fn running(&self) -> Vec<Running> {
        let run = |(at, node): (usize, &Node)| {
            let run = node.run.as_ref()?;
            Some(Running { at, control: Arc::clone(&run.control), life: run.ended.subscribe() })
        };
        self.nodes.iter().enumerate().filter_map(run).collect()
    }

    /// One of those that run.
    pub(super) fn one(&self, pick: u8) -> Option<Running> {
        let running = self.running();
        let at = usize::from(pick) % running.len().max(1);
        running.into_iter().nth(at)
    }

    pub(super) async fn admit(&mut self, at: usize, admitted: Admitted) -> Result<(), StartError> {
        self.start(at, Beginning::Join(Box::new(admitted))).await
    }

    /// What holds at every moment.
    pub(super) fn look(&self) {
        let running = self.running();
        let leading: Vec<Leadership> = running.iter().filter_map(|node| node.control.leadership()).collect();
        chance::oracle(|oracle| {
            oracle.leading(&leading);
            for node in &running {
                let id = self.id(node.at);
                if let Some((generation, _)) = node.control.secrets().get() {
                    oracle.knows(id, generation);
                }
                let fault = node.control.fault();
                oracle.must(fault.is_none(), || format!("{} has ended by itself: {fault:?}", node.at));
            }
        });
    }
}

/// How long a world goes on at most when all is well again.
pub(super) const CALM: Duration = Duration::from_secs(120);
