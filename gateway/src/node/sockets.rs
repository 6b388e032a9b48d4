//! The sockets that clients connect to, and those of programs that watch the node: its own, or such as are handed over to it.
//!
//! Why not several processes on one port (`SO_REUSEPORT`): a data directory has one node, so that the old one has ended
//! before the new one listens, and what the kernel has given to the old one's socket is reset. A socket that somebody else
//! keeps has one queue for both.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::{Domain, SockRef, Socket, Type};

use super::error::ServeError;
use crate::config::{AdminConfig, ListenOn};

/// Connections that the kernel completes while nobody takes them: those of clients that come back within a few seconds. The
/// kernel cuts it to `net.core.somaxconn`, which is 4096 by default.
const BACKLOG: i32 = 4096;
/// `FileDescriptorName=` of the sockets for programs that watch the node. All others are for clients, whatever they are called.
const ADMIN: &str = "admin";

/// Listening sockets that whoever has started this program hands over, by systemd's protocol: sd_listen_fds_with_names(3).
#[derive(Debug, Default)]
pub struct HandedOver {
    clients: Vec<(TcpListener, SocketAddr)>,
    admin: Vec<(TcpListener, SocketAddr)>,
}

impl HandedOver {
    /// Takes them, at the very beginning of the program: its own files come to lie where they would be, and it changes the
    /// environment.
    ///
    /// # Errors
    /// When one is no listening TCP socket.
    pub fn take() -> io::Result<Self> {
        // `take_tcp_listener` says nothing of names. Those of another process come with its number, and no sockets here.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = ListenFd::from_env();
        let mut taken = Self::default();
        for index in 0..handed.len() {
            let name = names.next().unwrap_or_default();
            let Some(socket) = handed.take_tcp_listener(index)? else { continue };
            if !SockRef::from(&socket).is_listener()? {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it does not listen: a socket unit says Accept=no",
                ));
            }
            let address = socket.local_addr()?;
            let those = if name == ADMIN { &mut taken.admin } else { &mut taken.clients };
            those.push((socket, address));
        }
        Ok(taken)
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
    /// For clients, and for programs that watch the node.
    ///
    /// What was configured and what was handed over must fit: a socket that nobody accepts from would let those who connect
    /// wait for ever.
    ///
    /// # Errors
    /// When they do not.
    pub(super) fn choose(
        listen: ListenOn,
        admin: &AdminConfig,
        handed: HandedOver,
    ) -> Result<(Self, Option<Self>), ServeError> {
        let clients = match (listen, handed.clients.is_empty()) {
            (ListenOn::Address(address), true) => Self::Own(address),
            (ListenOn::Systemd, false) => Self::HandedOver(handed.clients),
            (ListenOn::Systemd, true) => return Err(ServeError::NothingHandedOver),
            (ListenOn::Address(address), false) => return Err(ServeError::NotListenedOn(address)),
        };
        let admin = match (admin.listen, handed.admin.is_empty()) {
            (None, true) => None,
            (Some(ListenOn::Address(address)), true) => Some(Self::Own(address)),
            (Some(ListenOn::Systemd), false) => {
                // Of an address in the configuration that is said where it stands.
                let exposed = handed.admin.iter().find(|(_, address)| !address.ip().is_loopback());
                if let Some((_, address)) = exposed.filter(|_| !admin.beyond_loopback) {
                    return Err(ServeError::AdminExposed(*address));
                }
                Some(Self::HandedOver(handed.admin))
            }
            (Some(ListenOn::Systemd), true) => return Err(ServeError::NoAdminHandedOver),
            (None | Some(ListenOn::Address(_)), false) => return Err(ServeError::AdminNotListenedOn),
        };
        Ok((clients, admin))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(addresses: &[&str]) -> Vec<(TcpListener, SocketAddr)> {
        // Which address the socket has is not looked at.
        let socket = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        addresses.iter().map(|address| (socket(), address.parse().unwrap())).collect()
    }

    #[test]
    fn what_is_handed_over_and_what_is_configured_have_to_fit() {
        let own = ListenOn::Address("127.0.0.1:8443".parse().unwrap());
        let choose = |listen, admin: Option<ListenOn>, clients: &[&str], admins: &[&str]| {
            let config = AdminConfig { listen: admin, beyond_loopback: false };
            Sockets::choose(listen, &config, HandedOver { clients: sockets(clients), admin: sockets(admins) })
        };
        let (systemd, here, everywhere) = (ListenOn::Systemd, &["127.0.0.1:9464"][..], &["[::]:9464"][..]);
        assert!(matches!(choose(own, None, &[], &[]), Ok((Sockets::Own(_), None))));
        assert!(matches!(choose(own, Some(own), &[], &[]), Ok((Sockets::Own(_), Some(Sockets::Own(_))))));
        let both = choose(systemd, Some(systemd), &["[::]:8443"], here);
        assert!(matches!(both, Ok((Sockets::HandedOver(_), Some(Sockets::HandedOver(_))))), "{both:?}");
        assert!(matches!(choose(own, Some(systemd), &[], here), Ok((Sockets::Own(_), Some(Sockets::HandedOver(_))))));
        assert!(matches!(choose(systemd, None, &[], here), Err(ServeError::NothingHandedOver)));
        assert!(matches!(choose(own, None, here, &[]), Err(ServeError::NotListenedOn(_))));
        assert!(matches!(choose(own, Some(systemd), &[], &[]), Err(ServeError::NoAdminHandedOver)));
        assert!(matches!(choose(own, None, &[], here), Err(ServeError::AdminNotListenedOn)));
        assert!(matches!(choose(own, Some(own), &[], here), Err(ServeError::AdminNotListenedOn)));
        assert!(matches!(choose(own, Some(systemd), &[], everywhere), Err(ServeError::AdminExposed(_))));
        let open = AdminConfig { listen: Some(systemd), beyond_loopback: true };
        let handed = HandedOver { clients: Vec::new(), admin: sockets(everywhere) };
        assert!(matches!(Sockets::choose(own, &open, handed), Ok((_, Some(Sockets::HandedOver(_))))));
    }
}
