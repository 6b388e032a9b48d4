//! From an address to a [`Link`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use endtoend_crypto_core::channel::RECORD_OVERHEAD;
use endtoend_protocol::limits;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::{ClientConfig, client::Resumption};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use super::pinning::{PinnedServer, refusal};
use super::{ConnectError, Link, channel};
use crate::address::{Host, KeyHash, ServerAddress};
use crate::clock::WallClock;

/// So that a frame just above the limit is refused as such, with its length.
const FRAME_SLACK_BYTES: usize = RECORD_OVERHEAD + 1024;

/// Connects to the server and checks that it is the pinned one.
///
/// Name resolution, TCP, TLS, the WebSocket upgrade and the secure channel's handshake share the `deadline`. Cancel-safe: dropping it closes the socket.
///
/// # Errors
/// See [`ConnectError`]; [`ConnectError::is_permanent`] says whether another try makes sense.
pub async fn connect(address: &ServerAddress, deadline: Duration) -> Result<Link, ConnectError> {
    timeout(deadline, establish(address)).await.unwrap_or(Err(ConnectError::TimedOut))
}

async fn establish(address: &ServerAddress) -> Result<Link, ConnectError> {
    let tls = secure(address, open(address).await?).await?;
    let (_, connection) = tls.get_ref();
    let group = connection.negotiated_key_exchange_group().and_then(|group| group.name().as_str());

    let url = format!("wss://{}:{}/v1", address.host, address.port);
    let frame_max = Some(limits::FRAME_BYTES_MAX + FRAME_SLACK_BYTES);
    let config = WebSocketConfig::default().max_message_size(frame_max).max_frame_size(frame_max);
    let (mut socket, _) = client_async_with_config(url, tls, Some(config)).await.map_err(upgrade_failed)?;
    let channel = channel::open(&mut socket, &address.pin.identity).await?;
    Ok(Link::new(socket, channel, group.unwrap_or("unknown")))
}

async fn open(address: &ServerAddress) -> Result<TcpStream, ConnectError> {
    let tcp = match &address.host {
        Host::Dns(name) => TcpStream::connect((name.as_ref(), address.port)).await,
        Host::Ip(ip) => TcpStream::connect((*ip, address.port)).await,
    };
    let tcp = tcp.map_err(ConnectError::Unreachable)?;
    // Frames are written whole, so waiting for more to fill a segment only delays them.
    tcp.set_nodelay(true).map_err(ConnectError::Unreachable)?;
    Ok(tcp)
}

async fn secure(address: &ServerAddress, tcp: TcpStream) -> Result<TlsStream<TcpStream>, ConnectError> {
    let config = tls_config(address.pin.tls).map_err(ConnectError::Handshake)?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(address.host.server_name(), tcp).await.map_err(handshake_failed)
}

/// TLS 1.3 only. Nothing is resumed, so that each connection checks the whole chain and has a fresh key exchange.
fn tls_config(pin: KeyHash) -> Result<ClientConfig, rustls::Error> {
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1];
    let server = Arc::new(PinnedServer::new(pin, &provider));
    let mut config = ClientConfig::builder_with_details(Arc::new(provider), Arc::new(WallClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(server)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn handshake_failed(error: io::Error) -> ConnectError {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return ConnectError::Unreachable(error);
    };
    match (refusal(tls), tls) {
        (Some(reason), _) => reason.clone().into(),
        (None, rustls::Error::InvalidMessage(_)) => ConnectError::NotAnEndtoendServer,
        (None, other) => ConnectError::Handshake(other.clone()),
    }
}

fn upgrade_failed(error: tungstenite::Error) -> ConnectError {
    match error {
        tungstenite::Error::Io(error) => ConnectError::Unreachable(error),
        tungstenite::Error::Http(answer) => match answer.status().as_u16() {
            status @ (429 | 500..=599) => ConnectError::Unavailable { status },
            _ => ConnectError::NotAnEndtoendServer,
        },
        // A node that stops at this moment, or one that was just about to close.
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete)
        | tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed => ConnectError::Unreachable(io::ErrorKind::UnexpectedEof.into()),
        _ => ConnectError::NotAnEndtoendServer,
    }
}
