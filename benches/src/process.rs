//! What a process uses.

use std::fs;
use std::time::Duration;

/// Ticks of a second in /proc, which Linux fixes at 100 for user space.
const TICKS: u64 = 100;

/// User and system time of a process; nothing of one that has ended.
pub fn cpu(pid: u32) -> Duration {
    ticks(pid, 2)
}

/// User and system time of these processes and of those children that they had and have waited for: what a server uses that has
/// a process for each connection, also when some connections have ended.
pub fn cpu_with_ended_children(pids: impl IntoIterator<Item = u32>) -> Duration {
    pids.into_iter().map(|pid| ticks(pid, 4)).sum()
}

/// The sum of so many fields of `stat` from the 14th on: time of its own as user and in the kernel, and the same of children that
/// have ended.
fn ticks(pid: u32, fields: usize) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Counted after the name in parentheses, which is field 2.
    let after = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let ticks: u64 = after.take(fields).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Resident memory of a process; 0 for one that has ended.
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}
