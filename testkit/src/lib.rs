//! For system tests: the real programs, started and stopped, and a client that may break every rule.
//!
//! Whatever goes wrong here panics with what the programs said: a test has nothing better to do with an error.
#![expect(clippy::expect_used, clippy::panic, reason = "test code: a failed step fails the test, with its words")]

mod cli;
mod clock;
mod cluster;
mod edge;
mod enclosure;
mod machine;
mod node;
mod peer;
mod program;
mod scene;
mod sniffer;
mod watch;
mod wire;

/// What the demo proves with, the tests prove with.
pub use endtoend_gateway::demo::search::find_in_trees;

pub use cli::{Cli, Outcome, Running, demo, operate};
pub use clock::{PATIENCE, eventually, monotonic};
pub use cluster::{Cluster, cluster_command, free_address, nodes, text};
pub use edge::{Behind, Edge};
pub use enclosure::Enclosure;
pub use machine::Machine;
pub use node::{Beginning, Node, NodeOptions, NotStarted};
pub use peer::{Newcomer, Peer};
pub use program::{command as own_program, other_programs};
pub use scene::Scene;
pub use sniffer::{Sent, sniff_if_asked};
pub use watch::{Family, Scrape};
pub use wire::{
    Clog, Device, Gone, PASSWORD, Registrar, Unreached, Unsecured, Wire, WireReceiver, WireSender, noise_device,
    reach_tls, reach_tls_from, trusting_tls,
};
