//! Sockets that are handed over: whoever connects while the node restarts waits, and is not refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code: what fails here fails the test")]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use endtoend_client::transport::{self, ConnectError, Network, NetworkSettings, Traffic};
use endtoend_testkit::{Node, NodeOptions, PATIENCE, eventually};

fn socket() -> Arc<TcpListener> {
    Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
}

/// How the attempts of clients have ended.
#[derive(Debug, Default)]
struct Attempts {
    over: AtomicBool,
    /// As far as the secure channel.
    connected: AtomicU64,
    /// Told to come back, by a node that drains.
    sent_away: AtomicU64,
    /// Ended in the middle: the node was gone before the handshakes were done.
    cut: AtomicU64,
    /// Nobody listened.
    refused: AtomicU64,
}

/// Connects again and again.
async fn knock(address: String, attempts: Arc<Attempts>) {
    let address = address.parse().unwrap();
    let network = Network::new(NetworkSettings::default(), Path::new("/nowhere"));
    while !attempts.over.load(Relaxed) {
        let counter = match transport::connect(&network, &address, Traffic::Messages, PATIENCE).await {
            Ok(_) => &attempts.connected,
            Err(ConnectError::Unavailable { status: 503 }) => &attempts.sent_away,
            Err(ConnectError::Unreachable(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                &attempts.refused
            }
            Err(ConnectError::Unreachable(_)) => &attempts.cut,
            Err(error) => panic!("{error:?}"),
        };
        counter.fetch_add(1, Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_while_the_node_restarts() {
    const RESTARTS: u64 = 5;
    let mut node = Node::start(NodeOptions { socket: Some(socket()), ..NodeOptions::without_limits() });
    let attempts = Arc::new(Attempts::default());
    let knocking: Vec<_> =
        (0..4).map(|_| tokio::spawn(knock(node.address().to_owned(), Arc::clone(&attempts)))).collect();
    let until_connected = |more: u64| {
        let wanted = attempts.connected.load(Relaxed) + more;
        eventually(PATIENCE, "connections", || attempts.connected.load(Relaxed) >= wanted);
    };
    for _ in 0..RESTARTS {
        until_connected(20);
        assert_eq!(node.terminate().code(), Some(0));
        node.restart();
    }
    until_connected(20);
    attempts.over.store(true, Relaxed);
    for knocker in knocking {
        knocker.await.unwrap();
    }
    assert_eq!(attempts.refused.load(Relaxed), 0, "{attempts:?}");
    println!("{attempts:?} over {RESTARTS} restarts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_socket_that_stays_clients_are_refused_meanwhile() {
    let mut node = Node::start(NodeOptions::without_limits());
    let attempts = Arc::new(Attempts::default());
    let knocking = tokio::spawn(knock(node.address().to_owned(), Arc::clone(&attempts)));
    eventually(PATIENCE, "a connection", || attempts.connected.load(Relaxed) > 0);
    assert_eq!(node.terminate().code(), Some(0));
    eventually(PATIENCE, "a refusal", || attempts.refused.load(Relaxed) > 0);
    attempts.over.store(true, Relaxed);
    knocking.await.unwrap();
}

#[test]
fn what_is_configured_and_what_is_handed_over_must_fit() {
    for (listen, socket, words) in
        [("systemd", None, "no socket was handed over"), ("127.0.0.1:0", Some(socket()), "write listen = \"systemd\"")]
    {
        let why = Node::try_start(NodeOptions { listen: Some(listen), socket, ..NodeOptions::default() });
        let why = why.expect_err("such a node does not start");
        assert_eq!(why.code, Some(1), "{why:?}");
        assert!(why.stderr.contains(words), "{words:?} is not in {why:?}");
    }
}

#[test]
fn the_sockets_of_clients_and_of_those_who_watch_are_told_apart_by_name() {
    let (clients, admin) = (socket(), socket());
    let environment = vec![("ENDTOEND_ADMIN__LISTEN", "systemd".to_owned())];
    let options = NodeOptions {
        socket: Some(clients.clone()),
        admin_socket: Some(admin.clone()),
        environment,
        ..NodeOptions::default()
    };
    let mut node = Node::start(options);
    assert_eq!((node.listen(), node.admin()), (clients.local_addr().unwrap(), Some(admin.local_addr().unwrap())));
    assert_eq!(node.scrape().value("endtoend_ready"), 1.0);
    // Who asks while it restarts is answered by the next one.
    assert_eq!(node.terminate().code(), Some(0));
    let waiting = TcpStream::connect(admin.local_addr().unwrap()).unwrap();
    (&waiting).write_all(b"GET /healthz HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n").unwrap();
    node.restart();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    (&waiting).read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(node.admin(), Some(admin.local_addr().unwrap()));
}

#[test]
fn a_node_that_opens_its_own_address_is_watched_at_the_socket_that_it_was_given() {
    let admin = socket();
    let environment = vec![("ENDTOEND_ADMIN__LISTEN", "systemd".to_owned())];
    let node = Node::start(NodeOptions { admin_socket: Some(admin.clone()), environment, ..NodeOptions::default() });
    assert_eq!(node.admin(), Some(admin.local_addr().unwrap()));
    assert_eq!(node.scrape().value("endtoend_ready"), 1.0);
}

#[test]
fn what_is_configured_for_those_who_watch_and_what_is_handed_over_must_fit() {
    let everywhere = Arc::new(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    for (listen, admin_socket, words) in [
        ("systemd", None, "FileDescriptorName=admin"),
        ("", Some(socket()), "[admin] listen is not \"systemd\""),
        ("127.0.0.1:0", Some(socket()), "[admin] listen is not \"systemd\""),
        ("systemd", Some(everywhere), "without a login"),
    ] {
        let environment = vec![("ENDTOEND_ADMIN__LISTEN", listen.to_owned())];
        let why = Node::try_start(NodeOptions { admin_socket, environment, ..NodeOptions::default() });
        let why = why.expect_err("such a node does not start");
        assert_eq!(why.code, Some(1), "{why:?}");
        assert!(why.stderr.contains(words), "{words:?} is not in {why:?}");
    }
}

#[test]
fn whoever_started_the_node_is_told_when_it_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let heard = UnixDatagram::bind(&path).unwrap();
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = vec![("NOTIFY_SOCKET", path.to_str().unwrap().to_owned())];
    let mut node = Node::start(NodeOptions { environment, ..NodeOptions::default() });
    let next = || {
        let mut bytes = [0; 256];
        let len = heard.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    assert_eq!(next(), "READY=1\nSTATUS=\n");
    assert_eq!(node.terminate().code(), Some(0));
    assert_eq!(next(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=31000000\n");
}
