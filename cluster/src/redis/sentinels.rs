//! Which primary the sentinels name.
//!
//! Sentinels that are cut off go on naming the primary of before, and so would a node that believes any of them. So a primary is
//! the one that most of *all* sentinels name that there are: of two such majorities one sentinel is in both, and it never goes back
//! to an earlier primary.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::server::{HostPort, Manner, connect};

/// A sentinel that takes longer for its answer, its connection included, is not waited for.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// Sentinels, and what they watch. `Debug` shows no password.
#[derive(Clone)]
pub struct Sentinels {
    sentinels: Vec<Client>,
    primary: String,
    manner: Manner,
}

impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sentinels({} of them, primary {:?})", self.sentinels.len(), self.primary)
    }
}

impl Sentinels {
    /// All sentinels that there are. `primary`: what they call what they watch. `asked`: how they are spoken to. `manner`: how the
    /// servers are that they name.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn new(all: &[HostPort], primary: &str, asked: &Manner, manner: Manner) -> Result<Self, RedisError> {
        let sentinels = all.iter().map(|at| asked.client(at)).collect::<Result<_, _>>()?;
        Ok(Self { sentinels, primary: primary.to_owned(), manner })
    }
}

/// Connections to the sentinels, made when they are needed.
pub(crate) struct Watch {
    of: Sentinels,
    connections: Vec<Option<MultiplexedConnection>>,
}

impl Watch {
    pub(super) fn new(of: Sentinels) -> Self {
        let connections = of.sentinels.iter().map(|_| None).collect();
        Self { of, connections }
    }

    /// The primary that most sentinels name; within half a second. None when most do not answer, or do not agree.
    pub(super) async fn primary(&mut self) -> Option<HostPort> {
        let mut asked = JoinSet::new();
        for (number, client) in self.of.sentinels.iter().enumerate() {
            let connection = self.connections.get_mut(number).and_then(Option::take);
            let (client, primary) = (client.clone(), self.of.primary.clone());
            asked.spawn(async move { (number, timeout(ANSWER_MAX, ask(client, connection, primary)).await) });
        }
        let mut named = Vec::new();
        while let Some(answer) = asked.join_next().await {
            let Ok((number, Ok(Some((connection, primary))))) = answer else { continue };
            if let Some(kept) = self.connections.get_mut(number) {
                *kept = Some(connection);
            }
            named.extend(primary);
        }
        agreed(&named, self.of.sentinels.len())
    }

    pub(super) fn client(&self, at: &HostPort) -> Result<Client, RedisError> {
        self.of.manner.client(at)
    }

    /// What is said when there is no primary.
    pub(super) fn no_majority(&self) -> String {
        let Sentinels { sentinels, primary, .. } = &self.of;
        format!("no majority of {} sentinels names a primary of {primary:?}", sentinels.len())
    }
}

/// The connection, to be kept, and what the sentinel names, if it knows it.
async fn ask(
    client: Client,
    connection: Option<MultiplexedConnection>,
    primary: String,
) -> Option<(MultiplexedConnection, Option<HostPort>)> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => connect(&client).await.ok()?,
    };
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
    let named: Option<(String, u16)> = question.query_async(&mut connection).await.ok()?;
    Some((connection, named.map(|(host, port)| HostPort { host, port })))
}

/// The one that more than half of `all` have named.
fn agreed(named: &[HostPort], all: usize) -> Option<HostPort> {
    let mut votes: BTreeMap<&HostPort, usize> = BTreeMap::new();
    for primary in named {
        *votes.entry(primary).or_default() += 1;
    }
    votes.into_iter().find(|(_, votes)| votes * 2 > all).map(|(primary, _)| primary.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_is_the_one_that_more_than_half_of_all_sentinels_name() {
        let [old, new] = ["10.0.0.1:6379", "10.0.0.2:6379"].map(|at| at.parse::<HostPort>().unwrap());
        let of = |named: &[&HostPort], all| agreed(&named.iter().map(|at| (*at).clone()).collect::<Vec<_>>(), all);
        assert_eq!(of(&[&old], 1), Some(old.clone()));
        assert_eq!(of(&[&old, &new, &new], 3), Some(new.clone()));
        assert_eq!(of(&[&old, &old, &new], 3), Some(old.clone()));
        // Of those that are cut off with the primary of before nothing is believed.
        assert_eq!(of(&[&old], 3), None);
        assert_eq!(of(&[&old, &new], 3), None);
        assert_eq!(of(&[&old, &old, &new, &new], 4), None);
        assert_eq!(of(&[], 3), None);
    }
}
