//! The operator's end: asks the running node, or does the work itself when there is none.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::context::AdminContext;
use super::execute::execute_reporting;
use super::request::{AdminAnswer, AdminRequest, Opening, Progress};
use super::socket::{Reachable, SOCKET};
use super::{LINE_BYTES_MAX, LINE_DEADLINE, SILENCE_MAX};
use crate::config::StorageConfig;
use crate::node::{
    ChosenStore, DataDir, DataDirError, OpenStoreError, Outside, ServeError, has_store, services_alone, shared_secrets,
};

/// How often a node that starts or stops just now is tried again, and the pause between.
const TRIES: u32 = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Why there is no answer. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(
        "there is no node in {0}: name its data directory with --data DIR, or its configuration with --config FILE"
    )]
    NoNode(PathBuf),
    #[error(
        "a process uses {} but does not answer on its {SOCKET}: it starts, stops, restores, or hangs; try again, or stop it first",
        .0.display()
    )]
    Busy(PathBuf),
    #[error("may not talk to the node in {}: run this as the user that runs the node, or as root", .0.display())]
    NotAllowed(PathBuf),
    #[error("the node stopped answering: look at its log, then try again")]
    Silent(#[source] io::Error),
    #[error("the node answers what this program does not know: use the endtoend program of the node's own version")]
    NotKnown(#[source] serde_json::Error),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    #[error(transparent)]
    Secrets(#[from] ServeError),
    #[error("cannot print")]
    Print(#[source] io::Error),
}

/// Asks the node in this configuration's data directory, running or not. `report` is called now and then while the work goes on.
///
/// # Errors
/// See [`AdminError`]. What the node itself refuses is an answer.
pub(crate) async fn ask(
    storage: &StorageConfig,
    outside: &Outside,
    request: AdminRequest,
    mut report: impl FnMut(&Progress) -> io::Result<()>,
) -> Result<AdminAnswer, AdminError> {
    // Nothing is made here: a wrong directory stays as it was.
    let data = storage.data.canonicalize().map_err(|_| AdminError::NoNode(storage.data.clone()))?;
    let storage = StorageConfig { data: data.clone(), ..storage.clone() };
    // The socket first: a lock that is held for a moment could make the start of a node fail.
    for _ in 0..TRIES {
        if let Some(stream) = connect(&data).await? {
            return converse(stream, &request, &mut report).await;
        }
        if !has_store(&data) {
            return Err(AdminError::NoNode(data));
        }
        match DataDir::open(&data) {
            Ok(held) => return alone(held, &storage, outside, request, &mut report).await,
            Err(DataDirError::InUse(_)) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(AdminError::Busy(data))
}

/// `None` when nobody listens.
async fn connect(data: &Path) -> Result<Option<UnixStream>, AdminError> {
    let reached = async { UnixStream::connect(Reachable::within(data)?.path).await };
    match timeout(LINE_DEADLINE, reached).await {
        Ok(Ok(stream)) => Ok(Some(stream)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(AdminError::NotAllowed(data.to_owned()))
        }
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(AdminError::Busy(data.to_owned())),
    }
}

async fn converse(
    stream: UnixStream,
    request: &AdminRequest,
    report: &mut impl FnMut(&Progress) -> io::Result<()>,
) -> Result<AdminAnswer, AdminError> {
    let mut stream = BufReader::new(stream);
    let mut line = serde_json::to_vec(request).map_err(AdminError::NotKnown)?;
    line.push(b'\n');
    let sent = timeout(LINE_DEADLINE, stream.write_all(&line)).await.unwrap_or_else(|late| Err(late.into()));
    sent.map_err(AdminError::Silent)?;
    loop {
        line.clear();
        let mut bounded = (&mut stream).take(LINE_BYTES_MAX as u64);
        let read = timeout(SILENCE_MAX, bounded.read_until(b'\n', &mut line)).await;
        read.unwrap_or_else(|late| Err(late.into())).map_err(AdminError::Silent)?;
        if !line.ends_with(b"\n") {
            return Err(AdminError::Silent(io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_slice(&line).map_err(AdminError::NotKnown)? {
            AdminAnswer::Progress(progress) => report(&progress).map_err(AdminError::Print)?,
            answer => return Ok(answer),
        }
    }
}

/// On a stopped node, whose directory we hold.
async fn alone(
    data: DataDir,
    storage: &StorageConfig,
    outside: &Outside,
    request: AdminRequest,
    report: &mut impl FnMut(&Progress) -> io::Result<()>,
) -> Result<AdminAnswer, AdminError> {
    let (chosen, path) = (ChosenStore::of(storage)?, data.path().to_owned());
    let store = match request.opening() {
        Opening::AsFound => chosen.open_as_found().await?,
        Opening::Migrated => chosen.open().await?,
    };
    // Holds the directory too.
    let data = data.with_outside(outside.clone());
    let services = match request.opening() {
        Opening::AsFound => None,
        Opening::Migrated => Some(services_alone(&data, store.store()).await?),
    };
    let shared = shared_secrets(&data).await?;
    let context = AdminContext::new(store.maintenance(), path, outside.files(), services, None).with_shared(shared);
    let answer = execute_reporting(request, &context, async |progress| report(&progress)).await;
    drop(context);
    store.close().await;
    drop(data);
    answer.map_err(AdminError::Print)
}
