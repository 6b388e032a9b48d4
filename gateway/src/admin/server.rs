//! The node's end of the admin socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::context::AdminContext;
use super::execute::execute_reporting;
use super::request::{AdminAnswer, AdminRequest};
use super::socket::{Reachable, SOCKET};
use super::{CONNECTIONS_MAX, LINE_BYTES_MAX, LINE_DEADLINE};
use crate::commands::Failure;
use crate::node::DataDir;

/// A listening admin socket. Dropping it removes its file.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // If it stays, nobody answers there, and the next start removes it.
        let _ = fs::remove_file(&self.path);
    }
}

impl AdminSocket {
    /// Makes the socket with mode 0600, in place of what a killed node left: the directory is ours.
    ///
    /// # Errors
    /// When the file system takes no sockets, or the directory no files.
    pub(crate) fn bind(data: &DataDir) -> io::Result<Self> {
        let path = data.path().join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let reachable = Reachable::within(data.path())?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        socket.bind(&SockAddr::unix(&reachable.path)?)?;
        // Before it listens nobody can connect, so the mode is right from the first moment.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        socket.listen(i32::try_from(CONNECTIONS_MAX).unwrap_or(1))?;
        Ok(Self { listener: UnixListener::from_std(socket.into())?, path })
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, context: Arc<AdminContext>) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let context = Arc::clone(&context);
                    actix_web::rt::spawn(async move {
                        // An operator who has gone, or who says nothing, is no news.
                        let _ = answer(stream, &context).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the admin socket");
                    tokio::time::sleep(LINE_DEADLINE).await;
                }
            }
        }
    }
}

/// One request and its answer.
async fn answer(stream: UnixStream, context: &AdminContext) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let answer = match read_line(&mut stream).await.and_then(|line| parse(&line)) {
        Ok(request) => {
            execute_reporting(request, context, async |progress| {
                write_line(&mut stream, &AdminAnswer::Progress(progress)).await
            })
            .await?
        }
        Err(failure) => AdminAnswer::Failed(failure),
    };
    write_line(&mut stream, &answer).await
}

fn parse(line: &[u8]) -> Result<AdminRequest, Failure> {
    serde_json::from_slice(line).map_err(|error| {
        Failure::new("the node does not know this request: use the endtoend program of the node's own version")
            .because(error.to_string())
    })
}

async fn read_line(stream: &mut BufReader<UnixStream>) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    let mut bounded = stream.take(LINE_BYTES_MAX as u64);
    match timeout(LINE_DEADLINE, bounded.read_until(b'\n', &mut line)).await {
        Ok(Ok(_)) if line.ends_with(b"\n") => Ok(line),
        Ok(Ok(LINE_BYTES_MAX)) => Err(Failure::new(format!("a request has at most {LINE_BYTES_MAX} bytes"))),
        Ok(Ok(_)) => Err(Failure::new("a request is one line")),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::new(format!("no request within {LINE_DEADLINE:?}"))),
    }
}

async fn write_line(stream: &mut BufReader<UnixStream>, answer: &AdminAnswer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    if line.len() >= LINE_BYTES_MAX {
        line = serde_json::to_vec(&AdminAnswer::Failed(Failure::new("the answer is too long: ask for less")))?;
    }
    line.push(b'\n');
    timeout(LINE_DEADLINE, stream.write_all(&line)).await.unwrap_or_else(|late| Err(late.into()))
}
