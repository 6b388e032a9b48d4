//! A primary, its replica, and three sentinels that watch them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::network::Network;
use crate::process::Process;

/// Two servers and three sentinels. The first server is the primary in the beginning.
#[derive(Debug)]
pub struct Sentinels {
    servers: [Process; 2],
    sentinels: [Process; 3],
}

impl Sentinels {
    /// What the sentinels call the primary.
    pub const PRIMARY: &str = "endtoend-primary";

    /// A primary that is silent for `down_after` is replaced.
    ///
    /// # Panics
    /// When there is no Redis, or they do not find each other.
    pub fn start(down_after: Duration) -> Self {
        let network = Network::own();
        let server = |last, replica_of: Option<SocketAddr>| {
            let mut lines = vec![
                format!("replica-announce-ip {}", network.address(last)),
                "repl-diskless-sync-delay 0".to_owned(),
                "repl-ping-replica-period 1".to_owned(),
            ];
            lines.extend(replica_of.map(|primary| format!("replicaof {} {}", primary.ip(), primary.port())));
            Process::start(network.at(last), &lines, false)
        };
        let primary = server(1, None);
        let replica = server(2, Some(primary.at()));
        replica.until("in step", &["INFO", "replication"], |info| info.contains("master_link_status:up"));
        let sentinels = [11, 12, 13].map(|last| {
            let (at, name) = (primary.at(), Self::PRIMARY);
            let lines = [
                format!("sentinel announce-ip {}", network.address(last)),
                format!("sentinel monitor {name} {} {} 2", at.ip(), at.port()),
                format!("sentinel down-after-milliseconds {name} {}", down_after.as_millis()),
                format!("sentinel failover-timeout {name} 5000"),
            ];
            Process::start(network.at(last), &lines, true)
        });
        for sentinel in &sentinels {
            let knows_all = |info: &str| info.contains("slaves=1,sentinels=3");
            sentinel.until("knows the others", &["INFO", "sentinel"], knows_all);
        }
        Self { servers: [primary, replica], sentinels }
    }

    /// Where the sentinels listen.
    pub fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(|sentinel| sentinel.at().to_string()).collect()
    }

    /// Both servers.
    pub const fn servers(&self) -> &[Process; 2] {
        &self.servers
    }

    /// The sentinels.
    pub const fn sentinels(&self) -> &[Process; 3] {
        &self.sentinels
    }

    /// The server that is a primary now, if it is one alone.
    pub fn primary(&self) -> Option<&Process> {
        let is_primary = |server: &&Process| {
            let info = server.try_ask::<String>(&["INFO", "replication"]).unwrap_or_default();
            info.contains("role:master")
        };
        let mut all = self.servers.iter().filter(is_primary);
        all.next().filter(|_| all.next().is_none())
    }
}
