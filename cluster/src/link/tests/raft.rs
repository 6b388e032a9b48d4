//! A real cluster: nodes join over TLS, agree over links, are cut off and come back.

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::super::wire::Versions;
use super::*;
use crate::control::{Beginning, Command, Control, ControlError, Found, Settings, Setup, Timings};
use crate::join::{Admitted, JoinRefusal, JoinReply, Profile, request};
use crate::{JoinToken, NodeKeys, Secrets};

struct Member {
    control: Arc<Control>,
    links: Links,
    /// Everybody reaches it through this; its own way to others is through theirs.
    wire: Proxy,
    task: LinksTask,
}

/// A node that has not begun.
struct Newcomer {
    keys: Arc<NodeKeys>,
    profile: Profile,
    listener: TcpListener,
    wire: Proxy,
    links: Links,
}

impl Newcomer {
    async fn new(name: &str) -> Self {
        let keys = Arc::new(node_keys());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Proxy::before(listener.local_addr().unwrap().to_string()).await;
        let profile = Profile {
            name: name.to_owned(),
            peer_address: wire.address.clone(),
            client_address: "node.example:443".to_owned(),
            version: "0.1.0".to_owned(),
        };
        let links = Links::new(LinksConfig { key: link_key(&keys), run: 7, timings: CALM, versions: Versions::OURS });
        Self { keys, profile, listener, wire, links }
    }

    /// What the member behind this address says.
    async fn ask(&self, seed: &str, token: &JoinToken) -> JoinReply {
        let mut connection = JoinConnection::open(seed, token.authority(), PATIENCE).await.unwrap();
        let request = request(&self.keys, &self.profile, Some(token), &connection.binding()).unwrap();
        JoinReply::decode(&connection.ask(&request).await.unwrap()).unwrap()
    }

    async fn admitted(&self, seed: &str, token: &JoinToken) -> Admitted {
        match self.ask(seed, token).await {
            JoinReply::Admitted(admitted) => *admitted,
            other => panic!("{other:?}"),
        }
    }

    async fn begin(self, dir: &TempDir, beginning: Beginning) -> Member {
        let Self { keys, profile, listener, wire, links } = self;
        let setup = Setup {
            path: dir.path().join(format!("{}.db", profile.name)),
            keys,
            profile,
            calls: Arc::new(links.clone()),
            clock: None,
            rotate: Arc::new(|_| {}),
            chores: None,
        };
        let control = Control::start(setup, beginning).await.unwrap();
        let task = links.start(listener, control.view(), Hooks::of(&control));
        Member { control, links, wire, task }
    }
}

fn settings(name: &str) -> Settings {
    Settings { name: name.to_owned(), auto_approve: false, timings: Timings::LAN }
}

async fn say(at: &Member, name: &str, deadline: Duration) -> Result<(), ControlError> {
    at.control.propose(Command::Configure(settings(name)), deadline).await.map(drop)
}

