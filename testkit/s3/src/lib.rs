//! A real server that speaks S3, for tests: `s3s-fs`, which keeps objects in a folder and checks signatures. `scripts/s3-server` builds
//! it, outside of this workspace.
//!
//! It ends with whoever has started it, and its folder goes with it.
#![expect(clippy::expect_used, reason = "test code: without the server a test fails")]

mod server;

pub use server::Server;
