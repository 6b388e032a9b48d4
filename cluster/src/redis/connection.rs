//! The connection, and who makes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::BELIEVED;
use super::breaker::{Breaker, Failure, Life};
use super::place::RedisAt;
use super::sentinels::Watch;
use super::server::{HostPort, connect};
use super::shards::Shards;
use crate::clock;

/// What a new connection may take, with its TLS and its greeting.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How often the sentinels are asked whether they still name the primary.
const LOOK_EACH: Duration = Duration::from_millis(500);

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
    /// It answers, and not what it has to; or nobody says where it is.
    #[error("{0}")]
    Wrong(String),
}

/// Finds the server and connects to it.
pub(crate) enum Seeker {
    Server(Client),
    Sentinels(Watch),
    Cluster(Shards),
}

/// The server that was found.
pub(crate) struct Reached {
    pub(crate) connection: MultiplexedConnection,
    /// Where it is and when that was asked, if sentinels have named it.
    named: Option<(HostPort, std::time::Instant)>,
}

impl Seeker {
    pub(crate) fn new(at: &RedisAt) -> Self {
        match at.clone() {
            RedisAt::Server(client) => Self::Server(client),
            RedisAt::Sentinels(sentinels) => Self::Sentinels(Watch::new(sentinels)),
            RedisAt::Cluster(shards) => Self::Cluster(shards),
        }
    }

    /// A connection to the server that has `key`. Without a time limit.
    ///
    /// # Errors
    /// When there is none, or nobody says where it is.
    pub(crate) async fn reach(&mut self, key: &str) -> Result<Reached, NotGreeted> {
        match self {
            Self::Server(client) => Ok(Reached { connection: connect(client).await?, named: None }),
            Self::Cluster(shards) => Ok(Reached { connection: shards.connect(key).await?, named: None }),
            Self::Sentinels(watch) => {
                let asked = clock::monotonic();
                let primary = watch.primary().await.ok_or_else(|| NotGreeted::Wrong(watch.no_majority()))?;
                let connection = connect(&watch.client(&primary)?).await?;
                Ok(Reached { connection, named: Some((primary, asked)) })
            }
        }
    }
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
    /// Of what is asked there, one key.
    key: String,
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
    /// Until then it is asked, where sentinels have to name it again and again. By then another one may have its place.
    believed_until: Option<std::time::Instant>,
}

impl Link {
    /// Whom to ask now.
    fn in_use(&self, now: std::time::Instant) -> Option<(Life, &MultiplexedConnection)> {
        let life = self.breaker.life()?;
        let connection = self.connection.as_ref()?;
        self.believed_until.is_none_or(|until| now < until).then_some((life, connection))
    }

    fn fail(&mut self, life: Life, failure: Failure, now: std::time::Instant) -> bool {
        let is_over = self.breaker.failed(life, failure, now);
        if is_over {
            (self.connection, self.believed_until) = (None, None);
        }
        is_over
    }
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
    /// Begins to connect. `key`: one of those that are asked for; of a Redis Cluster, the node that has it has them all. An answer
    /// that takes longer than `deadline` is not waited for. Within a tokio runtime.
    pub fn start(at: &RedisAt, key: &str, deadline: Duration, greeting: impl Greeting) -> Self {
        let breaker = Breaker::new(clock::monotonic());
        let link = Mutex::new(Link { breaker, connection: None, believed_until: None });
        let (key, greeting) = (key.to_owned(), Box::new(greeting));
        let inner = Arc::new(Inner { key, deadline, greeting, link, lost: Notify::new() });
        let keeper = tokio::spawn(keep(Arc::clone(&inner), Seeker::new(at))).abort_handle();
        Self { inner, keeper }
    }

    /// Whether it is asked at the moment.
    pub fn answers(&self) -> bool {
        self.inner.link().in_use(clock::monotonic()).is_some()
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
            let (life, connection) = link.in_use(clock::monotonic()).ok_or(Away)?;
            (life, connection.clone())
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
        if link.fail(life, failure, clock::monotonic()) {
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

    async fn connect(&self, seeker: &mut Seeker) -> Result<Reached, NotGreeted> {
        let mut reached = seeker.reach(&self.key).await?;
        self.greeting.greet(&mut reached.connection).await?;
        Ok(reached)
    }

    /// Whether most sentinels name that primary still. It is left when they name another one, or have not named it for too long.
    async fn look_again(&self, watch: &mut Watch, primary: &HostPort) {
        let asked = clock::monotonic();
        let named = watch.primary().await;
        let mut link = self.link();
        let Some(life) = link.breaker.life() else { return };
        let now = clock::monotonic();
        let reason = match named {
            Some(named) if named == *primary => {
                link.believed_until = Some(asked + BELIEVED);
                return;
            }
            Some(named) => format!("the sentinels name another primary: {named}"),
            None if link.in_use(now).is_some() => return,
            None => watch.no_majority(),
        };
        if link.fail(life, Failure::Broken, now) {
            drop(link);
            self.is_lost(Some(&NotGreeted::Wrong(reason)));
        }
    }

    fn is_lost(&self, error: Option<&NotGreeted>) {
        self.greeting.is_lost(&error.map_or_else(|| "no answer in time".to_owned(), ToString::to_string));
    }
}

/// Makes the connection, and makes it anew whenever it is lost.
async fn keep(inner: Arc<Inner>, mut seeker: Seeker) {
    let mut primary = None;
    loop {
        let retry_at = inner.link().breaker.retry_at();
        let Some(retry_at) = retry_at else {
            match (&mut seeker, &primary) {
                (Seeker::Sentinels(watch), Some(primary)) => {
                    if timeout(LOOK_EACH, inner.lost.notified()).await.is_err() {
                        inner.look_again(watch, primary).await;
                    }
                }
                _ => inner.lost.notified().await,
            }
            continue;
        };
        sleep_until(Instant::from_std(retry_at)).await;
        let (reached, error) = match timeout(CONNECT_DEADLINE, inner.connect(&mut seeker)).await {
            Ok(Ok(reached)) => (Some(reached), None),
            Ok(Err(error)) => (None, Some(error)),
            Err(_) => (None, None),
        };
        let (answers, mut believed_until) = (reached.is_some(), None);
        let connection = reached.map(|Reached { connection, named }| {
            believed_until = named.as_ref().map(|(_, asked)| *asked + BELIEVED);
            primary = named.map(|(primary, _)| primary);
            connection
        });
        let mut link = inner.link();
        let news = link.breaker.tried(answers, clock::monotonic());
        (link.connection, link.believed_until) = (connection, believed_until);
        drop(link);
        match (news, answers) {
            (true, true) => inner.greeting.is_back(),
            (true, false) => inner.is_lost(error.as_ref()),
            (false, _) => {}
        }
    }
}
