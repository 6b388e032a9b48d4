use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use endtoend_protocol::UnixMillis;
use endtoend_storage::{CopyError, Maintenance, Sqlite, StoreError, StoreLimits, StoreStats};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};

use super::client::AdminError;
use super::socket::Reachable;
use super::*;
use crate::config::{Config, StorageConfig};
use crate::health::Readiness;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::node::{DataDir, Lifecycle, Outside, SENDS_MAX};

struct Served {
    data: DataDir,
    store: Sqlite,
    server: actix_web::rt::task::JoinHandle<()>,
}

async fn store(folder: &Path) -> (DataDir, Sqlite) {
    let data = DataDir::open(folder).unwrap();
    let store = Sqlite::open(&data.database(), StoreLimits::default()).await.unwrap();
    (data, store)
}

async fn serve(folder: &Path) -> Served {
    let (data, store) = store(folder).await;
    let metrics = Arc::new(Metrics::new(crate::clock::monotonic()));
    let memory = Memory::new(SENDS_MAX);
    let readiness = Readiness::new(Arc::new(store.clone()), metrics, memory, watch::channel(Lifecycle::Accepting).1);
    let running = Running {
        membership: None,
        since: UnixMillis::new(1_800_000_000_000),
        listen: ([127, 0, 0, 1], 8443).into(),
        address: "endtoend://localhost:8443/#pin=0".to_owned(),
        admin: None,
        config: Config::default(),
        lifecycle: watch::channel(Lifecycle::Accepting).1,
        readiness: Arc::new(readiness),
        onion: None,
    };
    let context = AdminContext::new(Arc::new(store.clone()), folder.to_owned(), Vec::new(), None, Some(running));
    let server = actix_web::rt::spawn(AdminSocket::bind(&data).unwrap().serve(Arc::new(context)));
    Served { data, store, server }
}

fn at(folder: &Path) -> StorageConfig {
    StorageConfig { data: folder.to_owned(), ..StorageConfig::default() }
}

async fn status(folder: &Path) -> Result<Status, AdminError> {
    match ask(&at(folder), &Outside::default(), AdminRequest::Status {}, |_| Ok(())).await? {
        AdminAnswer::Status(status) => Ok(status),
        other => panic!("{other:?}"),
    }
}

/// What the node says to these bytes, all of it.
async fn said_to(folder: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(Reachable::within(folder).unwrap().path).await.unwrap();
    // It may have heard enough before the end.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[actix::test]
async fn a_running_node_is_asked_through_its_socket_and_a_stopped_one_directly() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path()).await;
    let mode = std::fs::metadata(dir.path().join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let running = status(dir.path()).await.unwrap();
    assert_eq!(running.running.unwrap().since_ms, 1_800_000_000_000);
    served.server.abort();
    let _ = served.server.await;
    assert!(!dir.path().join(SOCKET).exists(), "a socket goes with its node");
    served.store.close().await;
    drop(served.data);
    let stopped = status(dir.path()).await.unwrap();
    assert_eq!(stopped, Status { running: None, ..stopped.clone() });
    assert_eq!(stopped.schema, running.schema);
}

#[actix::test]
async fn a_socket_of_a_killed_node_is_no_hindrance() {
    let dir = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join(SOCKET)).unwrap());
    let (data, opened) = store(dir.path()).await;
    opened.close().await;
    drop(data);
    assert_eq!(status(dir.path()).await.unwrap().running, None);
    let _served = serve(dir.path()).await;
    assert!(status(dir.path()).await.unwrap().running.is_some());
}

#[actix::test]
async fn a_directory_that_is_in_use_and_says_nothing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_data, _store) = store(dir.path()).await;
    assert!(matches!(status(dir.path()).await, Err(AdminError::Busy(_))));
}

#[actix::test]
async fn a_directory_without_a_node_is_told_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(status(dir.path()).await, Err(AdminError::NoNode(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(matches!(status(&dir.path().join("not/there")).await, Err(AdminError::NoNode(_))));
}

#[actix::test]
async fn a_path_that_is_longer_than_a_socket_address_works() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(120)).join("y".repeat(120));
    std::fs::create_dir_all(&long).unwrap();
    let _served = serve(&long).await;
    assert!(status(&long).await.unwrap().running.is_some());
}

