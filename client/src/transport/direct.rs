//! A socket of our own.
#![expect(clippy::disallowed_types, reason = "this is where the client opens its sockets")]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpStream;

use super::stream::Stream;
use crate::address::Host;

/// To a server. `localhost` is this machine, without asking anybody; any other name is asked of the system's resolver, which tells
/// whoever answers there: only after somebody has chosen that, see [`Choice`](super::choice::Choice).
pub(super) async fn to_server(host: &Host, port: u16) -> io::Result<Stream> {
    let tcp = match host {
        _ if host.is_loopback() => to_this_machine(host, port).await,
        Host::Ip(address) => TcpStream::connect((*address, port)).await,
        Host::Dns(name) => TcpStream::connect((name.as_ref(), port)).await,
    };
    ready(tcp?)
}

/// To an address.
pub(super) async fn to_address(address: SocketAddr) -> io::Result<Stream> {
    ready(TcpStream::connect(address).await?)
}

async fn to_this_machine(host: &Host, port: u16) -> io::Result<TcpStream> {
    if let Host::Ip(address) = host {
        return TcpStream::connect((*address, port)).await;
    }
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(tcp) => Ok(tcp),
        Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| error),
    }
}

fn ready(tcp: TcpStream) -> io::Result<Stream> {
    // Frames are written whole, so waiting for more to fill a segment only delays them.
    tcp.set_nodelay(true)?;
    Ok(Stream::new(tcp))
}
