//! Keeps a tunnel until somebody wants its end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use endtoend_keeper::{Keeper, KeeperError, Place, is_over};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use super::pause::Pauses;
use super::talk::{Socket, State, Status};
use super::way::{Found, Way};
use crate::clock;

const LOCK: &str = "lock";
const LOG: &str = "log";
const TORRC: &str = "torrc";
const HOSTNAME: &str = "onion/hostname";
/// How often it is looked what the program says, and whether it lives.
const LOOK_EACH: Duration = Duration::from_millis(100);
/// So much of what it has said last is looked at; more than twice as much is not kept.
const SAID_BYTES_MAX: u64 = 256 * 1024;
/// Of its last words, in letters.
const FAULT_LETTERS_MAX: usize = 200;

/// What is to be reached, and how.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    /// Its own: sockets, what the program says, the keys of an onion service.
    pub(crate) directory: PathBuf,
    pub(crate) way: Way,
    /// Where the node listens.
    pub(crate) node: SocketAddr,
    /// `pin=…` of the node's address.
    pub(crate) pin: String,
    /// Clients go there instead of where the program says.
    pub(crate) public: Option<(String, u16)>,
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("a tunnel runs for this node already: end it with `endtoend tunnel stop`")]
    InUse,
    #[error("there is no {program}: install Debian's package {package}, or choose another --via")]
    Missing { program: &'static str, package: &'static str },
    #[error("cannot use {}", path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    #[error("the system gives no signals, so that nothing could end the tunnel in order")]
    Signals(#[source] io::Error),
}

/// Keeps it until SIGTERM, SIGINT or `endtoend tunnel stop`. `tell` hears each change.
///
/// # Errors
/// When it cannot begin.
pub(crate) async fn run(tunnel: &Tunnel, tell: impl Fn(&Status)) -> Result<(), RunError> {
    let place = Place::lasting(&tunnel.directory)?;
    let folder = place.folder().to_owned();
    let not_writable = |source| RunError::NotWritable { path: folder.clone(), source };
    let _lock = lock(&folder)?;
    let program = match tunnel.way.needs() {
        Some((program, package)) => find(program).ok_or(RunError::Missing { program, package })?,
        None => PathBuf::new(),
    };
    if tunnel.way == Way::Onion {
        fs::write(folder.join(TORRC), Way::torrc(&folder.to_string_lossy(), tunnel.node)).map_err(not_writable)?;
    }
    let socket = Socket::bind(&folder).map_err(not_writable)?;
    let (status, seen) = watch::channel(Status {
        via: tunnel.way.as_str().to_owned(),
        state: State::Starting,
        address: None,
        node: tunnel.node.to_string(),
        pid: None,
        starts: 0,
        fault: None,
        notice: None,
    });
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).map_err(RunError::Signals)?,
        signal(SignalKind::interrupt()).map_err(RunError::Signals)?,
    );
    let kept = Runs { tunnel, place: &place, program, status, tell };
    let (keeping, stopped) = (pin!(kept.keep()), pin!(socket.until_stopped(&seen)));
    tokio::select! {
        failed = keeping => failed,
        () = stopped => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

struct Runs<'a, T> {
    tunnel: &'a Tunnel,
    place: &'a Place,
    program: PathBuf,
    status: watch::Sender<Status>,
    tell: T,
}

