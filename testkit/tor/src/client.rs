//! A client: what people have who run a `tor` of their own, or Tor Browser.

use std::net::SocketAddr;

use crate::network::{Network, wait};
use crate::process::Process;
use crate::torrc::OR;

/// A `tor` with a SOCKS port.
#[derive(Debug)]
pub struct Client {
    process: Process,
    socks: SocketAddr,
}

impl Client {
    /// # Panics
    /// When it does not get ready.
    pub fn start(network: &Network) -> Self {
        let (process, common, place) = network.other("client");
        let socks = network.addresses().at(place, OR);
        process.configure(&format!("{common}SocksPort {socks}\nClientRejectInternalAddresses 0\n"));
        let client = Self { process, socks };
        client.restart();
        client
    }

    /// Where it takes SOCKS5.
    pub const fn socks(&self) -> SocketAddr {
        self.socks
    }

    /// Its process; `None` when it was killed.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Ends it as a crash would. A dead one stays so.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it, again if it was killed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn restart(&self) {
        self.kill();
        self.process.start();
        self.process.until("bootstrap", Process::bootstrapped);
        wait("SOCKS port", || std::net::TcpStream::connect(self.socks).is_ok());
    }
}
