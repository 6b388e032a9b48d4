//! How an edge is set. Numbers have defaults with reasons, and bounds.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{FilePath, Name, Network, NotAView};

/// All of it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What this edge is called, among its peers too.
    pub name: Name,
    /// Where clients connect: 1 to 16 addresses.
    pub listen: Vec<SocketAddr>,
    /// Unix socket for orders and numbers; its directory is this user's alone.
    pub socket: FilePath,
    /// Who ends TLS.
    #[serde(default)]
    pub mode: Mode,
    /// How it finds out whether a node can take connections.
    #[serde(default)]
    pub checks: Checks,
    /// How many connections.
    #[serde(default)]
    pub limits: Limits,
    /// How long.
    #[serde(default)]
    pub times: Times,
    /// Edges that count connections of each source together, this one among them; at most 8.
    #[serde(default)]
    pub peers: Vec<Peer>,
}

/// Who ends TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The node: pins and the hybrid key exchange reach it, and the edge reads nothing.
    #[default]
    PassThrough,
    /// The edge, which opens a second TLS connection to the node. Clients pin the edge's authority.
    Terminate(Terminate),
}

/// What an edge that ends TLS needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Terminate {
    /// Its certificate chain and key, PEM.
    pub certificate: FilePath,
    /// The authorities of the nodes, PEM: nobody else is believed to be one.
    pub node_authority: FilePath,
    /// The name in the nodes' certificates.
    pub node_name: Name,
    /// HAProxy's TLS library has X25519MLKEM768. Found out by asking it, not configured.
    #[serde(skip)]
    pub hybrid: bool,
}

/// How an edge finds out whether a node can take connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checks {
    /// It asks `/readyz` on the node's admin listener: a node that drains, or whose disk is full, gets none.
    #[default]
    Ready,
    /// It connects. For nodes whose admin listener the edge does not reach.
    Connect,
}

/// How many connections.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Of all clients. Default 20000.
    pub connections_max: u32,
    /// To one node; those beyond it wait for 5 s. Default 10000, which is the node's own.
    pub node_connections_max: u32,
    /// Of one source at one time (one IPv4 address, one /64). Default 5000: a Tor exit or a provider's NAT has thousands of
    /// people, and a quarter of the edge is what one of them gets.
    pub source_connections_max: u32,
    /// Of one source within 10 s. Default 2000: after a restart of a node all people behind a NAT come back within seconds;
    /// 200 TLS handshakes a second are a fraction of a core.
    pub source_rate_max: u32,
    /// Sources without such limits. Loopback always is: a Tor daemon on this machine brings all of an onion service's
    /// people from there. At most 64.
    pub exempt: Vec<Network>,
}

/// How long, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// To connect to a node, before another one is tried. Default 2 s.
    pub connect_ms: u32,
    /// Silence after which a connection is closed. Default 90 s: the node's own is 75 s, and is to come first.
    pub idle_ms: u32,
    /// Between two checks. Default 1 s. A check that fails when the one before was good is repeated once.
    pub check_interval_ms: u32,
    /// A node that comes back gets its share of new connections only after this. Default 30 s.
    pub slow_start_ms: u32,
    /// How long an old process keeps its connections after a reload. Default 24 h: few reloads, and clients come back by
    /// themselves.
    pub hard_stop_after_ms: u32,
}

/// An edge that counts with this one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// What it is called.
    pub name: Name,
    /// Where it takes its peers' connections. Addresses of clients travel there: a private network.
    pub address: SocketAddr,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            node_connections_max: 10_000,
            source_connections_max: 5_000,
            source_rate_max: 2_000,
            exempt: Vec::new(),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect_ms: 2_000,
            idle_ms: 90_000,
            check_interval_ms: 1_000,
            slow_start_ms: 30_000,
            hard_stop_after_ms: 86_400_000,
        }
    }
}

impl Settings {
    const LISTEN_MAX: usize = 16;
    const PEERS_MAX: usize = 8;
    const EXEMPT_MAX: usize = 64;

    /// # Errors
    /// The first rule that they break.
    pub(super) fn validate(&self) -> Result<(), NotAView> {
        let Self { limits, times, .. } = self;
        for (what, count, max) in [
            ("addresses to listen on", self.listen.len(), Self::LISTEN_MAX),
            ("peers", self.peers.len(), Self::PEERS_MAX),
            ("networks without limits", limits.exempt.len(), Self::EXEMPT_MAX),
        ] {
            if count > max {
                return Err(NotAView::TooMany { what, count, max });
            }
        }
        if self.listen.is_empty() {
            return Err(NotAView::NoAddress);
        }
        if !self.peers.is_empty() && self.peers.iter().all(|peer| peer.name != self.name) {
            return Err(NotAView::NotAPeer(self.name.clone()));
        }
        let addresses = self.peers.iter().map(|peer| (&peer.name, peer.address));
        for (name, address) in addresses.chain(self.listen.iter().map(|address| (&self.name, *address))) {
            if address.port() == 0 {
                return Err(NotAView::NotConnectable { name: name.clone(), address });
            }
        }
        for (index, peer) in self.peers.iter().enumerate() {
            if self.peers.iter().skip(index + 1).any(|other| other.name == peer.name || other.address == peer.address) {
                return Err(NotAView::Twice { name: peer.name.clone(), address: peer.address });
            }
        }
        for (name, value, min, max) in [
            ("connections_max", limits.connections_max, 1, 1_000_000),
            ("node_connections_max", limits.node_connections_max, 1, 1_000_000),
            ("source_connections_max", limits.source_connections_max, 1, 1_000_000),
            ("source_rate_max", limits.source_rate_max, 1, 1_000_000),
            ("connect_ms", times.connect_ms, 10, 60_000),
            ("idle_ms", times.idle_ms, 1_000, 86_400_000),
            ("check_interval_ms", times.check_interval_ms, 50, 60_000),
            ("slow_start_ms", times.slow_start_ms, 1, 3_600_000),
            ("hard_stop_after_ms", times.hard_stop_after_ms, 1_000, 604_800_000),
        ] {
            if !(min..=max).contains(&value) {
                let [value, min, max] = [value, min, max].map(u64::from);
                return Err(NotAView::OutOfRange { name, value, min, max });
            }
        }
        Ok(())
    }
}
