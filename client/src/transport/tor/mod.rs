//! Tor in this program, on a thread and a runtime of its own, so that it goes on while the engine writes to its disk.
//!
//! | module | what it is |
//! |---|---|
//! | `serve` | its life: start, orders, end |
//! | `config` | what it is told of folder, bridges and programs |
//! | `ask` | asks relays why it gets no further |
//! | `observe` | counts what its sockets meet |
//! | `reasons` | its errors in our words |
//! | `tokens` | which streams may share a circuit, in its words |

mod ask;
mod config;
mod observe;
mod reasons;
mod serve;
mod tokens;

use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

#[cfg(any(debug_assertions, feature = "private-tor-network"))]
pub use config::PRIVATE_NETWORK;

use super::orders::{Order, Plan};
use super::trouble::TorTrouble;

/// Orders that may wait. Whoever gives another waits.
const ORDERS_MAX: usize = 16;

/// A Tor that runs. Ends when it is dropped.
pub(super) struct Tor {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
    _stop: oneshot::Sender<()>,
}

impl Tor {
    pub(super) fn start(plan: Plan) -> Result<Self, TorTrouble> {
        // Its library asks for the program's own. Where there is one, it stays.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (orders, given) = mpsc::channel(ORDERS_MAX);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("endtoend-tor".to_owned())
            .spawn(move || serve::run(&plan, given, stopped))
            .map_err(|error| TorTrouble::Failed { why: error.to_string() })?;
        Ok(Self { orders, thread, _stop: stop })
    }

    pub(super) fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.clone()
    }

    /// Ends it. Whoever has to wait for that waits for the thread.
    pub(super) fn stop(self) -> JoinHandle<()> {
        self.thread
    }
}
