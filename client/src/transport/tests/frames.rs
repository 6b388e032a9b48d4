//! What travels over a live connection, and how one ends.

use std::num::NonZeroU64;

use bytes::Bytes;
use endtoend_protocol::{
    AccountTag, ClientFrame, ClosingReason, DecodeError, DeliveryNumber, EnvelopeId, Request, RequestId, ServerFrame,
    UnixMillis, limits,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::fixture::{ServerSocket, connected};
use crate::clock;
use crate::transport::LinkError;

fn accepted() -> ServerFrame {
    ServerFrame::Accepted { id: EnvelopeId::new(UnixMillis::new(1), [2; 10]), at: UnixMillis::new(3) }
}

/// A request whose frame is a little longer than `len` bytes.
fn long_request(len: usize) -> ClientFrame {
    let request = Request::RegisterStart { account: AccountTag::new([1; 32]), opaque: Bytes::from(vec![2; len]) };
    ClientFrame::Request { id: RequestId(NonZeroU64::MIN), request }
}

async fn say(server: &mut ServerSocket, frame: &ServerFrame) {
    server.send(Message::Binary(frame.encode())).await.unwrap();
}

#[tokio::test]
async fn frames_travel_both_ways() {
    let (link, mut server) = connected().await;
    let (mut sender, mut receiver) = link.split();
    let ack = ClientFrame::Ack { up_to: DeliveryNumber(9) };
    sender.send(&ack).await.unwrap();
    let heard = server.next().await.unwrap().unwrap().into_data();
    assert_eq!(ClientFrame::decode(heard), Ok(ack));
    say(&mut server, &accepted()).await;
    assert_eq!(receiver.recv().await.unwrap(), accepted());
}

/// The header's length field grows at 126 and 65 536 bytes (RFC 6455, section 5.2).
#[tokio::test]
async fn the_bytes_of_a_frame_are_counted_with_its_header() {
    let (link, mut server) = connected().await;
    let (mut sender, _receiver) = link.split();
    for (filling, header) in [(1, 6), (200, 8), (70_000, 14)] {
        let frame = long_request(filling);
        let sending = async { sender.send(&frame).await.unwrap() };
        let (sent, heard) = tokio::join!(sending, server.next());
        let payload = heard.unwrap().unwrap().into_data();
        assert_eq!(sent, payload.len() + header);
    }
}

#[tokio::test]
async fn a_ping_is_answered_while_receiving() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    let serving = async {
        server.send(Message::Ping(Bytes::from_static(b"still there?"))).await.unwrap();
        let pong = server.next().await.unwrap().unwrap();
        say(&mut server, &accepted()).await;
        pong
    };
    let (pong, frame) = tokio::join!(serving, receiver.recv());
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"still there?")));
    assert_eq!(frame.unwrap(), accepted());
}

#[tokio::test]
async fn unknown_kinds_of_frame_are_skipped() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    server.send(Message::Binary(Bytes::new())).await.unwrap(); // protobuf: no kind that we know
    say(&mut server, &accepted()).await;
    assert_eq!(receiver.recv().await.unwrap(), accepted());
}

#[tokio::test]
async fn what_is_no_frame_breaks_the_protocol() {
    for nonsense in [Message::Binary(Bytes::from_static(&[0xff; 9])), Message::Text("hello".into())] {
        let (link, mut server) = connected().await;
        let (_sender, mut receiver) = link.split();
        server.send(nonsense).await.unwrap();
        let error = receiver.recv().await.unwrap_err();
        assert!(matches!(error, LinkError::Protocol(DecodeError::Malformed)), "{error:?}");
    }
}

#[tokio::test]
async fn an_oversized_frame_is_refused_with_its_length() {
    for len in [limits::FRAME_BYTES_MAX + 1, limits::FRAME_BYTES_MAX * 4] {
        let (link, mut server) = connected().await;
        let (_sender, mut receiver) = link.split();
        // The client stops reading after the header, so the server's send may never end.
        let sending = server.send(Message::Binary(Bytes::from(vec![0; len])));
        let error = tokio::select! {
            biased;
            error = receiver.recv() => error.unwrap_err(),
            error = async { sending.await.unwrap(); std::future::pending().await } => error,
        };
        assert!(matches!(error, LinkError::Protocol(DecodeError::TooLarge { len: met }) if met == len), "{error:?}");
    }
}

#[tokio::test]
async fn an_oversized_frame_is_refused_before_its_bytes_arrive() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    let announced = limits::FRAME_BYTES_MAX + 4096;
    server.get_mut().write_all(&[0x82, 127]).await.unwrap();
    server.get_mut().write_u64(announced as u64).await.unwrap();
    server.get_mut().flush().await.unwrap();
    let error = receiver.recv().await.unwrap_err();
    assert!(matches!(error, LinkError::Protocol(DecodeError::TooLarge { len }) if len == announced), "{error:?}");
}

