//! Which node of a Redis Cluster has certain keys.
//!
//! All keys of one purpose have the same part in braces, so one primary has them all, and a script reaches them like those of a
//! server of its own. A node that has them no more says so to the next question, and where they are.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind, RedisError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::server::{HostPort, Manner, connect};

/// A node that takes longer for its answer, its connection included, is not waited for.
const ANSWER_MAX: Duration = Duration::from_millis(1_000);
/// Nodes that one is sent to from another, at most: the first one may not know yet what the next one knows.
const REDIRECTIONS_MAX: usize = 4;

/// Some nodes of a Redis Cluster, from which the others are found. `Debug` shows no password.
#[derive(Clone)]
pub struct Shards {
    seeds: Vec<HostPort>,
    manner: Manner,
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shards").field(&self.seeds).finish()
    }
}

/// Who has a key.
enum Answer {
    /// The node that was asked; it is a primary.
    Here(MultiplexedConnection),
    /// Another one, as far as that node knows.
    At(HostPort),
}

impl Shards {
    /// `manner`: how each node is spoken to.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn new(seeds: Vec<HostPort>, manner: Manner) -> Result<Self, RedisError> {
        for seed in &seeds {
            manner.client(seed)?;
        }
        Ok(Self { seeds, manner })
    }

    /// A connection to the primary that has `key`.
    ///
    /// # Errors
    /// When no seed answers, or none of those to which they lead has it. The last reason that was met.
    pub(super) async fn connect(&self, key: &str) -> Result<MultiplexedConnection, RedisError> {
        let mut asked = JoinSet::new();
        for seed in &self.seeds {
            let (client, seed, key) = (self.manner.client(seed)?, seed.clone(), key.to_owned());
            asked.spawn(async move { who_has(&client, &seed, &key).await });
        }
        let mut failed = away("no node of the Redis Cluster answers");
        while let Some(answer) = asked.join_next().await {
            let Ok(answer) = answer else { continue };
            match self.follow(answer, key).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn follow(&self, first: Result<Answer, RedisError>, key: &str) -> Result<MultiplexedConnection, RedisError> {
        let mut answer = first?;
        for _ in 0..REDIRECTIONS_MAX {
            match answer {
                Answer::Here(connection) => return Ok(connection),
                Answer::At(node) => answer = who_has(&self.manner.client(&node)?, &node, key).await?,
            }
        }
        Err(away("nodes of the Redis Cluster send from one to the other"))
    }
}

fn away(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, what))
}

/// Asks a node for the key. A replica has none.
async fn who_has(client: &Client, node: &HostPort, key: &str) -> Result<Answer, RedisError> {
    let ask = async {
        let mut connection = connect(client).await?;
        match redis::cmd("EXISTS").arg(key).query_async::<u64>(&mut connection).await {
            Ok(_) => Ok(Answer::Here(connection)),
            Err(error) => match error.redirect_node().and_then(|(to, _)| moved(to, node)) {
                Some(other) => Ok(Answer::At(other)),
                None => Err(error),
            },
        }
    };
    timeout(ANSWER_MAX, ask).await.unwrap_or_else(|_| Err(away("a node of the Redis Cluster does not answer")))
}

/// `HOST:PORT` without brackets, as Redis says it. No host: that of the node that says it.
fn moved(to: &str, by: &HostPort) -> Option<HostPort> {
    let (host, port) = to.rsplit_once(':')?;
    let host = if host.is_empty() { &by.host } else { host };
    Some(HostPort { host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_key_has_moved_is_read() {
        let by: HostPort = "cache-1:7000".parse().unwrap();
        let to = |text: &str| moved(text, &by).map(|at| at.to_string());
        assert_eq!(to("10.0.0.2:7001").as_deref(), Some("10.0.0.2:7001"));
        assert_eq!(to("::1:7001").as_deref(), Some("[::1]:7001"));
        assert_eq!(to(":7002").as_deref(), Some("cache-1:7002"), "its own host");
        assert_eq!(to("10.0.0.2"), None);
        assert_eq!(to("10.0.0.2:x"), None);
    }
}
