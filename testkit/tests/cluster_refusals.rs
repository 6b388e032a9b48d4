//! What a cluster refuses, with words that say what to do: nodes that may not come in, and databases that are somebody else's.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::sync::OnceLock;

use endtoend_cluster::join::{JoinRefusal, JoinReply, request};
use endtoend_cluster::link::wire::Versions;
use endtoend_cluster::link::{Hooks, JoinConnection};
use endtoend_cluster::{
    Authority, CallError, Calls as _, ClusterView, JoinToken, Member, MemberState, NodeId, NodeKeys,
};
use endtoend_protocol::{AccountTag, RefusalCode, UnixMillis};
use endtoend_testkit::{
    Cluster, Newcomer, Node, NodeOptions, NotStarted, PATIENCE, Peer, Wire, eventually, free_address,
};
use endtoend_testkit_postgres::{Server as Postgres, Settings};
use endtoend_testkit_redis::Server as Redis;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// With fsync: a node takes no other.
fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(Settings { durable: true }))
}

fn refused(options: NodeOptions, code: i32, words: &str) -> NotStarted {
    let why = Node::try_start(options).unwrap_err();
    assert!(why.code == Some(code) && why.stderr.contains(words), "{words:?} and {code} are not in {why:?}");
    why
}

#[tokio::test]
async fn a_token_that_is_wrong_used_expired_or_anothers_is_told_apart() {
    let (redis, other_redis) = (Redis::start(), Redis::start());
    let cluster = Cluster::found(&postgres().database().await, &redis.url());
    let other = Cluster::found(&postgres().database().await, &other_redis.url());
    let (seed, token) = cluster.token();
    let joining = |token: &str| cluster.options("stranger", free_address()).joining(&seed, token);

    refused(joining("endtoend-join:00"), 1, "a join token is endtoend-join: and 160 hexadecimal digits");
    // Another secret of the same id, and one that nobody has made.
    let (head, tail) = token.split_at("endtoend-join:".len() + 32);
    let changed = if tail.starts_with('0') { "1" } else { "0" };
    refused(joining(&format!("{head}{changed}{}", &tail[1..])), 3, "the join token is not known");
    refused(joining(&other.token().1), 3, "of another cluster than the token");
    let expired = cluster.command(0, &["token", "create", "--expires", "1ms"]).done();
    refused(joining(expired.field("token").as_str().unwrap()), 3, "the join token has expired");
    let revoked = cluster.command(0, &["token", "create"]).done();
    cluster.command(0, &["token", "revoke", revoked.field("id").as_str().unwrap()]).done();
    refused(joining(revoked.field("token").as_str().unwrap()), 3, "the join token is not known");

    // Used by one that is rejected, and that may not come back with its key.
    let data = tempfile::tempdir().unwrap();
    let with_data = |token: &str| NodeOptions { data: Some(data.path().to_owned()), ..joining(token) };
    let waits = Node::begin(with_data(&token));
    let id = waits.pending();
    let list = cluster.command(0, &["token", "list"]).done();
    assert!(list.lines.iter().any(|line| line["used_by"] == id.as_str()), "{list:?}");
    refused(joining(&token), 3, "the join token has been used");
    cluster.command(0, &["reject", "stranger"]).done();
    let why = waits.ready().unwrap_err();
    assert!(why.code == Some(3) && why.stderr.contains("was rejected or removed"), "{why:?}");
    refused(with_data(&cluster.token().1), 3, "was rejected or removed");
    // Nobody else is called as one that is there.
    let options = cluster.options("node-1", free_address()).joining(&seed, &cluster.token().1);
    refused(options, 3, "choose another [cluster] name");
    let unknown = cluster.command(0, &["approve", "nobody"]);
    assert!(unknown.code == Some(1) && format!("{unknown:?}").contains("no node of the cluster"), "{unknown:?}");
}

