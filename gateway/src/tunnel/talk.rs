//! Asking a tunnel that runs, and ending it: one word to a socket in its directory, one JSON object back.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const SOCKET: &str = "tunnel.sock";
const STATUS: &[u8] = b"status";
const STOP: &[u8] = b"stop";
const BYTES_MAX: u64 = 64 * 1024;
const DEADLINE: Duration = Duration::from_secs(5);
/// How long the end of a tunnel takes at most, and between two looks whether it has ended.
const END_MAX: Duration = Duration::from_secs(20);
const LOOK_EACH: Duration = Duration::from_millis(50);

/// How a tunnel is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Status {
    /// `onion`, `ssh`, `command`.
    pub(crate) via: String,
    pub(crate) state: State,
    /// `endtoend://HOST:PORT/#pin=…` when it is known.
    pub(crate) address: Option<String>,
    /// Where the node listens.
    pub(crate) node: String,
    /// The program, when it runs.
    pub(crate) pid: Option<u32>,
    /// How often it was started.
    pub(crate) starts: u64,
    /// The last words of a program that has ended.
    pub(crate) fault: Option<String>,
    /// What somebody should know.
    pub(crate) notice: Option<String>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The program runs, and has not said that it is through.
    Starting,
    /// Clients reach the node.
    Up,
    /// The program has ended; it is started again after a while.
    Waiting,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no tunnel runs for this node: start one with `endtoend tunnel start`")]
    Absent,
    #[error("the tunnel does not answer")]
    Silent,
    #[error("the tunnel answers what this program does not know: use the endtoend program of its own version")]
    NotKnown(#[from] serde_json::Error),
}

/// How the tunnel with this directory is.
///
/// # Errors
/// See [`AskError`].
pub(crate) async fn status(directory: &Path) -> Result<Status, AskError> {
    ask(directory, STATUS).await
}

/// Ends it, and waits for that. Gives how it was.
///
/// # Errors
/// See [`AskError`].
pub(crate) async fn stop(directory: &Path) -> Result<Status, AskError> {
    let was = ask(directory, STOP).await?;
    let gone = async {
        while UnixStream::connect(directory.join(SOCKET)).await.is_ok() {
            sleep(LOOK_EACH).await;
        }
    };
    timeout(END_MAX, gone).await.map_err(|_| AskError::Silent)?;
    Ok(was)
}

async fn ask(directory: &Path, word: &[u8]) -> Result<Status, AskError> {
    let asked = async {
        let mut stream = UnixStream::connect(directory.join(SOCKET)).await?;
        stream.write_all(word).await?;
        stream.shutdown().await?;
        let mut bytes = Vec::new();
        stream.take(BYTES_MAX).read_to_end(&mut bytes).await?;
        io::Result::Ok(bytes)
    };
    match timeout(DEADLINE, asked).await {
        Err(_) => Err(AskError::Silent),
        Ok(Err(_)) => Err(AskError::Absent),
        Ok(Ok(bytes)) => Ok(serde_json::from_slice(&bytes)?),
    }
}

/// The socket of a tunnel that runs: the directory's lock says that there is no other.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    pub(super) fn bind(directory: &Path) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// Answers until somebody wants the end.
    pub(super) async fn until_stopped(&self, status: &watch::Receiver<Status>) {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                sleep(LOOK_EACH).await;
                continue;
            };
            let text = serde_json::to_vec(&*status.borrow()).unwrap_or_default();
            let heard = async {
                let mut word = Vec::new();
                (&mut stream).take(16).read_to_end(&mut word).await?;
                if word == STATUS || word == STOP {
                    stream.write_all(&text).await?;
                }
                io::Result::Ok(word == STOP)
            };
            if let Ok(Ok(true)) = timeout(DEADLINE, heard).await {
                return;
            }
        }
    }
}
