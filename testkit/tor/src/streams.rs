//! Which streams share a circuit, as the `tor` at their end tells it: an exit, or that of an onion service.
//!
//! It says for each connection to where it leads, and on which circuit it came. What a client makes of its own streams
//! shows nowhere else: the relays before the last see circuits alone, and the server connections alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::process::Process;

/// A circuit at its end: whose, and under which numbers. A client of Debian's `tor` may have two legs to one exit, which count as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Circuit {
    place: u8,
    legs: BTreeSet<u32>,
}

/// How many streams are on which circuits.
pub type Streams = BTreeMap<Circuit, usize>;

/// What one `tor` tells of streams to this server.
pub(crate) fn told(place: u8, process: &Process, server: SocketAddr) -> Streams {
    read(place, &process.dump(), server)
}

/// What several tell.
pub(crate) fn merged(all: impl Iterator<Item = Streams>) -> Streams {
    all.flatten().collect()
}

fn read(place: u8, dump: &str, server: SocketAddr) -> Streams {
    let leads = format!("Exit connection (open) to {server},");
    // By the number of the connection, which leads a block of lines.
    let mut connections: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for line in dump.lines() {
        let Some((number, said)) = line.split_once("] Conn ").and_then(|(_, line)| line.split_once(' ')) else {
            continue;
        };
        if said.contains(&leads) {
            connections.entry(number).or_default();
        } else if let (Some(leg), Some(legs)) = (leg(said), connections.get_mut(number)) {
            legs.insert(leg);
        }
    }
    let mut streams = Streams::new();
    // One without a circuit is about to end.
    for legs in connections.into_values().filter(|legs| !legs.is_empty()) {
        *streams.entry(Circuit { place, legs }).or_default() += 1;
    }
    streams
}

/// The circuit's number on the side of whoever has built it, or of the next relay where an onion service has: the other one is zero.
fn leg(said: &str) -> Option<u32> {
    let (_, circuit) = said.split_once("-ward circuit: ")?;
    let (number, _) = circuit.split_once("(other side ")?.1.split_once(')')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Nov 27 15:08:05.000 [notice] Conn 0 (socket 6) is a OR listener connection (ready) on 127.11.1.1:1, created 9 secs ago
Nov 27 15:08:05.000 [notice] Conn 3 (socket 22) is a Exit connection (open) to 127.0.0.1:45239, created 0 secs ago
Nov 27 15:08:05.000 [notice] Conn 3: 0 bytes waiting on outbuf (len 0, last written 0 secs ago)
Nov 27 15:08:05.000 [notice] Conn 3 has Exit-ward circuit: circID 0 (other side 7), state 4 (open), born 1795792082:
Nov 27 15:08:05.000 [notice] Conn 3 has Exit-ward circuit: circID 0 (other side 8), state 4 (open), born 1795792082:
Nov 27 15:08:05.000 [info] Conn 4 (socket 23) is a Exit connection (open) to 127.0.0.1:45239, created 0 secs ago
Nov 27 15:08:05.000 [info] Conn 4 has App-ward circuit: circID 0 (other side 9), state 4 (open), born 1795792082:
Nov 27 15:08:05.000 [info] Conn 5 (socket 24) is a Exit connection (open) to 127.0.0.1:45239, created 0 secs ago
Nov 27 15:08:05.000 [info] Conn 5 has App-ward circuit: circID 0 (other side 9), state 4 (open), born 1795792082:
Nov 27 15:08:05.000 [info] Conn 6 (socket 25) is a Exit connection (open) to 127.0.0.1:4523, created 0 secs ago
Nov 27 15:08:05.000 [info] Conn 6 has Exit-ward circuit: circID 0 (other side 10), state 4 (open), born 1795792082:
Nov 27 15:08:05.000 [info] Conn 7 (socket 26) is a Exit connection (open) to 127.0.0.1:45239, created 0 secs ago
";

    #[test]
    fn streams_to_one_server_are_counted_by_circuit() {
        let circuit = |legs: &[u32]| Circuit { place: 1, legs: legs.iter().copied().collect() };
        let streams = read(1, SAID, "127.0.0.1:45239".parse().expect("an address"));
        assert_eq!(streams, [(circuit(&[7, 8]), 1), (circuit(&[9]), 2)].into());
    }
}
