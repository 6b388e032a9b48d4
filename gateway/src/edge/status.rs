//! How the edge is: told to whoever connects to a socket in its directory.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use endtoend_haproxy::{Name, SeenServer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::files::STATUS;

/// What is told at most, and how long telling takes at most.
const BYTES_MAX: u64 = 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(5);

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) edge: String,
    /// Where it stands which nodes there are.
    pub(crate) source: String,
    /// Why nothing is heard from there; the last list stays in effect.
    pub(crate) source_fault: Option<String>,
    pub(crate) generation_wanted: Option<u64>,
    pub(crate) generation_applied: Option<u64>,
    /// What is wrong, and goes on being tried.
    pub(crate) alarm: Option<String>,
    /// What somebody should know who believes the defaults.
    pub(crate) notice: Option<String>,
    pub(crate) haproxy: Option<HaproxyStatus>,
    pub(crate) last_change: Option<LastChange>,
    pub(crate) counts: Counts,
    pub(crate) servers: Vec<ServerStatus>,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HaproxyStatus {
    pub(crate) version: String,
    pub(crate) pid: u32,
    /// `started`, `taken_over`, `by_others`.
    pub(crate) kept: String,
    pub(crate) uptime_seconds: u64,
    pub(crate) connections: u64,
    pub(crate) connections_total: u64,
}

/// How the last generation was applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastChange {
    pub(crate) generation: u64,
    /// `as_it_was`, `orders`, `reload`, `start`.
    pub(crate) how: String,
    /// Until HAProxy was seen to be so.
    pub(crate) took_ms: f64,
    pub(crate) at_ms: u64,
}

/// Since the agent has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) by_orders: u64,
    pub(crate) reloads: u64,
    pub(crate) starts: u64,
    pub(crate) failures: u64,
    /// HAProxy was not any more what it had been.
    pub(crate) mended: u64,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerStatus {
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    /// HAProxy's word: `UP`, `DOWN`, `MAINT`, `DRAIN`, …
    pub(crate) state: String,
    pub(crate) weight: u16,
    pub(crate) sessions: u64,
    pub(crate) sessions_total: u64,
    pub(crate) changed_seconds: u64,
}

impl ServerStatus {
    pub(super) fn of(name: &Name, SeenServer { state, stat }: &SeenServer) -> Self {
        Self {
            name: name.to_string(),
            address: state.address.map(|address| address.to_string()),
            state: stat.status.clone(),
            weight: state.weight,
            sessions: stat.sessions,
            sessions_total: stat.sessions_total,
            changed_seconds: stat.changed_seconds,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    #[error("no edge runs in {}: start it with `endtoend edge run`", .0.display())]
    Absent(PathBuf, #[source] io::Error),
    #[error("the edge in {} does not answer", .0.display())]
    Silent(PathBuf),
    #[error("the edge answers what this program does not know: use the endtoend program of its own version")]
    NotKnown(#[from] serde_json::Error),
}

/// How the edge in this directory is.
///
/// # Errors
/// See [`StatusError`].
pub(crate) async fn status(directory: &Path) -> Result<Status, StatusError> {
    let ask = async {
        let mut bytes = Vec::new();
        UnixStream::connect(directory.join(STATUS)).await?.take(BYTES_MAX).read_to_end(&mut bytes).await?;
        io::Result::Ok(bytes)
    };
    match timeout(DEADLINE, ask).await {
        Err(_) => Err(StatusError::Silent(directory.to_owned())),
        Ok(Err(error)) => Err(StatusError::Absent(directory.to_owned(), error)),
        Ok(Ok(bytes)) => Ok(serde_json::from_slice(&bytes)?),
    }
}

/// Tells one after the other, for ever.
pub(super) async fn tell(listener: UnixListener, status: watch::Receiver<Status>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // Too many open files, for example: they will be fewer.
            tokio::time::sleep(DEADLINE).await;
            continue;
        };
        let text = serde_json::to_vec(&*status.borrow()).unwrap_or_default();
        // Whoever does not read it does not hold up the next one for long.
        let _ = timeout(DEADLINE, stream.write_all(&text)).await;
    }
}

/// Listens in place of an agent that has ended: the directory's lock says that there is no other.
pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}
