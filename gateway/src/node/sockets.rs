//! The sockets that clients connect to: the node's own, or such as are handed over to it.
//!
//! Why not several processes on one port (`SO_REUSEPORT`): a data directory has one node, so that the old one has ended
//! before the new one listens, and what the kernel has given to the old one's socket is reset. A socket that somebody else
//! keeps has one queue for both.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::{Domain, SockRef, Socket, Type};

use super::error::ServeError;
use crate::config::ListenOn;

/// Connections that the kernel completes while nobody takes them: those of clients that come back within a few seconds. The
/// kernel cuts it to `net.core.somaxconn`, which is 4096 by default.
const BACKLOG: i32 = 4096;
/// Listening sockets that whoever has started this program hands over, by systemd's protocol: sd_listen_fds(3).
#[derive(Debug, Default)]
pub struct HandedOver(Vec<(TcpListener, SocketAddr)>);

impl HandedOver {
    /// Takes them, at the very beginning of the program: its own files come to lie where they would be, and it changes the
    /// environment.
    ///
    /// # Errors
    /// When one is no listening TCP socket.
    pub fn take() -> io::Result<Self> {
        let mut handed = ListenFd::from_env();
        let sockets = (0..handed.len()).filter_map(|index| handed.take_tcp_listener(index).transpose()).map(|socket| {
            let socket = socket?;
            if !SockRef::from(&socket).is_listener()? {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it does not listen: a socket unit says Accept=no",
                ));
            }
            let address = socket.local_addr()?;
            Ok((socket, address))
        });
        sockets.collect::<io::Result<_>>().map(Self)
    }
}

/// Where the node is to listen.
#[derive(Debug)]
pub(super) enum Sockets {
    /// An address that it opens itself.
    Own(SocketAddr),
    /// Sockets that stay when it ends. There is at least one.
    HandedOver(Vec<(TcpListener, SocketAddr)>),
}

impl Sockets {
    /// What was configured and what was handed over must fit: a socket that nobody accepts from would let clients wait
    /// for ever.
    ///
    /// # Errors
    /// When they do not.
    pub(super) fn choose(listen: ListenOn, handed: HandedOver) -> Result<Self, ServeError> {
        match (listen, handed.0.is_empty()) {
            (ListenOn::Address(address), true) => Ok(Self::Own(address)),
            (ListenOn::Systemd, false) => Ok(Self::HandedOver(handed.0)),
            (ListenOn::Systemd, true) => Err(ServeError::NothingHandedOver),
            (ListenOn::Address(address), false) => Err(ServeError::NotListenedOn(address)),
        }
    }

    /// Takes its address. Nobody can connect yet.
    ///
    /// # Errors
    /// `AddressInUse`, `Listen`.
    pub(super) fn bind(self) -> Result<Bound, ServeError> {
        Ok(match self {
            Self::Own(asked) => {
                let (socket, address) = bind(asked).map_err(|source| failed(asked, source))?;
                Bound::Own { socket, asked, address }
            }
            Self::HandedOver(sockets) => Bound::HandedOver(sockets),
        })
    }
}

/// Sockets that have their addresses.
#[derive(Debug)]
pub(super) enum Bound {
    /// The node's own.
    Own { socket: Socket, asked: SocketAddr, address: SocketAddr },
    /// See [`Sockets::HandedOver`].
    HandedOver(Vec<(TcpListener, SocketAddr)>),
}

impl Bound {
    /// Where they are reached, the first one of several.
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Own { address, .. } => *address,
            Self::HandedOver(handed) => handed.first().map_or((Ipv4Addr::LOCALHOST, 0).into(), |(_, address)| *address),
        }
    }

    /// Whether they go on taking connections when the node does not.
    pub(super) const fn stay(&self) -> bool {
        matches!(self, Self::HandedOver(_))
    }

    /// From now on clients may connect: each socket with the address that was asked for.
    ///
    /// # Errors
    /// `AddressInUse`, `Listen`.
    pub(super) fn listen(self) -> Result<Vec<(TcpListener, SocketAddr)>, ServeError> {
        match self {
            Self::Own { socket, asked, .. } => {
                socket.listen(BACKLOG).map_err(|source| failed(asked, source))?;
                Ok(vec![(socket.into(), asked)])
            }
            Self::HandedOver(sockets) => Ok(sockets),
        }
    }
}

fn failed(address: SocketAddr, source: io::Error) -> ServeError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::AddressInUse(address),
        _ => ServeError::Listen { address, source },
    }
}

/// A socket that clients will connect to, and its address.
fn bind(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart need not wait until the connections of before are forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, bound))
}
