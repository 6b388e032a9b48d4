//! For tests: a private Tor network of Debian's `tor` and `obfs4proxy`, ready in some 15 s.
//!
//! [`Network`] is an authority, five relays that are guard, middle and exit alike, a bridge with and without obfs4, and a name
//! server that nobody but the exits asks. [`Onion`] is an onion service of a `tor` of its own, [`Client`] a `tor` with a SOCKS port.
//! Each network has addresses of its own, so that several run at one time, and nothing of it leaves this machine: whoever is
//! reached by a name of [`Network::name`] was reached through an exit.
//!
//! Which streams share a circuit is told by whoever is at its other end: [`Network::streams_to`], [`Onion::streams_to`].
//!
//! Dropping one ends its programs and removes their directories, and so does the end of the program, even when it was killed.
//!
//! Whatever goes wrong here panics with what the programs said. A missing Tor is a failure, not a reason to skip.
#![expect(clippy::expect_used, clippy::panic, reason = "test code: a failed step fails the test, with its words")]

mod addresses;
mod client;
mod clock;
mod keys;
mod names;
mod network;
mod onion;
mod process;
mod sockets;
mod streams;
mod torrc;

pub use addresses::Addresses;
pub use client::Client;
pub use network::{Network, RELAYS};
pub use onion::Onion;
pub use streams::{Circuit, Streams};
