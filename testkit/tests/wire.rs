//! What a node makes of clients that break the rules, and of those that use them up.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: an answer that was not expected fails the test"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use endtoend_protocol::{
    AccountTag, ClientFrame, ClosingReason, DeliveryNumber, Envelope, EnvelopeId, Refusal, RefusalCode, Relation,
    Request, RetryReason, ServerFrame, UnixMillis, VERSION, limits,
};
use endtoend_testkit::{Device, Node, NodeOptions, PATIENCE, Wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const ALICE: AccountTag = AccountTag::new([0xa; 32]);
const BOB: AccountTag = AccountTag::new([0xb; 32]);

fn node() -> Node {
    Node::start(NodeOptions::without_limits())
}

fn refused(frame: Option<ServerFrame>) -> RefusalCode {
    match frame {
        Some(ServerFrame::Refused { refusal: Refusal { code, .. }, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

/// An envelope that no other test step uses.
fn numbered(to: &Device, number: u32) -> Envelope {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Envelope { id: EnvelopeId::new(UnixMillis::new(1), random), ..to.envelope(1, 100) }
}

/// Closed after saying why.
async fn assert_closes(wire: &mut Wire, reason: ClosingReason) {
    assert_eq!(wire.recv().await, Some(ServerFrame::Closing { reason, after_ms: 0 }));
    assert_eq!(wire.recv().await, None);
}

#[tokio::test]
async fn frames_before_the_login_are_refused() {
    let node = node();
    let (_, bob) = Wire::register(node.listen(), BOB).await;
    let mut wire = Wire::connect(node.listen()).await;
    assert_eq!(refused(Some(wire.ask(Request::Attach).await)), RefusalCode::NotAuthenticated);
    wire.hello().await;
    assert_eq!(refused(Some(wire.ask(Request::Attach).await)), RefusalCode::NotAuthenticated);
    let fetch = Request::FetchBundles { account: BOB };
    assert_eq!(refused(Some(wire.ask(fetch).await)), RefusalCode::NotAuthenticated);
    wire.send(&ClientFrame::Send(bob.envelope(1, 10))).await;
    assert_eq!(refused(wire.recv().await), RefusalCode::NotAuthenticated);
    wire.send(&ClientFrame::Ack { up_to: DeliveryNumber(1) }).await;
    assert_eq!(refused(wire.recv().await), RefusalCode::NotAuthenticated);
}

/// A way to the node on which each byte takes this long, either way.
async fn far_away(node: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("a client");
        let (there, back) = client.into_split();
        let (from_node, to_node) = TcpStream::connect(node).await.expect("the node listens").into_split();
        tokio::join!(carry(there, to_node, delay), carry(from_node, back, delay));
    });
    at
}

/// Hands on what comes so long after it has come.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (on_its_way, mut arrives) = mpsc::unbounded_channel();
    let leaves = async move {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let _gone = on_its_way.send((Instant::now() + delay, bytes[..length].to_vec()));
        }
    };
    let comes = async move {
        while let Some((at, bytes)) = arrives.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(leaves, comes);
}

/// From the WebSocket to the hello it takes two round trips, which are 12 s here: as long as through Tor at its worst.
#[tokio::test]
async fn who_is_far_away_has_the_time_for_a_hello() {
    let node = node();
    let mut wire = Wire::connect(far_away(node.listen(), Duration::from_secs(3)).await).await;
    wire.hello().await;
}

#[tokio::test]
async fn a_version_from_the_future_is_refused_and_another_may_be_offered() {
    let node = node();
    let mut wire = Wire::connect(node.listen()).await;
    let hello =
        Request::Hello { version_min: VERSION + 1, version_max: VERSION + 7, server_password: Default::default() };
    assert_eq!(refused(Some(wire.ask(hello).await)), RefusalCode::Version);
    wire.hello().await;
}

#[tokio::test]
async fn an_unknown_kind_of_frame_is_refused_and_the_connection_lives() {
    let node = node();
    let mut wire = Wire::connect(node.listen()).await;
    // Field 1000, length-delimited, empty: a frame of a later version.
    wire.send_bytes(vec![0xc2, 0x3e, 0x00]).await;
    assert_eq!(refused(wire.recv().await), RefusalCode::Unsupported);
    wire.hello().await;
}

#[tokio::test]
async fn bytes_that_are_no_frame_end_the_connection() {
    let node = node();
    let mut wire = Wire::connect(node.listen()).await;
    wire.send_bytes(vec![0xff; 40]).await;
    assert_closes(&mut wire, ClosingReason::Malformed).await;
    Wire::connect(node.listen()).await.hello().await;
}

#[tokio::test]
async fn an_oversized_frame_ends_the_connection() {
    let node = node();
    let mut wire = Wire::connect(node.listen()).await;
    wire.send_bytes(vec![0; limits::FRAME_BYTES_MAX + 1]).await;
    // The reason may be lost: the server stops reading in the middle of the frame.
    let said = wire.recv().await;
    assert!(matches!(said, None | Some(ServerFrame::Closing { reason: ClosingReason::TooLarge, .. })), "{said:?}");
    Wire::connect(node.listen()).await.hello().await;
}

#[tokio::test]
async fn whoever_breaks_the_rules_too_often_is_closed() {
    let node = node();
    let mut wire = Wire::connect(node.listen()).await;
    for _ in 0..limits::REFUSALS_MAX {
        assert_eq!(refused(Some(wire.ask(Request::Attach).await)), RefusalCode::NotAuthenticated);
    }
    assert_closes(&mut wire, ClosingReason::TooManyErrors).await;
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_not_delivered_is_refused() {
    let node = node();
    let (mut wire, _) = Wire::register(node.listen(), BOB).await;
    wire.send(&ClientFrame::Ack { up_to: DeliveryNumber(1) }).await;
    assert_eq!(refused(wire.recv().await), RefusalCode::OutOfOrder);
    wire.ask(Request::Attach).await;
    wire.send(&ClientFrame::Ack { up_to: DeliveryNumber(1) }).await;
    assert_eq!(refused(wire.recv().await), RefusalCode::Invalid);
}

#[tokio::test]
async fn sends_beyond_the_window_are_to_be_repeated() {
    let node = node();
    let (_, bob) = Wire::register(node.listen(), BOB).await;
    let (mut wire, _) = Wire::register(node.listen(), ALICE).await;

    // While somebody else writes to the database nothing can be accepted.
    let database = rusqlite::Connection::open(node.data_dir().join("endtoend.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let envelopes: Vec<_> = (0..=limits::SEND_WINDOW).map(|number| numbered(&bob, number)).collect();
    for envelope in &envelopes {
        wire.send(&ClientFrame::Send(envelope.clone())).await;
    }
    let (excess, window) = envelopes.split_last().unwrap();
    let first = wire.recv().await;
    assert!(
        matches!(first, Some(ServerFrame::Retry { id, reason: RetryReason::Window, .. }) if id == excess.id),
        "{first:?}"
    );
    database.execute_batch("COMMIT").unwrap();

    let mut accepted = Vec::new();
    for _ in window {
        match wire.recv().await {
            Some(ServerFrame::Accepted { id, .. }) => accepted.push(id),
            other => panic!("not accepted: {other:?}"),
        }
    }
    accepted.sort_unstable();
    assert_eq!(accepted, window.iter().map(|envelope| envelope.id).collect::<Vec<_>>());
    wire.send(&ClientFrame::Send(excess.clone())).await;
    assert!(matches!(wire.recv().await, Some(ServerFrame::Accepted { .. })), "there is room again");
}

#[tokio::test]
async fn a_full_queue_asks_to_wait_and_takes_more_once_it_is_emptier() {
    let node = node();
    let (mut bob_wire, bob) = Wire::register(node.listen(), BOB).await;
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    // What a stranger may leave is less.
    bob_wire.decide(ALICE, Some(Relation::Accepted)).await;
    drop(bob_wire);
    let full = limits::QUEUE_ENVELOPES_MAX;
    let mut sent = 0;
    for answered in 0..full {
        while sent < full && sent < answered + limits::SEND_WINDOW {
            alice.send(&ClientFrame::Send(numbered(&bob, sent))).await;
            sent += 1;
        }
        let answer = alice.recv().await;
        assert!(matches!(answer, Some(ServerFrame::Accepted { .. })), "{answer:?}");
    }
    let one_more = ClientFrame::Send(numbered(&bob, full));
    alice.send(&one_more).await;
    let answer = alice.recv().await;
    assert!(matches!(answer, Some(ServerFrame::Retry { reason: RetryReason::QueueFull, .. })), "{answer:?}");
    // A repeat of what is queued is still answered with what is true.
    alice.send(&ClientFrame::Send(numbered(&bob, 0))).await;
    let answer = alice.recv().await;
    assert!(matches!(answer, Some(ServerFrame::Accepted { .. })), "{answer:?}");

    let mut wire = Wire::resume(node.listen(), &bob).await;
    wire.ask(Request::Attach).await;
    assert_deliveries(&mut wire, &bob, 0..limits::DELIVER_WINDOW).await;
    wire.send(&ClientFrame::Ack { up_to: DeliveryNumber(limits::DELIVER_WINDOW.into()) }).await;
    // The next window is read from the store once the first has left it.
    assert_deliveries(&mut wire, &bob, limits::DELIVER_WINDOW..limits::DELIVER_WINDOW + 1).await;
    drop(wire);
    let taken = async {
        loop {
            alice.send(&one_more).await;
            match alice.recv().await {
                Some(ServerFrame::Accepted { .. }) => break,
                Some(ServerFrame::Retry { .. }) => {} // the acknowledged rows are on their way out
                other => panic!("not accepted: {other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.unwrap();
}

#[tokio::test]
async fn nothing_is_accepted_while_the_database_is_locked_and_nothing_is_lost() {
    let node = node();
    let (_, bob) = Wire::register(node.listen(), BOB).await;
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    let database = rusqlite::Connection::open(node.data_dir().join("endtoend.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let envelope = ClientFrame::Send(numbered(&bob, 0));
    alice.send(&envelope).await;
    let answer = alice.recv().await;
    assert!(matches!(answer, Some(ServerFrame::Retry { reason: RetryReason::Unavailable, .. })), "{answer:?}");
    database.execute_batch("COMMIT").unwrap();
    alice.send(&envelope).await;
    let answer = alice.recv().await;
    assert!(matches!(answer, Some(ServerFrame::Accepted { .. })), "{answer:?}");
    let mut wire = Wire::resume(node.listen(), &bob).await;
    wire.ask(Request::Attach).await;
    assert_deliveries(&mut wire, &bob, 0..1).await;
}

#[tokio::test]
async fn what_was_sent_after_a_refused_envelope_does_not_overtake_it_wherever_it_is() {
    let node = node();
    let (mut bob_wire, bob) = Wire::register(node.listen(), BOB).await;
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    bob_wire.decide(ALICE, Some(Relation::Accepted)).await;
    drop(bob_wire);
    let send = |number| ClientFrame::Send(numbered(&bob, number));
    alice.send(&ClientFrame::RetriesHeard { count: 0 }).await;
    let database = rusqlite::Connection::open(node.data_dir().join("endtoend.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The commit of the first fails; the others are on their way already, and the store would take them.
    for number in 0..3 {
        alice.send(&send(number)).await;
    }
    let answer = alice.recv().await;
    assert!(matches!(answer, Some(ServerFrame::Retry { reason: RetryReason::Unavailable, .. })), "{answer:?}");
    database.execute_batch("COMMIT").unwrap();
    for _ in 1..3 {
        let answer = alice.recv().await;
        assert!(matches!(answer, Some(ServerFrame::Retry { .. })), "{answer:?}");
    }
    alice.send(&send(3)).await;
    let answer = alice.recv().await;
    assert!(matches!(answer, Some(ServerFrame::Retry { reason: RetryReason::Busy, .. })), "{answer:?}");
    alice.send(&ClientFrame::RetriesHeard { count: 4 }).await;
    for number in 0..4 {
        alice.send(&send(number)).await;
    }
    for _ in 0..4 {
        let answer = alice.recv().await;
        assert!(matches!(answer, Some(ServerFrame::Accepted { .. })), "{answer:?}");
    }
    let mut wire = Wire::resume(node.listen(), &bob).await;
    wire.ask(Request::Attach).await;
    assert_deliveries(&mut wire, &bob, 0..4).await;
}

#[tokio::test]
async fn an_envelope_for_nobody_is_rejected() {
    let node = node();
    let (mut wire, alice) = Wire::register(node.listen(), ALICE).await;
    let mut envelope = alice.envelope(1, 10);
    envelope.to.account = BOB;
    wire.send(&ClientFrame::Send(envelope.clone())).await;
    let answer = wire.recv().await;
    assert!(matches!(answer, Some(ServerFrame::Rejected { id, .. }) if id == envelope.id), "{answer:?}");
}

#[tokio::test]
async fn a_reader_that_never_acknowledges_gets_one_window() {
    let node = node();
    let (bob_wire, bob) = Wire::register(node.listen(), BOB).await;
    drop(bob_wire);
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    let total = limits::DELIVER_WINDOW + 6;
    for number in 0..total {
        alice.send(&ClientFrame::Send(numbered(&bob, number))).await;
        let answer = alice.recv().await;
        assert!(matches!(answer, Some(ServerFrame::Accepted { .. })), "{answer:?}");
    }

    let mut wire = Wire::resume(node.listen(), &bob).await;
    wire.ask(Request::Attach).await;
    let window = limits::DELIVER_WINDOW;
    assert_deliveries(&mut wire, &bob, 0..window).await;
    // What comes next is the answer to a question, and not one more delivery.
    let answer = wire.ask(Request::FetchBundles { account: BOB }).await;
    assert!(matches!(answer, ServerFrame::Answer { .. }), "{answer:?}");
    wire.send(&ClientFrame::Ack { up_to: DeliveryNumber(window.into()) }).await;
    assert_deliveries(&mut wire, &bob, window..total).await;
}

#[tokio::test]
async fn what_was_not_acknowledged_is_delivered_again_after_a_crash() {
    let mut node = node();
    let (bob_wire, bob) = Wire::register(node.listen(), BOB).await;
    drop(bob_wire);
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    for number in 0..3 {
        alice.send(&ClientFrame::Send(numbered(&bob, number))).await;
        assert!(matches!(alice.recv().await, Some(ServerFrame::Accepted { .. })));
    }
    let mut wire = Wire::resume(node.listen(), &bob).await;
    wire.ask(Request::Attach).await;
    assert_deliveries(&mut wire, &bob, 0..3).await;
    node.kill_9();
    node.restart();
    let mut wire = Wire::resume(node.listen(), &bob).await;
    wire.ask(Request::Attach).await;
    assert_deliveries(&mut wire, &bob, 0..3).await;
}

#[tokio::test]
async fn a_device_is_attached_in_one_place() {
    let node = node();
    let (mut first, bob) = Wire::register(node.listen(), BOB).await;
    first.ask(Request::Attach).await;
    let mut second = Wire::resume(node.listen(), &bob).await;
    second.ask(Request::Attach).await;
    assert_closes(&mut first, ClosingReason::Replaced).await;
}

#[tokio::test]
async fn a_node_that_stops_says_so() {
    let mut node = node();
    let mut wire = Wire::connect(node.listen()).await;
    wire.hello().await;
    assert!(node.terminate().success());
    let said = wire.recv().await;
    assert!(matches!(said, Some(ServerFrame::Closing { reason: ClosingReason::ShuttingDown, .. })), "{said:?}");
    assert_eq!(wire.recv().await, None);
}

/// The next frames are these envelopes, in order, with the delivery numbers that follow from it.
async fn assert_deliveries(wire: &mut Wire, to: &Device, numbers: std::ops::Range<u32>) {
    for number in numbers {
        match wire.recv().await {
            Some(ServerFrame::Deliver(deliver)) => {
                assert_eq!(deliver.id, numbered(to, number).id);
                assert_eq!(deliver.delivery, DeliveryNumber(u64::from(number) + 1));
            }
            other => panic!("no delivery: {other:?}"),
        }
    }
}
