//! Whom limits are for, when connections come through an edge.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code: an answer that was not expected fails the test")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use endtoend_crypto_core::oprf::Blinding;
use endtoend_protocol::{Answer, Refusal, RefusalCode, Request, ServerFrame};
use endtoend_testkit::{Node, NodeOptions, PATIENCE, Unsecured};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const EDGE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// One look-up for each address, and an edge at 127.0.0.2.
fn node(edges: &str) -> Node {
    let environment = vec![
        ("ENDTOEND_GATEWAY__PROXY_FROM", edges.to_owned()),
        ("ENDTOEND_LIMITS__STRANGER_LOOKUP", "{ burst = 1, every_ms = 3600000 }".to_owned()),
    ];
    Node::start(NodeOptions { environment, ..NodeOptions::default() })
}

fn header(client: &str) -> Vec<u8> {
    let client: SocketAddrV4 = client.parse().unwrap();
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(client.ip().octets());
    bytes.extend([10, 0, 0, 1]);
    bytes.extend(client.port().to_be_bytes());
    bytes.extend([0x20, 0xfb]);
    bytes
}

/// Whether somebody who says this first is there, and may look a handle up without work.
async fn looks_up(node: &Node, from: Ipv4Addr, first: &[u8]) -> Option<bool> {
    let mut wire = Unsecured::reach_saying(from, node.listen(), first).await.ok()?.secure().await;
    wire.hello().await;
    let (_, blinded) = Blinding::start(&mut rand::rng(), &"alice".parse().unwrap()).unwrap();
    match wire.ask(Request::Evaluate { blinded }).await {
        ServerFrame::Answer { answer: Answer::Evaluated { .. }, .. } => Some(true),
        ServerFrame::Refused { refusal: Refusal { code: RefusalCode::Work, .. }, .. } => Some(false),
        other => panic!("neither evaluated nor refused: {other:?}"),
    }
}

#[tokio::test]
async fn limits_are_for_whom_an_edge_names_and_nobody_else_is_believed() {
    let node = node("[\"127.0.0.2\"]");
    // Two people behind one edge, each with a limit of his own, whatever the port.
    assert_eq!(looks_up(&node, EDGE, &header("192.0.2.1:1000")).await, Some(true));
    assert_eq!(looks_up(&node, EDGE, &header("192.0.2.1:2000")).await, Some(false));
    assert_eq!(looks_up(&node, EDGE, &header("192.0.2.2:1000")).await, Some(true));
    // Whoever is no edge counts for himself, and cannot say to be somebody else.
    assert_eq!(looks_up(&node, OTHER, &[]).await, Some(true));
    assert_eq!(looks_up(&node, OTHER, &[]).await, Some(false));
    assert_eq!(looks_up(&node, OTHER, &header("192.0.2.3:1000")).await, None);
    // An edge that names nobody is not let in.
    assert_eq!(looks_up(&node, EDGE, &[]).await, None);
    // A check is the edge's own.
    let check = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    assert_eq!(looks_up(&node, EDGE, check).await, Some(true));
    assert_eq!(looks_up(&node, EDGE, check).await, Some(false));
}

#[tokio::test]
async fn without_edges_nobody_is_believed() {
    let node = node("[]");
    assert_eq!(looks_up(&node, EDGE, &header("192.0.2.1:1000")).await, None);
    assert_eq!(looks_up(&node, EDGE, &[]).await, Some(true));
}

#[tokio::test]
async fn a_header_that_is_wrong_or_slow_ends_the_connection_and_no_other() {
    let node = node("[\"127.0.0.1\"]");
    let ended = async |bytes: &[u8]| {
        let mut tcp = TcpStream::connect(node.listen()).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let end = timeout(PATIENCE, tcp.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "still open after {PATIENCE:?}: {bytes:?}");
    };
    let whole = header("192.0.2.1:1000");
    let mut long = whole.clone();
    long.splice(14..16, [0xff, 0xff]);
    let mut udp = whole.clone();
    udp.splice(13..14, [0x12]);
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(), long, udp] {
        ended(&bytes).await;
    }
    // Half a header holds nobody up, and goes with the deadline of all beginnings.
    let half = whole.get(..20).unwrap();
    let (looked_up, ()) = tokio::join!(
        async {
            let mut slow = TcpStream::connect(node.listen()).await.unwrap();
            slow.write_all(half).await.unwrap();
            timeout(Duration::from_secs(60), looks_up(&node, Ipv4Addr::LOCALHOST, &whole)).await.unwrap()
        },
        ended(half)
    );
    assert_eq!(looked_up, Some(true));
}