#[tokio::test]
async fn two_clusters_on_one_database_or_one_redis_are_refused() {
    let (redis, other_redis) = (Redis::start(), Redis::start());
    let (database, other_database) = (postgres().database().await, postgres().database().await);
    let mut cluster = Cluster::found(&database, &redis.url());
    let on = |database: &str, redis: &Redis| {
        NodeOptions::default().in_cluster("second", free_address(), database, &redis.url())
    };
    refused(on(&database, &other_redis), 1, "join it with --join");
    refused(on(&other_database, &redis), 1, "[redis] is that of another cluster");
    refused(NodeOptions::default().on_postgres(&database), 1, "this node has no [cluster] listen");
    // One that joins must share the database.
    let (seed, token) = cluster.token();
    let third = postgres().database().await;
    refused(on(&third, &redis).joining(&seed, &token), 1, "is that of no cluster");
    // A member is not started as if it were alone, nor with another database.
    let data = cluster.nodes[0].data_dir().to_owned();
    assert!(cluster.nodes[0].terminate().success());
    let with_data = |options: NodeOptions| NodeOptions { data: Some(data.clone()), ..options };
    refused(with_data(NodeOptions::default().on_postgres(&database)), 1, "the data directory of a member of a cluster");
    refused(with_data(on(&other_database, &redis)), 1, "and this node is of");
    cluster.nodes[0].restart();
}

#[tokio::test]
async fn a_node_that_has_a_store_or_is_alone_does_not_join() {
    let redis = Redis::start();
    let cluster = Cluster::found(&postgres().database().await, &redis.url());
    let (seed, token) = cluster.token();
    refused(NodeOptions::default().joining(&seed, &token), 1, "--join needs [cluster] listen");
    let mut alone = Node::start(NodeOptions::default().on_postgres(&postgres().database().await));
    assert!(alone.terminate().success());
    let options = cluster.options("alone", free_address()).joining(&seed, &token);
    refused(
        NodeOptions { data: Some(alone.data_dir().to_owned()), ..options },
        1,
        "--join needs a data directory of its own",
    );
}

