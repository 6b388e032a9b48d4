//! From an address to a [`Link`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use endtoend_crypto_core::channel::RECORD_OVERHEAD;
use endtoend_protocol::limits;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::{ClientConfig, client::Resumption};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use super::pinning::{PinnedServer, refusal};
use super::stream::Stream;
use super::{ConnectError, Link, Network, Pace, Traffic, Way, channel};
use crate::address::{KeyHash, ServerAddress};
use crate::clock::WallClock;

/// So that a frame just above the limit is refused as such, with its length.
const FRAME_SLACK_BYTES: usize = RECORD_OVERHEAD + 1024;

/// Connects to the server and checks that it is the pinned one.
///
/// The way there, TLS, the WebSocket upgrade and the secure channel's handshake share the `deadline`, which is longer where the way is:
/// see [`Pace::connect_min`]. It begins when the way can be used; until then Tor has deadlines of its own. Cancel-safe: dropping it
/// closes the stream.
///
/// At an exit from Tor somebody may take the server's place. So a server that is not the pinned one is looked for once more on
/// another circuit before it is told.
///
/// # Errors
/// See [`ConnectError`]; [`ConnectError::is_permanent`] says whether another try makes sense.
pub async fn connect(
    network: &Network,
    address: &ServerAddress,
    traffic: Traffic,
    deadline: Duration,
) -> Result<Link, ConnectError> {
    let way = network.way_to(&address.host);
    let deadline = deadline.max(Pace::of(way).connect_min);
    let mut again = way != Way::Direct && !address.host.is_onion();
    loop {
        network.ready(way).await?;
        let attempt = timeout(deadline, establish(network, way, address, traffic)).await;
        let linked = attempt.unwrap_or(Err(ConnectError::TimedOut));
        match &linked {
            Ok(_) => network.tried(way, false).await,
            Err(error) if error.blames_the_way() => network.tried(way, true).await,
            Err(_) => {}
        }
        match linked {
            Err(ConnectError::Untrusted(_) | ConnectError::NotAnEndtoendServer | ConnectError::Handshake(_))
                if again =>
            {
                network.renew_circuits();
                again = false;
            }
            linked => return linked,
        }
    }
}

async fn establish(
    network: &Network,
    way: Way,
    address: &ServerAddress,
    traffic: Traffic,
) -> Result<Link, ConnectError> {
    let tls = secure(address, network.open(way, address, traffic).await?).await?;
    let (_, connection) = tls.get_ref();
    let group = connection.negotiated_key_exchange_group().and_then(|group| group.name().as_str());

    let url = format!("wss://{}:{}/v1", address.host, address.port);
    let frame_max = Some(limits::FRAME_BYTES_MAX + FRAME_SLACK_BYTES);
    let config = WebSocketConfig::default().max_message_size(frame_max).max_frame_size(frame_max);
    let (mut socket, _) = client_async_with_config(url, tls, Some(config)).await.map_err(upgrade_failed)?;
    let channel = channel::open(&mut socket, &address.pin.identity).await?;
    Ok(Link::new(socket, channel, group.unwrap_or("unknown"), way))
}

async fn secure(address: &ServerAddress, stream: Stream) -> Result<TlsStream<Stream>, ConnectError> {
    let config = tls_config(address.pin.tls).map_err(ConnectError::Handshake)?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(address.host.server_name(), stream).await.map_err(handshake_failed)
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
