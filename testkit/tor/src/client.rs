//! A client: what people have who run a `tor` of their own, or Tor Browser.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;

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
        Self::start_with(network, &[])
    }

    /// With keys by which onion services let it find them: their names, and `descriptor:x25519:` and a secret key for each.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(network: &Network, keys: &[(&str, &str)]) -> Self {
        let (process, common, place) = network.other("client");
        let socks = network.addresses().at(place, OR);
        let folder = process.folder().join("keys");
        DirBuilder::new().mode(0o700).create(&folder).expect("a folder");
        for (number, (host, key)) in keys.iter().enumerate() {
            let line = format!("{}:{key}\n", host.trim_end_matches(".onion"));
            fs::write(folder.join(format!("{number}.auth_private")), line).expect("a file");
        }
        let folder = folder.display();
        let lines = format!("SocksPort {socks}\nClientRejectInternalAddresses 0\nClientOnionAuthDir {folder}\n");
        process.configure(&(common + &lines));
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
