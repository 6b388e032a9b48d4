//! All of it, started and ended.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use endtoend_keeper::{Place, Postgres, Redis, Way};
use serde_json::Value;

use super::edge::Edge;
use super::error::DevError;
use super::member::{Member, Shared};
use super::stop::Stop;

/// What is to be there.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// At least 1.
    pub(crate) nodes: u8,
    /// Where everything is kept; `None` for a passing cluster.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) edge: bool,
    /// What nodes log.
    pub(crate) log: &'static str,
}

/// A cluster that runs. Dropping it ends it at once; see [`Cluster::end`].
pub(crate) struct Cluster {
    // In the order in which they may go.
    edge: Option<Edge>,
    members: Vec<Member>,
    postgres: Postgres,
    redis: Redis,
    /// Of the folder that is kept.
    _lock: Option<File>,
}

impl Cluster {
    /// Starts everything, and waits until all nodes are members that take clients. `tell` hears what happens.
    ///
    /// # Errors
    /// See [`DevError`]. What was started by then has ended.
    pub(crate) fn start(wanted: &Wanted, stop: &Stop, tell: &mut dyn FnMut(&str)) -> Result<Self, DevError> {
        let folder = wanted.folder.as_deref();
        let lock = folder.map(lock).transpose()?;
        let known =
            folder.map_or(0, |folder| (1..=u8::MAX).take_while(|n| Member::is_known(&place_of(folder, *n))).count());
        if known > usize::from(wanted.nodes)
            && let Some(folder) = folder
        {
            return Err(DevError::Fewer { folder: folder.to_owned(), there: known });
        }
        tell("Redis starts");
        let redis = Redis::start(&Place::passing("e2e-redis-")?)?;
        tell("PostgreSQL starts");
        let database = match folder {
            None => Place::passing("e2e-pg-")?,
            Some(folder) => Place::lasting(&folder.join("postgres"))?,
        };
        let postgres = Postgres::start(&database, Way { durable: true, tcp_password: None })?;
        let (store, redis_url) = (postgres.url("postgres"), redis.url());
        let shared = Shared { store, redis: redis_url, edge: wanted.edge, log: wanted.log };
        let mut cluster = Self { edge: None, members: Vec::new(), postgres, redis, _lock: lock };

        // Those that know each other need each other to be ready.
        let at_once = u8::try_from(known).unwrap_or(u8::MAX).max(1);
        for number in 1..=at_once {
            let name = name(number);
            tell(&format!("{name} {}", if known == 0 { "founds the cluster" } else { "starts" }));
            let mut member = Member::new(&name, place(folder, number)?, &shared, None)?;
            member.launch()?;
            cluster.members.push(member);
        }
        for member in &mut cluster.members {
            member.ready(stop)?;
            member.is_in()?;
        }
        cluster.join(at_once + 1..=wanted.nodes, folder, &shared, stop, tell)?;
        if wanted.edge {
            cluster.add_edge(folder, stop, tell)?;
        }
        Ok(cluster)
    }

    fn add_edge(&mut self, folder: Option<&Path>, stop: &Stop, tell: &mut dyn FnMut(&str)) -> Result<(), DevError> {
        let Some(seed) = self.members.first() else { return Ok(()) };
        tell("HAProxy starts, and its agent follows the cluster");
        // Ended with the cluster from here on, whatever becomes of its start.
        let edge = self.edge.insert(Edge::new(folder, seed)?);
        edge.start(seed, &self.members, stop)
    }

    /// Lets further nodes in: all of them start at one time.
    fn join(
        &mut self,
        numbers: impl Iterator<Item = u8>,
        folder: Option<&Path>,
        shared: &Shared,
        stop: &Stop,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), DevError> {
        let before = self.members.len();
        for number in numbers {
            let name = name(number);
            tell(&format!("{name} asks to join"));
            let Some(seed) = self.members.first() else { return Ok(()) };
            let token = seed.operate(&["cluster", "token", "create"])?;
            let token = text(&token, "token")?;
            let address = seed.peer_address();
            let mut member = Member::new(&name, place(folder, number)?, shared, Some((&address, token)))?;
            member.launch()?;
            self.members.push(member);
        }
        let (there, joining) = self.members.split_at_mut(before);
        let Some(seed) = there.first() else { return Ok(()) };
        for member in joining {
            stop.until(&format!("{} asks to join", member.name()), || {
                if !member.lives() {
                    member.ready(stop)?;
                }
                Ok(state(&seed.operate(STATUS)?, Group::Nodes, member.name())
                    .filter(|state| state == "pending")
                    .map(drop))
            })?;
            seed.operate(&["cluster", "approve", member.name()])?;
            member.ready(stop)?;
            stop.until(&format!("{} is active", member.name()), || {
                Ok(state(&seed.operate(STATUS)?, Group::Nodes, member.name())
                    .filter(|state| state == "active")
                    .map(drop))
            })?;
            member.is_in()?;
            tell(&format!("{} is active", member.name()));
        }
        Ok(())
    }

