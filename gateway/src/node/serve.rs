//! From a configuration to a running node, and back.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor as _, Arbiter, ArbiterHandle};
use actix_server::Server;
use actix_web::rt::task::JoinHandle;
use endtoend_crypto_core::opaque::ServerSetup;
use endtoend_crypto_core::oprf::OprfKey;
use endtoend_crypto_core::signature::SigningKey;
use endtoend_protocol::UnixMillis;
use endtoend_storage::{Maintenance, QueueStore, Store, StoreError};
use socket2::{Domain, Socket, Type};
use tokio::sync::watch;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::certificates::{Authority, CertificateError, Leaf, leaf_names, tls_config};
use super::data_dir::{DataDir, DataDirError};
use super::drain::{ENDING_MAX, Remains, StopSignals, drain};
use super::identity::{Identity, Pin};
use super::lifecycle::Lifecycle;
use super::open::OpenConnections;
use super::open_files::{TooFewFiles, raise_limit};
use super::secrets::{CA_KEY, IDENTITY_KEY, OPAQUE_SETUP, OPRF_KEY, Outside, STORE_KEY, Secret, TOKEN_KEY};
use super::sockets::{HandedOver, Sockets};
use super::store::{ChosenStore, NodeStore, OpenStoreError};
use super::{Common, Node, SENDS_MAX, Ways};
use crate::admin::{AdminContext, AdminSocket, Running, SOCKET};
use crate::clock;
use crate::config::Config;
use crate::connection;
use crate::directory::Directory;
use crate::elsewhere::{Others, Started};
use crate::health::{self, AdminListener, Readiness, Watched};
use crate::limits::{Limits, LimitsConfig};
use crate::memory::Memory;
use crate::metrics::{Metrics, StoreCall, Swept};
use crate::queue_writer::QueueWriter;
use crate::router::{Router, Routes};
use crate::services::{Auditor, Policy, Registration, ServerPassword, ServiceSecrets, Services};

/// What the store gets to end what is under way, and SQLite to write its log back.
const STORE_CLOSE_MAX: Duration = Duration::from_secs(5);
/// Connections that the kernel completes while nobody takes them: those of clients that come back within a few seconds. The
/// kernel cuts it to `net.core.somaxconn`, which is 4096 by default.
const BACKLOG: i32 = 4096;
/// How often expired envelopes and the age of the leaf are looked at.
const CARE_INTERVAL: Duration = Duration::from_secs(600);
/// Expired rows of one deletion, so that it does not hold up the writer.
const EXPIRED_ROWS_MAX: u32 = 1_000;
/// How long the audit is kept.
const AUDIT_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// Why a node does not run. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    OpenFiles(#[from] TooFewFiles),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    #[error("the database stopped answering: look at its log, then start again")]
    Unanswered(#[from] StoreError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{0} is in use: stop what listens there, or choose another address with --listen HOST:PORT")]
    AddressInUse(SocketAddr),
    #[error("cannot listen on {address}: choose another address with --listen HOST:PORT")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot listen on {address}: free it, or change [admin] listen")]
    AdminListen { address: SocketAddr, source: io::Error },
    #[error("cannot make {}: the data directory must lie on a file system that has sockets", path.display())]
    AdminSocket { path: PathBuf, source: io::Error },
    #[error(
        "{path} has no password of 1 to 256 bytes in its first line: write one, or leave [accounts] server_password_file empty"
    )]
    ServerPassword { path: PathBuf, source: Option<io::Error> },
    #[error(
        "[gateway] listen is \"systemd\", and no socket was handed over: start the node through its socket unit, or give an \
         address with --listen HOST:PORT"
    )]
    NothingHandedOver,
    #[error(
        "a socket was handed over, and [gateway] listen names {0}: write listen = \"systemd\", or start the node without its \
         socket unit"
    )]
    NotListenedOn(SocketAddr),
    #[error("the listener failed")]
    Listener(#[source] io::Error),
    #[error("the system gives no signals, so that nothing could end the node in order")]
    Signals(#[source] io::Error),
}

/// What a node tells when it is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    pub listen: SocketAddr,
    pub pin: Pin,
    /// `endtoend://host:port/#pin=…`: all that a client needs.
    pub address: String,
    /// Of `/healthz`, `/readyz` and `/metrics`.
    pub admin: Option<SocketAddr>,
}

