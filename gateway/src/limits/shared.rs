//! Cells that all nodes of a cluster take from: the same algorithm in Redis, one round trip for each check.
//!
//! Redis keeps the time, so the clocks of the nodes do not matter. It learns hashes under a key that only the nodes have,
//! how much each was used lately, and nothing else; every entry expires when its limit is full again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::Limit;
use super::breaker::{Breaker, Failure};
use crate::clock;

/// An answer that takes longer is not waited for. A round trip in a data centre takes a fraction of a millisecond.
pub(super) const DEADLINE: Duration = Duration::from_millis(100);
/// What a new connection may take, with its TLS and its first question.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// What every entry in Redis begins with, for access rules and for people who look there.
pub(super) const PREFIX: &str = "endtoend:limit:";

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
    inner: Arc<Inner>,
    keeper: AbortHandle,
}

struct Inner {
    client: Client,
    script: Script,
    deadline: Duration,
    link: Mutex<Link>,
    /// Told when the connection is to be made anew.
    lost: Notify,
}

/// Why a connection is of no use, or no more.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The script runs, and does not count.
    #[error("a limit that nobody has used is reached")]
    Probe,
}

struct Link {
    breaker: Breaker,
    /// Of the breaker's present life.
    connection: Option<MultiplexedConnection>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Shared {
    /// Begins to connect. Within a tokio runtime.
    pub(super) fn start(client: Client, deadline: Duration) -> Self {
        let link = Mutex::new(Link { breaker: Breaker::new(clock::monotonic()), connection: None });
        let inner = Arc::new(Inner { client, script: script(CLOCK), deadline, link, lost: Notify::new() });
        let keeper = tokio::spawn(keep(Arc::clone(&inner))).abort_handle();
        Self { inner, keeper }
    }

    /// Whether checks are decided by Redis at the moment.
    pub(super) fn is_in_use(&self) -> bool {
        self.inner.link().breaker.life().is_some()
    }

    /// Takes a cell of each in turn, until there is none. `None` when Redis does not say; it may have taken them.
    pub(super) async fn take(&self, cells: &[Cell]) -> Option<Decision> {
        let (life, mut connection) = {
            let link = self.inner.link();
            (link.breaker.life()?, link.connection.clone()?)
        };
        let asked = timeout(self.inner.deadline, ask(&self.inner.script, &mut connection, cells)).await;
        let failure = match asked {
            Ok(Ok(decision)) => {
                self.inner.link().breaker.answered(life);
                return Some(decision);
            }
            Ok(Err(error)) => (Failure::Broken, Some(error)),
            Err(_) => (Failure::Timeout, None),
        };
        let (failure, error) = failure;
        let mut link = self.inner.link();
        if link.breaker.failed(life, failure, clock::monotonic()) {
            link.connection = None;
            drop(link);
            self.inner.lost.notify_one();
            lost(error.map(ConnectError::from).as_ref());
        }
        None
    }
}

impl Inner {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection on which a check works: one that may connect, but neither run the script nor write, is of no use.
    async fn connect(&self) -> Result<MultiplexedConnection, ConnectError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        // Only what was taken was also written.
        match ask(&self.script, &mut connection, &[probe()]).await? {
            Decision::Taken => Ok(connection),
            Decision::Refused { .. } => Err(ConnectError::Probe),
        }
    }
}

/// What a connection is tried with. Another cell each time: one that another node has just taken would be refused, and
/// nothing be written. It is there again, and its entry gone, after a millisecond.
pub(super) fn probe() -> Cell {
    Cell { name: rand::random(), limit: Limit::PROBE }
}

/// Makes the connection, and makes it anew whenever it is lost.
async fn keep(inner: Arc<Inner>) {
    loop {
        let retry_at = inner.link().breaker.retry_at();
        let Some(retry_at) = retry_at else {
            inner.lost.notified().await;
            continue;
        };
        sleep_until(Instant::from_std(retry_at)).await;
        let (connection, error) = match timeout(CONNECT_DEADLINE, inner.connect()).await {
            Ok(Ok(connection)) => (Some(connection), None),
            Ok(Err(error)) => (None, Some(error)),
            Err(_) => (None, None),
        };
        let answers = connection.is_some();
        let mut link = inner.link();
        let news = link.breaker.tried(answers, clock::monotonic());
        link.connection = connection;
        drop(link);
        match (news, answers) {
            (true, true) => tracing::info!("limits are shared with other nodes through Redis"),
            (true, false) => lost(error.as_ref()),
            (false, _) => {}
        }
    }
}

/// Said once, and not for each check that finds it so.
fn lost(error: Option<&ConnectError>) {
    let reason = error.map_or_else(|| "no answer in time".to_owned(), ToString::to_string);
    tracing::warn!(reason, "Redis is away: this node limits by what it sees itself, and goes on trying");
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
