//! The control plane over real links: three nodes on loopback, in one process, each with its own file and sockets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: what fails here fails the test"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use endtoend_cluster::control::{
    Beginning, Command, Control, Done, Found, Refused, Settings, Setup, StartError, Timings,
};
use endtoend_cluster::join::{JoinRefusal, JoinReply, Profile, request};
use endtoend_cluster::link::wire::Versions;
use endtoend_cluster::link::{Hooks, JoinConnection, LinkKey, LinkTimings, Links, LinksConfig, LinksTask};
use endtoend_cluster::{Calls, JoinToken, MemberState, NodeId, NodeKeys, Secrets, WasRemoved, rejoin};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

struct Node {
    keys: Arc<NodeKeys>,
    address: String,
    name: String,
    path: PathBuf,
    links: Links,
    listener: Option<TcpListener>,
    running: Option<(Arc<Control>, LinksTask)>,
}

impl Node {
    async fn new(dir: &TempDir, name: &str) -> Self {
        let keys = Arc::new(NodeKeys::generate(&mut rand::rng()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = LinkKey::from_pkcs8(&keys.tls_pkcs8()).unwrap();
        Self {
            address: listener.local_addr().unwrap().to_string(),
            name: name.to_owned(),
            path: dir.path().join(format!("{name}.db")),
            links: Links::new(LinksConfig {
                key,
                run: rand::random(),
                timings: LinkTimings::LAN,
                versions: Versions::OURS,
            }),
            listener: Some(listener),
            running: None,
            keys,
        }
    }

    fn id(&self) -> NodeId {
        self.keys.node()
    }

    fn profile(&self) -> Profile {
        Profile {
            name: self.name.clone(),
            peer_address: self.address.clone(),
            client_address: "127.0.0.1:443".to_owned(),
            version: "0.1.0".to_owned(),
        }
    }

    async fn start(&mut self, beginning: Beginning) -> Result<(), StartError> {
        let setup = Setup {
            path: self.path.clone(),
            keys: Arc::clone(&self.keys),
            profile: self.profile(),
            calls: Arc::new(self.links.clone()) as Arc<dyn Calls>,
            clock: None,
            rotate: Arc::new(|_| ()),
            chores: None,
        };
        let control = Control::start(setup, beginning).await?;
        let hooks = Hooks::of(&control);
        let task = self.links.start(self.listener.take().unwrap(), control.view(), hooks);
        self.running = Some((control, task));
        Ok(())
    }

    /// Another run of it, with other sockets.
    fn move_to(&mut self, listener: TcpListener) {
        let key = LinkKey::from_pkcs8(&self.keys.tls_pkcs8()).unwrap();
        self.links =
            Links::new(LinksConfig { key, run: rand::random(), timings: LinkTimings::LAN, versions: Versions::OURS });
        self.address = listener.local_addr().unwrap().to_string();
        self.listener = Some(listener);
    }

    fn control(&self) -> &Control {
        &self.running.as_ref().unwrap().0
    }

    async fn ask(&self, seed: &str, token: &JoinToken) -> JoinReply {
        let mut connection = JoinConnection::open(seed, token.authority(), PATIENCE).await.unwrap();
        let question = request(&self.keys, &self.profile(), Some(token), &connection.binding()).unwrap();
        JoinReply::decode(&connection.ask(&question).await.unwrap()).unwrap()
    }

    /// With a token of `by`, who approves it.
    async fn join(&mut self, by: &Self) {
        let token = by.control().create_token(Duration::from_secs(60), PATIENCE).await.unwrap();
        assert_eq!(self.ask(&by.address, &token).await, JoinReply::Pending);
        by.control().approve(self.id(), PATIENCE).await.unwrap();
        let admitted = self.ask(&by.address, &token).await;
        let JoinReply::Admitted(admitted) = admitted else { panic!("{admitted:?}") };
        self.start(Beginning::Join(admitted)).await.unwrap();
    }

    async fn stop(&mut self) {
        let (control, task) = self.running.take().unwrap();
        drop(task);
        control.shutdown().await;
    }

    async fn say(&self, name: &str) -> Done {
        let settings = Settings { name: name.to_owned(), auto_approve: false, timings: Timings::LAN };
        self.control().propose(Command::Configure(settings), PATIENCE).await.unwrap()
    }
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            sleep(LOOK).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain for {what}");
}

fn settled(nodes: &[&Node]) -> bool {
    let views: Vec<_> = nodes.iter().map(|node| node.control().view().borrow().clone()).collect();
    let active = views[0].members.values().filter(|member| member.state == MemberState::Active).count();
    let same = views.iter().all(|view| (view.index, view.leader) == (views[0].index, views[0].leader));
    same && active == nodes.len() && views[0].voters.len() == nodes.len() && views[0].leader.is_some()
}

#[tokio::test]
async fn nodes_join_over_tls_and_agree_through_the_loss_of_a_leader_and_a_removal() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = Node::new(&dir, "one").await;
    let settings = Settings { name: "home".to_owned(), auto_approve: false, timings: Timings::LAN };
    let mut secrets = Secrets::default();
    secrets.put("identity", b"of all").unwrap();
    one.start(Beginning::Found(Box::new(Found { settings, secrets }))).await.unwrap();
    let (mut two, mut three) = (Node::new(&dir, "two").await, Node::new(&dir, "three").await);
    two.join(&one).await;
    three.join(&two).await;
    eventually("three that agree", || settled(&[&one, &two, &three])).await;
    assert_eq!(three.control().secrets().get().unwrap().1.get("identity"), Some(&b"of all"[..]));

    // A replay of what was said on another connection.
    let token = one.control().create_token(Duration::from_secs(60), PATIENCE).await.unwrap();
    let stranger = Node::new(&dir, "four").await;
    let mut first = JoinConnection::open(&one.address, token.authority(), PATIENCE).await.unwrap();
    let mut second = JoinConnection::open(&one.address, token.authority(), PATIENCE).await.unwrap();
    let seen = request(&stranger.keys, &stranger.profile(), Some(&token), &first.binding()).unwrap();
    let replayed = JoinReply::decode(&second.ask(&seen).await.unwrap()).unwrap();
    assert_eq!(replayed, JoinReply::Refused(JoinRefusal::BadSignature));
    assert_eq!(JoinReply::decode(&first.ask(&seen).await.unwrap()).unwrap(), JoinReply::Pending);
    one.control().propose(Command::Reject { node: stranger.id() }, PATIENCE).await.unwrap();

    // The leader ends, and the others go on.
    let mut nodes = [one, two, three];
    let leader = nodes[0].control().view().borrow().leader.unwrap();
    nodes.sort_by_key(|node| node.id() != leader);
    let [mut gone, left, right] = nodes;
    gone.stop().await;
    left.say("without-a-leader").await;
    let known = || right.control().state().settings().unwrap().name == "without-a-leader";
    eventually("the other to know", known).await;
    assert_ne!(right.control().view().borrow().leader, Some(leader));

    // It is taken out while it is away, and does not come back.
    left.control().remove(gone.id(), PATIENCE).await.unwrap();
    eventually("two that agree", || settled(&[&left, &right])).await;
    gone.move_to(TcpListener::bind("127.0.0.1:0").await.unwrap());
    gone.start(Beginning::Known).await.unwrap();
    let view = gone.control().view().borrow().clone();
    let mut back = JoinConnection::open_again(&left.address, &view, PATIENCE).await.unwrap();
    let question = gone.control().ask_again(&back.binding()).unwrap();
    let refused = JoinReply::decode(&back.ask(&question).await.unwrap()).unwrap();
    assert_eq!(refused, JoinReply::Refused(JoinRefusal::Refused(Refused::Removed(gone.id()))));
    assert_eq!(rejoin(gone.control()).await, Err(WasRemoved(gone.id())));
    assert!(gone.links.link(left.id()).is_none() && gone.links.link(right.id()).is_none());
    for mut node in [gone, left, right] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_member_that_missed_a_roll_over_is_told_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for name in ["one", "two", "three"] {
        nodes.push(Node::new(&dir, name).await);
    }
    let [mut one, mut two, mut three] = <[Node; 3]>::try_from(nodes).ok().unwrap();
    let settings = Settings { name: "home".to_owned(), auto_approve: false, timings: Timings::LAN };
    one.start(Beginning::Found(Box::new(Found { settings, secrets: Secrets::default() }))).await.unwrap();
    two.join(&one).await;
    three.join(&one).await;
    eventually("three that agree", || settled(&[&one, &two, &three])).await;
    three.stop().await;
    let old = one.control().view().borrow().authorities.clone();
    one.control().rotate(PATIENCE).await.unwrap();
    eventually("the new authority alone", || {
        let view = one.control().view().borrow().clone();
        view.authorities.len() == 1 && view.authorities != old
    })
    .await;

    // It comes back elsewhere: nobody would find it, and nobody believes what it shows.
    three.move_to(TcpListener::bind("127.0.0.1:0").await.unwrap());
    three.start(Beginning::Known).await.unwrap();
    assert_eq!(three.control().view().borrow().authorities, old);
    rejoin(three.control()).await.unwrap();
    eventually("three that agree again", || settled(&[&one, &two, &three])).await;
    for mut node in [one, two, three] {
        node.stop().await;
    }
}
