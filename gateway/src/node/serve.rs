//! From a configuration to a running node, and back.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor as _, Arbiter, ArbiterHandle};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::JoinHandle;
use actix_web::{App, HttpServer, dev, web};
use endtoend_crypto_core::opaque::ServerSetup;
use endtoend_crypto_core::signature::SigningKey;
use endtoend_protocol::limits;
use endtoend_storage::{Maintenance, OpenError, QueueStore, Sqlite, StoreLimits};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::Node;
use super::certificates::{Authority, CertificateError, Leaf, leaf_names, tls_config};
use super::data_dir::{DataDir, DataDirError};
use super::identity::{Identity, Pin};
use super::secrets::{CA_KEY, IDENTITY_KEY, OPAQUE_SETUP, Outside, Secret, TOKEN_KEY};
use crate::admin::{AdminContext, AdminSocket, Running, SOCKET};
use crate::clock;
use crate::config::Config;
use crate::connection;
use crate::directory::Directory;
use crate::queue_writer::QueueWriter;
use crate::router::{Router, Routes};
use crate::services::Accounts;

/// A peer that does not take what is written to it for this long is gone, or wants us to keep it.
const WRITE_STALL_MAX: Duration = Duration::from_secs(60);
/// What open connections get to end by themselves when the node stops.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// How often expired envelopes and the age of the leaf are looked at.
const CARE_INTERVAL: Duration = Duration::from_secs(600);
/// Expired rows of one deletion, so that it does not hold up the writer.
const EXPIRED_ROWS_MAX: u32 = 1_000;

/// Why a node does not run. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{0} is in use: stop what listens there, or choose another address with --listen HOST:PORT")]
    AddressInUse(SocketAddr),
    #[error("cannot listen on {address}: choose another address with --listen HOST:PORT")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot make {}: the data directory must lie on a file system that has sockets", path.display())]
    AdminSocket { path: PathBuf, source: io::Error },
    #[error("the listener failed")]
    Listener(#[source] io::Error),
}

/// What a node tells when it is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    pub listen: SocketAddr,
    pub pin: Pin,
    /// `endtoend://host:port/#pin=…`: all that a client needs.
    pub address: String,
}

/// Runs a node until SIGTERM or SIGINT, inside an actix system.
///
/// # Errors
/// When it cannot start, or the listener fails. The data directory is untouched by a start that fails.
pub async fn serve(config: Config, outside: Outside, ready: impl FnOnce(&Ready)) -> Result<(), ServeError> {
    let outside_files = outside.files();
    let data = DataDir::open(&config.storage.data)?.with_outside(outside);
    let secrets = Secrets::load(&data)?;
    let store = Sqlite::open(&data.database(), StoreLimits::default()).await?;
    let listen = config.gateway.listen;
    let leaf = Leaf::new(secrets.authority, leaf_names(&config.gateway.names, listen.ip()), clock::now())?;
    let identity = Arc::new(Identity::new(secrets.identity, clock::now()));
    let pin = Pin { tls: leaf.pin(), identity: identity.fingerprint() };
    let (leaf, store) = (Arc::new(leaf), Arc::new(store));
    let (stop, stopping) = watch::channel(false);
    let accounts = Accounts::new(store.clone(), secrets.opaque, secrets.token_key, config.accounts.registration);
    let node = web::Data::new(start_actors(identity.clone(), accounts, store.clone(), stopping));

    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let connections_max = (config.gateway.connections_max as usize).div_ceil(workers);
    let server =
        HttpServer::new(move || App::new().app_data(node.clone()).route("/v1", web::get().to(connection::open)))
            .workers(workers)
            .max_connections(connections_max)
            .client_request_timeout(limits::HELLO_DEADLINE)
            .shutdown_timeout(STOP_DEADLINE.as_secs())
            .disable_signals()
            .on_connect(prepare_connection)
            .bind_rustls_0_23(listen, tls_config(leaf.clone())?)
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => ServeError::AddressInUse(listen),
                _ => ServeError::Listen { address: listen, source },
            })?;
    let listen = server.addrs().first().copied().unwrap_or(listen);
    let host = config.gateway.names.first().cloned().unwrap_or_else(|| match listen.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        ip => ip.to_string(),
    });
    let address = endtoend_address(&host, listen.port(), pin);
    let server = server.run();
    let handle = server.handle();
    let running = Running { since: clock::now(), listen, address: address.clone(), config };
    let admin = start_admin(&data, store.clone(), outside_files, running)?;
    ready(&Ready { listen, pin, address });
    actix_web::rt::spawn(take_care(store.clone(), leaf, identity));
    actix_web::rt::spawn(stop_on_signal(handle, stop));
    let served = server.await.map_err(ServeError::Listener);
    // Its socket goes before the lock, so that nobody waits for an answer.
    admin.abort();
    let _ = admin.await;
    store.close().await;
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// Answers operators for as long as the node runs.
fn start_admin(
    data: &DataDir,
    store: Arc<dyn Maintenance>,
    outside: Vec<&'static str>,
    running: Running,
) -> Result<JoinHandle<()>, ServeError> {
    let refused = |source| ServeError::AdminSocket { path: data.path().join(SOCKET), source };
    let path = data.path().canonicalize().map_err(refused)?;
    let socket = AdminSocket::bind(data).map_err(refused)?;
    let context = AdminContext::new(store, path, outside, Some(running));
    Ok(actix_web::rt::spawn(socket.serve(Arc::new(context))))
}

