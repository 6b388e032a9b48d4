//! The way out of one profile: what was chosen, and Tor while somebody needs it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng as _;
use tokio::sync::{mpsc, oneshot, watch};

use super::choice::{NetworkSettings, Way};
use super::circuits::{Circuits, Remedy, Traffic};
use super::orders::{Order, Plan};
use super::pace::Pace;
use super::stream::Stream;
use super::tor::Tor;
use super::trouble::{TorState, TorTrouble};
use super::{ConnectError, direct, socks};
use crate::address::{Host, ServerAddress};

/// Folder of Tor's state in a profile's folder.
pub const TOR_FOLDER: &str = "tor";

/// How it stands with the network of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkStatus {
    /// The way that the last attempt to connect has taken; `None` before the first.
    pub way: Option<Way>,
    /// How it stands with Tor.
    pub tor: TorState,
    /// How the bridges are spoken to at which Tor begins, each kind once; empty: at public relays.
    pub bridges: Vec<String>,
}

/// The way out of a profile. Clones are the same one. What was chosen stays as it is: for another choice make another one, when
/// this one is closed.
///
/// Tor is started by the first connection that needs it, on a thread of its own, and ends with [`Network::close`]. Whoever drops
/// all clones without that asks it to end and does not wait.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    settings: NetworkSettings,
    folder: PathBuf,
    status: watch::Sender<NetworkStatus>,
    circuits: Mutex<Circuits>,
    tor: Mutex<Slot>,
}

enum Slot {
    Off,
    On(Tor),
    Closed,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({:?})", self.0.settings.choice)
    }
}

impl Network {
    /// The way out of the profile in `home`, or of one that is going to be there.
    pub fn new(settings: NetworkSettings, home: &Path) -> Self {
        Self::telling(settings, home, watch::Sender::default())
    }

    /// The same, for somebody who listens already.
    pub(crate) fn telling(settings: NetworkSettings, home: &Path, status: watch::Sender<NetworkStatus>) -> Self {
        status.send_replace(NetworkStatus { way: None, tor: TorState::Off, bridges: kinds(&settings) });
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let (circuits, tor) = (Mutex::new(Circuits::new(seed)), Mutex::new(Slot::Off));
        Self(Arc::new(Shared { settings, folder: home.join(TOR_FOLDER), status, circuits, tor }))
    }

    /// What was chosen.
    pub fn settings(&self) -> &NetworkSettings {
        &self.0.settings
    }

    /// The way to a host.
    pub fn way_to(&self, host: &Host) -> Way {
        self.0.settings.choice.way_to(host)
    }

    /// How long things may take on the way to a host.
    pub fn pace_to(&self, host: &Host) -> Pace {
        Pace::of(self.way_to(host))
    }

    /// Says once more how it stands: another one has told the same listeners something else meanwhile.
    pub(crate) fn announce(&self) {
        if let Slot::Off = &*lock(&self.0.tor) {
            self.0.status.send_modify(|status| {
                (status.tor, status.bridges) = (TorState::Off, kinds(&self.0.settings));
            });
        }
    }

    /// How it stands, now and whenever that changes.
    pub fn status(&self) -> watch::Receiver<NetworkStatus> {
        self.0.status.subscribe()
    }

    /// Starts Tor, if it does not run, and waits until it can be used. It has deadlines of its own.
    ///
    /// # Errors
    /// See [`TorTrouble`].
    pub async fn start(&self) -> Result<(), TorTrouble> {
        match self.ready(Way::Tor).await {
            Err(ConnectError::Tor(trouble)) => Err(trouble),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Says which way is going to be gone, before it is.
    pub(crate) fn expect(&self, host: &Host) {
        let way = self.way_to(host);
        self.0.status.send_if_modified(|status| status.way.replace(way) != Some(way));
    }

    /// From now on no connection shares a circuit with one before. Those that are open stay: close them.
    pub fn renew_circuits(&self) {
        self.circuits().renew();
    }

    /// Ends Tor and the connections through it, and waits for that: its folder and the profile are free then.
    pub async fn close(&self) {
        let slot = std::mem::replace(&mut *lock(&self.0.tor), Slot::Closed);
        if let Slot::On(tor) = slot {
            let thread = tor.stop();
            // One that has panicked has nothing open either.
            let _ended = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Waits until the way can be used, which for Tor is when it has started. Has deadlines of its own.
    pub(super) async fn ready(&self, way: Way) -> Result<(), ConnectError> {
        self.0.status.send_if_modified(|status| status.way.replace(way) != Some(way));
        if way != Way::Tor {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.order(Order::Ready(reply)).await?;
        answer.await.map_err(|_| ended())?.map_err(ConnectError::Tor)
    }

    /// Opens a stream to the server. No deadline.
    pub(super) async fn open(&self, way: Way, to: &ServerAddress, traffic: Traffic) -> Result<Stream, ConnectError> {
        let circuit = || self.circuits().circuit(&format!("{}:{}", to.host, to.port), traffic);
        match way {
            Way::Direct => direct::to_server(&to.host, to.port).await.map_err(ConnectError::Unreachable),
            Way::Proxy(proxy) => Ok(socks::to_server(proxy, &to.host, to.port, &circuit()).await?),
            Way::Tor => {
                let host = match &to.host {
                    Host::Dns(name) => name.as_ref().to_owned(),
                    Host::Ip(address) => address.to_string(),
                };
                let (reply, answer) = oneshot::channel();
                self.order(Order::Open { host, port: to.port, circuit: circuit(), reply }).await?;
                answer.await.map_err(|_| ended())?
            }
        }
    }

    /// Notes what came of an attempt, so that other circuits are tried, or Tor begins anew, where that may help.
    pub(super) async fn tried(&self, way: Way, failed: bool) {
        if way == Way::Direct {
            return;
        }
        let remedy = {
            let mut circuits = self.circuits();
            if failed {
                circuits.failed()
            } else {
                circuits.succeeded();
                Remedy::None
            }
        };
        if way != Way::Tor {
            return;
        }
        self.0.status.send_if_modified(|status| {
            let next = match (&status.tor, failed) {
                (TorState::Ready, false) => TorState::Verified,
                (TorState::Verified, true) => TorState::Ready,
                _ => return false,
            };
            status.tor = next;
            true
        });
        if remedy == Remedy::Restart {
            // One that has ended begins anew anyway.
            let _told = self.order(Order::Restart).await;
        }
    }

    async fn order(&self, order: Order) -> Result<(), ConnectError> {
        let orders = self.tor()?;
        orders.send(order).await.map_err(|_| ended())
    }

    /// Tor's inbox, after its start.
    fn tor(&self) -> Result<mpsc::Sender<Order>, ConnectError> {
        let mut slot = lock(&self.0.tor);
        if let Slot::Off = &*slot {
            let Shared { settings, folder, status, .. } = &*self.0;
            let plan = Plan { settings: settings.clone(), folder: folder.clone(), status: status.clone() };
            *slot = Slot::On(Tor::start(plan).map_err(ConnectError::Tor)?);
        }
        match &*slot {
            Slot::On(tor) => Ok(tor.orders()),
            Slot::Off | Slot::Closed => Err(ended()),
        }
    }

    fn circuits(&self) -> MutexGuard<'_, Circuits> {
        lock(&self.0.circuits)
    }
}

fn kinds(settings: &NetworkSettings) -> Vec<String> {
    let mut kinds: Vec<String> = settings.bridges.iter().map(|line| line.kind().to_owned()).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked has left a whole value: each change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tor was closed meanwhile.
fn ended() -> ConnectError {
    ConnectError::Tor(TorTrouble::Stuck)
}
