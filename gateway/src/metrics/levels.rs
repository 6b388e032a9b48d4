//! What is read at the moment when somebody asks.

use std::io;
use std::time::{Duration, Instant};

use endtoend_protocol::UnixMillis;

use crate::clock;
use crate::health::Reason;
use crate::limits::{LimitStats, Sharing};

/// Numbers of one scrape that are kept elsewhere.
#[derive(Debug)]
pub(crate) struct Levels {
    pub(crate) now: Instant,
    pub(crate) started: UnixMillis,
    /// Kind of the store.
    pub(crate) store: &'static str,
    /// Why the node is not ready; none when it is.
    pub(crate) reasons: Vec<Reason>,
    /// Of the envelope that waits longest for its device; zero without one, `None` where the store does not say.
    pub(crate) oldest_waiting: Option<Duration>,
    /// Of the memory for sends without answer, in bytes.
    pub(crate) memory_free: u64,
    pub(crate) memory: u64,
    pub(crate) mailboxes: usize,
    /// Devices here, claimed ones, and exclusive ones, where there are other nodes.
    pub(crate) devices: (usize, usize, usize),
    /// Open connections, from their TLS handshake on.
    pub(crate) sockets: usize,
    pub(crate) connections_max: u32,
    pub(crate) accounts_online: usize,
    pub(crate) limits: Vec<LimitStats>,
    pub(crate) sharing: Sharing,
    pub(crate) audit_waiting: usize,
    pub(crate) audit_missed: u64,
    /// News of other nodes, and logins, that wait to be looked up.
    pub(crate) doubts_waiting: usize,
    pub(crate) cluster: ClusterLevels,
    pub(crate) process: ProcessLevels,
}

/// Of the cluster, as this node sees it. All zero on a node that is alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterLevels {
    pub(crate) term: u64,
    pub(crate) leads: bool,
    /// A leader with a majority is known.
    pub(crate) led: bool,
    /// Pending, joining, active, draining.
    pub(crate) members: [usize; 4],
    pub(crate) voters: usize,
    /// Up to where the log is written, and applied.
    pub(crate) log: [u64; 2],
    pub(crate) log_bytes: u64,
    /// Of the own certificate for links, in Unix time.
    pub(crate) certificate_expires: Duration,
    /// Links that live, and those that there should be.
    pub(crate) links: [usize; 2],
    pub(crate) link_lives: u64,
    /// Read, and written.
    pub(crate) link_bytes: [u64; 2],
    /// Of the control plane, and of traffic.
    pub(crate) link_waiting_bytes: [usize; 2],
    pub(crate) link_no_room: u64,
    /// The longest of all links.
    pub(crate) link_rtt: Duration,
    /// Whether the directory of claims answers.
    pub(crate) claims_answer: bool,
}

/// What the system says of this process. What it does not say is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessLevels {
    pub(crate) resident_bytes: u64,
    pub(crate) cpu: Duration,
    pub(crate) open_fds: u64,
    pub(crate) fds_max: u64,
}

impl ProcessLevels {
    /// Reads `/proc/self`. Takes a few milliseconds with ten thousand connections.
    pub(crate) fn read() -> Self {
        let resident_bytes = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| resident(&status));
        // The one that reads the folder is among them.
        let open = || Ok::<_, io::Error>(std::fs::read_dir("/proc/self/fd")?.count().saturating_sub(1) as u64);
        Self {
            resident_bytes: resident_bytes.unwrap_or_default(),
            cpu: clock::cpu(),
            open_fds: open().unwrap_or_default(),
            fds_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX),
        }
    }
}

/// `VmRSS:     1234 kB`
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_files_and_has_taken_time() {
        let levels = ProcessLevels::read();
        assert!(levels.resident_bytes > 1 << 20 && levels.open_fds >= 3 && levels.cpu > Duration::ZERO, "{levels:?}");
        assert!(levels.fds_max >= levels.open_fds);
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t     12 kB\n"), Some(12 * 1024));
        assert_eq!(resident("VmRSS: many\n"), None);
    }
}
