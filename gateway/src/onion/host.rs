//! An onion service within the node, by arti.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arti_client::config::onion_service::OnionServiceConfigBuilder;
use arti_client::config::{CfgPath, TorClientConfigBuilder};
use arti_client::{TorClient, TorClientConfig};
use endtoend_crypto_core::visitor::VisitorKey;
use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use tor_cell::relaycell::msg::{Connected, End, EndReason};
use tor_hscrypto::pk::HsIdKeypair;
use tor_hsservice::status::State;
use tor_hsservice::{StreamRequest, handle_rend_requests};
use tor_llcrypto::pk::ed25519;
use tor_proto::stream::IncomingStreamRequest;
use tor_rtcompat::tokio::TokioRustlsRuntime;

use super::key::OnionKey;
use super::state::OnionState;

/// What arti calls the service in its own files.
const NICKNAME: &str = "endtoend";
/// Between a failure and the next try.
const PAUSE: Duration = Duration::from_secs(30);
/// Whoever does not answer here within this time is not there.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// What its end may take.
const STOP_MAX: Duration = Duration::from_secs(5);
/// What builds circuits and carries what comes.
const THREADS: usize = 2;
/// Streams that one circuit may have, which is one client's: a connection, and another one that takes its place.
const STREAMS_PER_CIRCUIT_MAX: u32 = 16;

/// A service and where it leads.
pub(crate) struct Hosting {
    pub(crate) key: OnionKey,
    /// Of its address. Who asks for another one loses the circuit.
    pub(crate) port: u16,
    pub(crate) target: SocketAddr,
    /// Who may find it; everybody, when none is named.
    pub(crate) clients: Vec<VisitorKey>,
    /// What arti keeps.
    pub(crate) folder: PathBuf,
    /// A configuration of arti, for all but that.
    pub(crate) arti: Option<PathBuf>,
    /// At one time. At the bound: refused.
    pub(crate) connections_max: usize,
}