/// What a node tells whoever has started it.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// Clients may come.
    Ready(&'a Ready),
    /// It was told to stop, and ends within this time.
    Stopping {
        /// From now.
        within: Duration,
    },
}

/// Runs a node until SIGTERM or SIGINT, inside an actix system, and then drains it: see `drain`.
///
/// # Errors
/// When it cannot start, or the listener fails. The data directory is untouched by a start that fails.
pub async fn serve(
    config: Config,
    outside: Outside,
    handed_over: HandedOver,
    tell: impl Fn(News<'_>),
) -> Result<(), ServeError> {
    raise_limit(config.gateway.connections_max, config.storage.connections_max.get())?;
    let sockets = Sockets::choose(config.gateway.listen, handed_over)?;
    let outside_files = outside.files();
    let data = DataDir::open(&config.storage.data)?.with_outside(outside);
    let (data, secrets, opened) = open(data, &ChosenStore::of(&config.storage)?).await?;
    let (ip, they_stay) = (sockets.ip(), sockets.stay());
    let leaf = Leaf::new(secrets.authority, leaf_names(&config.gateway.names, ip), clock::now())?;
    let identity = Arc::new(Identity::new(secrets.identity, clock::now()));
    let pin = Pin { tls: leaf.pin(), identity: identity.fingerprint() };
    let (leaf, store) = (Arc::new(leaf), opened.store());
    let (lifecycle, seen) = watch::channel(Lifecycle::Accepting);
    let open = OpenConnections::none();
    let drain_time = Duration::from_secs(u64::from(config.gateway.drain_seconds));
    let limits = Arc::new(Limits::new(&config.limits, secrets.services.limits()));
    let (started, metrics) = (clock::now(), Arc::new(Metrics::new(clock::monotonic())));
    metrics.certificate_expires_at(leaf.expires_at());
    let audit = Auditor::start(store.clone(), secrets.services.audit(), metrics.clone());
    let policy = Policy {
        registration: config.accounts.registration,
        server_password: server_password(&config.accounts.server_password_file)?,
        password_device_delay: Duration::from_secs(u64::from(config.accounts.password_device_delay_hours) * 3600),
    };
    let (sessions, auditor) = (Arc::default(), audit.clone());
    let services = Arc::new(Services::new(store.clone(), secrets.services, policy, limits.clone(), sessions, audit));
    let guests_max = config.gateway.guests_max.min(config.gateway.connections_max / 2).max(1) as usize;
    let (node, remains) = start_actors(
        identity.clone(),
        services.clone(),
        store.clone(),
        auditor,
        Common { guests_max, lifecycle: seen.clone(), metrics: metrics.clone() },
        None,
    );
    let node = Arc::new(node);
    let readiness = Arc::new(Readiness::new(opened.maintenance(), metrics.clone(), node.memory.clone(), seen.clone()));
    let watched = Arc::new(Watched {
        readiness: readiness.clone(),
        node: node.clone(),
        open: open.clone(),
        store: opened.kind(),
        started,
        connections_max: config.gateway.connections_max,
    });

    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let connections_max = (config.gateway.connections_max as usize).div_ceil(workers);
    let listeners = match sockets {
        Sockets::Own(address) => {
            let listener = listen_on(address).map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => ServeError::AddressInUse(address),
                _ => ServeError::Listen { address, source },
            })?;
            vec![(listener, address)]
        }
        Sockets::HandedOver(sockets) => sockets,
    };
    let listen = listeners.first().and_then(|(listener, _)| listener.local_addr().ok()).unwrap_or((ip, 0).into());
    let tls = Arc::new(tls_config(leaf.clone())?);
    let threads = Arc::new(connection::Threads::start(workers));
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections_max)
        // The deadline of the drain comes first.
        .shutdown_timeout(drain_time.as_secs() + 60)
        .disable_signals();
    let edges = connection::Edges::new(&config.gateway.proxy_from);
    let server = listeners.into_iter().try_fold(server, |server, (listener, address)| {
        let (node, tls, open, edges) = (Arc::clone(&node), Arc::clone(&tls), open.clone(), edges.clone());
        let threads = Arc::clone(&threads);
        let connections = move || {
            let (node, tls, threads) = (Arc::clone(&node), Arc::clone(&tls), Arc::clone(&threads));
            connection::service(node, tls, open.clone(), edges.clone(), threads)
        };
        server.listen("clients", listener, connections).map_err(|source| ServeError::Listen { address, source })
    })?;
    let listener = start_watched(config.admin.listen, &watched)?;
    let admin_listen = listener.as_ref().map(|listener| listener.address);
    let host = config.gateway.names.first().cloned().unwrap_or_else(|| match listen.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        ip => ip.to_string(),
    });
    let address = endtoend_address(&host, listen.port(), pin);
    let server = server.run();
    let handle = server.handle();
    let running = Running {
        since: started,
        listen,
        address: address.clone(),
        admin: admin_listen,
        config,
        lifecycle: seen,
        readiness,
    };
    let admin = start_admin(&data, opened.maintenance(), outside_files, services, running)?;
    // Whoever is told that the node is ready may end it at once.
    let mut signals = StopSignals::listen().map_err(ServeError::Signals)?;
    tell(News::Ready(&Ready { listen, pin, address, admin: admin_listen }));
    actix_web::rt::spawn(take_care(store.clone(), limits, leaf, identity, metrics));
    let mut serving = actix_web::rt::spawn(server);
    let served = tokio::select! {
        ended = &mut serving => ended.unwrap_or_else(|stopped| Err(io::Error::other(stopped))).map_err(ServeError::Listener),
        () = signals.next() => Ok(()),
    };
    // Readiness goes red before anything else happens.
    lifecycle.send_modify(|now| *now = now.stop(open.count(), drain_time, clock::monotonic()));
    tell(News::Stopping { within: drain_time + ENDING_MAX + STORE_CLOSE_MAX });
    tracing::info!(connections = open.count(), seconds = drain_time.as_secs(), "draining; another signal ends it now");
    // Nobody comes in: those who knock are told so, or wait at the socket for the next process.
    if they_stay {
        drop(handle.pause());
    } else {
        drop(handle.stop(true));
    }
    drain(&lifecycle, &open, &mut signals).await;
    // Its workers go, and with them what is left of their connections.
    if !serving.is_finished() {
        serving.abort();
        let _aborted = serving.await;
    }
    remains.flush().await;
    // Its socket goes before the lock, so that nobody waits for an answer.
    admin.abort();
    let _ = admin.await;
    if let Some(listener) = listener {
        listener.stop().await;
    }
    if timeout(STORE_CLOSE_MAX, opened.close()).await.is_err() {
        tracing::warn!("the store did not end what was under way; it finds its way by itself at the next start");
    }
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// Answers programs that watch the node, where the operator wants that.
fn start_watched(listen: Option<SocketAddr>, watched: &Arc<Watched>) -> Result<Option<AdminListener>, ServeError> {
    let start = |address| {
        let started = health::listen(address, Arc::clone(watched));
        started.map_err(|source| ServeError::AdminListen { address, source })
    };
    listen.map(start).transpose()
}

