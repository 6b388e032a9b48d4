//! Links between nodes that can be cut, in one direction or in both.
//!
//! Each node is reached by the others through a relay on loopback. Who has connected is found by the process that has the socket.
//! What is sent in a direction that is cut waits, as it does in a network whose packets are lost and sent again: it is neither
//! dropped nor refused, and nobody hears that a connection has ended. New connections are taken and stay silent.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the relay holds of a direction at most, so that nodes soon notice that nothing is taken.
const BUFFER: u32 = 64 * 1024;

/// Which directions are cut, and whose processes are whose.
#[derive(Debug)]
pub struct Links {
    /// Of the node that speaks, and of the one that hears.
    cut: watch::Sender<Vec<(usize, usize)>>,
    processes: Mutex<Vec<u32>>,
}

impl Links {
    /// Nothing is cut.
    pub fn new(nodes: usize) -> Self {
        Self { cut: watch::Sender::new(Vec::new()), processes: Mutex::new(vec![0; nodes]) }
    }

    /// A node runs as this process.
    pub fn runs_as(&self, node: usize, process: u32) {
        if let Some(place) = self.processes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(node) {
            *place = process;
        }
    }

    /// What one node says to another one does not arrive.
    pub fn cut(&self, directions: impl IntoIterator<Item = (usize, usize)>) {
        self.cut.send_replace(directions.into_iter().collect());
    }

    /// Everything that waits arrives.
    pub fn mend(&self) {
        self.cut.send_replace(Vec::new());
    }

    /// Waits until it is not cut.
    async fn open(&self, direction: (usize, usize)) {
        let mut cut = self.cut.subscribe();
        let _never_ends = cut.wait_for(|cut| !cut.contains(&direction)).await;
    }

    /// The node whose socket has this address.
    fn of(&self, socket: SocketAddr) -> Option<usize> {
        let inode = inode(socket)?;
        let link = format!("socket:[{inode}]");
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        processes.iter().position(|process| {
            let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
            files
                .map(|file| fs::read_link(file.path()))
                .any(|target| target.is_ok_and(|to| to.as_os_str() == link.as_str()))
        })
    }
}

/// Of the connected socket with this local address, as Linux numbers it.
fn inode(socket: SocketAddr) -> Option<u64> {
    let SocketAddr::V4(socket) = socket else { return None };
    let local = format!("{:08X}:{:04X}", u32::from_le_bytes(socket.ip().octets()), socket.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
        (fields.get(1) == Some(&local.as_str())).then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// Takes connections for a node, and hands them on to where it listens. Dropping it ends all of them.
#[derive(Debug)]
pub(super) struct Relay(#[expect(dead_code, reason = "its tasks end with it")] JoinSet<()>);

impl Relay {
    pub(super) fn start(address: SocketAddr, to: SocketAddr, node: usize, links: &Arc<Links>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.set_recv_buffer_size(BUFFER).expect("an option");
        socket.bind(address).expect("nobody else uses this address of loopback");
        let listener = socket.listen(64).expect("a listener");
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, to, node, Arc::clone(links)));
        Self(tasks)
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, node: usize, links: Arc<Links>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((near, peer)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        // A node whose process is not known yet has no link yet.
        let from = links.of(peer).unwrap_or(usize::MAX);
        let links = Arc::clone(&links);
        connections.spawn(async move {
            links.open((from, node)).await;
            let Ok(far) = TcpStream::connect(to).await else { return };
            let _no_delay = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_back, near_out), (far_back, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(
                carry(near_back, far_out, (from, node), &links),
                carry(far_back, near_out, (node, from), &links)
            );
        });
    }
}

/// Bytes of one direction, and its end.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: (usize, usize), links: &Links) {
    let (speaker, hearer) = direction;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        links.open(direction).await;
        let read = from.read(&mut buffer).await.unwrap_or(0);
        // It may have been cut meanwhile; the end of a connection is lost as everything is.
        links.open(direction).await;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            let _gone_already = to.shutdown().await;
            return;
        }
        if to.write_all(bytes).await.is_err() {
            // Whoever speaks hears of that when the other direction is open.
            links.open((hearer, speaker)).await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Long enough that bytes on loopback would have come.
    const MEANWHILE: Duration = Duration::from_millis(100);

    async fn heard(stream: &mut TcpStream) -> Option<u8> {
        tokio::time::timeout(MEANWHILE, stream.read_u8()).await.ok()?.ok()
    }

    #[tokio::test]
    async fn a_direction_that_is_cut_is_silent_and_loses_nothing() {
        let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = relay.local_addr().unwrap();
        let links = Arc::new(Links::new(2));
        links.runs_as(0, std::process::id());
        let _relay = tokio::spawn(accept(relay, node.local_addr().unwrap(), 1, Arc::clone(&links)));
        let mut near = TcpStream::connect(address).await.unwrap();
        let (mut far, _) = node.accept().await.unwrap();
        near.write_u8(1).await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), 1);

        // Number 0 is this process: what it says is not heard, and what it is told is.
        links.cut([(0, 1)]);
        near.write_u8(2).await.unwrap();
        far.write_u8(3).await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), 3);
        assert_eq!(heard(&mut far).await, None);
        drop(near);
        assert_eq!(heard(&mut far).await, None);
        links.mend();
        assert_eq!(far.read_u8().await.unwrap(), 2);
        assert!(far.read_u8().await.is_err());
    }
}