#[actix::test]
async fn what_is_no_request_is_refused_and_the_next_one_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let _served = serve(dir.path()).await;
    // What is beyond it stays unread, and the answer may be lost with it.
    let too_long = vec![b' '; LINE_BYTES_MAX];
    for (bytes, meant) in [
        (b"\n".as_slice(), "own version"),
        (b"{}\n", "own version"),
        (b"{\"status\":{\"more\":1}}\n", "unknown field"),
        (b"{\"restart\":{}}\n", "unknown variant"),
        (b"{\"status\":{}}", "one line"),
        (b"", "one line"),
        (&too_long, "at most 262144 bytes"),
    ] {
        let answer = said_to(dir.path(), bytes).await;
        assert!(answer.starts_with("{\"failed\":") && answer.contains(meant), "{meant}: {answer}");
        assert!(answer.ends_with('\n') && answer.lines().count() == 1, "{answer}");
    }
    let answer = said_to(dir.path(), b"{\"status\":{}}\n").await;
    assert!(answer.starts_with("{\"status\":{\"version\":"), "{answer}");
}

#[actix::test]
async fn those_who_say_nothing_hold_up_others_no_longer_than_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let _served = serve(dir.path()).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(UnixStream::connect(dir.path().join(SOCKET)).await.unwrap());
    }
    let began = crate::clock::monotonic();
    assert!(status(dir.path()).await.unwrap().running.is_some());
    assert!(began.elapsed() < 2 * LINE_DEADLINE);
}

/// A store whose copy waits for a word.
struct Slow {
    store: Sqlite,
    go_on: Arc<Notify>,
}

#[async_trait]
impl Maintenance for Slow {
    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.store.stats().await
    }
    async fn oldest_accepted_at(&self) -> Result<Option<UnixMillis>, StoreError> {
        self.store.oldest_accepted_at().await
    }
    async fn copy_to(&self, to: &Path) -> Result<(), CopyError> {
        self.go_on.notified().await;
        self.store.copy_to(to).await
    }
}

/// A node with such a store, and the word that it waits for.
async fn serve_slowly(folder: &Path) -> (DataDir, Arc<Notify>) {
    let (data, store) = store(folder).await;
    let go_on = Arc::new(Notify::new());
    let slow = Arc::new(Slow { store, go_on: go_on.clone() });
    let context = AdminContext::new(slow, folder.to_owned(), Vec::new(), None, None);
    actix_web::rt::spawn(AdminSocket::bind(&data).unwrap().serve(Arc::new(context)));
    (data, go_on)
}

#[actix::test]
async fn long_work_says_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (_data, go_on) = serve_slowly(dir.path()).await;
    let mut heard = Vec::new();
    let request = AdminRequest::Backup { to: dir.path().join("backup") };
    let (storage, outside) = (at(dir.path()), Outside::default());
    let answer = ask(&storage, &outside, request, |progress| {
        heard.push(progress.clone());
        go_on.notify_one();
        Ok(())
    });
    assert!(matches!(answer.await.unwrap(), AdminAnswer::Backup(_)));
    assert!(heard[0].what.contains("database") && heard[0].bytes_total > 0, "{heard:?}");
}

#[actix::test]
async fn work_that_nobody_waits_for_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (_data, _go_on) = serve_slowly(dir.path()).await;
    let request = AdminRequest::Backup { to: dir.path().join("backup") };
    let (storage, outside) = (at(dir.path()), Outside::default());
    let gone = ask(&storage, &outside, request, |_| {
        assert!(dir.path().join(".backup.partial").exists());
        Err(std::io::ErrorKind::BrokenPipe.into())
    });
    assert!(matches!(gone.await, Err(AdminError::Print(_))));
    let began = crate::clock::monotonic();
    while dir.path().join(".backup.partial").exists() {
        assert!(began.elapsed() < 2 * LINE_DEADLINE, "the node goes on for nobody");
        tokio::task::yield_now().await;
    }
    assert!(!dir.path().join("backup").exists());
}