/// Answers operators for as long as the node runs.
fn start_admin(
    data: &DataDir,
    store: Arc<dyn Maintenance>,
    outside: Vec<&'static str>,
    services: Arc<Services>,
    running: Running,
) -> Result<JoinHandle<()>, ServeError> {
    let refused = |source| ServeError::AdminSocket { path: data.path().join(SOCKET), source };
    let path = data.path().canonicalize().map_err(refused)?;
    let socket = AdminSocket::bind(data).map_err(refused)?;
    let context = AdminContext::new(store, path, outside, Some(services), Some(running));
    Ok(actix_web::rt::spawn(socket.serve(Arc::new(context))))
}

/// The password in the first line of the file; none for no file.
fn server_password(path: &Path) -> Result<Option<ServerPassword>, ServeError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map(Zeroizing::new);
    let unusable = |source| ServeError::ServerPassword { path: path.to_owned(), source };
    let bytes = bytes.map_err(|error| unusable(Some(error)))?;
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    ServerPassword::new(Zeroizing::new(line.to_vec())).map(Some).ok_or_else(|| unusable(None))
}

/// The secrets and the store that depends on them. New secrets are made only for a store that has no accounts.
async fn open(data: DataDir, chosen: &ChosenStore) -> Result<(DataDir, Secrets, NodeStore), ServeError> {
    match chosen {
        // The file is what tells a second start from the first one, so it comes last.
        ChosenStore::Sqlite(_) => {
            let secrets = Secrets::load(&data)?;
            let store = chosen.open().await?;
            Ok((data, secrets, store))
        }
        ChosenStore::Postgres(_) => {
            let store = chosen.open().await?;
            let data = data.with_accounts(store.maintenance().stats().await?.accounts);
            let secrets = Secrets::load(&data)?;
            data.mark_elsewhere(&chosen.place())
                .map_err(|source| DataDirError::NotWritable { path: data.path().to_owned(), source })?;
            tracing::info!(database = chosen.place(), "opened the store");
            Ok((data, secrets, store))
        }
    }
}

