//! CPU of the servers.

use std::ops::Sub;
use std::time::Duration;

/// User and system time that the servers have used.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    /// Of each node.
    pub(crate) nodes: Vec<Duration>,
    /// Only where several nodes share it.
    pub(crate) redis: Option<Duration>,
    /// Of all its processes, where it is the store.
    pub(crate) postgres: Option<Duration>,
}

impl Used {
    /// Of all nodes together.
    pub(crate) fn of_nodes(&self) -> Duration {
        self.nodes.iter().sum()
    }
}

impl Sub<&Self> for Used {
    type Output = Self;

    /// What was used since then.
    fn sub(self, before: &Self) -> Self {
        let since = |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        Self {
            nodes: self.nodes.iter().zip(&before.nodes).map(|(now, before)| now.saturating_sub(*before)).collect(),
            redis: since(self.redis, before.redis),
            postgres: since(self.postgres, before.postgres),
        }
    }
}
