//! Onion services of Debian's `tor`.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::network::Network;
use crate::process::Process;
use crate::streams::{self, Streams};

/// With fewer directories that have its descriptor it may not be found.
const PUBLISHED: usize = 2;

/// An onion service with a `tor` of its own.
#[derive(Debug)]
pub struct Onion {
    process: Process,
    place: u8,
    host: String,
}

impl Onion {
    /// A new one. Its ports, and where each leads.
    ///
    /// # Panics
    /// When it is not found in the network.
    pub fn start(network: &Network, ports: &[(u16, SocketAddr)]) -> Self {
        Self::start_with(network, ports, |_| {})
    }

    /// As [`Self::start`], with what `prepare` has put into its directory: keys of its own, clients that it knows.
    ///
    /// # Panics
    /// As there.
    pub fn start_with(network: &Network, ports: &[(u16, SocketAddr)], prepare: impl FnOnce(&Path)) -> Self {
        let (process, common, place) = network.other("onion");
        let folder = process.folder().join("onion");
        DirBuilder::new().mode(0o700).create(&folder).expect("a folder");
        prepare(&folder);
        let mut torrc = format!(
            "{common}SocksPort 0\nLog [rend,dir,circ,general]info notice stdout\nHiddenServiceDir {}\n",
            folder.display()
        );
        for (port, target) in ports {
            torrc += &format!("HiddenServicePort {port} {target}\n");
        }
        process.configure(&torrc);
        process.start();
        process.until("onion service", |process| {
            process.said().matches("Uploading hidden service descriptor: finished with status 200").count() >= PUBLISHED
        });
        let host = fs::read_to_string(folder.join("hostname")).expect("tor has named it").trim().to_owned();
        Self { process, place, host }
    }

    /// `….onion`
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Streams that lead to a server behind it, by their circuits.
    ///
    /// # Panics
    /// When it does not tell.
    pub fn streams_to(&self, server: SocketAddr) -> Streams {
        streams::told(self.place, &self.process, server)
    }

    /// Its process; `None` when it was killed.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }
}
