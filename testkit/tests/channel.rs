//! What a node makes of those who tamper with its secure channel.
#![expect(clippy::panic, reason = "test code: an answer that was not expected fails the test")]

use std::num::NonZeroU64;
use std::time::Duration;

use endtoend_crypto_core::channel::{CHUNK_BYTES_MAX, Initiator, Introduction, Step, chunks};
use endtoend_protocol::{
    ClientFrame, ClosingReason, DeliveryNumber, Refusal, RefusalCode, Request, RequestId, ServerFrame, VERSION,
};
use endtoend_testkit::{Node, NodeOptions, Unsecured, Wire};

fn node() -> Node {
    Node::start(NodeOptions::default())
}

fn refused(frame: Option<ServerFrame>) -> RefusalCode {
    match frame {
        Some(ServerFrame::Refused { refusal: Refusal { code, .. }, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

/// Closed after saying why.
async fn assert_closes(wire: &mut Wire, reason: ClosingReason) {
    assert_eq!(wire.recv().await, Some(ServerFrame::Closing { reason, after_ms: 0 }));
    assert_eq!(wire.recv().await, None);
}

#[tokio::test]
async fn a_frame_outside_of_the_channel_is_not_heard() {
    let node = node();
    let hello = Request::Hello { version_min: VERSION, version_max: VERSION, server_password: Default::default() };
    let hello = ClientFrame::Request { id: RequestId(NonZeroU64::MIN), request: hello };
    let mut bare = Unsecured::connect(node.listen()).await;
    bare.hear(Step::Introduction).await;
    bare.send(hello.encode()).await;
    assert_eq!(bare.recv().await, Err("channel_broken".to_owned()));
    // Also when there is a channel.
    let mut wire = Wire::connect(node.listen()).await;
    wire.send_record(hello.encode()).await;
    assert_closes(&mut wire, ClosingReason::ChannelBroken).await;
    Wire::connect(node.listen()).await.hello().await;
}

#[tokio::test]
async fn replayed_and_reordered_records_end_the_connection() {
    let node = node();
    let ack = ClientFrame::Ack { up_to: DeliveryNumber(1) }.encode();
    let mut wire = Wire::connect(node.listen()).await;
    let record = wire.record(&ack);
    wire.send_record(record.clone()).await;
    assert_eq!(refused(wire.recv().await), RefusalCode::NotAuthenticated);
    wire.send_record(record).await;
    assert_closes(&mut wire, ClosingReason::ChannelBroken).await;

    let mut wire = Wire::connect(node.listen()).await;
    let (_left_out, early) = (wire.record(&ack), wire.record(&ack));
    wire.send_record(early).await;
    assert_closes(&mut wire, ClosingReason::ChannelBroken).await;
}

#[tokio::test]
async fn a_handshake_that_is_not_one_ends_the_connection() {
    let node = node();
    let full = vec![0; CHUNK_BYTES_MAX];
    for first in [vec![], vec![2, 0], vec![3, 0, 1], [&[2, 9][..], &full].concat(), vec![0; 100_000]] {
        let mut bare = Unsecured::connect(node.listen()).await;
        bare.hear(Step::Introduction).await;
        bare.send(first).await;
        assert_eq!(bare.recv().await, Err("channel_broken".to_owned()));
    }
    // The right length, made for nobody.
    let mut bare = Unsecured::connect(node.listen()).await;
    bare.hear(Step::Introduction).await;
    bare.send([&[2, 0][..], &[1; 3184]].concat()).await;
    assert_eq!(bare.recv().await, Err("channel_broken".to_owned()));
}

#[tokio::test]
async fn a_replayed_initiate_gives_nothing() {
    let node = node();
    let mut first = Unsecured::connect(node.listen()).await;
    let introduction = Introduction::read(&first.hear(Step::Introduction).await).unwrap();
    let begun = Initiator::start(&mut rand::rng(), &introduction.keys, introduction.as_bytes());
    let (initiator, initiate) = begun.unwrap();
    let initiate = chunks(Step::Initiate, &initiate).remove(0);
    first.send(initiate.clone()).await;
    let mut channel = initiator.finish(&first.hear(Step::Respond).await).unwrap();
    let record = channel.sealer.seal(b"", Duration::ZERO).unwrap();
    // Somebody who recorded it all repeats it on a connection of his own.
    let mut second = Unsecured::connect(node.listen()).await;
    assert_eq!(second.hear(Step::Introduction).await, introduction.as_bytes());
    second.send(initiate).await;
    second.hear(Step::Respond).await;
    second.send(record).await;
    let said = second.recv().await;
    assert!(said.is_ok(), "a record that only the first could read, which says why: {said:?}");
    assert_eq!(second.recv().await, Err("channel_broken".to_owned()));
}

#[tokio::test]
async fn the_identity_survives_restarts_and_its_keys_do_not() {
    let mut node = node();
    let introduction = async |node: &Node| {
        Introduction::read(&Unsecured::connect(node.listen()).await.hear(Step::Introduction).await).unwrap()
    };
    let before = introduction(&node).await;
    node.kill_9();
    node.restart();
    let after = introduction(&node).await;
    assert_eq!(before.fingerprint, after.fingerprint);
    assert_ne!(before.keys.to_bytes(), after.keys.to_bytes());
    assert!(node.address().ends_with(&hex::encode(after.fingerprint)), "the address pins it");
}
