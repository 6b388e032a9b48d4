//! The two sockets: of the worker that takes connections, and of the master that starts workers.
//!
//! One connection for each order, with a bound on the answer and a deadline for all of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::parse::{
    Info, Process, ServerState, Stat, Unreadable, parse_info, parse_parts, parse_proc, parse_servers_state, parse_stat,
};
use crate::model::Name;
use crate::plan::{Change, Seen, SeenServer};
use crate::render::{BACKEND, Server};

/// An answer of a HAProxy with hundreds of servers has some 100 KiB.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A HAProxy that works answers within a millisecond or two.
const DEADLINE: Duration = Duration::from_secs(2);

/// Why HAProxy did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Nobody is there: it does not run, or its socket is gone.
    #[error("nobody answers at {path}")]
    Absent {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there, and does not answer.
    #[error("HAProxy has not answered `{order}` within {DEADLINE:?}")]
    Silent {
        /// The first words of the order.
        order: String,
    },
    /// It said something that it does not say.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It will not.
    #[error("HAProxy refuses `{order}`: {said}")]
    Refused {
        /// The order.
        order: String,
        /// Its first words.
        said: String,
    },
}

/// The socket of the worker.
#[derive(Clone, Debug)]
pub struct Runtime {
    path: PathBuf,
}

/// The socket of the master.
#[derive(Clone, Debug)]
pub struct Master {
    path: PathBuf,
}

impl Runtime {
    /// At this socket.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }

    /// # Errors
    /// See [`RuntimeError`]; the same holds for all orders.
    pub async fn info(&self) -> Result<Info, RuntimeError> {
        Ok(parse_info(&ask(&self.path, "show info").await?)?)
    }

    /// # Errors
    /// As [`Self::info`].
    pub async fn servers_state(&self) -> Result<BTreeMap<Name, ServerState>, RuntimeError> {
        Ok(parse_servers_state(&ask(&self.path, &format!("show servers state {BACKEND}")).await?)?)
    }

    /// # Errors
    /// As [`Self::info`].
    pub async fn stat(&self) -> Result<BTreeMap<Name, Stat>, RuntimeError> {
        Ok(parse_stat(&ask(&self.path, &format!("show stat {BACKEND} 4 -1")).await?)?)
    }

    /// All that is compared with what is wanted.
    ///
    /// # Errors
    /// As [`Self::info`].
    pub async fn seen(&self) -> Result<Seen, RuntimeError> {
        // One exchange and not three: on a busy machine each waits for a processor at both ends.
        let all = format!("show info; show servers state {BACKEND}; show stat {BACKEND} 4 -1");
        let said = ask(&self.path, &all).await?;
        let [info, states, stats] = parse_parts(&said)?;
        let (info, states, mut stats) = (parse_info(info)?, parse_servers_state(states)?, parse_stat(stats)?);
        let servers = states
            .into_iter()
            .filter_map(|(name, state)| {
                let stat = stats.remove(&name)?; // deleted in between
                Some((name, SeenServer { state, stat }))
            })
            .collect();
        Ok(Seen { info, servers })
    }

    /// Carries one change out.
    ///
    /// # Errors
    /// As [`Self::info`]. Whether it is as it should be is seen afterwards by [`Self::seen`].
    pub async fn apply(&self, change: &Change) -> Result<(), RuntimeError> {
        match change {
            Change::Add { name, server } => self.add(name, server).await,
            Change::Address { name, address } => {
                let order = format!("set server {BACKEND}/{name} addr {} port {}", address.ip(), address.port());
                self.order(order, &["changed", "no need to change", "nothing changed"]).await
            }
            Change::CheckAddress { name, address } => {
                let order = format!("set server {BACKEND}/{name} check-addr {} port {}", address.ip(), address.port());
                self.order(order, &["updated", "changed"]).await
            }
            Change::Weight { name, weight } => {
                self.order(format!("set server {BACKEND}/{name} weight {weight}"), &[]).await
            }
            Change::ConnectionsMax { name, connections_max } => {
                self.order(format!("set maxconn server {BACKEND}/{name} {connections_max}"), &[]).await
            }
            Change::Admit { name } => self.admit(name).await,
            Change::Retire { name } => self.order(format!("set server {BACKEND}/{name} state maint"), &[]).await,
            Change::Cut { name } => self.order(format!("shutdown sessions server {BACKEND}/{name}"), &[]).await,
            Change::Delete { name } => {
                self.order(format!("del server {BACKEND}/{name}"), &["Server deleted", "No such server"]).await
            }
        }
    }

    /// A new server is in maintenance and unchecked until it is admitted, which is said in the same breath.
    async fn add(&self, name: &Name, server: &Server) -> Result<(), RuntimeError> {
        let order = format!("add server {BACKEND}/{name} {server}; {}", admittance(name));
        self.order(order, &["New server registered"]).await
    }

    async fn admit(&self, name: &Name) -> Result<(), RuntimeError> {
        self.order(admittance(name), &[]).await
    }

    /// An answer is nothing, or has one of these words.
    async fn order(&self, order: String, agreed: &[&str]) -> Result<(), RuntimeError> {
        let said = ask(&self.path, &order).await?;
        match said.trim() {
            "" => Ok(()),
            said if agreed.iter().any(|words| said.contains(words)) => Ok(()),
            said => Err(RuntimeError::Refused { order, said: first_words(said) }),
        }
    }
}

fn admittance(name: &Name) -> String {
    format!("enable health {BACKEND}/{name}; set server {BACKEND}/{name} state ready")
}

impl Master {
    /// At this socket.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }

    /// Its processes, itself among them.
    ///
    /// # Errors
    /// See [`RuntimeError`].
    pub async fn processes(&self) -> Result<Vec<Process>, RuntimeError> {
        Ok(parse_proc(&ask(&self.path, "show proc").await?)?)
    }

    /// Starts a new worker with the file as it is now; the old one keeps its connections. Up to 2.6 nothing is said of how it
    /// went: the new worker says what it runs.
    ///
    /// # Errors
    /// As [`Self::processes`]; `Refused` where it says that the file cannot be loaded.
    pub async fn reload(&self) -> Result<(), RuntimeError> {
        let said = match ask(&self.path, "reload").await {
            // It becomes a new master in the middle of the answer.
            Err(RuntimeError::Absent { source, .. })
                if matches!(source.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                String::new()
            }
            said => said?,
        };
        match said.contains("Success=0") {
            true => Err(RuntimeError::Refused { order: "reload".to_owned(), said: first_words(said.trim()) }),
            false => Ok(()),
        }
    }
}

/// One order, and all of its answer.
async fn ask(path: &Path, order: &str) -> Result<String, RuntimeError> {
    let absent = |source| RuntimeError::Absent { path: path.to_owned(), source };
    let exchange = async {
        let mut socket = UnixStream::connect(path).await?;
        socket.write_all(format!("{order}\n").as_bytes()).await?;
        // A master keeps the connection for more orders, unless it hears that there are none.
        socket.shutdown().await?;
        let mut answer = Vec::new();
        socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match timeout(DEADLINE, exchange).await {
        Ok(answered) => answered.map_err(absent),
        Err(_) => Err(RuntimeError::Silent { order: first_words(order) }),
    }
}

/// For a log: one line, printable, not long.
fn first_words(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|letter| !letter.is_control()).take(160).collect()
}
