//! Cells that all nodes of a cluster take from: the same algorithm in Redis, one round trip for each check.
//!
//! Redis keeps the time, so the clocks of the nodes do not matter. It learns hashes under a key that only the nodes have,
//! how much each was used lately, and nothing else; every entry expires when its limit is full again.

use std::time::Duration;

use async_trait::async_trait;
use endtoend_cluster::redis::{Greeting, NotGreeted, RedisAt, SharedRedis};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

use super::Limit;

/// An answer that takes longer is not waited for. A round trip in a data centre takes a fraction of a millisecond.
pub(super) const DEADLINE: Duration = Duration::from_millis(100);
/// What every entry in Redis begins with, for access rules and for people who look there. What is in braces decides which node of a
/// Redis Cluster has it: all are at one, because one check takes several of them.
pub(super) const PREFIX: &str = "endtoend:{limit}:";

/// Sets `now`.
const CLOCK: &str = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]\n";
const RULES: &str = include_str!("gcra.lua");

/// The script; `clock` sets its `now`.
pub(super) fn script(clock: &str) -> Script {
    Script::new(&format!("{clock}{RULES}"))
}

/// Whose cell is taken, of which limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) name: [u8; 16],
    pub(super) limit: Limit,
}

/// What Redis has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// A cell of each was taken.
    Taken,
    /// The one at this position has none. Those before it were taken.
    Refused { at: usize, retry_after: Duration },
}

/// The cells in Redis. Tries to reach it for as long as this lives.
pub(super) struct Shared {
    redis: SharedRedis,
    script: Script,
}

/// A connection on which a check works: one that may connect, but neither run the script nor write, is of no use.
struct Checked {
    script: Script,
}

#[async_trait]
impl Greeting for Checked {
    async fn greet(&self, connection: &mut MultiplexedConnection) -> Result<(), NotGreeted> {
        // Only what was taken was also written.
        match ask(&self.script, connection, &[probe()]).await? {
            Decision::Taken => Ok(()),
            Decision::Refused { .. } => Err(NotGreeted::Wrong("a limit that nobody has used is reached".to_owned())),
        }
    }
    fn is_back(&self) {
        tracing::info!("limits are shared with other nodes through Redis");
    }
    fn is_lost(&self, reason: &str) {
        tracing::warn!(reason, "Redis is away: this node limits by what it sees itself, and goes on trying");
    }
}

impl Shared {
    /// Begins to connect. Within a tokio runtime.
    pub(super) fn start(at: &RedisAt, deadline: Duration) -> Self {
        let redis = SharedRedis::start(at, PREFIX, deadline, Checked { script: script(CLOCK) });
        Self { redis, script: script(CLOCK) }
    }

    /// Whether checks are decided by Redis at the moment.
    pub(super) fn is_in_use(&self) -> bool {
        self.redis.answers()
    }

    /// Takes a cell of each in turn, until there is none. `None` when Redis does not say; it may have taken them.
    pub(super) async fn take(&self, cells: &[Cell]) -> Option<Decision> {
        self.redis.ask(async |connection| ask(&self.script, connection, cells).await).await.ok()
    }
}

/// What a connection is tried with. Another cell each time: one that another node has just taken would be refused, and
/// nothing be written. It is there again, and its entry gone, after a millisecond.
pub(super) fn probe() -> Cell {
    Cell { name: rand::random(), limit: Limit::PROBE }
}

async fn ask(script: &Script, connection: &mut MultiplexedConnection, cells: &[Cell]) -> Result<Decision, RedisError> {
    let mut invocation = script.prepare_invoke();
    for Cell { name, limit } in cells {
        let period_us = u128::from(limit.every_ms.get()) * 1_000;
        invocation.key(key(name)).arg(limit.burst.get()).arg(period_us.to_string());
    }
    let (number, wait_us): (usize, u64) = invocation.invoke_async(connection).await?;
    Ok(match number.checked_sub(1) {
        None => Decision::Taken,
        Some(at) => Decision::Refused { at, retry_after: Duration::from_micros(wait_us) },
    })
}

fn key(name: &[u8; 16]) -> String {
    format!("{PREFIX}{}", hex::encode(name))
}
