//! Being told to stop, and waiting meanwhile.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::error::DevError;
use crate::clock;

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);
/// Far above what any step takes: only a hanging program meets it.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whether somebody wants the end.
pub(crate) struct Stop {
    told: Receiver<()>,
    /// Keeps the channel open when nothing else does.
    _sender: Sender<()>,
}

impl Stop {
    /// Nobody will.
    pub(crate) fn never() -> Self {
        let (sender, told) = mpsc::channel();
        Self { told, _sender: sender }
    }

    /// By SIGTERM or Ctrl-C, which end nothing by themselves any more.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub(crate) fn by_signal() -> Result<Self, DevError> {
        let (sender, told) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(DevError::io("start a thread for signals"))?;
        let listen = async { (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) };
        let (terminate, interrupt) = runtime.block_on(listen);
        let mut terminate = terminate.map_err(DevError::io("hear signals"))?;
        let mut interrupt = interrupt.map_err(DevError::io("hear signals"))?;
        let telling = sender.clone();
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            // Nobody waits any more.
            let _ = telling.send(());
        });
        Ok(Self { told, _sender: sender })
    }

    /// Waits; `Err` when the end is wanted.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), DevError> {
        match self.told.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(DevError::Stopped),
        }
    }

    /// Waits until there is something.
    ///
    /// # Errors
    /// `Stopped`, `TooLong`, and what `look` finds.
    pub(super) fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> Result<Option<T>, DevError>,
    ) -> Result<T, DevError> {
        let end = clock::monotonic() + PATIENCE;
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if clock::monotonic() >= end {
                return Err(DevError::TooLong { what: what.to_owned(), seconds: PATIENCE.as_secs() });
            }
            self.pause(PAUSE)?;
        }
    }
}
