//! For tests: what the crates that start a real server have in common. A program ends with the test that has started it, also when
//! that was killed; and whoever waits for it has a deadline.
#![expect(clippy::expect_used, reason = "test code: a failed step fails the test, with its words")]

mod clock;
mod keeper;

pub use clock::{PATIENCE, eventually};
pub use keeper::{Keeper, Kept};
