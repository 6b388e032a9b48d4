//! Which change comes next.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use endtoend_testkit::Behind;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// b, who listens at two addresses.
const MOVES: usize = 1;

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Drain,
    Undrain,
    Weight,
    Address,
    Remove,
    Join,
    Fail,
    Return,
}

/// Keeps in mind what was done. Of a, b and c, a is always there, and c is the one that may be killed.
pub(crate) struct Plan {
    rng: StdRng,
    nodes: Vec<Behind>,
    /// b or c is off the list.
    removed: Option<usize>,
    failed: bool,
    counts: BTreeMap<String, u64>,
}

impl Plan {
    pub(crate) fn new(nodes: Vec<Behind>, seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), nodes, removed: None, failed: false, counts: BTreeMap::new() }
    }

    /// Does it on the list.
    pub(crate) fn next_change(&mut self) -> Change {
        let at = self.rng.random_range(1..3);
        let change = match (self.rng.random_range(0..6), self.removed) {
            // Whoever was removed comes back soon: what it still has is ended after a minute.
            (4 | 5, Some(_)) => Change::Join,
            (4, None) => Change::Remove,
            (5, _) if self.failed => Change::Return,
            (5, _) => Change::Fail,
            (0, _) => Change::Drain,
            (1, _) => Change::Undrain,
            (2, _) if at == MOVES => Change::Address,
            _ => Change::Weight,
        };
        let weight = self.rng.random_range(1..=256);
        match change {
            Change::Remove => self.removed = Some(at),
            Change::Join => self.removed = None,
            Change::Fail => self.failed = true,
            Change::Return => self.failed = false,
            Change::Drain | Change::Undrain | Change::Weight | Change::Address => {
                if let Some(node) = self.nodes.get_mut(at) {
                    match change {
                        Change::Drain => node.draining = true,
                        Change::Undrain => node.draining = false,
                        Change::Weight => node.weight = weight,
                        _ => node.address = moved(node.address),
                    }
                }
            }
        }
        *self.counts.entry(format!("{change:?}").to_lowercase()).or_default() += 1;
        change
    }

    /// c has started again.
    pub(crate) fn returned(&mut self, ready: Option<SocketAddr>) {
        if let Some(c) = self.nodes.last_mut() {
            c.ready = ready;
        }
    }

    /// The list.
    pub(crate) fn behind(&self) -> Vec<Behind> {
        let there = |(at, _): &(usize, &Behind)| Some(*at) != self.removed;
        self.nodes.iter().enumerate().filter(there).map(|(_, node)| node.clone()).collect()
    }

    pub(crate) const fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }
}

/// The same node at its other address.
fn moved(address: SocketAddr) -> SocketAddr {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    SocketAddr::new(if address.ip() == here { other } else { here }, address.port())
}
