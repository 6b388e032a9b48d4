//! A node that is told to stop: what is under way is settled, everybody is told when to come back, nothing accepted is lost.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code: what fails here fails the test")]

use std::collections::BTreeSet;
use std::fs;

use endtoend_protocol::{
    AccountTag, ClientFrame, ClosingReason, Deliver, DeliveryNumber, Envelope, EnvelopeId, Relation, Request,
    RetryReason, ServerFrame, UnixMillis,
};
use endtoend_testkit::{Clog, Device, Node, NodeOptions, PATIENCE, Scene, Wire, eventually, operate};
use endtoend_testkit_postgres::{Server, Settings};
use rusqlite::Connection;

const ALICE: AccountTag = AccountTag::new([0xa; 32]);
const BOB: AccountTag = AccountTag::new([0xb; 32]);

fn node(drain_seconds: u16) -> Node {
    Node::start(options(drain_seconds))
}

fn options(drain_seconds: u16) -> NodeOptions {
    let mut options = NodeOptions::without_limits();
    options.environment.push(("ENDTOEND_GATEWAY__DRAIN_SECONDS", drain_seconds.to_string()));
    options
}

/// Alice, and Bob who has accepted her and attached.
async fn two(node: &Node) -> (Wire, Device, Wire, Device) {
    let (alice, alice_device) = Wire::register(node.listen(), ALICE).await;
    let (mut bob, bob_device) = Wire::register(node.listen(), BOB).await;
    bob.decide(ALICE, Some(Relation::Accepted)).await;
    bob.ask(Request::Attach).await;
    (alice, alice_device, bob, bob_device)
}

/// An envelope that no other step uses.
fn numbered(to: &Device, number: u32, len: usize) -> Envelope {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Envelope { id: EnvelopeId::new(UnixMillis::new(1), random), ..to.envelope(1, len) }
}

/// What `endtoend status` calls the node.
fn state(node: &Node) -> String {
    let folder = tempfile::tempdir().unwrap();
    let status = operate(folder.path(), &["status", "--data", node.data_dir().to_str().unwrap()], &[]);
    status.lines.first().and_then(|line| line["state"].as_str()).unwrap_or_default().to_owned()
}

fn log(node: &Node) -> String {
    fs::read_to_string(node.log_path()).unwrap()
}

fn until_logged(node: &Node, words: &str) {
    eventually(PATIENCE, words, || log(node).contains(words));
}

/// Ids of everything that the device is sent after a restart, until `wanted` are among them.
async fn delivered(node: &Node, device: &Device, wanted: &BTreeSet<EnvelopeId>) -> Vec<EnvelopeId> {
    let mut wire = Wire::resume(node.listen(), device).await;
    wire.ask(Request::Attach).await;
    let mut ids = Vec::new();
    while !wanted.iter().all(|id| ids.contains(id)) {
        match wire.recv().await {
            Some(ServerFrame::Deliver(Deliver { id, delivery, .. })) => {
                ids.push(id);
                wire.send(&ClientFrame::Ack { up_to: delivery }).await;
            }
            other => panic!("{} of {} came: {other:?}", ids.len(), wanted.len()),
        }
    }
    ids
}

