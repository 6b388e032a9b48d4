//! Through a SOCKS5 proxy: that of Tor Browser, or of a Tor that the system runs.
//!
//! The proxy is given the name of the server as it stands, and looks it up where it ends. User and password are random: they are no
//! secret, but a Tor keeps streams of different ones on circuits of their own.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tor_socksproto::{
    Buffer, Handshake as _, NextStep, PreciseReads, SocksAddr, SocksAuth, SocksClientHandshake, SocksCmd, SocksRequest,
    SocksStatus, SocksVersion,
};

use super::circuits::Circuit;
use super::direct;
use super::stream::Stream;
use crate::address::Host;

/// What is between us and the server when a proxy does not do its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Nobody listens there.
    #[error("no proxy listens at {0}: is Tor running, and is this the address of its SOCKS port?")]
    Away(SocketAddr),
    /// Something else listens there.
    #[error("what listens at {0} is no SOCKS5 proxy, or refuses us")]
    NotAProxy(SocketAddr),
    /// The proxy did not reach the server.
    #[error("the proxy does not reach the server: {0}")]
    Refused(&'static str),
}

/// Opens a stream to the server through the proxy.
///
/// # Errors
/// See [`ProxyError`].
pub(super) async fn to_server(
    proxy: SocketAddr,
    host: &Host,
    port: u16,
    circuit: &Circuit,
) -> Result<Stream, ProxyError> {
    let mut stream = direct::to_address(proxy).await.map_err(|_| ProxyError::Away(proxy))?;
    let reply = shake(&mut stream, request(host, port, circuit).ok_or(ProxyError::NotAProxy(proxy))?).await;
    match reply {
        Ok(Some(SocksStatus::SUCCEEDED)) => Ok(stream),
        Ok(Some(status)) => Err(ProxyError::Refused(meaning(status))),
        Ok(None) | Err(_) => Err(ProxyError::NotAProxy(proxy)),
    }
}

fn request(host: &Host, port: u16, circuit: &Circuit) -> Option<SocksRequest> {
    let address = match host {
        Host::Dns(name) => SocksAddr::Hostname(name.as_ref().to_owned().try_into().ok()?),
        Host::Ip(address) => SocksAddr::Ip(*address),
    };
    let name = circuit.name();
    let auth = SocksAuth::Username(name.clone().into_bytes(), name.into_bytes());
    SocksRequest::new(SocksVersion::V5, SocksCmd::CONNECT, address, port, auth).ok()
}

/// `None` when the proxy ended it.
async fn shake(stream: &mut Stream, request: SocksRequest) -> io::Result<Option<SocksStatus>> {
    let malformed = |_| io::ErrorKind::InvalidData;
    let mut handshake = SocksClientHandshake::new(request);
    // Not a byte more than the handshake's is read: what follows is the server's.
    let mut buffer = Buffer::<PreciseReads>::new_precise();
    loop {
        match handshake.step(&mut buffer).map_err(malformed)? {
            NextStep::Send(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            NextStep::Recv(mut wanted) => {
                let length = stream.read(wanted.buf()).await?;
                if length == 0 {
                    return Ok(None);
                }
                wanted.note_received(length).map_err(malformed)?;
            }
            NextStep::Finished(finished) => {
                let reply = finished.into_output().map_err(|_| io::ErrorKind::InvalidData)?;
                return Ok(Some(reply.status()));
            }
        }
    }
}

/// The answers of RFC 1928, section 6.
const fn meaning(status: SocksStatus) -> &'static str {
    match status {
        SocksStatus::NOT_ALLOWED => "it does not allow it",
        SocksStatus::NETWORK_UNREACHABLE | SocksStatus::HOST_UNREACHABLE => "the server's network or name is not found",
        SocksStatus::CONNECTION_REFUSED => "nobody listens there",
        SocksStatus::TTL_EXPIRED => "it takes too long",
        // With `ExtendedErrors` in its torrc a Tor says so.
        SocksStatus::HS_MISSING_CLIENT_AUTH => "the onion service is not for everybody, and this Tor has no key for it",
        SocksStatus::HS_WRONG_CLIENT_AUTH => "the onion service does not know the key that this Tor has for it",
        SocksStatus::ADDRTYPE_NOT_SUPPORTED => "it does not understand the address",
        _ => "it failed",
    }
}