impl<T: Fn(&Status)> Runs<'_, T> {
    /// Starts the program, again and again. Ends only with an error; dropped, the program ends.
    async fn keep(&self) -> Result<(), RunError> {
        let mut pauses = Pauses::default();
        loop {
            let through = self.once().await?;
            let pause = pauses.after(through);
            let fault = last_words(&said(&self.place.folder().join(LOG)));
            self.say(|status| {
                (status.state, status.pid, status.fault) = (State::Waiting, None, Some(fault));
                (status.address, status.notice) = (None, None);
            });
            sleep(pause).await;
        }
    }

    /// Until the program has ended; for how long it was through.
    async fn once(&self) -> Result<Option<Duration>, RunError> {
        let (kept, arguments) = self.tunnel.way.kept(self.program.clone(), self.tunnel.node);
        let log = self.place.folder().join(LOG);
        // What an earlier one has said is not what this one says.
        let made = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&log);
        made.map_err(|source| RunError::NotWritable { path: log.clone(), source })?;
        // Dropped at the end of this: what the program has started goes with it.
        let mut keeper = Keeper::of(self.place, kept, &arguments)?;
        let pid = keeper.order("start")?;
        self.say(|status| {
            (status.state, status.pid) = (State::Starting, pid);
            status.starts += 1;
        });
        let mut up: Option<Instant> = None;
        let (mut reached, mut looked_at) = (Found::NotYet, None);
        while pid.is_some_and(|pid| !is_over(pid)) {
            let length = fs::metadata(&log).ok().map(|meta| meta.len());
            if reached == Found::NotYet || length != looked_at {
                let found = self.found(&log);
                if found.replaces(&reached) {
                    up.get_or_insert_with(clock::monotonic);
                    self.reached(&found);
                    reached = found;
                }
                looked_at = length;
            }
            shorten(&log);
            sleep(LOOK_EACH).await;
        }
        Ok(up.map(|up| clock::monotonic().saturating_duration_since(up)))
    }

    fn found(&self, log: &Path) -> Found {
        let hostname = fs::read_to_string(self.place.folder().join(HOSTNAME)).ok();
        self.tunnel.way.found(&said(log), hostname.as_deref(), self.tunnel.node)
    }

    fn reached(&self, found: &Found) {
        let Found::At { host, port, ends_tls } = found else { return };
        let (host, port) = self.tunnel.public.clone().unwrap_or_else(|| (host.clone(), *port));
        let address = format!("endtoend://{host}:{port}/#{}", self.tunnel.pin);
        let notice = ends_tls.then(|| {
            "this tunnel ends TLS itself, so clients see another key than the node's and refuse it: have it pass TCP on".to_owned()
        });
        self.say(|status| {
            (status.state, status.address, status.fault, status.notice) = (State::Up, Some(address), None, notice);
        });
    }

    fn say(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
        (self.tell)(&self.status.borrow());
    }
}

fn lock(folder: &Path) -> Result<File, RunError> {
    let path = folder.join(LOCK);
    let not_writable = |source| RunError::NotWritable { path: path.clone(), source };
    let mut options = OpenOptions::new();
    let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(not_writable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RunError::InUse),
        Err(TryLockError::Error(source)) => Err(not_writable(source)),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian keeps what is for administrators.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The end of what it has said; nothing when it cannot be read.
fn said(log: &Path) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SAID_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(SAID_BYTES_MAX).read_to_end(&mut bytes)?;
        io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// One that talks for weeks fills no disk: it appends, so the file can be emptied under it.
fn shorten(log: &Path) {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > 2 * SAID_BYTES_MAX)
        && let Ok(file) = OpenOptions::new().write(true).open(log)
        && let Err(error) = file.set_len(0)
    {
        tracing::warn!(%error, "what the tunnel says cannot be shortened");
    }
}

/// One printable line, not long.
fn last_words(said: &str) -> String {
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    line.chars().filter(|letter| !letter.is_control()).take(FAULT_LETTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_and_told_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(LOG);
        assert_eq!(said(&log), "");
        fs::write(&log, vec![b'a'; 3 * SAID_BYTES_MAX as usize]).unwrap();
        assert_eq!(said(&log).len() as u64, SAID_BYTES_MAX);
        shorten(&log);
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        assert_eq!(last_words("one\ntwo\u{7} \n\n"), "two ");
        assert_eq!(last_words(&"x".repeat(1_000)).len(), FAULT_LETTERS_MAX);
        assert_eq!(last_words(""), "it said nothing");
        let lock = lock(folder.path()).unwrap();
        assert!(matches!(super::lock(folder.path()), Err(RunError::InUse)));
        drop(lock);
    }
}
