//! A locked profile: nothing of it is open and no key of it is in memory, and the engine waits for the password.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use zeroize::Zeroizing;

use super::command::{Command, Password, Reply, Stopped, UnlockError};
use super::event::{ConnectionState, Event, OfflineReason};
use super::handle::Options;
use super::run::Runner;
use super::told::answer;
use crate::profile::Profile;
use crate::transport::NetworkStatus;

/// Why an engine's loop has ended.
pub(super) enum Left {
    /// It was told to stop.
    Stopped,
    /// The profile is closed, and is to be opened again with the password.
    Locked(Box<Locked>, Option<Reply<Result<(), Stopped>>>),
}

/// What is left of an engine while its profile is locked: no key, no password, nothing that was said.
pub(super) struct Locked {
    pub(super) home: PathBuf,
    pub(super) online: bool,
    pub(super) connect_timeout: Duration,
    pub(super) outside: Outside,
}

/// The engine's side of what its handles hold. It outlives locks.
pub(super) struct Outside {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) state: watch::Sender<ConnectionState>,
    pub(super) network: watch::Sender<NetworkStatus>,
}

/// Runs an engine, again and again after each lock.
pub(super) async fn keep(runner: Runner) {
    let teller = runner.tell_network();
    keep_on(runner).await;
    teller.abort();
}

async fn keep_on(mut runner: Runner) {
    while let Left::Locked(locked, asker) = runner.run().await {
        // From here on the profile is closed.
        if let Some(asker) = asker {
            answer(asker, Ok(()));
        }
        let Some(unlocked) = locked.wait().await else { return };
        runner = unlocked;
    }
}

impl Locked {
    /// Waits for the password. `None` when told to stop.
    async fn wait(mut self: Box<Self>) -> Option<Runner> {
        let why = OfflineReason::Locked;
        let state = ConnectionState::Offline { retry_at: None, why };
        self.outside.state.send_replace(state.clone());
        // Nobody may be listening.
        let _listeners = self.outside.events.send(Event::Connection(state));
        loop {
            match self.outside.commands.recv().await {
                None | Some(Command::Shutdown) => {
                    let why = OfflineReason::Stopped;
                    self.outside.state.send_replace(ConnectionState::Offline { retry_at: None, why });
                    return None;
                }
                Some(Command::Lock(reply)) => answer(reply, Ok(())),
                Some(Command::Unlock(Password(password), reply)) => match self.open(password) {
                    Ok(runner) => {
                        answer(reply, Ok(()));
                        return Some(runner);
                    }
                    Err((locked, error)) => {
                        answer(reply, Err(error));
                        self = locked;
                    }
                },
                // Whoever asks hears that there is no answer.
                Some(_) => {}
            }
        }
    }

    fn open(self: Box<Self>, password: Zeroizing<String>) -> Result<Runner, (Box<Self>, UnlockError)> {
        let profile = match Profile::open(&self.home, password.as_bytes()) {
            Ok(profile) => profile,
            Err(error) => return Err((self, error.into())),
        };
        let Self { home, online, connect_timeout, outside } = *self;
        let options = Options { password, online, connect_timeout };
        Runner::new(profile, options, outside)
            .map_err(|(error, outside)| (Box::new(Self { home, online, connect_timeout, outside }), error.into()))
    }
}