    /// What any node that answers says of the cluster.
    ///
    /// # Errors
    /// What the last one says when none does.
    pub(crate) fn status(&self) -> Result<Value, DevError> {
        let mut last = Err(DevError::Stopped);
        for member in self.members.iter().filter(|member| member.lives()) {
            last = member.operate(STATUS);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// The names of nodes that have ended by themselves, each once.
    pub(crate) fn look(&mut self) -> Vec<String> {
        let ended = self.members.iter_mut();
        ended.filter_map(|member| member.has_ended().then(|| member.name().to_owned())).collect()
    }

    /// Ends everything in order: edge, nodes, and what they need. A second signal ends the waiting.
    ///
    /// # Errors
    /// When somebody has ended the shells that keep the programs.
    pub(crate) fn end(mut self, stop: &Stop) -> Result<(), DevError> {
        if let Some(edge) = &mut self.edge {
            edge.terminate()?;
        }
        self.members.iter_mut().try_for_each(Member::terminate)?;
        let members = &self.members;
        let edge = self.edge.as_ref();
        let over = || edge.is_none_or(Edge::has_ended) && members.iter().all(|member| !member.lives());
        match stop.until("all nodes have ended", || Ok(over().then_some(()))) {
            // What is left is killed.
            Ok(()) | Err(DevError::Stopped | DevError::TooLong { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }
    pub(crate) fn member(&mut self, name: &str) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.name() == name)
    }
    /// Where clients connect, with the pin: the edge, or the first node.
    pub(crate) fn address(&self) -> String {
        let first = self.members.first().map_or("", Member::address);
        self.edge.as_ref().map_or_else(|| first.to_owned(), |edge| edge.address(first))
    }
    pub(crate) fn edge_config(&self) -> Option<PathBuf> {
        self.edge.as_ref().map(Edge::config)
    }
    pub(crate) fn postgres(&self) -> &Postgres {
        &self.postgres
    }
    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }
}

pub(super) const STATUS: &[&str] = &["cluster", "status"];

fn name(number: u8) -> String {
    format!("node-{number}")
}

fn place_of(folder: &Path, number: u8) -> PathBuf {
    folder.join(name(number))
}

fn place(folder: Option<&Path>, number: u8) -> Result<Place, DevError> {
    Ok(match folder {
        None => Place::passing("e2e-node-")?,
        Some(folder) => Place::lasting(&place_of(folder, number))?,
    })
}

/// One cluster at a time uses a folder. Root's is passed through by PostgreSQL, which runs as somebody else.
fn lock(folder: &Path) -> Result<File, DevError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(folder);
    let file = made.and_then(|()| File::options().create(true).append(true).open(folder.join("lock")));
    let file = file.map_err(DevError::io("use the folder"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DevError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(DevError::Io { what: "lock the folder", source }),
    }
}

/// Whose states a cluster tells.
#[derive(Clone, Copy)]
pub(super) enum Group {
    Nodes,
    Edges,
}

/// Where a node or an edge stands, by its name. Of those that have gone the last one counts.
pub(super) fn state(status: &Value, group: Group, name: &str) -> Option<String> {
    let group = match group {
        Group::Nodes => "nodes",
        Group::Edges => "edges",
    };
    let all = status.get(group).and_then(Value::as_array)?;
    let one = all.iter().rfind(|one| one.get("name").and_then(Value::as_str) == Some(name))?;
    one.get("state").and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn text<'a>(object: &'a Value, field: &str) -> Result<&'a str, DevError> {
    object
        .get(field)
        .and_then(Value::as_str)
        .ok_or_else(|| DevError::Unexpected { command: "cluster token create".to_owned(), text: format!("no {field}") })
}
