//! The one way by which Tor opens sockets, so that what they meet is counted.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tor_rtcompat::NetStreamProvider;

use crate::transport::trouble::Met;

/// What sockets have met, for whoever wants to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Arc<Mutex<Met>>);

impl Counts {
    pub(super) fn met(&self) -> Met {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, outcome: &io::Result<T>) {
        let outcome = outcome.as_ref().map(|_| ()).map_err(io::Error::kind);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).note(outcome);
    }
}

/// Opens sockets as `inner` does.
#[derive(Clone)]
pub(super) struct Counted<T> {
    pub(super) inner: T,
    pub(super) counts: Counts,
}

#[async_trait]
impl<T: NetStreamProvider> NetStreamProvider for Counted<T> {
    type Stream = T::Stream;
    type Listener = T::Listener;
    type ConnectOptions = T::ConnectOptions;
    type ListenOptions = T::ListenOptions;

    async fn connect(&self, to: &SocketAddr, options: &Self::ConnectOptions) -> io::Result<Self::Stream> {
        let outcome = self.inner.connect(to, options).await;
        self.counts.note(&outcome);
        outcome
    }

    async fn listen(&self, at: &SocketAddr, options: &Self::ListenOptions) -> io::Result<Self::Listener> {
        self.inner.listen(at, options).await
    }
}
