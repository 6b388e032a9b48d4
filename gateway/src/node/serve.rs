//! From a configuration to a running node, and back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_server::Server;
use actix_web::rt::task::JoinHandle;
use endtoend_cluster::NodeId;
use endtoend_storage::Maintenance;
use tokio::sync::watch;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Common;
use super::address::{endtoend_address, host, with_port};
use super::care::take_care;
use super::certificates::{Leaf, leaf_names, tls_config};
use super::data_dir::DataDir;
use super::drain::{ENDING_MAX, StopSignals, drain};
use super::error::ServeError;
use super::identity::{Identity, Pin};
use super::lifecycle::Lifecycle;
use super::member::{
    Begun, Intended, Joining, MemberError, STOP_MAX, follow_secrets, follow_state, is_member, until_out,
};
use super::onion::Onion;
use super::open::OpenConnections;
use super::open_files::raise_limit;
use super::opening;
use super::parts::start_actors;
use super::secrets::Outside;
use super::sockets::{HandedOver, Sockets};
use super::store::ChosenStore;
use crate::admin::{AdminContext, AdminSocket, Running, SOCKET};
use crate::blobs::Blobs;
use crate::clock;
use crate::config::Config;
use crate::connection;
use crate::health::{self, AdminListener, Oldest, Readiness, Watched};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::services::{Auditor, Policy, ServerPassword, Services};

/// What the store gets to end what is under way, and SQLite to write its log back.
const STORE_CLOSE_MAX: Duration = Duration::from_secs(5);

/// What a node tells when it is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    pub listen: SocketAddr,
    pub pin: Pin,
    /// `endtoend://host:port/#pin=…`: all that a client needs.
    pub address: String,
    /// Of `/healthz`, `/readyz` and `/metrics`.
    pub admin: Option<SocketAddr>,
    /// The same for clients in the Tor network, where the node is there.
    pub onion: Option<String>,
}

