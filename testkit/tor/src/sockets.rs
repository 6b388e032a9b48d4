//! Whom a process is connected with.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

/// As the kernel writes it.
const ESTABLISHED: &str = "01";

/// The other ends of its TCP connections over IPv4, in its own network namespace.
pub(crate) fn connected(pid: u32) -> Vec<SocketAddr> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let own: BTreeSet<String> = files
        .filter_map(|file| {
            let target = fs::read_link(file.path()).ok()?;
            Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    table.lines().skip(1).filter_map(|line| remote(line, &own)).collect()
}

fn remote(line: &str, own: &BTreeSet<String>) -> Option<SocketAddr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (to, state, inode) = (fields.get(2)?, fields.get(3)?, fields.get(9)?);
    let (ip, port) = to.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    let port = u16::from_str_radix(port, 16).ok()?;
    (*state == ESTABLISHED && own.contains(*inode)).then(|| (ip, port).into())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_is_connected_is_seen_until_it_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        assert!(!connected(std::process::id()).contains(&at));
        let stream = TcpStream::connect(at).unwrap();
        assert!(connected(std::process::id()).contains(&at));
        drop(stream);
        assert!(!connected(std::process::id()).contains(&at));
    }
}