/// What only this node knows. Made on the first run.
struct Secrets {
    authority: Authority,
    identity: SigningKey,
    services: ServiceSecrets,
}

impl Secrets {
    fn load(data: &DataDir) -> Result<Self, ServeError> {
        let new_key = Authority::new_key()?;
        let ca_key = data.secret(&CA_KEY, || Zeroizing::new(new_key))?;
        let authority = Authority::from_key(&ca_key).map_err(|_| data.damaged(&CA_KEY))?;
        let setup = data.secret(&OPAQUE_SETUP, || ServerSetup::generate(&mut rand::rng()).to_bytes())?;
        let opaque = ServerSetup::from_bytes(&setup).map_err(|_| data.damaged(&OPAQUE_SETUP))?;
        let signing_key = |secret: &Secret| {
            let seed =
                data.secret(secret, || Zeroizing::new(SigningKey::generate(&mut rand::rng()).seed().to_vec()))?;
            let seed = seed.as_slice().try_into().map_err(|_| data.damaged(secret))?;
            Ok::<_, ServeError>(SigningKey::from_seed(seed))
        };
        let bytes = |secret: &Secret, make: fn() -> Zeroizing<[u8; 32]>| {
            let bytes = data.secret(secret, || Zeroizing::new(make().to_vec()))?;
            let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| data.damaged(secret))?;
            Ok::<_, ServeError>(Zeroizing::new(bytes))
        };
        // A scalar like any other: the one time in 2^252 that there is none, the next start makes one.
        let new_oprf_key =
            || OprfKey::generate(&mut rand::rng()).map_or_else(|_| Zeroizing::default(), |key| key.to_bytes());
        let oprf = OprfKey::from_bytes(&*bytes(&OPRF_KEY, new_oprf_key)?).map_err(|_| data.damaged(&OPRF_KEY))?;
        let store = bytes(&STORE_KEY, || Zeroizing::new(rand::random()))?;
        let services = ServiceSecrets::new(opaque, oprf, signing_key(&TOKEN_KEY)?, &store);
        Ok(Self { authority, identity: signing_key(&IDENTITY_KEY)?, services })
    }
}

/// The services of a stopped node, for one command.
pub(crate) fn services_alone(data: &DataDir, store: Arc<dyn Store>) -> Result<Arc<Services>, ServeError> {
    let secrets = Secrets::load(data)?.services;
    let audit = Auditor::start(store.clone(), secrets.audit(), Arc::new(Metrics::new(clock::monotonic())));
    // Nobody comes who could ask for these.
    let limits = Arc::new(Limits::new(&LimitsConfig::default(), Zeroizing::new(rand::random())));
    let policy =
        Policy { registration: Registration::Closed, server_password: None, password_device_delay: Duration::ZERO };
    Ok(Arc::new(Services::new(store, secrets, policy, limits, Arc::default(), audit)))
}

