//! Between window and engine: orders go out through one queue, news come in through another, and a thread stands between
//! them. Whatever that thread waits for, the window does not wait with it.
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | the outside: start it, tell it, stop it |
//! | `worker.rs` | carries orders out, one after the other; what asks the server goes aside |
//! | `entering.rs` | from a password to an account |
//! | `choosing.rs` | what comes from the rest of the desktop: chosen files, the clipboard |
//! | `drawing.rs` | pictures of messages, unpacked |
//! | `saving.rs`, `playing.rs` | a file that was received, to a place where nothing is yet; what was spoken, to be played |
//! | `storage.rs` | what lies on the disk, and copies of it |

mod choosing;
mod drawing;
mod entering;
mod playing;
mod saving;
mod storage;
mod wiring;
mod worker;

use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::failure::Failure;
use crate::order::{News, Order};
use worker::Worker;

/// Orders that wait. With more, the profile or the disk does not answer, and the person hears that.
const ORDERS_MAX: usize = 256;
/// News that wait for the window. With more, the bridge waits, and the engine's events are dropped and asked for again.
const NEWS_MAX: usize = 256;
/// How long a closing program waits for a profile to close.
pub const CLOSING_MAX: Duration = Duration::from_secs(5);

/// Where things lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// Folder of the profile.
    pub home: PathBuf,
    /// File of the preferences; `None` where the system names no folder for it.
    pub preferences: Option<PathBuf>,
    /// Folder for files that are saved.
    pub downloads: PathBuf,
    /// Folder for what another program is to play, which goes when the profile is closed.
    pub played: PathBuf,
}

impl Places {
    /// File of the servers that were used last, beside the preferences.
    fn servers(&self) -> Option<PathBuf> {
        self.preferences.as_ref().map(|path| path.with_file_name("servers"))
    }
}

/// To whom orders are given. Dropping it stops the engine.
#[derive(Debug)]
pub struct Bridge {
    orders: mpsc::Sender<(Order, u64)>,
    cancel: watch::Sender<u64>,
    stopped: std::sync::mpsc::Receiver<()>,
}

impl Bridge {
    /// Starts the thread. What it tells comes out of the receiver.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(places: Places) -> std::io::Result<(Self, mpsc::Receiver<News>)> {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let (news, told) = mpsc::channel(NEWS_MAX);
        let (cancel, cancelled) = watch::channel(0);
        let (running, stopped) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("endtoend-bridge".to_owned()).spawn(move || {
            // Keys and files of the client stay on one thread, so nothing here has to be sent to another.
            let local = tokio::task::LocalSet::new();
            runtime.block_on(local.run_until(Worker::new(places, news, cancelled).run(inbox)));
            drop(running);
        })?;
        Ok((Self { orders, cancel, stopped }, told))
    }

    /// Gives an order. Returns at once.
    ///
    /// # Errors
    /// When so many wait that something must be wrong.
    pub fn tell(&self, order: Order) -> Result<(), Failure> {
        if matches!(order, Order::Cancel) {
            // Past the queue, in which it would wait for what it is to stop.
            self.cancel.send_modify(|number| *number = number.wrapping_add(1));
            return Ok(());
        }
        let told = self.orders.try_send((order, *self.cancel.borrow()));
        told.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Failure::new("profile-silent"),
            mpsc::error::TrySendError::Closed(_) => Failure::new("engine-stopped"),
        })
    }

    /// Closes connection and profile. Says whether that was done in this time.
    pub fn stop(self, within: Duration) -> bool {
        let Self { orders, cancel, stopped } = self;
        cancel.send_modify(|number| *number = number.wrapping_add(1));
        // Nobody can give an order any more, and nobody reads what there is to say.
        drop((orders, cancel));
        stopped.recv_timeout(within) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than anything takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_window_that_reads_nothing_any_more_is_no_reason_not_to_close() {
        let home = tempfile::tempdir().unwrap();
        let places = Places {
            home: home.path().join("profile"),
            preferences: None,
            downloads: home.path().to_owned(),
            played: home.path().join("played"),
        };
        let (bridge, _unread) = Bridge::start(places).unwrap();
        // Without a profile each is refused, until there is no room for another refusal.
        while bridge.tell(Order::Devices).is_ok() {}
        assert!(bridge.stop(PATIENCE));
    }
}