/// Waits until these have this one leader and know the same.
async fn agreed(members: &[&Member]) -> NodeId {
    let views = || members.iter().map(|member| member.control.view().borrow().clone()).collect::<Vec<_>>();
    let leader = || {
        let (views, own) = (views(), members.iter().map(|member| member.control.node()).collect::<Vec<_>>());
        let leader = views[0].leader.filter(|leader| own.contains(leader));
        leader.filter(|_| views.iter().all(|view| (view.leader, view.index) == (leader, views[0].index)))
    };
    eventually("agreement", || leader().is_some()).await;
    leader().unwrap_or(members[0].control.node())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_join_elect_agree_are_cut_off_come_back_and_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let found = Found { settings: settings("home"), secrets: Secrets::default() };
    let first = Newcomer::new("node-0").await.begin(&dir, Beginning::Found(Box::new(found))).await;
    let seed = first.wire.address.clone();
    let mut members = vec![first];
    for name in ["node-1", "node-2"] {
        let newcomer = Newcomer::new(name).await;
        let token = members[0].control.create_token(Duration::from_secs(600), PATIENCE).await.unwrap();
        assert_eq!(newcomer.ask(&seed, &token).await, JoinReply::Pending);
        assert!(members[0].links.link(newcomer.keys.node()).is_none(), "who is not approved has no link");
        members[0].control.approve(newcomer.keys.node(), PATIENCE).await.unwrap();
        let admitted = newcomer.admitted(&seed, &token).await;
        members.push(newcomer.begin(&dir, Beginning::Join(Box::new(admitted))).await);
    }
    let voters = |member: &Member| member.control.view().borrow().voters.len();
    eventually("three voters", || members.iter().all(|member| voters(member) == 3)).await;
    eventually("all links", || members.iter().all(|member| member.links.is_complete())).await;
    for (at, member) in members.iter().enumerate() {
        say(member, &format!("said-by-{at}"), PATIENCE).await.unwrap();
        let read = members[(at + 1) % 3].control.read(PATIENCE).await.unwrap();
        assert_eq!(read.settings().unwrap().name, format!("said-by-{at}"));
    }

    // Everybody dials the greatest: so its wire is all that it has.
    members.sort_by_key(|member| member.control.node());
    let [one, two, last] = &members[..] else { panic!("three") };
    let cut_off = last.control.node();
    let transferred = async {
        // What is going on at the moment may be in the way.
        while one.control.transfer_leader(cut_off, Duration::from_secs(5)).await.is_err() {}
    };
    tokio::time::timeout(PATIENCE, transferred).await.expect("it leads");
    last.wire.set(Wire::Cut);
    one.links_without(cut_off).await;
    two.links_without(cut_off).await;
    let leader = agreed(&[one, two]).await;
    assert_ne!(leader, cut_off);
    say(two, "without-it", PATIENCE).await.unwrap();
    assert_eq!(say(last, "alone", Duration::from_millis(300)).await, Err(ControlError::NoLeader));

    last.wire.set(Wire::Whole);
    agreed(&[one, two, last]).await;
    eventually("what it has missed", || last.control.state() == one.control.state()).await;
    assert_eq!(one.control.state().settings().unwrap().name, "without-it");

    // Removed, it is cut off at once.
    one.control.remove(cut_off, PATIENCE).await.unwrap();
    one.links_without(cut_off).await;
    two.links_without(cut_off).await;
    assert!(!one.control.view().borrow().members.contains_key(&cut_off));
    // The others have new certificates of the new authority, and meet with them.
    let renewed = |member: &Member| {
        let view = member.control.view().borrow().clone();
        let newest = view.authorities.first().map(|authority| authority.key);
        view.members.len() == 2 && view.certificates.values().all(|certificate| Some(certificate.authority) == newest)
    };
    eventually("new certificates", || renewed(one) && renewed(two)).await;
    let before = one.links.link(two.control.node()).unwrap();
    two.wire.set(Wire::Cut);
    eventually("its end", || one.links.link(two.control.node()) != Some(before)).await;
    two.wire.set(Wire::Whole);
    eventually("another link", || one.links.link(two.control.node()).is_some()).await;
    say(one, "two-of-us", PATIENCE).await.unwrap();
    assert!(one.links.link(cut_off).is_none() && two.links.link(cut_off).is_none());

    // A token is good once, and a removed node is never let in again.
    let again = Newcomer::new("node-3").await;
    let token = one.control.create_token(Duration::from_secs(600), PATIENCE).await.unwrap();
    let unused = one.control.create_token(Duration::from_secs(600), PATIENCE).await.unwrap();
    assert_eq!(again.ask(&one.wire.address, &token).await, JoinReply::Pending);
    let other = Newcomer::new("node-4").await;
    let refused = |reply| matches!(reply, JoinReply::Refused(JoinRefusal::Refused(_)));
    assert!(refused(other.ask(&one.wire.address, &token).await));
    // A request that was made for another connection.
    let mut connection = JoinConnection::open(&one.wire.address, unused.authority(), PATIENCE).await.unwrap();
    let replayed = request(&other.keys, &other.profile, Some(&unused), &[0; 32]).unwrap();
    let reply = JoinReply::decode(&connection.ask(&replayed).await.unwrap()).unwrap();
    assert_eq!(reply, JoinReply::Refused(JoinRefusal::BadSignature));

    for member in members {
        member.control.shutdown().await;
        drop(member.task);
    }
}

impl Member {
    async fn links_without(&self, node: NodeId) {
        eventually("the end of a link", || self.links.link(node).is_none()).await;
    }
}
