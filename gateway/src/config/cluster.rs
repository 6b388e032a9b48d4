//! `[cluster]`: this node as one of several.

use std::net::SocketAddr;
use std::time::Duration;

use endtoend_cluster::link::{BadLinkTimings, LinkTimings};
use serde::{Deserialize, Serialize};

use super::listen;

/// Longest name of a node, in bytes: it is a label of host names and of series.
const NAME_BYTES_MAX: usize = 63;

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Address that other nodes connect to. Default none, which is the empty text: the node is alone. Change: restart.
    #[serde(with = "listen")]
    pub listen: Option<SocketAddr>,
    /// `HOST:PORT` under which other nodes reach that address. Default `listen`, which is the empty text. Change: restart.
    pub address: String,
    /// What people call the node: 1 to 63 of `a-z`, `0-9` and `-`. Default `node`. Change: restart.
    pub name: String,
    /// Another node is asked this often whether it lives, in milliseconds. Default 250, 10 to 10000. Change: restart.
    pub ping_every_ms: u32,
    /// So many of them without a sign of life, and its link is given up. Default 4, 2 to 100. Change: restart.
    pub pings_unanswered_max: u32,
    /// Seconds that a node may take nothing of what waits for it. Default 5, at most 60, and not less than the silence that the
    /// two above allow. Change: restart.
    pub stall_seconds: u16,
    /// Seconds that opening a link may take. Default 5, 1 to 60. Change: restart.
    pub handshake_seconds: u16,
    /// Longest wait before a link is opened again, in milliseconds. Default 2000, 100 to 60000. Change: restart.
    pub redial_max_ms: u32,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            listen: None,
            address: String::new(),
            name: "node".to_owned(),
            ping_every_ms: 250,
            pings_unanswered_max: 4,
            stall_seconds: 5,
            handshake_seconds: 5,
            redial_max_ms: 2_000,
        }
    }
}

impl ClusterConfig {
    /// When links are given up, and tried again.
    ///
    /// # Errors
    /// When they cannot work.
    pub fn timings(&self) -> Result<LinkTimings, BadLinkTimings> {
        LinkTimings {
            ping_every: Duration::from_millis(self.ping_every_ms.into()),
            pings_unanswered_max: self.pings_unanswered_max,
            stall_max: Duration::from_secs(self.stall_seconds.into()),
            handshake_max: Duration::from_secs(self.handshake_seconds.into()),
            redial_max: Duration::from_millis(self.redial_max_ms.into()),
        }
        .validate()
    }

    /// `HOST:PORT` under which other nodes reach this one; `None` when there is none that they could.
    pub fn peer_address(&self) -> Option<String> {
        if self.address.is_empty() {
            let reached = |listen: &SocketAddr| !listen.ip().is_unspecified() && listen.port() != 0;
            return self.listen.filter(reached).map(|listen| listen.to_string());
        }
        let (host, port) = self.address.rsplit_once(':')?;
        let is_whole = host.starts_with('[') == host.ends_with(']') && (host.starts_with('[') || !host.contains(':'));
        let fits = !host.is_empty() && is_whole && port.parse().is_ok_and(|port: u16| port != 0);
        fits.then(|| self.address.clone())
    }

    /// What is wrong, by key.
    pub(super) fn broken_rules(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut broken = Vec::new();
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=NAME_BYTES_MAX).contains(&self.name.len()) || !self.name.bytes().all(known) {
            let text = format!("must be 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -");
            broken.push(("name", text, "write it like \"node-1\""));
        }
        if self.listen.is_some() && self.peer_address().is_none() {
            let text = "must say where other nodes reach this one".to_owned();
            // A key that is left out has no line.
            let name = if self.address.is_empty() { "listen" } else { "address" };
            broken.push((name, text, "set `address`, like \"node1.example.org:7443\""));
        }
        if let Err(BadLinkTimings { what, bounds }) = self.timings() {
            let name = match what {
                "ping_every" => "ping_every_ms",
                "stall_max" => "stall_seconds",
                "handshake_max" => "handshake_seconds",
                "redial_max" => "redial_max_ms",
                _ => "pings_unanswered_max",
            };
            broken.push((
                name,
                format!("must be {bounds}"),
                "the defaults fit nodes that are a few milliseconds apart",
            ));
        }
        broken
    }
}