/// What only this node knows. Made on the first run.
struct Secrets {
    authority: Authority,
    identity: SigningKey,
    opaque: ServerSetup,
    token_key: SigningKey,
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
        Ok(Self { authority, identity: signing_key(&IDENTITY_KEY)?, opaque, token_key: signing_key(&TOKEN_KEY)? })
    }
}

/// Starts the actors, last stage first, so that none is ever half bound.
fn start_actors(
    identity: Arc<Identity>,
    accounts: Accounts,
    store: Arc<dyn QueueStore>,
    stopping: watch::Receiver<bool>,
) -> Node {
    let routes = Arc::new(Routes::default());
    let writer = {
        let (store, routes) = (store.clone(), routes.clone());
        QueueWriter::start_in_arbiter(&arbiter(), move |_| QueueWriter::new(store, routes))
    };
    let router = Router::new(routes.clone(), writer.clone().recipient());
    let mailboxes = std::thread::available_parallelism().map_or(2, usize::from);
    let mailboxes: Vec<_> = (0..mailboxes).map(|_| arbiter()).collect();
    let directory = Directory::start_in_arbiter(&arbiter(), move |_| {
        Directory::new(mailboxes, store, routes, writer.clone().recipient(), writer.recipient())
    });
    Node::new(identity, accounts, router, (directory.clone().recipient(), directory.recipient()), stopping)
}

/// A thread for actors; it ends with the actix system.
fn arbiter() -> ArbiterHandle {
    Arbiter::new().handle()
}

/// Runs once for each connection, after the TLS handshake.
fn prepare_connection(connection: &dyn Any, _: &mut dev::Extensions) {
    let Some(tls) = connection.downcast_ref::<TlsStream<TcpStream>>() else { return };
    let (tcp, _) = tls.get_ref();
    let socket = socket2::SockRef::from(tcp);
    // Best effort: without them a dead peer is noticed later.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_user_timeout(Some(WRITE_STALL_MAX));
}

/// Forgets expired envelopes, renews the leaf and the static keys, for as long as the node runs.
async fn take_care(store: Arc<Sqlite>, leaf: Arc<Leaf>, identity: Arc<Identity>) {
    let mut interval = tokio::time::interval(CARE_INTERVAL);
    loop {
        interval.tick().await;
        forget_expired(&store).await;
        if identity.renew_if_due(clock::now()) {
            tracing::info!("renewed the static keys of the secure channel");
        }
        match leaf.renew_if_due(clock::now()) {
            Ok(true) => tracing::info!("renewed the TLS certificate"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "cannot renew the TLS certificate"),
        }
    }
}

/// A few rows at a time, so that what is written meanwhile need not wait for all of them.
async fn forget_expired(store: &Sqlite) {
    let mut forgotten = 0;
    loop {
        match store.delete_expired(clock::now(), EXPIRED_ROWS_MAX).await {
            Ok(rows) => {
                forgotten += rows;
                if rows < u64::from(EXPIRED_ROWS_MAX) {
                    break;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot forget expired envelopes");
                break;
            }
        }
    }
    if forgotten > 0 {
        tracing::info!(rows = forgotten, "forgot expired envelopes");
    }
}

async fn stop_on_signal(server: dev::ServerHandle, stop: watch::Sender<bool>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    let _ = stop.send(true);
    server.stop(true).await;
}

/// The one line that a person hands to another.
pub(super) fn endtoend_address(host: &str, port: u16, pin: Pin) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("endtoend://{host}:{port}/#pin={pin}")
}
