//! The connection, and who makes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::breaker::{Breaker, Failure};
use crate::clock;

/// What a new connection may take, with its TLS and its greeting.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// What a connection has to do before it is used, and who is told when there is one and when not.
#[async_trait]
pub trait Greeting: Send + Sync + 'static {
    /// Shows that the connection is good for what it is meant for: one that may connect and not write is of no use.
    ///
    /// # Errors
    /// When it is not.
    async fn greet(&self, connection: &mut MultiplexedConnection) -> Result<(), NotGreeted>;
    /// Questions are asked from now on.
    fn is_back(&self);
    /// They are not asked any more. Said once, and not for each question that finds it so.
    fn is_lost(&self, reason: &str);
}

/// Why a connection is of no use, or no more.
#[derive(Debug, thiserror::Error)]
pub enum NotGreeted {
    /// Redis, or the way to it.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// It answers, and not what it has to.
    #[error("{0}")]
    Wrong(String),
}

/// No answer. What was asked may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis is away")]
pub struct Away;

/// The one connection that all of this process share. Tries to reach Redis for as long as this lives.
pub struct SharedRedis {
    inner: Arc<Inner>,
    keeper: AbortHandle,
}

struct Inner {
    client: Client,
    deadline: Duration,
    greeting: Box<dyn Greeting>,
    link: Mutex<Link>,
    /// Told when the connection is to be made anew.
    lost: Notify,
}

struct Link {
    breaker: Breaker,
    /// Of the breaker's present life.
    connection: Option<MultiplexedConnection>,
}

impl Drop for SharedRedis {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl std::fmt::Debug for SharedRedis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedRedis").field("answers", &self.answers()).finish_non_exhaustive()
    }
}

impl SharedRedis {
    /// Begins to connect. An answer that takes longer than `deadline` is not waited for. Within a tokio runtime.
    pub fn start(client: Client, deadline: Duration, greeting: impl Greeting) -> Self {
        let link = Mutex::new(Link { breaker: Breaker::new(clock::monotonic()), connection: None });
        let inner = Arc::new(Inner { client, deadline, greeting: Box::new(greeting), link, lost: Notify::new() });
        let keeper = tokio::spawn(keep(Arc::clone(&inner))).abort_handle();
        Self { inner, keeper }
    }

    /// Whether it is asked at the moment.
    pub fn answers(&self) -> bool {
        self.inner.link().breaker.life().is_some()
    }

    /// Asks one question. An error of Redis is taken for a broken connection.
    ///
    /// # Errors
    /// [`Away`] when there is no answer; it may have happened.
    pub async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Away> {
        let (life, mut connection) = {
            let link = self.inner.link();
            (link.breaker.life().ok_or(Away)?, link.connection.clone().ok_or(Away)?)
        };
        let (failure, error) = match timeout(self.inner.deadline, question(&mut connection)).await {
            Ok(Ok(answer)) => {
                self.inner.link().breaker.answered(life);
                return Ok(answer);
            }
            Ok(Err(error)) => (Failure::Broken, Some(error)),
            Err(_) => (Failure::Timeout, None),
        };
        let mut link = self.inner.link();
        if link.breaker.failed(life, failure, clock::monotonic()) {
            link.connection = None;
            drop(link);
            self.inner.lost.notify_one();
            self.inner.is_lost(error.map(NotGreeted::from).as_ref());
        }
        Err(Away)
    }
}

impl Inner {
    // A panic while the lock was held cannot have left it in between: every change is one call.
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, NotGreeted> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.greeting.greet(&mut connection).await?;
        Ok(connection)
    }

    fn is_lost(&self, error: Option<&NotGreeted>) {
        self.greeting.is_lost(&error.map_or_else(|| "no answer in time".to_owned(), ToString::to_string));
    }
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
            (true, true) => inner.greeting.is_back(),
            (true, false) => inner.is_lost(error.as_ref()),
            (false, _) => {}
        }
    }
}
