//! For tests: a real PostgreSQL server in a temporary directory, on a Unix socket and a free port of loopback.
//!
//! One server for a test program ([`Server::shared`]), a database of its own for each test ([`Server::database`]). The
//! end of the program ends the server and removes its directory, even when the program was killed: a watchdog waits for
//! that with the other end of a pipe.
//!
//! Whatever goes wrong here panics with what the programs said. A missing PostgreSQL is a failure, not a reason to skip.
#![expect(clippy::expect_used, reason = "test code: a failed step fails the test, with its words")]

mod server;

pub use server::{Server, Settings};
