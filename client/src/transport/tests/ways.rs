//! Which way is gone, and that no other one is gone instead.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::SanType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::fixture::{Authority, IDENTITY, PATIENCE};
use crate::address::{KeyHash, Pin, ServerAddress};
use crate::transport::{Choice, ConnectError, Network, NetworkSettings, ProxyError, TorState, Traffic, Way, connect};

/// A name that no resolver knows: the top level `test` is kept free for that.
const NAME: &str = "chat.endtoend.test";

fn network(choice: Choice) -> Network {
    Network::new(NetworkSettings { choice, ..NetworkSettings::default() }, Path::new("/nowhere"))
}

fn server_at(host: &str, port: u16, tls: KeyHash) -> ServerAddress {
    ServerAddress { host: host.parse().unwrap(), port, pin: Pin { tls, identity: IDENTITY.fingerprint() } }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Whether somebody waits to be let in.
async fn has_visitor(listener: &TcpListener) -> bool {
    // Connections that came about before are there at once.
    tokio::time::timeout(Duration::from_millis(1), listener.accept()).await.is_ok()
}

/// What a client has told a proxy.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    methods: Vec<u8>,
    user: Vec<u8>,
    kind: u8,
    host: Vec<u8>,
    port: u16,
}

async fn counted(tcp: &mut TcpStream) -> Vec<u8> {
    let length = tcp.read_u8().await.unwrap();
    let mut bytes = vec![0; length.into()];
    tcp.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// A proxy's part, up to and with its answer to the request.
async fn play_proxy(tcp: &mut TcpStream, status: u8) -> Told {
    assert_eq!(tcp.read_u8().await.unwrap(), 5);
    let methods = counted(tcp).await;
    tcp.write_all(&[5, 2]).await.unwrap();
    assert_eq!(tcp.read_u8().await.unwrap(), 1);
    let (user, password) = (counted(tcp).await, counted(tcp).await);
    assert_eq!(user, password);
    tcp.write_all(&[1, 0]).await.unwrap();
    let mut head = [0; 4];
    tcp.read_exact(&mut head).await.unwrap();
    assert_eq!(head[..3], [5, 1, 0]);
    let host = match head[3] {
        3 => counted(tcp).await,
        _ => {
            let mut address = vec![0; 4];
            tcp.read_exact(&mut address).await.unwrap();
            address
        }
    };
    let port = tcp.read_u16().await.unwrap();
    tcp.write_all(&[5, status, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    Told { methods, user, kind: head[3], host, port }
}

#[tokio::test]
async fn a_proxy_is_given_the_name_and_leads_to_the_pinned_server() {
    let authority = Authority::new("authority");
    let identity = authority.identity_with(|params| {
        params.subject_alt_names = vec![SanType::DnsName(NAME.try_into().unwrap())];
    });
    let config = Arc::new(identity.config());
    let (listener, proxy) = listen().await;
    let served = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let told = play_proxy(&mut tcp, 0).await;
        let tls = TlsAcceptor::from(config).accept(tcp).await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(tls).await.unwrap();
        IDENTITY.accept(&mut socket).await.unwrap();
        let alone = !has_visitor(&listener).await;
        (told, alone)
    });
    let network = network(Choice::Proxy(proxy));
    let address = server_at(NAME, 8443, authority.pin);
    let link = connect(&network, &address, Traffic::Messages, PATIENCE).await.unwrap();
    assert_eq!(link.way(), Way::Proxy(proxy));
    let (told, alone) = served.await.unwrap();
    assert_eq!((told.kind, told.host.as_slice(), told.port), (3, NAME.as_bytes(), 8443));
    assert!(told.methods.contains(&2) && told.user.len() == 32);
    assert!(alone, "one connection is all there is");
    assert_eq!(network.status().borrow().way, Some(Way::Proxy(proxy)));
}

#[tokio::test]
async fn what_a_proxy_refuses_goes_no_other_way() {
    // It could be reached directly.
    let (server, at) = listen().await;
    let (listener, proxy) = listen().await;
    let served = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        play_proxy(&mut tcp, 5).await
    });
    let address = server_at("127.0.0.1", at.port(), KeyHash([1; 32]));
    let error = connect(&network(Choice::Proxy(proxy)), &address, Traffic::Files, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Proxy(ProxyError::Refused(_))), "{error:?}");
    assert_eq!(served.await.unwrap().port, at.port());
    assert!(!has_visitor(&server).await);
}