#[tokio::test]
async fn what_is_under_way_is_answered_what_comes_later_waits_and_the_end_is_told() {
    let mut node = node(30);
    let (mut alice, _, bob, bob_device) = two(&node).await;
    assert_eq!(state(&node), "accepting");
    let (_, mut bob) = bob.split();
    // Nothing can be committed for now.
    let database = Connection::open(node.data_dir().join("endtoend.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (before, after) = (numbered(&bob_device, 1, 100), numbered(&bob_device, 2, 100));
    alice.send(&ClientFrame::Send(before.clone())).await;
    assert!(matches!(bob.recv().await, Some(ServerFrame::Deliver(_))), "not acknowledged");

    node.signal_terminate();
    until_logged(&node, "draining");
    alice.send(&ClientFrame::Send(after.clone())).await;
    match alice.recv().await {
        Some(ServerFrame::Retry { id, reason: RetryReason::ShuttingDown, .. }) => assert_eq!(id, after.id),
        other => panic!("{other:?}"),
    }
    database.execute_batch("ROLLBACK").unwrap();
    database.close().unwrap();
    // If the machine was slow the store has given up on the lock meanwhile: that is an answer too.
    let accepted = match alice.recv().await {
        Some(ServerFrame::Accepted { id, .. }) => Some(id),
        Some(ServerFrame::Retry { id, reason: RetryReason::Unavailable, .. }) if id == before.id => None,
        other => panic!("{other:?}"),
    };
    let (_, mut alice) = alice.split();
    for wire in [&mut alice, &mut bob] {
        let Some(ServerFrame::Closing { reason, after_ms }) = wire.recv().await else { panic!("no goodbye") };
        assert_eq!(reason, ClosingReason::ShuttingDown);
        assert!(after_ms <= 1_000, "two clients come back within a second: {after_ms}");
        assert_eq!(wire.close_code().await, Some(1012));
    }
    assert_eq!(node.ended().code(), Some(0));
    assert!(!node.data_dir().join("endtoend.db-wal").exists(), "the log is back in the database");

    node.restart();
    let wanted: BTreeSet<_> = accepted.into_iter().collect();
    assert!(!delivered(&node, &bob_device, &wanted).await.contains(&after.id));
}

#[tokio::test]
async fn what_is_acknowledged_before_the_end_is_not_delivered_again() {
    let mut node = node(30);
    let (mut alice, _, mut bob, bob_device) = two(&node).await;
    for number in 1..=2 {
        alice.send(&ClientFrame::Send(numbered(&bob_device, number, 100))).await;
        assert!(matches!(bob.recv().await, Some(ServerFrame::Deliver(_))));
        assert!(matches!(alice.recv().await, Some(ServerFrame::Accepted { .. })));
    }
    let database = Connection::open(node.data_dir().join("endtoend.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The first deletion is under way and cannot end; the second waits behind it when the last connection goes.
    bob.send(&ClientFrame::Ack { up_to: DeliveryNumber(1) }).await;
    node.signal_terminate();
    until_logged(&node, "draining");
    bob.send(&ClientFrame::Ack { up_to: DeliveryNumber(2) }).await;
    for mut wire in [alice, bob] {
        assert!(matches!(wire.recv().await, Some(ServerFrame::Closing { .. })));
        assert_eq!(wire.recv().await, None);
    }
    database.execute_batch("ROLLBACK").unwrap();
    assert_eq!(node.ended().code(), Some(0));
    let rows: i64 = database.query_row("SELECT count(*) FROM queue", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

/// A client that takes nothing.
async fn clogged(node: &Node) -> Clog {
    let (.., bob, bob_device) = two(node).await;
    drop(bob);
    let mut narrow = Wire::resume_narrow(node.listen(), &bob_device).await;
    narrow.ask(Request::Attach).await;
    narrow.clog().await
}

#[tokio::test]
async fn clients_are_told_to_come_back_at_moments_of_their_own() {
    let mut node = node(30);
    let mut wires = Vec::new();
    for _ in 0..100 {
        let mut wire = Wire::connect(node.listen()).await;
        wire.hello().await;
        wires.push(wire);
    }
    node.signal_terminate();
    let mut waits = Vec::new();
    for wire in &mut wires {
        let Some(ServerFrame::Closing { after_ms, .. }) = wire.recv().await else { panic!("no goodbye") };
        waits.push(after_ms);
    }
    assert_eq!(node.ended().code(), Some(0));
    waits.sort_unstable();
    // Of a hundred that are spread evenly over a second, all beyond one of these happens once in some million times.
    assert!(waits[0] < 150 && (200..=800).contains(&waits[50]) && (850..=1_000).contains(&waits[99]), "{waits:?}");
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_at_the_deadline() {
    let mut node = node(1);
    let _clogged = clogged(&node).await;
    node.signal_terminate();
    assert_eq!(node.ended().code(), Some(0));
    assert!(log(&node).contains("the time to leave is over"), "{}", log(&node));
}

#[tokio::test]
async fn a_second_signal_waits_for_nobody() {
    let mut node = node(600);
    let _clogged = clogged(&node).await;
    node.signal_terminate();
    eventually(PATIENCE, "the drain", || state(&node) == "draining");
    node.signal_terminate();
    assert_eq!(node.ended().code(), Some(0));
    assert!(log(&node).contains("told once more"), "{}", log(&node));
}

/// When the node is killed in the middle of its drain.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// As soon as it has heard the signal.
    Told,
    /// As soon as a sender was told to come back.
    Goodbye,
    /// As soon as the last connection has gone.
    Alone,
}

#[tokio::test]
async fn a_node_that_is_killed_while_it_drains_has_lost_nothing() {
    for step in [Step::Told, Step::Goodbye, Step::Alone] {
        let mut node = node(30);
        let (alice, _, bob, bob_device) = two(&node).await;
        drop(bob);
        let (mut out, mut back) = alice.split();
        for number in 0..64 {
            out.feed(&ClientFrame::Send(numbered(&bob_device, number, 1_000))).await;
        }
        out.flush().await;
        let mut accepted = BTreeSet::new();
        let mut hear = |frame: Option<ServerFrame>| match frame {
            Some(ServerFrame::Accepted { id, .. }) => accepted.insert(id),
            Some(ServerFrame::Retry { .. }) => true,
            Some(ServerFrame::Closing { .. }) | None => false,
            other => panic!("{other:?}"),
        };
        hear(back.recv().await);
        node.signal_terminate();
        match step {
            Step::Told => until_logged(&node, "draining"),
            Step::Goodbye => while hear(back.recv().await) {},
            Step::Alone => {
                while hear(back.recv().await) {}
                drop((out, back));
                eventually(PATIENCE, "a closed admin socket", || !node.data_dir().join("admin.sock").exists());
            }
        }
        node.kill_9();
        node.restart();
        let ids = delivered(&node, &bob_device, &accepted).await;
        let once: BTreeSet<_> = ids.iter().collect();
        assert_eq!(once.len(), ids.len(), "nothing comes twice ({step:?})");
    }
}

#[tokio::test]
async fn a_node_whose_database_is_away_ends_in_time_too() {
    let server = Server::start(Settings { durable: true });
    let url = server.tcp_url(server.database().await.rsplit('/').next().unwrap(), Server::PASSWORD);
    let mut node = Node::start(options(2).on_postgres(&url));
    let (mut alice, _, bob, bob_device) = two(&node).await;
    drop(bob);
    let (kept, lost) = (numbered(&bob_device, 1, 100), numbered(&bob_device, 2, 100));
    // A database that is slow to commit is no fault: what it did not confirm in time is sent again.
    let accepted = async {
        loop {
            alice.send(&ClientFrame::Send(kept.clone())).await;
            match alice.recv().await {
                Some(ServerFrame::Accepted { .. }) => break,
                Some(ServerFrame::Retry { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, accepted).await.unwrap();
    server.kill_9();
    alice.send(&ClientFrame::Send(lost.clone())).await;
    node.signal_terminate();
    while let Some(said) = alice.recv().await {
        assert!(!matches!(said, ServerFrame::Accepted { .. }), "nothing can be accepted: {said:?}");
    }
    assert_eq!(node.ended().code(), Some(0));
    server.restart();
    node.restart();
    assert_eq!(delivered(&node, &bob_device, &[kept.id].into()).await, [kept.id]);
}

#[test]
fn conversations_go_on_over_ten_restarts() {
    const RESTARTS: usize = 10;
    const LINES: usize = 15;
    let mut scene = Scene::start_with(options(20));
    let [alice, bob] = scene.handles();
    // Whoever has written to somebody hears him at once.
    scene.alice_says("to bob 0");
    scene.bob_says("to alice 0");
    let mut talks =
        [(scene.alice.start(&["chat", "--with", bob]), "bob"), (scene.bob.start(&["chat", "--with", alice]), "alice")];
    let mut heard: [Vec<String>; 2] = Default::default();
    for round in 0..RESTARTS {
        for line in 0..LINES {
            for (talk, to) in &mut talks {
                talk.say(&format!("to {to} {}", 1 + round * LINES + line));
            }
        }
        assert_eq!(scene.node.terminate().code(), Some(0), "round {round}: {}", log(&scene.node));
        scene.node.restart();
        // Each hears some of what the other has said, so that there is always a conversation to interrupt.
        let wanted = 1 + round * LINES;
        for ((talk, _), heard) in talks.iter().zip(&mut heard) {
            while heard.len() < wanted {
                heard.push(talk.next_text());
            }
        }
    }
    for ((talk, _), (heard, me)) in talks.iter().zip(heard.iter_mut().zip(["alice", "bob"])) {
        let all: Vec<_> = (0..=RESTARTS * LINES).map(|number| format!("to {me} {number}")).collect();
        while heard.len() < all.len() {
            heard.push(talk.next_text());
        }
        assert_eq!(*heard, all, "nothing lost, doubled or misordered");
    }
}
