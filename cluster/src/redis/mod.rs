//! One connection to Redis, which is made anew whenever it is lost, and left alone while it does not answer. Where Redis is, one
//! server, sentinels or a Redis Cluster, is known here and nowhere else.

mod breaker;
mod connection;
mod place;
mod sentinels;
mod server;
mod shards;

use std::time::Duration;

pub(crate) use connection::Seeker;
pub use connection::{Away, Greeting, NotGreeted, SharedRedis};
pub use place::RedisAt;
pub use sentinels::Sentinels;
pub use server::{BadHostPort, HostPort, Manner};
pub use shards::Shards;

/// How long a primary is asked without a majority of sentinels that names it. A primary that has taken its place waits so much
/// longer before anybody counts on what it says. A node of a Redis Cluster that was put out of its place notices that by itself,
/// in half of `cluster-node-timeout`: in less, as long as that is below 4 s, which docs/operating.md asks for.
pub const BELIEVED: Duration = Duration::from_secs(2);
