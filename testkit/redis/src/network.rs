//! Addresses that nobody else has.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rand::RngExt as _;

/// Where a server listens that has its address for itself.
pub(crate) const PORT: u16 = 6379;

/// A network of loopback, of which nobody has the first address: any port of any address in it will do.
#[derive(Clone, Copy, Debug)]
pub struct Network(u8, u8);

impl Network {
    /// One of 65 000.
    pub fn own() -> Self {
        loop {
            let mut rng = rand::rng();
            let (first, second) = (rng.random_range(1..255), rng.random_range(1..255));
            if TcpListener::bind((Ipv4Addr::new(127, first, second, 1), PORT)).is_ok() {
                return Self(first, second);
            }
        }
    }

    /// By its last number.
    pub const fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.0, self.1, last)
    }

    pub(crate) fn at(self, last: u8) -> SocketAddr {
        (self.address(last), PORT).into()
    }
}
