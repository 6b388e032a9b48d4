//! Servers that are away, too old, or something else; and who may open sockets at all.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::fixture::{Authority, PATIENCE, address, connect, connected, server, wss_server};
use crate::address::KeyHash;
use crate::transport::ConnectError;

const ANY_PIN: KeyHash = KeyHash([1; 32]);

#[tokio::test]
async fn the_post_quantum_key_exchange_is_preferred() {
    let (link, _server) = connected().await;
    assert_eq!(link.negotiated_group(), "X25519MLKEM768");
}

#[tokio::test]
async fn a_server_without_the_post_quantum_key_exchange_is_still_reached() {
    let authority = Authority::new("authority");
    let provider = rustls::crypto::CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    let (port, _server) = wss_server(authority.identity().config_with(provider, &rustls::version::TLS13)).await;
    let link = connect(&address(port, authority.pin), PATIENCE).await.unwrap();
    assert_eq!(link.negotiated_group(), "X25519");
}

#[tokio::test]
async fn both_ends_agree_on_the_channel_binding_and_each_connection_has_its_own() {
    let (link, server) = connected().await;
    assert_eq!(link.channel_binding(), server.channel.binding);
    let (other, _server) = connected().await;
    assert_ne!(link.channel_binding(), other.channel_binding());
}

#[tokio::test]
async fn a_server_that_speaks_only_tls_1_2_is_refused() {
    let authority = Authority::new("authority");
    let config = authority.identity().config_with(default_provider(), &rustls::version::TLS12);
    let (port, _server) = wss_server(config).await;
    let error = connect(&address(port, authority.pin), PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(_)), "{error:?}");
    assert!(error.is_permanent());
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_told_apart() {
    for greeting in ["SSH-2.0-OpenSSH_9.2p1\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\0\0\0\0\0"] {
        let (port, _server) = server(async move |mut tcp| {
            tcp.write_all(greeting.as_bytes()).await.unwrap();
            tcp // held open
        })
        .await;
        let error = connect(&address(port, ANY_PIN), PATIENCE).await.unwrap_err();
        assert!(matches!(error, ConnectError::NotAnEndtoendServer), "{error:?}");
        assert!(error.is_permanent());
    }
}

#[tokio::test]
async fn a_server_that_never_answers_meets_the_deadline() {
    let (port, _server) = server(async |tcp| tcp).await;
    let error = connect(&address(port, ANY_PIN), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut), "{error:?}");
    assert!(!error.is_permanent());
}

#[tokio::test]
async fn a_server_that_hangs_up_during_the_handshake_is_tried_again() {
    let (port, _server) = server(async |tcp| drop(tcp)).await;
    let error = connect(&address(port, ANY_PIN), PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
    assert!(!error.is_permanent());
}

#[tokio::test]
async fn a_server_that_hangs_up_instead_of_answering_the_upgrade_is_tried_again() {
    let authority = Authority::new("authority");
    let config = std::sync::Arc::new(authority.identity().config());
    let (port, _server) = server(async move |tcp| {
        let mut tls = TlsAcceptor::from(config).accept(tcp).await.unwrap();
        tls.read_u8().await.unwrap();
        tls.shutdown().await.unwrap(); // in order, as far as TLS goes
    })
    .await;
    let error = connect(&address(port, authority.pin), PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_tried_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = connect(&address(port, ANY_PIN), PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
    assert!(!error.is_permanent());
}

/// Connects to a trusted server whose answer to the upgrade is `answer`.
async fn upgrade_answered(answer: &'static str) -> ConnectError {
    let authority = Authority::new("authority");
    let config = std::sync::Arc::new(authority.identity().config());
    let (port, _server) = server(async move |tcp| {
        let mut tls = TlsAcceptor::from(config).accept(tcp).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(tls.read_u8().await.unwrap());
        }
        tls.write_all(answer.as_bytes()).await.unwrap();
        tls.flush().await.unwrap();
        (tls, String::from_utf8(request).unwrap()) // held open
    })
    .await;
    connect(&address(port, authority.pin), PATIENCE).await.unwrap_err()
}

#[tokio::test]
async fn an_edge_without_a_server_behind_it_is_tried_again() {
    let error = upgrade_answered("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    assert!(matches!(error, ConnectError::Unavailable { status: 503 }), "{error:?}");
    assert!(!error.is_permanent());
}

#[tokio::test]
async fn a_trusted_server_without_our_websocket_is_told_apart() {
    for answer in ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "220 mail ready\r\n\r\n"] {
        let error = upgrade_answered(answer).await;
        assert!(matches!(error, ConnectError::NotAnEndtoendServer), "{error:?}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Names by which a socket is opened or a name is looked up.
const OPENERS: [&str; 12] = [
    "TcpStream",
    "TcpListener",
    "TcpSocket",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "lookup_host",
    "ToSocketAddrs",
    "tokio::net",
    "socket2",
    "getaddrinfo",
];

#[test]
fn only_the_transport_opens_sockets() {
    let client = Path::new(env!("CARGO_MANIFEST_DIR"));
    let window = client.parent().unwrap().join("client-iced");
    // These say themselves that they do, and clippy knows of no others. The engine's tests play the server.
    let openers = ["direct.rs", "tests.rs", "tests"].map(|name| client.join("src/transport").join(name));
    let tests = client.join("src/engine/tests");
    let mut read = 0;
    for path in [client.join("src"), window.join("src")].iter().flat_map(|folder| sources(folder)) {
        if openers.iter().chain([&tests]).any(|opener| path.starts_with(opener)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for opener in OPENERS {
            assert!(!text.contains(opener), "{} uses {opener}: connect through the transport", path.display());
        }
        read += 1;
    }
    assert!(read >= 100, "the sources were not found");
}

#[test]
fn clippy_knows_what_only_the_transport_may_name() {
    let client = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = client.parent().unwrap();
    let rules = |folder: &Path| std::fs::read_to_string(folder.join("clippy.toml")).unwrap();
    // The nearest file counts, and only that: so it has what the workspace's has, and more.
    let (of_client, of_window, of_workspace) = (rules(client), rules(&workspace.join("client-iced")), rules(workspace));
    let entries = |text: &str| {
        text.lines().map(str::trim).filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let ours = entries(&of_client);
    assert!(entries(&of_workspace).iter().all(|line| ours.contains(line)), "a rule of the workspace is missing");
    let of_window = entries(&of_window);
    assert!(ours.iter().all(|line| of_window.contains(line)), "the window may do what the client may not");
    for name in ["tokio::net::TcpStream", "std::net::TcpStream", "tokio::net::lookup_host", "std::net::ToSocketAddrs"] {
        assert!(of_client.contains(name), "{name}");
    }
}

#[test]
fn nothing_that_speaks_to_the_network_on_its_own_is_depended_on() {
    let client = Path::new(env!("CARGO_MANIFEST_DIR"));
    let speakers =
        ["reqwest", "hyper", "ureq", "curl", "isahc", "surf", "attohttpc", "async-std", "smol", "quinn", "socket2"];
    for manifest in [client.join("Cargo.toml"), client.parent().unwrap().join("client-iced/Cargo.toml")] {
        let text = std::fs::read_to_string(&manifest).unwrap();
        let (dependencies, _) = text.split_once("[dev-dependencies]").unwrap();
        for speaker in speakers {
            assert!(!dependencies.lines().any(|line| line.starts_with(speaker)), "{speaker} in {}", manifest.display());
        }
    }
}
