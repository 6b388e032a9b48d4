//! For tests: a real Redis server in a temporary directory, on a Unix socket, without persistence.
//!
//! Dropping a [`Server`] ends it and removes its directory, and so does the end of the program, even when it was killed:
//! the shell that keeps Redis waits for that at the other end of a pipe.
//!
//! Whatever goes wrong here panics with what Redis said. A missing Redis is a failure, not a reason to skip.
#![expect(clippy::expect_used, reason = "test code: a failed step fails the test, with its words")]

mod server;

pub use server::Server;
