//! A port of loopback that nobody else is given meanwhile.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Bound and not listened on: HAProxy, which shares ports as this does, can listen there, and others get other ports.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _reserved: Socket,
}

impl Port {
    /// A free one.
    ///
    /// # Panics
    /// When the system has none.
    pub fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_port(true).expect("a shared port");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let address = socket.local_addr().expect("an address").as_socket().expect("of the internet");
        Self { address, _reserved: socket }
    }

    /// On loopback.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
