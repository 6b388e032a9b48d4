//! Waiting for news, for an end, or for Ctrl-C.

use std::time::Duration;

use endtoend_client::clock::{self, Instant};
use endtoend_client::engine::{ConnectionState, Engine, Event, OfflineReason};
use endtoend_client::transport::NetworkStatus;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep_until;

use crate::failure::{Failure, Kind};
use crate::network::Progress;
use crate::output;

/// What ended a wait.
pub(crate) enum News {
    /// Something happened. `None`: so much that some of it was missed.
    Event(Option<Event>),
    /// The time is over.
    TimedOut,
    /// Ctrl-C, or the request to end.
    Interrupted,
}

/// Hears an engine.
pub(crate) struct Waiting {
    events: broadcast::Receiver<Event>,
    connection: watch::Receiver<ConnectionState>,
    network: watch::Receiver<NetworkStatus>,
    deadline: Option<Instant>,
    timeout: Option<Duration>,
    interrupt: Interrupt,
    /// Why the connection was away, the last time that it was found away. The first is told.
    trouble: Option<OfflineReason>,
    /// What was said of Tor.
    progress: Progress,
}

impl Waiting {
    pub(crate) fn new(engine: &Engine, timeout: Option<Duration>) -> Result<Self, Failure> {
        Ok(Self {
            events: engine.events(),
            connection: engine.connection(),
            network: engine.network(),
            // A timeout beyond what the clock can hold is none.
            deadline: timeout.and_then(|timeout| clock::monotonic().checked_add(timeout)),
            timeout,
            interrupt: Interrupt::new()?,
            trouble: None,
            progress: Progress::default(),
        })
    }

    /// Something has moved: the time begins anew.
    pub(crate) fn moved(&mut self) {
        self.deadline = self.timeout.and_then(|timeout| clock::monotonic().checked_add(timeout));
    }

    /// The next news.
    pub(crate) async fn next(&mut self) -> News {
        let deadline = self.deadline;
        let over = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tell(&mut self.network, &mut self.progress) => News::Interrupted,
            event = self.events.recv() => match event {
                Ok(event) => News::Event(Some(event)),
                Err(broadcast::error::RecvError::Lagged(_)) => News::Event(None),
                Err(broadcast::error::RecvError::Closed) => News::Interrupted,
            },
            () = over => News::TimedOut,
            () = self.interrupt.next() => News::Interrupted,
        }
    }

    /// What has happened already, without waiting; so much that some of it was missed is passed over. `None` when nothing more has.
    pub(crate) fn happened(&mut self) -> Option<Event> {
        loop {
            match self.events.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return None,
            }
        }
    }

    /// Does something that takes its time, within this wait's time.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let deadline = self.deadline;
        tokio::select! {
            done = self.unless_interrupted(work) => done,
            () = async { match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            } } => Err(self.timed_out()),
        }
    }

    /// Does something that may take as long as it takes: nobody else is waited for.
    pub(crate) async fn unless_interrupted<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            () = tell(&mut self.network, &mut self.progress) => Err(Failure::new(Kind::Failed, "interrupted")),
            () = self.interrupt.next() => Err(Failure::new(Kind::Failed, "interrupted")),
        }
    }

    /// Why the connection is away for good; otherwise says once why it is away for now.
    pub(crate) fn check_connection(&mut self) -> Result<(), Failure> {
        let state = self.connection.borrow().clone();
        match state {
            ConnectionState::Offline { why: OfflineReason::Idle, .. }
            | ConnectionState::Connecting
            | ConnectionState::Online => Ok(()),
            ConnectionState::Offline { retry_at: None, why } => Err(why.into()),
            ConnectionState::Offline { retry_at: Some(_), why } => {
                if self.trouble.is_none() {
                    output::note(&format!("{why}; trying again"));
                }
                self.trouble = Some(why);
                Ok(())
            }
        }
    }

    /// The failure for a time that is over: it says whether there was a server to talk to.
    pub(crate) fn timed_out(&self) -> Failure {
        over(&self.connection.borrow(), self.trouble.as_ref())
    }
}

/// Says how it stands with Tor whenever that is worth a line. Never ends.
async fn tell(network: &mut watch::Receiver<NetworkStatus>, progress: &mut Progress) {
    while network.changed().await.is_ok() {
        progress.tell(&network.borrow_and_update());
    }
    // The engine has ended: others tell that.
    std::future::pending::<()>().await;
}

/// `trouble`: why the connection was away before. While it is made anew, that is still what is known of the server.
fn over(state: &ConnectionState, trouble: Option<&OfflineReason>) -> Failure {
    match (state, trouble) {
        (ConnectionState::Offline { why: OfflineReason::Idle, .. } | ConnectionState::Online, _) => {
            Failure::new(Kind::TimedOut, "the time is over")
        }
        // It was there, and would have been asked again.
        (ConnectionState::Offline { why: why @ OfflineReason::Refused(_), retry_at: Some(_) }, _)
        | (ConnectionState::Connecting, Some(why @ OfflineReason::Refused(_))) => {
            Failure::new(Kind::TimedOut, format!("the time is over: {why}"))
        }
        (ConnectionState::Offline { why, .. }, _) => why.clone().into(),
        (ConnectionState::Connecting, Some(_)) => {
            Failure::new(Kind::Unreachable, "the server could not be reached in time")
        }
        (ConnectionState::Connecting, None) => {
            Failure::new(Kind::TimedOut, "the time is over before the server answered")
        }
    }
}

/// Ctrl-C, or the request to end.
struct Interrupt {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupt {
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::{RefusalCode, UnixMillis};

    use super::*;

    #[test]
    fn a_server_that_cannot_serve_at_the_moment_is_no_refusal() {
        let offline = |code, retry_at| ConnectionState::Offline { why: OfflineReason::Refused(code), retry_at };
        let again = Some(UnixMillis::new(1));
        assert_eq!(over(&offline(RefusalCode::Unavailable, again), None).exit_code(), 5);
        assert_eq!(over(&offline(RefusalCode::Rate, again), None).exit_code(), 5);
        assert_eq!(over(&offline(RefusalCode::BadCredentials, None), None).exit_code(), 3);
        // The next attempt had just begun when the time was over: what the last one heard still holds.
        let refused = OfflineReason::Refused(RefusalCode::Unavailable);
        let away = OfflineReason::Unreachable("nobody listens".to_owned());
        let connecting = |trouble| over(&ConnectionState::Connecting, trouble).exit_code();
        assert_eq!([None, Some(&refused), Some(&away)].map(connecting), [5, 5, 4]);
        let once = |code| Failure::from(OfflineReason::Refused(code)).exit_code();
        assert_eq!([RefusalCode::Unavailable, RefusalCode::Busy, RefusalCode::HandleTaken].map(once), [4, 4, 3]);
    }
}
