//! Programs that are started for a while: a developer's cluster, a test. A program ends with whoever has started it, also when
//! that was killed: a shell that keeps it waits for that at the other end of a pipe.
//!
//! [`Keeper`] keeps any program; [`Postgres`] and [`Redis`] are servers of one's own, in folders of their own. None of them is
//! given the settings and secrets of the program that starts it.

mod clock;
mod error;
mod keeper;
mod place;
mod postgres;
mod program;
mod redis;

pub use clock::{PATIENCE, eventually};
pub use error::KeeperError;
pub use keeper::{Keeper, Kept};
pub use place::Place;
pub use postgres::{Postgres, Way};
pub use program::{command, find, is_over};
pub use redis::Redis;