/// What a node tells whoever has started it.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// It has asked to join a cluster, where an operator has to approve it. Told again each time that it was asked.
    Pending {
        /// Who.
        node: NodeId,
        /// What people call it.
        name: &'a str,
        /// Whom it asks.
        seed: &'a str,
    },
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
/// When it cannot start, the listener fails, or its cluster does not let it go on. Accounts and secrets are untouched by a
/// start that fails.
pub async fn serve(
    config: Config,
    outside: Outside,
    handed_over: HandedOver,
    joining: Option<Joining>,
    tell: impl Fn(News<'_>),
) -> Result<(), ServeError> {
    raise_limit(config.gateway.connections_max, config.storage.connections_max.get())?;
    let (sockets, admin_sockets) = Sockets::choose(config.gateway.listen, &config.admin, handed_over)?;
    let outside_files = outside.files();
    let data = DataDir::open(&config.storage.data)?.with_outside(outside);
    let sockets = sockets.bind()?;
    let (listen, they_stay) = (sockets.address(), sockets.stay());
    let host = host(&config.gateway.names, listen.ip());
    let open = OpenConnections::none();
    let begun = begin(&config, data, with_port(&host, listen.port()), joining, open.clone(), &tell).await?;
    let Begun { data, member, secrets, store: opened } = begun;
    let membership = member.as_ref().map(|member| Arc::clone(&member.membership));

    let onion = Onion::open(&config.onion, &data)?;
    let names: Vec<String> = config.gateway.names.iter().cloned().chain(onion.as_ref().map(Onion::host)).collect();
    let leaf = Leaf::new(secrets.authority, leaf_names(&names, listen.ip()), clock::now())?;
    let identity = Arc::new(Identity::new(secrets.identity, clock::now()));
    let pin = Pin { tls: leaf.pin(), identity: identity.fingerprint() };
    let (leaf, store) = (Arc::new(leaf), opened.store());
    let (lifecycle, seen) = watch::channel(Lifecycle::Accepting);
    let drain_time = Duration::from_secs(u64::from(config.gateway.drain_seconds));
    let redis = config.redis.open()?;
    let limits = Arc::new(Limits::new(&config.limits, redis.as_ref(), secrets.services.limits()));
    let (started, metrics) = (clock::now(), Arc::new(Metrics::new(clock::monotonic())));
    metrics.certificate_expires_at(leaf.expires_at());
    let audit = Auditor::start(store.clone(), secrets.services.audit(), metrics.clone());
    let policy = Policy {
        registration: config.accounts.registration,
        server_password: server_password(&config.accounts.server_password_file)?,
        password_device_delay: Duration::from_secs(u64::from(config.accounts.password_device_delay_hours) * 3600),
    };
    let others = member.as_ref().map(|member| member.others(secrets.services.names()));
    let (sessions, auditor) = (Arc::default(), audit.clone());
    let blobs = match config.blobs.policy() {
        Some(policy) => Some(Blobs::open(&config.blobs.kept(data.path()), policy).await?),
        None => None,
    };
    let services = Services::new(store.clone(), secrets.services, policy, limits.clone(), sessions, audit);
    let services = Arc::new(services.with_blobs(blobs.clone()));
    let guests_max = config.gateway.guests_max.min(config.gateway.connections_max / 2).max(1) as usize;
    let (node, remains) = start_actors(
        identity.clone(),
        services.clone(),
        store.clone(),
        auditor,
        Common { guests_max, lifecycle: seen.clone(), metrics: metrics.clone() },
        others,
    );
    let node = Arc::new(node);
    let readiness = Arc::new(Readiness::new(opened.maintenance(), metrics.clone(), node.memory.clone(), seen.clone()));
    let watched = Arc::new(Watched {
        readiness: readiness.clone(),
        oldest: Oldest::new(opened.maintenance(), metrics.clone()),
        node: node.clone(),
        open: open.clone(),
        store: opened.kind(),
        started,
        connections_max: config.gateway.connections_max,
        membership: membership.clone(),
    });

    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let connections_max = (config.gateway.connections_max as usize).div_ceil(workers);
    let tls = Arc::new(tls_config(leaf.clone())?);
    let threads = Arc::new(connection::Threads::start(workers));
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections_max)
        // The deadline of the drain comes first.
        .shutdown_timeout(drain_time.as_secs() + 60)
        .disable_signals();
    let edges = connection::Edges::new(&config.gateway.proxy_from);
    let server = sockets.listen()?.into_iter().try_fold(server, |server, (listener, address)| {
        let (node, tls, open, edges) = (Arc::clone(&node), Arc::clone(&tls), open.clone(), edges.clone());
        let threads = Arc::clone(&threads);
        let connections = move || {
            let (node, tls, threads) = (Arc::clone(&node), Arc::clone(&tls), Arc::clone(&threads));
            connection::service(node, tls, open.clone(), edges.clone(), threads)
        };
        server.listen("clients", listener, connections).map_err(|source| ServeError::Listen { address, source })
    })?;
    let listener = start_watched(admin_sockets, &watched)?;
    let admin_listen = listener.as_ref().map(|listener| listener.address);
    let address = endtoend_address(&host, listen.port(), pin);
    let server = server.run();
    let handle = server.handle();
    let onion_address = onion.as_ref().map(|onion| onion.address(pin));
    let onion = onion.map(|onion| onion.start(pin, listen, data.path(), config.gateway.connections_max as usize));
    let (onion, onion_host) = onion.transpose()?.unzip();
    let running = Running {
        since: started,
        listen,
        address: address.clone(),
        admin: admin_listen,
        config,
        lifecycle: seen,
        readiness,
        membership: membership.clone(),
        onion,
    };
    let admin = start_admin(&data, opened.maintenance(), outside_files, services.clone(), running)?;
    // Whoever is told that the node is ready may end it at once.
    let mut signals = StopSignals::listen().map_err(ServeError::Signals)?;
    let followed = membership.as_ref().map(|membership| {
        let settled = Arc::clone(&services);
        actix_web::rt::spawn(async move { settled.settle_doubts().await });
        actix_web::rt::spawn(follow_secrets(Arc::clone(&membership.control), services));
        membership.open_for_edges(listen, admin_listen);
        actix_web::rt::spawn(Arc::clone(membership).keep_offers());
        let control = Arc::clone(&membership.control);
        actix_web::rt::spawn(follow_state(control, lifecycle.clone(), open.clone(), drain_time))
    });
    tell(News::Ready(&Ready { listen, pin, address, admin: admin_listen, onion: onion_address }));
    if let Some(blobs) = blobs {
        actix_web::rt::spawn(blobs.sweep(store.clone()));
    }
    actix_web::rt::spawn(take_care(store.clone(), limits, leaf, identity, metrics));
    let mut serving = actix_web::rt::spawn(server);
    let out = async {
        match &membership {
            Some(membership) => until_out(&membership.control, &membership.links).await,
            None => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        ended = &mut serving => ended.unwrap_or_else(|stopped| Err(io::Error::other(stopped))).map_err(ServeError::Listener),
        () = signals.next() => Ok(()),
        out = out => {
            tracing::error!("{out}");
            Err(out.into())
        }
    };
    // Nobody opens again what is about to end.
    if let Some(followed) = followed {
        followed.abort();
    }
    // Readiness goes red before anything else happens. A drain that its cluster has begun goes on.
    if lifecycle.borrow().is_accepting() {
        lifecycle.send_modify(|now| *now = now.stop(open.count(), drain_time, clock::monotonic()));
    }
    let leaves_others = membership.as_ref().map_or(Duration::ZERO, |_| STOP_MAX);
    tell(News::Stopping { within: drain_time + ENDING_MAX + STORE_CLOSE_MAX + leaves_others });
    tracing::info!(connections = open.count(), seconds = drain_time.as_secs(), "draining; another signal ends it now");
    let given_away =
        membership.map(|membership| actix_web::rt::spawn(async move { membership.give_away_leadership().await }));
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
    if let Some(host) = onion_host.flatten() {
        host.stop().await;
    }
    remains.flush().await;
    if let Some(given_away) = given_away {
        let _given_or_not = given_away.await;
    }
    if let Some(member) = member {
        member.stop().await;
    }
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

/// Store, secrets, and, for a node of several, its place among them.
async fn begin(
    config: &Config,
    data: DataDir,
    client_address: String,
    joining: Option<Joining>,
    open: OpenConnections,
    tell: &impl Fn(News<'_>),
) -> Result<Begun, ServeError> {
    if config.cluster.listen.is_some() {
        return Intended { config, data, client_address, joining, open }.begin(tell).await;
    }
    if joining.is_some() {
        return Err(MemberError::NoListen.into());
    }
    if is_member(data.path()) {
        return Err(MemberError::NotAlone(data.path().to_owned()).into());
    }
    let (data, secrets, store) = opening::open(data, &ChosenStore::of(&config.storage)?).await?;
    Ok(Begun { data, member: None, secrets, store })
}

/// Answers programs that watch the node, where the operator wants that.
fn start_watched(sockets: Option<Sockets>, watched: &Arc<Watched>) -> Result<Option<AdminListener>, ServeError> {
    let Some(sockets) = sockets else { return Ok(None) };
    let (address, sockets) = match sockets {
        Sockets::Own(address) => (address, TcpListener::bind(address).map(|socket| vec![(socket, address)])),
        Sockets::HandedOver(sockets) => {
            let first = sockets.first().map(|(_, address)| *address);
            (first.unwrap_or((Ipv4Addr::LOCALHOST, 0).into()), Ok(sockets))
        }
    };
    let started = sockets.and_then(|sockets| health::listen(sockets, Arc::clone(watched)));
    started.map(Some).map_err(|source| ServeError::AdminListen { address, source })
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
