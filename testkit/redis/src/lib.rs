//! For tests: real Redis servers in temporary directories, without persistence. [`Server`] is one on a Unix socket, [`Guarded`] one
//! behind TLS and a password, [`Sentinels`] a primary with a replica and who watches them, [`Shards`] a Redis Cluster.
//!
//! Dropping one ends it and removes its directory, and so does the end of the program, even when it was killed:
//! the shell that keeps Redis waits for that at the other end of a pipe.
//!
//! Whatever goes wrong here panics with what Redis said. A missing Redis is a failure, not a reason to skip.
#![expect(clippy::expect_used, reason = "test code: a failed step fails the test, with its words")]

mod guarded;
mod network;
mod process;
mod sentinels;
mod server;
mod shards;

pub use guarded::Guarded;
pub use network::Network;
pub use process::Process;
pub use sentinels::Sentinels;
pub use server::Server;
pub use shards::Shards;
