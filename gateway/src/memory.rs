//! How much of the node's memory envelopes on their way may take.

use std::sync::Arc;

use endtoend_protocol::Envelope;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// KiB for envelopes of senders that wait for an answer. Each takes one at least, so their number is bounded too.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    pub(crate) fn new(kib: usize) -> Self {
        Self(Arc::new(Semaphore::new(kib)))
    }

    /// A share for an envelope, given back when it is dropped; `None` when there is none left.
    pub(crate) fn take(&self, envelope: &Envelope) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(envelope.body.len().div_ceil(1024)).ok()?.max(1);
        Arc::clone(&self.0).try_acquire_many_owned(kib).ok()
    }

    /// KiB that nobody has.
    pub(crate) fn free(&self) -> usize {
        self.0.available_permits()
    }
}