/// An address that leads to another one, which may change.
async fn led(to: watch::Receiver<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let at = to.borrow().clone();
            tokio::spawn(async move {
                let mut there = TcpStream::connect(at).await.unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut from, &mut there).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_that_shows_another_authority_at_first_is_asked_again() {
    let (redis, other_redis) = (Redis::start(), Redis::start());
    let cluster = Cluster::found(&postgres().database().await, &redis.url());
    let other = Cluster::found(&postgres().database().await, &other_redis.url());
    // As a node does that has not heard yet that its cluster has replaced its authority.
    let (leads_to, to) = watch::channel(other.token().0);
    let (seed, token) = cluster.token();
    let begun = Node::begin(cluster.options("node-2", free_address()).joining(&led(to).await, &token));
    let asked = || begun.said().contains("it shows another authority than the token names");
    tokio::task::block_in_place(|| eventually(PATIENCE, "a question", asked));
    leads_to.send_replace(seed);
    assert_eq!(begun.pending().len(), cluster.id(0).len());
    cluster.command(0, &["approve", "node-2"]).done();
    begun.ready().unwrap();
}

/// Keys of a node that dials that one, which answers to those that are smaller.
async fn smaller_than(node: NodeId, name: &str) -> Newcomer {
    loop {
        let newcomer = Newcomer::new(name).await;
        if newcomer.keys.node() < node {
            return newcomer;
        }
    }
}

/// A certificate for these keys by an authority of their own, in a view in which they are a member. Everything else is as it is.
fn forged(view: &ClusterView, newcomer: &Newcomer) -> ClusterView {
    let (keys, mut view): (&NodeKeys, _) = (&newcomer.keys, view.clone());
    let authority = Authority::from_key(&Authority::new_key().unwrap()).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let certificate = authority.issue(&keys.key(), UnixMillis::new(now.try_into().unwrap())).unwrap();
    let member = Member {
        name: newcomer.profile.name.clone(),
        state: MemberState::Active,
        key: keys.key(),
        peer_address: newcomer.profile.peer_address.clone(),
        client_address: newcomer.profile.client_address.clone(),
        version: newcomer.profile.version.clone(),
    };
    view.members.insert(keys.node(), member);
    view.certificates.insert(keys.node(), certificate);
    view
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_approved_and_one_of_another_cluster_have_no_link_and_a_replayed_request_no_answer() {
    let redis = Redis::start();
    let cluster = Cluster::found(&postgres().database().await, &redis.url());
    let (real, peer) = (cluster.id(0).parse::<NodeId>().unwrap(), Peer::join(&cluster, Versions::OURS).await);
    peer.link(real).await;
    let (seed, token) = cluster.token();
    let token: JoinToken = token.parse().unwrap();
    // One that waits for its approval, and one that nobody knows; both with a certificate of another cluster's authority.
    let (waits, unknown) = (smaller_than(real, "waits").await, smaller_than(real, "unknown").await);
    let hooks = Hooks::of(&peer.control);

    let mut first = JoinConnection::open(&seed, token.authority(), PATIENCE).await.unwrap();
    let mut second = JoinConnection::open(&seed, token.authority(), PATIENCE).await.unwrap();
    let asked = request(&waits.keys, &waits.profile, Some(&token), &first.binding()).unwrap();
    let replayed = JoinReply::decode(&second.ask(&asked).await.unwrap()).unwrap();
    assert_eq!(replayed, JoinReply::Refused(JoinRefusal::BadSignature), "made for another connection");
    assert_eq!(JoinReply::decode(&first.ask(&asked).await.unwrap()).unwrap(), JoinReply::Pending);

    for newcomer in [waits, unknown] {
        let links = newcomer.links(1, Versions::OURS);
        let view = forged(&peer.control.view().borrow(), &newcomer);
        let (_keeps, view) = tokio::sync::watch::channel(view);
        let _task = links.start(newcomer.listener(), view, hooks.clone());
        let refused = || {
            let fault = links.health().get(&real).and_then(|health| health.last_error.clone());
            fault.is_some_and(|fault| fault.starts_with("the TLS handshake failed"))
        };
        tokio::task::block_in_place(|| eventually(PATIENCE, "a refusal", refused));
        assert_eq!(links.link(real), None);
        let question = bytes::Bytes::from_static(&[1, 8]);
        assert_eq!(links.call(real, question, PATIENCE).await, Err(CallError::NoLink(real)));
    }
    let said = std::fs::read_to_string(cluster.nodes[0].log_path()).unwrap();
    assert!(said.contains("a connection of another node is refused"), "{said}");
    peer.control.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_raft_in_anothers_name_is_refused() {
    let redis = Redis::start();
    let cluster = Cluster::found(&postgres().database().await, &redis.url());
    let (real, peer) = (cluster.id(0).parse::<NodeId>().unwrap(), Peer::join(&cluster, Versions::OURS).await);
    peer.link(real).await;
    // A request for a vote: version, kind, term 1000, candidate, not committed, no log.
    let vote = |candidate: NodeId| {
        let mut bytes = vec![1, 1, 0xe8, 0x07];
        let mut rest = candidate.get();
        while rest > 0x7f {
            bytes.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        bytes.push(rest.to_le_bytes()[0]);
        bytes.extend([0, 0]);
        bytes::Bytes::from(bytes)
    };
    let term = || cluster.status(0)["term"].as_u64().unwrap();
    let before = tokio::task::block_in_place(term);
    let others = Newcomer::new("other").await.keys.node();
    for name in [real, others] {
        assert_eq!(peer.links.call(real, vote(name), PATIENCE).await, Err(CallError::Refused(real)));
    }
    // In its own name it is a question like any other, to which such a log is no answer.
    assert!(peer.links.call(real, vote(peer.me.node), PATIENCE).await.is_ok());
    assert!(tokio::task::block_in_place(term) < before + 1_000, "nobody follows it");
    peer.control.shutdown().await;
}

#[tokio::test]
async fn what_a_removed_node_knew_is_worth_nothing_where_it_can_be_replaced() {
    let redis = Redis::start();
    let mut cluster = Cluster::of(2, &postgres().database().await, &redis.url());
    let listen = cluster.nodes[0].listen();
    let (wire, mut device) = Wire::register(listen, AccountTag::new([0xa3; 32])).await;
    drop(wire);
    Wire::try_resume(listen, &device).await.unwrap();
    let pin = |cluster: &Cluster| cluster.nodes[0].address().to_owned();
    let before = pin(&cluster);
    cluster.command(0, &["remove", "node-2", "--yes"]).done();
    drop(cluster.nodes.pop());
    // It could have made such a token; the refresh token is in the database alone.
    let deadline = endtoend_testkit::monotonic() + PATIENCE;
    while Wire::try_resume(listen, &device).await.is_ok() {
        assert!(endtoend_testkit::monotonic() < deadline, "an access token of before");
    }
    assert_eq!(Wire::try_resume(listen, &device).await.unwrap_err(), RefusalCode::BadCredentials);
    Wire::refresh(listen, &mut device).await.unwrap();
    Wire::try_resume(listen, &device).await.unwrap();
    assert_eq!(pin(&cluster), before, "clients pin it: docs/cluster.md, \"What a removal replaces\"");
}
