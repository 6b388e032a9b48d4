//! Clients that want to use a node up, beside two people who talk. Figures are in `benches/src/hostile`; what stands here
//! does not depend on the clock: the offender is ended or bounded, and the two lose nothing.
#![expect(clippy::expect_used, reason = "test code: what fails here fails the test")]

use std::collections::BTreeSet;
use std::fs;

use endtoend_protocol::{
    AccountTag, ClientFrame, ClosingReason, DeliveryNumber, Envelope, EnvelopeId, Relation, Request, ServerFrame,
    UnixMillis, limits,
};
use endtoend_testkit::{
    Device, Node, NodeOptions, PATIENCE, Unsecured, Wire, WireReceiver, WireSender, eventually, reach_tls,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ALICE: AccountTag = AccountTag::new([0xa; 32]);
const BOB: AccountTag = AccountTag::new([0xb; 32]);
const MALLORY: AccountTag = AccountTag::new([0xe; 32]);

fn node_with(connections_max: u32) -> Node {
    let mut options = NodeOptions::without_limits();
    options.environment.push(("ENDTOEND_GATEWAY__CONNECTIONS_MAX", connections_max.to_string()));
    Node::start(options)
}

fn numbered(to: &Device, number: u32, len: usize) -> Envelope {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Envelope { id: EnvelopeId::new(UnixMillis::new(1), random), ..to.envelope(1, len) }
}

/// Two people who do nothing wrong.
struct Pair {
    alice: Wire,
    bob: Wire,
    bob_is: Device,
    said: u32,
    heard: u64,
}

impl Pair {
    async fn register(node: &Node) -> Self {
        let (mut bob, bob_is) = Wire::register(node.listen(), BOB).await;
        bob.decide(ALICE, Some(Relation::Accepted)).await;
        let (alice, _) = Wire::register(node.listen(), ALICE).await;
        bob.ask(Request::Attach).await;
        Self { alice, bob, bob_is, said: 0, heard: 0 }
    }

    /// What one says, the other hears, once and in order.
    async fn talks(&mut self) {
        for _ in 0..20 {
            let envelope = numbered(&self.bob_is, self.said, 300);
            self.said += 1;
            self.heard += 1;
            self.alice.send(&ClientFrame::Send(envelope.clone())).await;
            let heard = self.bob.recv().await;
            let expected = DeliveryNumber(self.heard);
            assert!(
                matches!(&heard, Some(ServerFrame::Deliver(deliver)) if deliver.id == envelope.id && deliver.delivery == expected),
                "{heard:?}"
            );
            self.bob.send(&ClientFrame::Ack { up_to: expected }).await;
            let answer = self.alice.recv().await;
            assert!(matches!(answer, Some(ServerFrame::Accepted { id, .. }) if id == envelope.id), "{answer:?}");
        }
    }
}

fn resident_kib(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("the node runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Sockets of the node. Not its files: the store opens one more when it is asked by several.
fn open_sockets(node: &Node) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("the node runs");
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Reads until the node ends the connection with this reason; answers to what was said before are skipped.
async fn assert_ends(back: &mut WireReceiver, reason: ClosingReason) {
    let ends = async {
        while let Some(frame) = back.recv().await {
            if let ServerFrame::Closing { reason: found, .. } = frame {
                assert_eq!(found, reason);
                return true;
            }
        }
        false
    };
    assert!(timeout(PATIENCE, ends).await.expect("the node ends it"), "ended without a reason");
}

#[tokio::test]
async fn whoever_floods_with_pings_is_closed() {
    let node = node_with(100);
    let mut pair = Pair::register(&node).await;
    let (mallory, _) = Wire::register(node.listen(), MALLORY).await;
    let (mut out, mut back) = mallory.split();
    let flood = async { while out.ping().await.is_ok() && out.try_flush().await.is_ok() {} };
    let ((), ()) = tokio::join!(flood, assert_ends(&mut back, ClosingReason::TooManyErrors));
    pair.talks().await;
}

/// Says this until it is closed.
async fn flood(out: &mut WireSender, frame: &ClientFrame) {
    while out.try_feed(frame).await.is_ok() && out.try_flush().await.is_ok() {}
}

#[tokio::test]
async fn whoever_acknowledges_the_same_again_and_again_is_closed() {
    let node = node_with(100);
    let mut pair = Pair::register(&node).await;
    let (mut mallory, _) = Wire::register(node.listen(), MALLORY).await;
    mallory.ask(Request::Attach).await;
    let (mut out, mut back) = mallory.split();
    let nothing_new = ClientFrame::Ack { up_to: DeliveryNumber(0) };
    let ends = assert_ends(&mut back, ClosingReason::TooManyErrors);
    let ((), ()) = tokio::join!(flood(&mut out, &nothing_new), ends);
    pair.talks().await;
}

#[tokio::test]
async fn sends_into_a_full_window_and_nothing_else_end_the_connection() {
    let node = node_with(100);
    let mut pair = Pair::register(&node).await;
    let (mallory, mallory_is) = Wire::register(node.listen(), MALLORY).await;
    // Nothing is answered while somebody else writes to the database.
    let database = rusqlite::Connection::open(node.data_dir().join("endtoend.db")).expect("a database");
    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let (mut out, mut back) = mallory.split();
    let envelope = ClientFrame::Send(numbered(&mallory_is, 0, 10));
    let ends = assert_ends(&mut back, ClosingReason::TooManyErrors);
    let ((), ()) = tokio::join!(flood(&mut out, &envelope), ends);
    database.execute_batch("ROLLBACK").expect("free");
    pair.talks().await;
}

#[tokio::test]
async fn guests_who_say_nothing_do_not_take_every_place() {
    // Of these, half for guests.
    let node = node_with(20);
    let mut pair = Pair::register(&node).await;
    let mut silent = Vec::new();
    // Each of them gets in, because an older one goes: without the bound the last ones would wait for places.
    for _ in 0..60 {
        let reached = timeout(PATIENCE, Unsecured::reach(node.listen(), &[])).await.expect("in time");
        silent.push(reached.expect("a place"));
    }
    let (_late, _) = Wire::register(node.listen(), MALLORY).await;
    pair.talks().await;
    let mut oldest = silent.remove(0);
    let said = loop {
        match oldest.recv().await {
            Ok(_introduction) => {}
            Err(why) => break why,
        }
    };
    assert_eq!(said, ClosingReason::TooSlow.as_str());
}

#[tokio::test]
async fn handshakes_that_never_end_are_ended() {
    let node = node_with(100);
    let mut pair = Pair::register(&node).await;
    let before = open_sockets(&node);
    let mut nothing = TcpStream::connect(node.listen()).await.expect("the node listens");
    let mut half_a_hello = TcpStream::connect(node.listen()).await.expect("the node listens");
    half_a_hello.write_all(&[22, 3, 1, 2, 0, 1]).await.expect("sent");
    let mut only_tls = reach_tls(node.listen()).await.expect("TLS");
    let mut half_a_request = reach_tls(node.listen()).await.expect("TLS");
    half_a_request.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\n").await.expect("sent");
    pair.talks().await;
    // With an end or with an error: what counts is that it comes.
    let mut rest = Vec::new();
    let _ended = timeout(PATIENCE, nothing.read_to_end(&mut rest)).await.expect("a silent socket is ended");
    let _ended = timeout(PATIENCE, half_a_hello.read_to_end(&mut rest)).await.expect("half a hello is ended");
    let _ended = timeout(PATIENCE, only_tls.read_to_end(&mut rest)).await.expect("a silent client is ended");
    let _ended = timeout(PATIENCE, half_a_request.read_to_end(&mut rest)).await.expect("half a request is ended");
    eventually(PATIENCE, "the node gives the sockets back", || open_sockets(&node) <= before);
    pair.talks().await;
}

#[tokio::test]
async fn connections_that_come_and_go_leave_nothing() {
    let node = node_with(100);
    let mut pair = Pair::register(&node).await;
    let before = open_sockets(&node);
    for _ in 0..60 {
        drop(TcpStream::connect(node.listen()).await.expect("the node listens"));
        drop(Unsecured::reach(node.listen(), &[]).await.expect("a place"));
    }
    pair.talks().await;
    eventually(PATIENCE, "the node gives the sockets back", || open_sockets(&node) <= before);
}

/// A queue that nobody empties is on the disk: what the node holds of it is the windows, and not the queue.
#[tokio::test]
async fn a_reader_who_takes_nothing_costs_a_window_of_memory() {
    /// 70 MB in all.
    const MESSAGES: u32 = 1_500;
    const LEN: usize = 48 * 1024;
    /// Windows of both, pages of the database, and what the allocator keeps: far below what was sent.
    const GROWTH_MAX_KIB: u64 = 40 * 1024;
    let node = node_with(100);
    let mut pair = Pair::register(&node).await;
    let (mut deaf, deaf_is) = Wire::register(node.listen(), AccountTag::new([0xd; 32])).await;
    deaf.decide(MALLORY, Some(Relation::Accepted)).await;
    deaf.ask(Request::Attach).await; // and from here on it neither reads nor acknowledges
    let (mallory, _) = Wire::register(node.listen(), MALLORY).await;
    let (mut out, mut back) = mallory.split();
    let before = resident_kib(&node);
    let (mut next, mut open, mut accepted) = (0, 0, 0);
    let mut again = BTreeSet::new();
    while accepted < MESSAGES {
        while open < limits::SEND_WINDOW {
            let Some(number) = again.pop_first().or_else(|| (next < MESSAGES).then_some(next)) else { break };
            next = next.max(number + 1);
            out.feed(&ClientFrame::Send(numbered(&deaf_is, number, LEN))).await;
            open += 1;
        }
        out.flush().await;
        match timeout(PATIENCE, back.recv()).await.expect("an answer") {
            Some(ServerFrame::Accepted { .. }) => accepted += 1,
            Some(ServerFrame::Retry { id, .. }) => {
                let number = (0..next).find(|number| numbered(&deaf_is, *number, 1).id == id);
                again.extend(number);
            }
            other => assert!(other.is_none(), "neither accepted nor to be repeated: {other:?}"),
        }
        open -= 1;
        if accepted % 500 == 0 {
            pair.talks().await;
        }
    }
    let after = resident_kib(&node);
    assert!(after < before + GROWTH_MAX_KIB, "{before} KiB before, {after} KiB with a queue that nobody reads");
    pair.talks().await;
}

#[test]
fn connections_that_the_system_does_not_allow_are_refused_with_the_way_out() {
    let mut options = NodeOptions::default();
    options.environment.push(("ENDTOEND_GATEWAY__CONNECTIONS_MAX", "4000000000".to_owned()));
    let why = Node::try_start(options).expect_err("more than any system allows");
    assert!(why.code == Some(1) && why.stderr.contains("connections_max") && why.stderr.contains("ulimit"), "{why:?}");
}

#[test]
fn where_nobody_has_chosen_the_connections_as_many_are_admitted_as_the_system_allows() {
    let few = NodeOptions { open_files_max: Some(600), ..NodeOptions::default() };
    let node = Node::start(few.clone().watched());
    // 256 for others than clients, and 10 to a store.
    assert_eq!(node.scrape().value("endtoend_sockets_max"), 334.0);
    let log = fs::read_to_string(node.log_path()).expect("the log is text");
    assert!(log.contains("connections_max=334"), "{log}");
    let mut chosen = few;
    chosen.environment.push(("ENDTOEND_GATEWAY__CONNECTIONS_MAX", "10000".to_owned()));
    let why = Node::try_start(chosen).expect_err("more than was allowed");
    assert!(why.code == Some(1) && why.stderr.contains("to 334 or less"), "{why:?}");
}

#[test]
fn a_node_raises_its_own_limit_of_open_files() {
    let node = node_with(100);
    let limits = fs::read_to_string(format!("/proc/{}/limits", node.pid())).expect("the node runs");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit of files");
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), words.next(), "soft and hard");
}
