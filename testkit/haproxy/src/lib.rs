//! For tests: a real HAProxy, master and worker, in a temporary directory.
//!
//! Dropping a [`Server`] ends it and removes its directory, and so does the end of the program, even when it was killed:
//! the shell that keeps HAProxy waits for that at the other end of a pipe.
//!
//! Whatever goes wrong here panics with what HAProxy said. A missing HAProxy is a failure, not a reason to skip.
#![expect(clippy::expect_used, reason = "test code: a failed step fails the test, with its words")]

mod port;
mod server;

pub use port::Port;
pub use server::{Server, complaint, folder};
