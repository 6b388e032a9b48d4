//! Where the programs of a network listen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use rand::RngExt as _;

/// Ports that the kernel gives to nobody by itself.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
/// The second number of the first address. Each program has another: no two relays of a circuit share one.
const FIRST: u8 = 10;
/// Programs of one network, with its clients and onion services.
const PLACES: u8 = 100;

/// The addresses of one network.
#[derive(Debug)]
pub struct Addresses {
    first: u8,
    /// The last two numbers, in all addresses.
    block: (u8, u8),
    port: u16,
    /// Nobody else takes the block meanwhile.
    _claim: Option<TcpListener>,
}

impl Addresses {
    /// Of loopback: those of one of some 64 000 networks, which is nobody else's.
    pub fn loopback() -> Self {
        loop {
            let mut rng = rand::rng();
            let block = (rng.random_range(1..255), rng.random_range(1..255));
            let port = rng.random_range(PORTS);
            // On an address that no program of the network has, and at a port that is the same for all networks.
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(127, FIRST + PLACES, block.0, block.1), PORTS.end)) {
                return Self { first: 127, block, port, _claim: Some(claim) };
            }
        }
    }

    /// 10.x.0.1, for a network namespace that has nothing else. Whoever starts the network has given them to an interface.
    pub const fn private() -> Self {
        Self { first: 10, block: (0, 1), port: 5_001, _claim: None }
    }

    /// All that may be used.
    pub fn all(&self) -> Vec<Ipv4Addr> {
        (0..PLACES).map(|place| self.ip(place)).collect()
    }

    /// Of one program, by its place.
    pub(crate) const fn ip(&self, place: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.first, FIRST + place, self.block.0, self.block.1)
    }

    /// Of its listener, of which each may have several.
    pub(crate) fn at(&self, place: u8, listener: u8) -> SocketAddr {
        (IpAddr::V4(self.ip(place)), self.port + u16::from(listener)).into()
    }

    /// What connections of loopback come from; `None` where the kernel chooses. The kernel sends nothing from there to another
    /// machine, so that an exit that lets everything through reaches only this one.
    pub(crate) fn outbound(&self) -> Option<Ipv4Addr> {
        (self.first == 127).then_some(Ipv4Addr::LOCALHOST)
    }
}
