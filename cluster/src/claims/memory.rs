//! The directory of claims in this process: of a single node, and of tests with several.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::directory::{ClaimDirectory, ClaimsError, Found, Kept, Lost, Renewed, Swept, Taken};
use super::names::{DeviceName, Epoch, Incarnation};
use super::table::{ClaimTable, micros};
use crate::clock;

/// A [`ClaimTable`] that all who have a clone share.
#[derive(Clone, Debug)]
pub struct LocalClaims {
    table: Arc<Mutex<ClaimTable>>,
    began: Instant,
}

impl LocalClaims {
    /// An empty one.
    pub fn new(lease: Duration) -> Self {
        Self { table: Arc::new(Mutex::new(ClaimTable::new(lease))), began: clock::monotonic() }
    }

    /// Everything is forgotten.
    pub fn flush(&self) {
        self.table().flush();
    }

    // A panic while the lock was held cannot have left it in between: every change is one call.
    pub(super) fn table(&self) -> MutexGuard<'_, ClaimTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Epochs begin with the time, and grow after a flush, too.
    fn now(&self) -> u64 {
        micros(clock::monotonic().saturating_duration_since(self.began)) + 1
    }
}

#[async_trait]
impl ClaimDirectory for LocalClaims {
    async fn renew(&self, by: Incarnation, handled: &[Lost]) -> Result<Renewed, ClaimsError> {
        Ok(self.table().renew(by, handled, self.now()))
    }
    async fn take(&self, by: Incarnation, device: DeviceName) -> Result<Taken, ClaimsError> {
        self.table().take(by, device, self.now())
    }
    async fn keep(&self, by: Incarnation, claims: &[(DeviceName, Epoch)]) -> Result<Vec<Kept>, ClaimsError> {
        self.table().keep(by, claims, self.now())
    }
    async fn release(&self, by: Incarnation, claims: &[(DeviceName, Epoch)]) -> Result<(), ClaimsError> {
        self.table().release(by, claims, self.now());
        Ok(())
    }
    async fn find(&self, devices: &[DeviceName]) -> Result<Vec<Found>, ClaimsError> {
        Ok(self.table().find(devices, self.now()))
    }
    async fn leave(&self, by: Incarnation) -> Result<(), ClaimsError> {
        self.table().leave(by);
        Ok(())
    }
    async fn sweep(&self, dead: &BTreeSet<Incarnation>) -> Result<Swept, ClaimsError> {
        Ok(self.table().sweep(dead, self.now()))
    }
}