#[tokio::test]
async fn without_its_proxy_a_profile_is_offline() {
    let (server, at) = listen().await;
    let (gone, proxy) = listen().await;
    drop(gone);
    let address = server_at("127.0.0.1", at.port(), KeyHash([1; 32]));
    let error = connect(&network(Choice::Proxy(proxy)), &address, Traffic::Messages, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Proxy(ProxyError::Away(_))) && !error.is_permanent(), "{error:?}");
    assert!(!has_visitor(&server).await);
}

#[tokio::test]
async fn each_purpose_has_credentials_of_its_own_until_others_are_wanted() {
    let (listener, proxy) = listen().await;
    let network = network(Choice::Proxy(proxy));
    let address = server_at(NAME, 1, KeyHash([1; 32]));
    let user = async |purpose| {
        let (_, told) = tokio::join!(connect(&network, &address, purpose, PATIENCE), async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            play_proxy(&mut tcp, 4).await
        });
        told.user
    };
    let messages = user(Traffic::Messages).await;
    assert_eq!(user(Traffic::Messages).await, messages);
    assert_ne!(user(Traffic::Files).await, messages);
    network.renew_circuits();
    assert_ne!(user(Traffic::Messages).await, messages);
}

/// An exit that puts itself in the server's place is got round once, and only once.
#[tokio::test]
async fn an_impostor_behind_a_proxy_is_tried_on_another_circuit_before_it_is_told() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let identity = wrong.identity_with(|params| {
        params.subject_alt_names = vec![SanType::DnsName(NAME.try_into().unwrap())];
    });
    let impostor = Arc::new(identity.config());
    let (listener, proxy) = listen().await;
    let served = tokio::spawn(async move {
        let mut users = Vec::new();
        for _ in 0..2 {
            let (mut tcp, _) = listener.accept().await.unwrap();
            users.push(play_proxy(&mut tcp, 0).await.user);
            assert!(TlsAcceptor::from(Arc::clone(&impostor)).accept(tcp).await.is_err());
        }
        (users, has_visitor(&listener).await)
    });
    let address = server_at(NAME, 1, right.pin);
    let error = connect(&network(Choice::Proxy(proxy)), &address, Traffic::Messages, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted(_)) && error.is_permanent(), "{error:?}");
    let (users, third) = served.await.unwrap();
    assert!(users[0] != users[1] && !third);
}

#[tokio::test]
async fn localhost_is_this_machine_and_nobody_is_asked() {
    let (listener, at) = listen().await;
    let address = server_at("localhost", at.port(), KeyHash([1; 32]));
    let network = network(Choice::Automatic);
    let (error, visited) = tokio::join!(connect(&network, &address, Traffic::Messages, PATIENCE), async {
        drop(listener.accept().await.unwrap());
        true
    });
    assert!(visited && matches!(error, Err(ConnectError::Unreachable(_))));
    assert_eq!(network.status().borrow().tor, TorState::Off, "nothing needs it");
}

/// Without the program that a bridge needs, Tor does not even start: and nothing else is done either.
#[cfg(feature = "tor")]
#[tokio::test]
async fn without_tor_a_profile_is_offline() {
    use crate::transport::TorTrouble;

    let home = tempfile::tempdir().unwrap();
    let (server, at) = listen().await;
    let mut settings = NetworkSettings { choice: Choice::Tor, ..NetworkSettings::default() };
    let bridge = format!("obfs4 127.0.0.1:{} 0123456789ABCDEF0123456789ABCDEF01234567", at.port());
    settings.bridges.push(bridge.parse().unwrap());
    settings.set_program("obfs4", home.path().join("missing"));
    let network = Network::new(settings, home.path());
    let address = server_at("127.0.0.1", at.port(), KeyHash([1; 32]));
    for _ in 0..2 {
        let error = connect(&network, &address, Traffic::Messages, PATIENCE).await.unwrap_err();
        let missing =
            matches!(&error, ConnectError::Tor(TorTrouble::ProgramMissing { transport, .. }) if transport == "obfs4");
        assert!(missing && error.is_permanent(), "{error:?}");
    }
    assert!(matches!(network.status().borrow().tor, TorState::Trouble { .. }));
    network.close().await;
    let error = connect(&network, &address, Traffic::Messages, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tor(_)), "{error:?}");
    assert!(!has_visitor(&server).await);
}

#[cfg(not(feature = "tor"))]
#[tokio::test]
async fn a_build_without_tor_says_so_and_goes_no_other_way() {
    let (server, at) = listen().await;
    let address = server_at("127.0.0.1", at.port(), KeyHash([1; 32]));
    let error = connect(&network(Choice::Tor), &address, Traffic::Messages, PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tor(crate::transport::TorTrouble::NotBuilt)), "{error:?}");
    assert!(!has_visitor(&server).await);
}