#[tokio::test]
async fn an_oversized_frame_of_our_own_is_not_sent() {
    let (link, mut server) = connected().await;
    let (mut sender, _receiver) = link.split();
    let error = sender.send(&long_request(limits::FRAME_BYTES_MAX)).await.unwrap_err();
    assert!(matches!(error, LinkError::Protocol(DecodeError::TooLarge { .. })), "{error:?}");
    let ack = ClientFrame::Ack { up_to: DeliveryNumber(1) };
    sender.send(&ack).await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap().into_data(), ack.encode());
}

#[tokio::test]
async fn a_server_that_drops_in_the_middle_of_a_frame_is_lost() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    server.get_mut().write_all(&[0x82, 100, 1, 2, 3]).await.unwrap(); // 3 of 100 bytes
    server.get_mut().flush().await.unwrap();
    drop(server);
    let error = receiver.recv().await.unwrap_err();
    assert!(matches!(error, LinkError::Lost(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_drops_between_frames_is_lost() {
    let (link, server) = connected().await;
    drop(server);
    let error = link.split().1.recv().await.unwrap_err();
    assert!(matches!(error, LinkError::Lost(_)), "{error:?}");
}

#[tokio::test]
async fn the_reason_of_a_closing_server_arrives() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    say(&mut server, &ServerFrame::Closing(ClosingReason::Replaced)).await;
    server.close(None).await.unwrap();
    for expected in [Some(ClosingReason::Replaced), None] {
        let error = receiver.recv().await.unwrap_err();
        assert!(matches!(error, LinkError::Closed { reason } if reason == expected), "{error:?}");
    }
}

#[tokio::test]
async fn a_goodbye_reaches_the_server_and_ends_both_halves() {
    let (link, mut server) = connected().await;
    let (sender, mut receiver) = link.split();
    let serving = async {
        let goodbye = server.next().await.unwrap().unwrap();
        assert!(server.next().await.is_none()); // answers the goodbye
        goodbye
    };
    let closing = async { (sender.close().await, receiver.recv().await) };
    let (goodbye, (closed, end)) = tokio::join!(serving, closing);
    assert!(goodbye.is_close());
    closed.unwrap();
    assert!(matches!(end, Err(LinkError::Closed { reason: None })), "{end:?}");
}

#[tokio::test]
async fn silence_is_noticed_after_the_idle_limit() {
    let (link, _server) = connected().await;
    tokio::time::pause();
    let since = clock::monotonic();
    let error = link.split().1.recv().await.unwrap_err();
    assert!(matches!(error, LinkError::Silent), "{error:?}");
    assert_eq!(since.elapsed().as_secs(), limits::IDLE_MAX.as_secs());
}

#[tokio::test]
async fn a_dropped_recv_does_not_start_the_idle_time_over() {
    let (link, _server) = connected().await;
    tokio::time::pause();
    let since = clock::monotonic();
    let (_sender, mut receiver) = link.split();
    timeout(limits::IDLE_MAX / 2, receiver.recv()).await.unwrap_err();
    assert!(matches!(receiver.recv().await, Err(LinkError::Silent)));
    assert_eq!(since.elapsed().as_secs(), limits::IDLE_MAX.as_secs());
}

#[tokio::test]
async fn whatever_is_heard_starts_the_idle_time_over() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    tokio::time::pause();
    timeout(limits::IDLE_MAX / 4 * 3, receiver.recv()).await.unwrap_err();
    tokio::time::resume();
    say(&mut server, &accepted()).await;
    receiver.recv().await.unwrap();
    tokio::time::pause();
    timeout(limits::IDLE_MAX / 4 * 3, receiver.recv()).await.unwrap_err();
}

#[tokio::test]
async fn a_server_that_does_not_read_is_noticed_while_sending() {
    let (link, _server) = connected().await;
    let (mut sender, _receiver) = link.split();
    tokio::time::pause();
    let frame = long_request(limits::FRAME_BYTES_MAX / 2);
    let error = loop {
        if let Err(error) = sender.send(&frame).await {
            break error;
        }
    };
    assert!(matches!(error, LinkError::Silent), "{error:?}");
}

#[test]
fn both_halves_can_live_in_tasks_of_their_own() {
    fn sendable<T: Send + 'static>() {}
    sendable::<crate::transport::LinkSender>();
    sendable::<crate::transport::LinkReceiver>();
}
