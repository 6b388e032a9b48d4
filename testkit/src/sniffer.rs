//! What leaves a network namespace, packet by packet.
//!
//! A process within the namespace listens, because sockets stay where they were opened: the program of the test itself, started with
//! [`ASKED`]. The kernel picks what it hears: everything that goes out by another way than loopback, but of TCP to 10.0.0.0/8, where
//! relays are in such a test, only what opens connections. So nothing is missed when much is sent.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Has the program listen instead of testing.
pub(crate) const ASKED: &str = "ENDTOEND_TESTKIT_SNIFFER";
/// What it says when nothing escapes it any more.
pub(crate) const LISTENS: &str = "listens";
/// All protocols, as the kernel counts them, in the order of the network.
const ETH_P_ALL: u16 = 3;
/// Enough for every header that is read.
const FRAME_BYTES: u32 = 256;

/// Instructions of the kernel's packet filter.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_IP_HEADER: u16 = 0xb1;
const LOAD_BYTE_BEHIND: u16 = 0x50;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const TAKE: u16 = 0x06;
/// Not of the packet but about it.
const INTERFACE: u32 = 0xffff_f008;
const DIRECTION: u32 = 0xffff_f004;
const LOOPBACK: u32 = 1;
const OUTGOING: u32 = 4;

/// Where each step goes is counted from the one behind it; the last two leave a packet out and take it.
const FILTER: [SockFilter; 16] = [
    SockFilter::new(LOAD_WORD, 0, 0, INTERFACE),
    SockFilter::new(IF_EQUAL, 12, 0, LOOPBACK),
    SockFilter::new(LOAD_WORD, 0, 0, DIRECTION),
    SockFilter::new(IF_EQUAL, 0, 10, OUTGOING),
    SockFilter::new(LOAD_HALF, 0, 0, 12),
    SockFilter::new(IF_EQUAL, 0, 9, 0x0800),
    SockFilter::new(LOAD_BYTE, 0, 0, 23),
    SockFilter::new(IF_EQUAL, 0, 7, 6),
    SockFilter::new(LOAD_WORD, 0, 0, 30),
    SockFilter::new(AND, 0, 0, 0xff00_0000),
    SockFilter::new(IF_EQUAL, 0, 4, 0x0a00_0000),
    SockFilter::new(LOAD_IP_HEADER, 0, 0, 14),
    SockFilter::new(LOAD_BYTE_BEHIND, 0, 0, 14 + 13),
    SockFilter::new(IF_ANY_BIT, 1, 0, 0x02),
    SockFilter::new(TAKE, 0, 0, 0),
    SockFilter::new(TAKE, 0, 0, FRAME_BYTES),
];

/// Something that was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// A connection was opened there, or tried.
    Tcp(SocketAddr),
    /// A datagram.
    Udp(SocketAddr),
    /// The kernel asked who has an address of the link: ARP, and its like for IPv6.
    Link,
    /// Anything else, by its protocol.
    Other(String),
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(to) => write!(f, "tcp {to}"),
            Self::Udp(to) => write!(f, "udp {to}"),
            Self::Link => f.write_str("link"),
            Self::Other(what) => write!(f, "other {what}"),
        }
    }
}

impl Sent {
    /// As it was written.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        Some(match line.split_once(' ') {
            Some(("tcp", to)) => Self::Tcp(to.parse().ok()?),
            Some(("udp", to)) => Self::Udp(to.parse().ok()?),
            Some(("other", what)) => Self::Other(what.to_owned()),
            None if line == "link" => Self::Link,
            _ => return None,
        })
    }

    fn read(frame: &[u8]) -> Option<Self> {
        let kind = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
        let packet = frame.get(14..)?;
        match kind {
            0x0800 => {
                let header = usize::from(packet.first()? & 0x0f) * 4;
                let to = Ipv4Addr::from(*packet.get(16..)?.first_chunk()?);
                Some(Self::of(*packet.get(9)?, to.into(), packet.get(header..)?))
            }
            0x0806 => Some(Self::Link),
            0x86dd => {
                let to = Ipv6Addr::from(*packet.get(24..)?.first_chunk()?);
                Some(Self::of(*packet.get(6)?, to.into(), packet.get(40..)?))
            }
            other => Some(Self::Other(format!("frame {other:#06x}"))),
        }
    }

    fn of(protocol: u8, to: IpAddr, rest: &[u8]) -> Self {
        let port = rest.get(2..).and_then(|ports| ports.first_chunk()).map(|port| u16::from_be_bytes(*port));
        match (protocol, port) {
            (6, Some(port)) => Self::Tcp((to, port).into()),
            (17, Some(port)) => Self::Udp((to, port).into()),
            // RFC 4861 and 3810: routers and neighbours of the link, and groups of them. The first of these come with an option in front.
            (58, _) if matches!(rest.first(), Some(130..=137 | 143)) => Self::Link,
            (0, _) if rest.first() == Some(&58) => Self::Link,
            _ => Self::Other(format!("protocol {protocol} to {to}")),
        }
    }
}

/// Called by a test of its own in a file that has an [`crate::Enclosure`]. Where it was asked to, the process listens until it is
/// ended, and says what it hears, a line each; otherwise nothing happens.
///
/// # Panics
/// When it may not listen.
pub fn sniff_if_asked() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
    let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).expect("a socket that hears packets");
    socket.attach_filter(&FILTER).expect("a filter");
    let mut out = std::io::stdout();
    writeln!(out, "\n{LISTENS}").expect("somebody reads");
    let mut frame = [0; FRAME_BYTES as usize];
    loop {
        let length = socket.read(&mut frame).expect("packets");
        let seen = frame.get(..length).and_then(Sent::read);
        let seen = seen.unwrap_or_else(|| Sent::Other("what is too short".to_owned()));
        writeln!(out, "{seen}").expect("somebody reads");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_what_they_are_and_lines_say_so() {
        let frame = |kind: [u8; 2], packet: &[u8]| [&[0; 12], &kind[..], packet].concat();
        let ip = |protocol, rest: &[u8]| {
            let head = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 198, 18, 0, 2, 10, 11, 0, 1];
            frame([8, 0], &[&head[..], rest].concat())
        };
        let six = |protocol, rest: &[u8]| {
            let to = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            frame([0x86, 0xdd], &[&[0x60, 0, 0, 0, 0, 8, protocol, 64][..], &[0; 16], &to, rest].concat())
        };
        for (frame, line) in [
            (ip(6, &[1, 2, 0x13, 0x89, 0, 0]), "tcp 10.11.0.1:5001"),
            (ip(17, &[1, 2, 0, 53]), "udp 10.11.0.1:53"),
            (ip(1, &[8, 0, 0, 0]), "other protocol 1 to 10.11.0.1"),
            (six(6, &[1, 2, 1, 187]), "tcp [fd00::1]:443"),
            (six(58, &[135, 0, 0, 0]), "link"),
            (six(58, &[128, 0, 0, 0]), "other protocol 58 to fd00::1"),
            (frame([8, 6], &[0; 28]), "link"),
            (frame([0x88, 0xcc], &[0; 8]), "other frame 0x88cc"),
        ] {
            let seen = Sent::read(&frame).unwrap();
            assert_eq!((seen.to_string().as_str(), Sent::parse(line)), (line, Some(seen)));
        }
        assert_eq!((Sent::read(&[0; 13]), Sent::parse("running 1 test")), (None, None));
    }
}
