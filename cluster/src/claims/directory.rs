//! What a directory of claims does, whatever it is made of.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::names::{DeviceName, Epoch, Incarnation};
use crate::ClusterId;

/// Why the directory does not say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// What was asked may have happened.
    #[error("the directory of claims does not answer")]
    Away,
    /// The asking run has no lease: it renews first.
    #[error("the lease of this node has run out")]
    NoLease,
    /// Another cluster's: a mistake in the configuration.
    #[error(
        "the directory of claims is that of cluster {theirs}, and this one is {ours}: each cluster needs a Redis database of its own"
    )]
    Foreign {
        /// Whose it is.
        theirs: String,
        /// Who asks.
        ours: ClusterId,
    },
}

/// A claim that another node's newer one has displaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lost {
    /// Whose.
    pub device: DeviceName,
    /// Of the newer one.
    pub epoch: Epoch,
}

/// Names a lease from its beginning to its end. Grows with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

/// The lease begins anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// When the directory first heard of this lease. Another one than before: it has run out or was forgotten meanwhile, and
    /// everything that is claimed is to be kept anew.
    pub stamp: Stamp,
    /// Lost since the last renewal whose `handled` said so: told again until then, so that a lost answer loses none.
    pub lost: Vec<Lost>,
    /// There are more than were told: the lease counts only when all were.
    pub more: bool,
    /// So long from now somebody may still count on what the directory has forgotten. It was emptied or started again, or another
    /// has taken its place.
    pub young_for: Duration,
}

/// Who may have had the device for itself when it was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nobody.
    Nobody,
    /// This run, and nobody else. It may not know any more, or not be there: then a lease is waited for.
    Holder(Incarnation),
    /// Somebody, perhaps: the directory was emptied lately, or the device was claimed twice within a lease.
    Somebody,
}

/// A claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Greater than that of every earlier claim of the device.
    pub epoch: Epoch,
    /// See [`Before`].
    pub before: Before,
}

/// What became of a claim that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stands.
    Stands,
    /// It stands, and somebody else may have the device for himself: it was claimed lately, or it was not there.
    Unclear,
    /// There is a newer one.
    Lost,
}

/// Where a device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Who has claimed it, if that run has a lease.
    pub holder: Option<Incarnation>,
    /// Somebody else may still have it for itself: whoever has news of the device tells everybody.
    pub unclear: bool,
}

/// What a sweep has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs that have claims and no lease.
    pub dead: BTreeSet<Incarnation>,
    /// Claims that were removed.
    pub removed: u64,
}

/// Which node has which device. Everything in it may be gone at any moment.
///
/// Each question is answered at one moment, as if there were no other. At most [`CLAIMS_MAX`](super::CLAIMS_MAX) devices in
/// one; the rest of a longer one is not looked at.
#[async_trait]
pub trait ClaimDirectory: Send + Sync {
    /// Believe in this run for another lease. `handled`: what earlier answers said was lost, and is not to be told again.
    ///
    /// # Errors
    /// See [`ClaimsError`].
    async fn renew(&self, by: Incarnation, handled: &[Lost]) -> Result<Renewed, ClaimsError>;

    /// The device is here from now on. Whoever has it is told with the next renewal.
    ///
    /// # Errors
    /// See [`ClaimsError`].
    async fn take(&self, by: Incarnation, device: DeviceName) -> Result<Taken, ClaimsError>;

    /// These are still here: they stay for another [`CLAIM_LIFE`](super::CLAIM_LIFE), and are there again where they were
    /// forgotten. An answer for each, in order.
    ///
    /// # Errors
    /// See [`ClaimsError`].
    async fn keep(&self, by: Incarnation, claims: &[(DeviceName, Epoch)]) -> Result<Vec<Kept>, ClaimsError>;

    /// These have left. Claims with another epoch stay.
    ///
    /// # Errors
    /// See [`ClaimsError`].
    async fn release(&self, by: Incarnation, claims: &[(DeviceName, Epoch)]) -> Result<(), ClaimsError>;

    /// Where these are. An answer for each, in order.
    ///
    /// # Errors
    /// See [`ClaimsError`].
    async fn find(&self, devices: &[DeviceName]) -> Result<Vec<Found>, ClaimsError>;

    /// The run ends: nobody believes in its claims any more.
    ///
    /// # Errors
    /// See [`ClaimsError`].
    async fn leave(&self, by: Incarnation) -> Result<(), ClaimsError>;

    /// Removes the claims of runs that are `dead`, and says which others have no lease. Whoever calls a run dead has seen it
    /// without a lease for several leases: until then, that somebody claimed the device tells the next one to wait.
    ///
    /// # Errors
    /// See [`ClaimsError`].
    async fn sweep(&self, dead: &BTreeSet<Incarnation>) -> Result<Swept, ClaimsError>;
}