/// Starts the actors, last stage first, so that none is ever half bound.
fn start_actors(
    identity: Arc<Identity>,
    services: Arc<Services>,
    store: Arc<dyn QueueStore>,
    audit: Auditor,
    common: Common,
    others: Option<Others>,
) -> (Node, Remains) {
    let metrics = common.metrics.clone();
    let routes = Arc::new(Routes::default());
    let others = others.map(|others| others.start(&routes, &arbiter, metrics.clone()));
    let writer = {
        let (store, routes, metrics) = (store.clone(), routes.clone(), metrics.clone());
        let after_commit = others.as_ref().map(Started::after_commit);
        QueueWriter::start_in_arbiter(&arbiter(), move |_| QueueWriter::new(store, routes, after_commit, metrics))
    };
    let elsewhere = others.as_ref().map(Started::elsewhere);
    let router = Arc::new(Router::new(routes.clone(), writer.clone().recipient(), elsewhere));
    let memory = Memory::new(SENDS_MAX);
    let (forget, counted) = (writer.clone(), metrics);
    let (kept, owned) = (store.clone(), routes.clone());
    let directory = Directory::start_in_arbiter(&arbiter(), move |_| {
        Directory::new(store, routes, forget.clone().recipient(), forget.recipient(), counted)
    });
    let remains = Remains { mailboxes: directory.clone().recipient(), writer: writer.recipient(), audit };
    let (attach, leave) = (directory.clone().recipient(), directory.recipient());
    let ways = match others {
        None => Ways { directory: attach, leave, departed: None },
        Some(others) => {
            let claims = others.keep_claims((attach, leave), kept, owned, &arbiter);
            services.sessions.tell_peers(others.peers());
            let services = services.clone();
            let news = Box::new(move |news| services.heard_from_peer(news));
            others.hear(router.clone(), memory.clone(), news, &claims, &arbiter);
            let (directory, leave) = (claims.clone().recipient(), claims.clone().recipient());
            Ways { directory, leave, departed: Some(claims.recipient()) }
        }
    };
    let node = Node::new(identity, services, router, memory, ways, common);
    (node, remains)
}

/// A socket that clients connect to.
fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart need not wait until the connections of before are forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A thread for actors; it ends with the actix system.
fn arbiter() -> ArbiterHandle {
    Arbiter::new().handle()
}

/// Forgets expired envelopes, renews the leaf and the static keys, for as long as the node runs.
async fn take_care(
    store: Arc<dyn Store>,
    limits: Arc<Limits>,
    leaf: Arc<Leaf>,
    identity: Arc<Identity>,
    metrics: Arc<Metrics>,
) {
    let mut interval = tokio::time::interval(CARE_INTERVAL);
    loop {
        interval.tick().await;
        forget_expired(&*store, &metrics).await;
        metrics.sweeps.one();
        limits.forget_idle();
        if identity.renew_if_due(clock::now()) {
            tracing::info!("renewed the static keys of the secure channel");
        }
        match leaf.renew_if_due(clock::now()) {
            Ok(true) => {
                metrics.certificate_expires_at(leaf.expires_at());
                tracing::info!("renewed the TLS certificate");
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "cannot renew the TLS certificate"),
        }
    }
}

/// A few rows at a time, so that what is written meanwhile need not wait for all of them.
async fn forget_expired(store: &dyn Store, metrics: &Metrics) {
    let now = clock::now();
    let audit_before = UnixMillis::new(now.get().saturating_sub(AUDIT_AGE_MAX.as_millis() as u64));
    forget(metrics, Swept::Envelopes, async || store.delete_expired(now, EXPIRED_ROWS_MAX).await).await;
    forget(metrics, Swept::Tokens, async || store.remove_expired_families(now, EXPIRED_ROWS_MAX).await).await;
    forget(metrics, Swept::Audit, async || store.prune_audit(audit_before, EXPIRED_ROWS_MAX).await).await;
    // These are few.
    for forgotten in [store.remove_expired_invites(now).await, store.remove_expired_links(now).await] {
        if let Err(error) = forgotten {
            metrics.store_errors.one(StoreCall::Sweep);
            tracing::warn!(%error, "cannot forget what has expired");
        }
    }
}

/// Repeats a bounded deletion until it finds less than it may take.
async fn forget(metrics: &Metrics, what: Swept, some: impl AsyncFn() -> Result<u64, StoreError>) {
    let (mut forgotten, name) = (0, what.as_str());
    loop {
        match some().await {
            Ok(rows) => {
                forgotten += rows;
                if rows < u64::from(EXPIRED_ROWS_MAX) {
                    break;
                }
            }
            Err(error) => {
                metrics.store_errors.one(StoreCall::Sweep);
                tracing::warn!(%error, what = name, "cannot forget what has expired");
                break;
            }
        }
    }
    metrics.swept.add(what, forgotten);
    if forgotten > 0 {
        tracing::info!(rows = forgotten, what = name, "forgot what has expired");
    }
}

/// The one line that a person hands to another.
pub(super) fn endtoend_address(host: &str, port: u16, pin: Pin) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("endtoend://{host}:{port}/#pin={pin}")
}