/// Why it is not there.
#[derive(Debug, thiserror::Error)]
enum HostError {
    #[error("cannot read {}: correct [onion] arti", path.display())]
    Config { path: PathBuf, source: io::Error },
    #[error("{} is no configuration of arti: correct it, or [onion] arti", path.display())]
    NoConfig { path: PathBuf, source: toml::de::Error },
    #[error("the configuration of arti does not fit together: {0}")]
    BadConfig(String),
    #[error("cannot remove {}", path.display())]
    Stale { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Tor(#[from] arti_client::Error),
    #[error("arti has onion services switched off: correct [onion] arti")]
    Off,
    #[error("the service has ended")]
    Ended,
}

/// A running service. Dropping it ends it.
pub(crate) struct Hosted {
    state: watch::Receiver<OnionState>,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Hosted {
    /// Begins, and goes on trying until it is stopped.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(crate) fn start(hosting: Hosting) -> io::Result<Self> {
        // arti takes the one of the process. Another one that is there is as good.
        let _there_already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Of its own, so that what it does takes no turn of the node's actors.
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        let (tell, state) = watch::channel(OnionState::Connecting { percent: 0 });
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("onion".to_owned()).spawn(move || {
            runtime.block_on(async {
                let within = TokioRustlsRuntime::from(Handle::current());
                tokio::select! {
                    () = keep(&hosting, &within, &tell) => {}
                    _ = ended => {}
                }
            });
            runtime.shutdown_timeout(STOP_MAX / 2);
        })?;
        Ok(Self { state, end, thread })
    }

    /// How it is, now and later.
    pub(crate) fn state(&self) -> watch::Receiver<OnionState> {
        self.state.clone()
    }

    /// Ends it. What is left of it after some seconds ends with the node.
    pub(crate) async fn stop(self) {
        let _ended_already = self.end.send(());
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        if timeout(STOP_MAX, joined).await.is_err() {
            tracing::warn!("the onion service takes long to end: it ends with the node");
        }
    }
}

async fn keep(hosting: &Hosting, runtime: &TokioRustlsRuntime, tell: &watch::Sender<OnionState>) {
    loop {
        if let Err(error) = host(hosting, runtime, tell).await {
            tracing::warn!(%error, "the onion service is not reached; it is tried again");
            tell.send_replace(OnionState::Faulty { why: error.to_string() });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Goes on as long as the service does.
async fn host(
    hosting: &Hosting,
    runtime: &TokioRustlsRuntime,
    tell: &watch::Sender<OnionState>,
) -> Result<(), HostError> {
    forget(&hosting.folder)?;
    tell.send_replace(OnionState::Connecting { percent: 0 });
    let client =
        TorClient::with_runtime(runtime.clone()).config(config(hosting)?).create_unbootstrapped_async().await?;
    let mut events = client.bootstrap_events();
    let connecting = async {
        while let Some(status) = events.next().await {
            // From 0 to 1.
            let percent = (status.as_frac() * 100.0) as u8;
            tell.send_replace(OnionState::Connecting { percent });
        }
        std::future::pending::<()>().await;
    };
    // It goes on where there is no network, and comes through when there is one: `blocked` tells too little to end it.
    tokio::select! {
        through = client.bootstrap() => through?,
        () = connecting => {}
    }
    let service = service(hosting)?;
    let launched = client.launch_onion_service_with_hsid(service, keypair(&hosting.key))?;
    let (service, requests) = launched.ok_or(HostError::Off)?;
    tracing::info!(host = hosting.key.host(), "hosting an onion service");
    tell.send_replace(OnionState::Publishing);
    let mut states = service.status_events();
    let telling = async {
        while let Some(status) = states.next().await {
            tell.send_replace(shown(status.state()));
        }
        std::future::pending::<()>().await;
    };
    let places = Arc::new(Semaphore::new(hosting.connections_max));
    let mut streams = std::pin::pin!(handle_rend_requests(requests));
    let serving = async {
        while let Some(request) = streams.next().await {
            let (port, target, places) = (hosting.port, hosting.target, Arc::clone(&places));
            tokio::spawn(async move { carry(request, port, target, &places).await });
        }
    };
    tokio::select! {
        () = serving => Err(HostError::Ended),
        () = telling => Err(HostError::Ended),
    }
}

/// One connection, from its beginning to its end.
async fn carry(request: StreamRequest, port: u16, target: SocketAddr, places: &Semaphore) {
    // Whoever asks for anything else looks for what there is.
    let wanted = matches!(request.request(), IncomingStreamRequest::Begin(begin) if begin.port() == port);
    if !wanted {
        let _gone_already = request.shutdown_circuit();
        return;
    }
    let place = places.try_acquire();
    let connected = match place {
        Ok(_) => timeout(CONNECT_MAX, TcpStream::connect(target)).await.ok().and_then(Result::ok),
        Err(_) => None,
    };
    let Some(mut tcp) = connected else {
        let _gone_already = request.reject(End::new_with_reason(EndReason::DONE)).await;
        return;
    };
    let _without_delay = tcp.set_nodelay(true);
    // Who has gone is no news.
    if let Ok(mut stream) = request.accept(Connected::new_empty()).await {
        let _gone = tokio::io::copy_bidirectional(&mut stream, &mut tcp).await;
    }
}

fn shown(state: State) -> OnionState {
    match state {
        State::Running | State::DegradedReachable => OnionState::Up,
        State::Broken => OnionState::Faulty { why: "arti cannot keep it up, and goes on trying".to_owned() },
        State::Shutdown => OnionState::Faulty { why: HostError::Ended.to_string() },
        // Bootstrapping, recovering, unreachable at the moment, and what a newer arti may say.
        _ => OnionState::Publishing,
    }
}

/// The key comes from the node, and what arti makes of it is made anew at each start. Guards stay: who changes them often meets a
/// bad one sooner.
fn forget(folder: &Path) -> Result<(), HostError> {
    for stale in ["state/keystore", "state/hss"] {
        let path = folder.join(stale);
        match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(HostError::Stale { path, source }),
            _ => {}
        }
    }
    Ok(())
}

fn config(hosting: &Hosting) -> Result<TorClientConfig, HostError> {
    let mut builder = match &hosting.arti {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| HostError::Config { path: path.clone(), source })?;
            toml::from_str(&text).map_err(|source| HostError::NoConfig { path: path.clone(), source })?
        }
        None => TorClientConfigBuilder::default(),
    };
    let within = |name: &str| CfgPath::new_literal(hosting.folder.join(name));
    builder.storage().state_dir(within("state")).cache_dir(within("cache"));
    builder.build().map_err(|error| HostError::BadConfig(error.to_string()))
}

fn service(hosting: &Hosting) -> Result<arti_client::config::onion_service::OnionServiceConfig, HostError> {
    let bad = |error: String| HostError::BadConfig(error);
    let mut builder = OnionServiceConfigBuilder::default();
    builder.nickname(NICKNAME.parse().map_err(|_| bad("its nickname".to_owned()))?);
    builder.max_concurrent_streams_per_circuit(STREAMS_PER_CIRCUIT_MAX);
    if !hosting.clients.is_empty() {
        let restricted = builder.restricted_discovery();
        restricted.enabled(true);
        for (number, client) in (1..).zip(&hosting.clients) {
            let nickname = format!("client-{number}").parse().map_err(|_| bad("a client's nickname".to_owned()))?;
            let key = client.to_string().parse().map_err(|_| bad("a client's key".to_owned()))?;
            restricted.static_keys().access().push((nickname, key));
        }
    }
    builder.build().map_err(|error| bad(error.to_string()))
}

fn keypair(key: &OnionKey) -> HsIdKeypair {
    let pair = ed25519::Keypair::from_bytes(&key.seed());
    ed25519::ExpandedKeypair::from(&pair).into()
}
