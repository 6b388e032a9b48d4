//! The ephemeral plane: which node has which device, and since when for itself alone.
//!
//! A *claim* says on which node a device is connected. It is kept in a [`ClaimDirectory`], which may be lost at any moment
//! without losing a message: [`Lease`] and [`Ownership`] are the rules by which a node knows what it may do meanwhile.

mod directory;
mod lease;
mod memory;
mod names;
mod ownership;
mod redis;
mod table;
#[cfg(test)]
mod tests;
mod whereabouts;

pub use directory::{Before, ClaimDirectory, ClaimsError, Found, Kept, Lost, Renewed, Stamp, Swept, Taken};
pub use lease::Lease;
pub use memory::LocalClaims;
pub use names::{BadIncarnation, DeviceName, Epoch, Incarnation, NameKey};
pub use ownership::{Arrival, Attempt, FENCE, Ownership, SWEEP_LIFE, Standing};
pub use redis::{DEADLINE, PREFIX, RedisClaims};
pub use table::ClaimTable;
pub use whereabouts::Whereabouts;

use std::time::Duration;

/// How long the directory believes in a node that it does not hear from. The same on all nodes.
pub const LEASE: Duration = Duration::from_secs(3);
/// How often a node renews its lease.
pub const RENEW_EACH: Duration = Duration::from_secs(1);
/// A node stops believing in its own lease this much before the directory does: its clock may run slower.
pub const LEASE_MARGIN: Duration = Duration::from_millis(500);
/// How long a claim stays in the directory unless it is kept. By the directory's clock, which must not jump so far.
pub const CLAIM_LIFE: Duration = Duration::from_secs(600);
/// Claims in one question: what one script does while Redis does nothing else, about a millisecond.
pub const CLAIMS_MAX: usize = 1_000;
