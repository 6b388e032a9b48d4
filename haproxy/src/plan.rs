//! What has to change in a HAProxy that runs, so that it becomes what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::model::Name;
use crate::render::{Rendered, Server};
use crate::runtime::{Info, ServerState, Stat};
use crate::version::Capabilities;

/// What a running HAProxy says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The process.
    pub info: Info,
    /// Its servers.
    pub servers: BTreeMap<Name, SeenServer>,
}

/// What it says of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenServer {
    /// How it is set.
    pub state: ServerState,
    /// What it does.
    pub stat: Stat,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A server more, which gets connections from now on.
    Add {
        /// Its name.
        name: Name,
        /// The rest.
        server: Server,
    },
    /// New connections go elsewhere; those that are stay.
    Address {
        /// Whose.
        name: Name,
        /// Where.
        address: SocketAddr,
    },
    /// Checks go elsewhere.
    CheckAddress {
        /// Whose.
        name: Name,
        /// Where.
        address: SocketAddr,
    },
    /// Another share of new connections.
    Weight {
        /// Whose.
        name: Name,
        /// 0 to 256.
        weight: u16,
    },
    /// Another number of connections at one time.
    ConnectionsMax {
        /// Whose.
        name: Name,
        /// The number.
        connections_max: u32,
    },
    /// Out of maintenance.
    Admit {
        /// Who.
        name: Name,
    },
    /// Into maintenance: nothing new, and no checks. What it has stays.
    Retire {
        /// Who.
        name: Name,
    },
    /// Ends what a retired server still has.
    Cut {
        /// Whose.
        name: Name,
    },
    /// A retired server without sessions goes.
    Delete {
        /// Who.
        name: Name,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// These orders, one after the other; none when all is as it should be.
    Orders(Vec<Change>),
    /// A new worker with a new file.
    Reload,
}

impl Change {
    /// Only tidies up: what is wanted is so already.
    pub const fn is_tidying(&self) -> bool {
        matches!(self, Self::Cut { .. } | Self::Delete { .. })
    }
}

impl Plan {
    /// All is as it should be; what is left only tidies up.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Orders(orders) => orders.iter().all(Change::is_tidying),
            Self::Reload => false,
        }
    }
}

/// Since when servers that are not wanted any more have been in maintenance.
#[derive(Clone, Debug, Default)]
pub struct Leaving(BTreeMap<Name, Instant>);

impl Leaving {
    /// So long connections to a removed server stay. Its node has let them go before, when there was a drain.
    pub const GRACE: Duration = Duration::from_secs(60);

    /// Notes who leaves, and gives those whose time is over.
    pub fn overdue(&mut self, seen: &Seen, wanted: &Rendered, now: Instant) -> BTreeSet<Name> {
        let leaves = |name: &Name| seen.servers.contains_key(name) && !wanted.servers.contains_key(name);
        self.0.retain(|name, _| leaves(name));
        for name in seen.servers.keys().filter(|name| leaves(name)) {
            self.0.entry(name.clone()).or_insert(now);
        }
        let over = |since: &Instant| now.saturating_duration_since(*since) >= Self::GRACE;
        self.0.iter().filter(|(_, since)| over(since)).map(|(name, _)| name.clone()).collect()
    }
}

/// The way from what is seen to what is wanted. Whoever comes comes first, so that there is always somebody to go to.
pub fn plan(seen: &Seen, wanted: &Rendered, overdue: &BTreeSet<Name>, can: Capabilities) -> Plan {
    if seen.info.structure.as_ref() != Some(&wanted.structure) {
        return Plan::Reload;
    }
    let (mut orders, mut last) = (Vec::new(), Vec::new());
    for (name, server) in &wanted.servers {
        match seen.servers.get(name) {
            None if !can.servers => return Plan::Reload,
            None => orders.push(Change::Add { name: name.clone(), server: server.clone() }),
            Some(has) => match mend(name, has, server) {
                Some(changes) => orders.extend(changes),
                None => return Plan::Reload,
            },
        }
    }
    for (name, has) in seen.servers.iter().filter(|(name, _)| !wanted.servers.contains_key(*name)) {
        let name = name.clone();
        if !has.state.maintenance {
            last.push(Change::Retire { name });
        } else if has.stat.sessions > 0 {
            last.extend(overdue.contains(&name).then_some(Change::Cut { name }));
        } else if can.servers {
            last.push(Change::Delete { name });
        }
    }
    orders.append(&mut last);
    Plan::Orders(orders)
}

/// The orders that make a server what it should be; `None` when none can.
fn mend(name: &Name, has: &SeenServer, server: &Server) -> Option<Vec<Change>> {
    let name = || name.clone();
    let mut orders = Vec::new();
    if has.state.address != Some(server.address) {
        orders.push(Change::Address { name: name(), address: server.address });
    }
    match (has.state.check, server.check) {
        (has, wanted) if has == wanted => {}
        (Some(_), Some(address)) => orders.push(Change::CheckAddress { name: name(), address }),
        _ => return None,
    }
    if has.state.weight != server.weight {
        orders.push(Change::Weight { name: name(), weight: server.weight });
    }
    if has.stat.sessions_max != Some(server.connections_max) {
        orders.push(Change::ConnectionsMax { name: name(), connections_max: server.connections_max });
    }
    if has.state.maintenance || has.state.drain || !has.state.checked {
        orders.push(Change::Admit { name: name() });
    }
    Some(orders)
}
