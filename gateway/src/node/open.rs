//! How many connections there are, from the moment that they are taken until their last byte has left.

use tokio::sync::watch;

/// Counts connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct OpenConnections(watch::Sender<usize>);

/// One of them. It counts until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(watch::Sender<usize>);

impl OpenConnections {
    pub(crate) fn none() -> Self {
        Self(watch::Sender::new(0))
    }

    /// One more.
    pub(crate) fn enter(&self) -> OpenConnection {
        self.0.send_modify(|count| *count += 1);
        OpenConnection(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until there is none.
    pub(crate) async fn until_none(&self) {
        // It cannot fail: the sender is here.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
