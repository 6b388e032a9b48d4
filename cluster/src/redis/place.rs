//! Where Redis is.

use std::fmt;
use std::time::Duration;

use redis::Client;

use super::BELIEVED;
use super::sentinels::Sentinels;
use super::shards::Shards;

/// Where Redis is. `Debug` shows no password.
#[derive(Clone)]
pub enum RedisAt {
    /// One server, which is a primary.
    Server(Client),
    /// The primary that most of some sentinels name.
    Sentinels(Sentinels),
    /// Of a Redis Cluster the primary that has the keys that are asked for.
    Cluster(Shards),
}

impl RedisAt {
    /// How much longer than a lease it may take until nobody believes in what an earlier primary has said. What a primary has
    /// that took the place of another is looked at as forgotten for so long.
    pub const fn guard(&self) -> Duration {
        match self {
            Self::Server(_) => Duration::ZERO,
            Self::Sentinels(_) | Self::Cluster(_) => BELIEVED,
        }
    }
}

impl fmt::Debug for RedisAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(client) => write!(f, "Server({})", client.get_connection_info().addr()),
            Self::Sentinels(sentinels) => sentinels.fmt(f),
            Self::Cluster(shards) => shards.fmt(f),
        }
    }
}
