//! What travels over a live connection, and how one ends.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use endtoend_crypto_core::channel::{ChannelError, RECORD_OVERHEAD};
use endtoend_protocol::{
    AccountTag, ClientFrame, ClosingReason, DecodeError, DeliveryNumber, EnvelopeId, Request, RequestId, ServerFrame,
    UnixMillis, limits,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::fixture::connected;
use crate::clock;
use crate::transport::{LinkError, Said};

fn accepted() -> ServerFrame {
    ServerFrame::Accepted { id: EnvelopeId::new(UnixMillis::new(1), [2; 10]), at: UnixMillis::new(3) }
}

/// A request whose frame is a little longer than `len` bytes.
fn long_request(len: usize) -> ClientFrame {
    let request = Request::RegisterStart { account: AccountTag::new([1; 32]), opaque: Bytes::from(vec![2; len]) };
    ClientFrame::Request { id: RequestId(NonZeroU64::MIN), request }
}

#[tokio::test]
async fn frames_travel_both_ways() {
    let (link, mut server) = connected().await;
    let (mut sender, mut receiver) = link.split();
    let ack = ClientFrame::Ack { up_to: DeliveryNumber(9) };
    sender.send(&ack).await.unwrap();
    assert_eq!(ClientFrame::decode(server.hear().await.0), Ok(ack));
    server.say(&accepted()).await;
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
        let (sent, (_, record)) = tokio::join!(sending, server.hear());
        assert_eq!(sent, record + header);
    }
}

#[tokio::test]
async fn a_ping_is_answered_while_receiving() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    let serving = async {
        server.socket.send(Message::Ping(Bytes::from_static(b"still there?"))).await.unwrap();
        let pong = server.socket.next().await.unwrap().unwrap();
        server.say(&accepted()).await;
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
    server.send(b"").await; // protobuf: no kind that we know
    server.say(&accepted()).await;
    assert_eq!(receiver.recv().await.unwrap(), accepted());
}

#[tokio::test]
async fn what_is_no_frame_breaks_the_protocol() {
    for text in [false, true] {
        let (link, mut server) = connected().await;
        let (_sender, mut receiver) = link.split();
        match text {
            true => server.socket.send(Message::Text("hello".into())).await.unwrap(),
            false => server.send(&[0xff; 9]).await,
        }
        let error = receiver.recv().await.unwrap_err();
        assert!(matches!(error, LinkError::Protocol(DecodeError::Malformed)), "{error:?}");
    }
}

#[tokio::test]
async fn what_the_server_did_not_seal_here_breaks_the_connection() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    let record = Bytes::from(server.channel.sealer.seal(&accepted().encode(), Duration::ZERO).unwrap());
    server.socket.send(Message::Binary(record.clone())).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), accepted());
    server.socket.send(Message::Binary(record)).await.unwrap();
    let error = receiver.recv().await.unwrap_err();
    assert!(matches!(error, LinkError::Channel(ChannelError::Forged)), "{error:?}");

    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    server.socket.send(Message::Binary(accepted().encode())).await.unwrap();
    let error = receiver.recv().await.unwrap_err();
    assert!(matches!(error, LinkError::Channel(ChannelError::Forged)), "a frame outside of the channel: {error:?}");
}

#[tokio::test]
async fn an_oversized_frame_is_refused_with_its_length() {
    for len in [limits::FRAME_BYTES_MAX + 1, limits::FRAME_BYTES_MAX * 4] {
        let (link, mut server) = connected().await;
        let (_sender, mut receiver) = link.split();
        // The client stops reading after the header, so the server's send may never end.
        let frame = vec![0; len];
        let sending = server.send(&frame);
        let error = tokio::select! {
            biased;
            error = receiver.recv() => error.unwrap_err(),
            error = async { sending.await; std::future::pending().await } => error,
        };
        let lengths = [len, len + RECORD_OVERHEAD];
        let LinkError::Protocol(DecodeError::TooLarge { len: met }) = error else { panic!("{error:?}") };
        assert!(lengths.contains(&met), "{met}");
    }
}

#[tokio::test]
async fn an_oversized_frame_is_refused_before_its_bytes_arrive() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    let announced = limits::FRAME_BYTES_MAX + 4096;
    server.socket.get_mut().write_all(&[0x82, 127]).await.unwrap();
    server.socket.get_mut().write_u64(announced as u64).await.unwrap();
    server.socket.get_mut().flush().await.unwrap();
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
    assert_eq!(server.hear().await.0, ack.encode());
}

#[tokio::test]
async fn a_server_that_drops_in_the_middle_of_a_frame_is_lost() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    server.socket.get_mut().write_all(&[0x82, 100, 1, 2, 3]).await.unwrap(); // 3 of 100 bytes
    server.socket.get_mut().flush().await.unwrap();
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
    server.say(&ServerFrame::Closing { reason: ClosingReason::ShuttingDown, after_ms: u64::MAX }).await;
    server.socket.close(None).await.unwrap();
    let said = Said { reason: ClosingReason::ShuttingDown, come_back_after: limits::COME_BACK_MAX };
    for expected in [Some(said), None] {
        let error = receiver.recv().await.unwrap_err();
        assert!(matches!(error, LinkError::Closed { said } if said == expected), "{error:?}");
    }
}

#[tokio::test]
async fn a_goodbye_reaches_the_server_and_ends_both_halves() {
    let (link, mut server) = connected().await;
    let (sender, mut receiver) = link.split();
    let serving = async {
        let goodbye = server.socket.next().await.unwrap().unwrap();
        assert!(server.socket.next().await.is_none()); // answers the goodbye
        goodbye
    };
    let closing = async { (sender.close().await, receiver.recv().await) };
    let (goodbye, (closed, end)) = tokio::join!(serving, closing);
    assert!(goodbye.is_close());
    closed.unwrap();
    assert!(matches!(end, Err(LinkError::Closed { said: None })), "{end:?}");
}

#[tokio::test]
async fn silence_is_noticed_after_the_idle_limit() {
    let (link, _server) = connected().await;
    tokio::time::pause();
    let since = clock::monotonic();
    let error = link.split().1.recv().await.unwrap_err();
    assert!(matches!(error, LinkError::Silent(_)), "{error:?}");
    assert_eq!(since.elapsed().as_secs(), limits::IDLE_MAX.as_secs());
}

#[tokio::test]
async fn a_dropped_recv_does_not_start_the_idle_time_over() {
    let (link, _server) = connected().await;
    tokio::time::pause();
    let since = clock::monotonic();
    let (_sender, mut receiver) = link.split();
    timeout(limits::IDLE_MAX / 2, receiver.recv()).await.unwrap_err();
    assert!(matches!(receiver.recv().await, Err(LinkError::Silent(_))));
    assert_eq!(since.elapsed().as_secs(), limits::IDLE_MAX.as_secs());
}

#[tokio::test]
async fn whatever_is_heard_starts_the_idle_time_over() {
    let (link, mut server) = connected().await;
    let (_sender, mut receiver) = link.split();
    tokio::time::pause();
    timeout(limits::IDLE_MAX / 4 * 3, receiver.recv()).await.unwrap_err();
    tokio::time::resume();
    server.say(&accepted()).await;
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
    assert!(matches!(error, LinkError::Silent(_)), "{error:?}");
}

#[test]
fn both_halves_can_live_in_tasks_of_their_own() {
    fn sendable<T: Send + 'static>() {}
    sendable::<crate::transport::LinkSender>();
    sendable::<crate::transport::LinkReceiver>();
}
